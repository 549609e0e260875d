"""The training of a run: what is said before, between and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from nestree.config.config import Config
from nestree.config.options import ENDLESS
from nestree.data import RaggedExamples
from nestree.errors import INTERRUPTED, UserError
from nestree.runs import Run
from nestree.tasks import Task
from nestree.tasks.stages import LABEL
from nestree.tasks.text import TextTask
from nestree.training.callbacks import Interrupted, InterruptedAtOnce
from nestree.training.fit import RESUMABLE, Training, load_examples
from nestree.training.parallel import is_further_process, run_folder_known

RARE = 10
"""A class of fewer training examples is named."""

COMMON = 0.8
"""A class of more than this share of the training examples is named."""


def train_run(run: Run, config: Config, *, resumed: bool, command: str, console: Console) -> int:
    """Train a run and return the exit code.

    Args:
        run: one that is yet to begin, or with ``resumed`` one to go on with.
        config: of the training.
        resumed: go on where it stopped.
        command: that makes the run again.
        console: for messages; further processes of a parallel training say nothing.

    Raises:
        UserError: options that may not change on resuming, or that fit neither data nor machine; a loss not finite.
    """
    first = not is_further_process()
    console = console if first else Console(quiet=True)
    if resumed and first:
        _check_resumable(run.config, config)
    task = run.task if resumed or not first else config.data.open()
    train, validation = load_examples(task, config.data, console)
    training = Training(run, config, task, train, validation, console=console)
    _introduce(console, training)
    if first:
        if resumed:
            run.remove_temporary_files()
            run.write_config(training.config)
        else:
            run.begin(training.config, command=command).keep_task(task)
            if (start := training.config.trainer.start) is not None:
                run.note(start=Run.open(start).about())
    try:
        if (over := training.over()) is None:
            with run_folder_known(run):
                facts = training.fit()
            _conclude(console, run, facts)
        else:
            console.print(f"{run.path} is finished: {over}")
    except Interrupted:
        console.print(f"stopped after step {training.stream.position}; go on with: nestree train --resume {run.path}")
        return INTERRUPTED
    except InterruptedAtOnce:
        console.print(f"stopped at once; the last checkpoint counts: nestree train --resume {run.path}")
        return INTERRUPTED
    return 0


def _check_resumable(before: Config, now: Config) -> None:
    """Refuse to resume with options that would make it another run."""
    old, new = before.as_dict(), replace(now, data=now.data.settled()).as_dict()
    if old["seed"] != new["seed"]:
        raise UserError(f"--seed cannot change when a run is resumed (it is {old['seed']})")
    for section in ("data", "encoder", "model", "optimizer", "trainer"):
        for name, value in new[section].items():
            free = section == "trainer" and name in RESUMABLE
            if not free and old[section].get(name) != value:
                it = old[section].get(name)
                it = it["name"] if isinstance(it, dict) else it  # a curriculum
                raise UserError(f"--{section}.{name} cannot change when a run is resumed (it is {it!r})")


def _introduce(console: Console, training: Training) -> None:
    """Say what is about to be trained, and where."""
    config, stream = training.config, training.stream
    label = [training.task.protocol, *([config.data.plan.name] if config.data.plan is not None else [])]
    console.print(f"recipe      {config.recipe}, seed {config.seed}")
    console.print(f"encoder     {config.encoder_name}, {training.module.model.parameter_count():,} parameters")
    console.print(
        f"data        {config.data.task} ({LABEL.join(label)}): {len(stream.examples):,} training examples "
        f"(longest {stream.examples.lengths.max()} tokens), {len(training.data.validation):,} for validation"
    )
    labels = label_shares(training.task, stream.examples)
    console.print(f"labels      {labels}")
    if isinstance(training.task, TextTask):
        for line in imbalance(training.task, stream.examples, training.data.validation):
            console.print(f"            {line}")
    limits = []
    if training.steps < ENDLESS:
        limits.append(f"{training.steps:,} steps ({training.steps / stream.batches_per_epoch:.1f} epochs)")
    if config.trainer.max_sequences is not None:
        limits.append(f"{config.trainer.max_sequences:,} sequences")
    if config.trainer.max_minutes is not None:
        limits.append(f"{config.trainer.max_minutes:g} minutes")
    console.print(f"at most     {' or '.join(limits)}, batches of {config.data.batch}")
    if (why := training.missing_library()) is not None:
        console.print(f"slower      beam trees run on PyTorch's engine: {why}")
    console.print(f"run folder  {training.run.path}")


def label_shares(task: Task, examples: RaggedExamples) -> str:
    """Say how many classes there are, and the commonest and rarest one's share of the examples."""
    shares = np.bincount(examples.labels, minlength=len(task.label_names)) / len(examples)
    most, least = int(shares.argmax()), len(shares) - 1 - int(shares[::-1].argmin())
    return (
        f"{len(shares)}: from {task.label_names[most]!r}, {shares[most]:.1%} of the training examples, "
        f"to {task.label_names[least]!r}, {shares[least]:.1%}"
    )


def imbalance(task: Task, train: RaggedExamples, validation: RaggedExamples) -> list[str]:
    """Say what answering the commonest label achieves, and which classes have too few examples to be learnt."""
    counts = np.bincount(train.labels, minlength=len(task.label_names))
    commonest = task.label_names[int(counts.argmax())]
    lines = [f"always answering {commonest!r} is right on {task.baseline(train, validation):.1%} of validation"]
    if counts.max() > COMMON * len(train):
        lines.append(
            f"{commonest!r} is {counts.max():,} of {len(train):,} training examples: compare accuracy with that"
        )
    rare = [f"{task.label_names[place]!r} {counts[place]}" for place in np.argsort(counts) if counts[place] < RARE]
    if rare:
        more = f" and {len(rare) - 8} more" if len(rare) > 8 else ""
        lines.append(f"too few training examples to learn from, below {RARE}: {', '.join(rare[:8])}{more}")
    return lines


def _conclude(console: Console, run: Run, facts: Mapping[str, Any]) -> None:
    """Say what came of it."""
    which = "last" if facts["select"] == "last" else "best"
    console.print(
        f"finished: {facts['why']}; {which} validation accuracy {facts['validation_accuracy']:.4f} at step "
        f"{facts['best_step']}; {facts['sequences_per_second']:.1f} sequences/s, {facts['minutes']:.1f} minutes"
    )
    console.print(f"weights     {run.weights}")
