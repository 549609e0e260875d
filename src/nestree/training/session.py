"""Training a run from the command line: checks, messages and exit code."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from nestree.config.config import Config
from nestree.config.options import ENDLESS
from nestree.config.selection import measured
from nestree.consoles import messages, quoted
from nestree.data import RaggedExamples
from nestree.errors import OptionError, UserError
from nestree.layers.language_model import LanguageModel
from nestree.runs import Run
from nestree.tasks import Task
from nestree.tasks.stages import LABEL
from nestree.tasks.target import target_of
from nestree.tasks.text import TextTask
from nestree.training.callbacks import Interrupted, InterruptedAtOnce
from nestree.training.fit import RESUMABLE, Training, load_examples
from nestree.training.parallel import is_further_process, run_folder_known

RARE = 10
"""Classes with fewer training examples are printed."""

COMMON = 0.8
"""A class with a larger share of the training examples is printed."""


def train_run(run: Run, config: Config, *, resumed: bool, command: str, console: Console) -> bool:
    """Train a run, and return whether that came to its end: after Ctrl-C or SIGTERM it has not, and can be resumed.

    Args:
        run: a new run, or with ``resumed``, a run to continue.
        config: the configuration.
        resumed: continue from the checkpoint.
        command: the command that reproduces the run.
        console: for messages, which only the first process of a parallel training prints.

    Raises:
        UserError: an option may not change on resuming, options do not fit the data or the machine, or the loss is not
            finite.
    """
    first = not is_further_process()
    console = console if first else messages(shown=False)
    with run.held() if resumed and first else nullcontext():
        if resumed and first:
            _check_resumable(run, config)
        task = run.task if resumed or not first else config.data.open()
        train, validation = load_examples(task, config.data, console)
        training = Training(run, config, task, train, validation, console=console)
        if first and not resumed:
            training = _begun(run, training, command, console)
        _introduce(console, training)
        if resumed and first:
            run.remove_temporary_files()
            run.write_config(training.config)
        with nullcontext() if resumed or not first else run.held():
            return _train(training, console)


def _begun(run: Run, training: Training, command: str, console: Console) -> Training:
    """Create the run, and return its training: another one if the automatic name was taken in the meantime."""
    start = training.config.trainer.start
    about = None if start is None else Run.open(start).about()
    while True:
        try:
            run.begin(training.config, training.task, command=command, start=about)
        except FileExistsError as error:
            if not run.automatic:
                raise UserError(str(error)) from None
            run.take_next_name()
            examples = training.stream.examples, training.data.validation
            training = Training(run, training.config, training.task, *examples, console=console)
        else:
            return training


def _train(training: Training, console: Console) -> bool:
    run = training.run
    try:
        with run_folder_known(run):
            facts = training.fit()
    except Interrupted:
        console.print(
            f"stopped after step {training.stream.position}; to continue: nestree train --resume {quoted(run.path)}"
        )
        return False
    except InterruptedAtOnce:
        console.print(
            f"stopped immediately; to continue from the checkpoint: nestree train --resume {quoted(run.path)}"
        )
        return False
    if training.was_over:
        raised = "" if facts["early"] else "; raise the limit to continue (trainer.max_epochs, max_steps, max_minutes)"
        console.print(f"{run.path} is finished: {facts['why']}{raised}")
    else:
        _conclude(console, run, facts)
    return True


def _check_resumable(run: Run, now: Config) -> None:
    """Raise a UserError if the run cannot be resumed, or an option has changed that may not change on resuming."""
    if run.weights.is_file() and not run.checkpoint.is_file():
        problem = f"{run.path} has weights but no checkpoint ({run.checkpoint.name}) to resume from"
        raise OptionError("trainer.start", f"{run.path} starts a new run from its weights", problem=problem)
    old, new = run.config.as_dict(), replace(now, data=now.data.settled()).as_dict()
    if old["seed"] != new["seed"]:
        raise OptionError("seed", f"cannot change when a run is resumed (it is {old['seed']})")
    for section in ("data", "encoder", "model", "optimizer", "trainer"):
        for name, value in new[section].items():
            free = section == "trainer" and name in RESUMABLE
            if not free and old[section].get(name) != value:
                it = old[section].get(name)
                it = it["name"] if isinstance(it, dict) else it  # a curriculum
                raise OptionError(f"{section}.{name}", f"cannot change when a run is resumed (it is {it!r})")


def _introduce(console: Console, training: Training) -> None:
    """Print recipe, encoder, data, limits and run folder."""
    config, stream = training.config, training.stream
    label = [training.task.protocol, *([config.data.plan.name] if config.data.plan is not None else [])]
    console.print(f"recipe      {config.recipe}, seed {config.seed}")
    console.print(f"encoder     {config.encoder_name}, {training.module.model.parameter_count():,} parameters")
    if isinstance(features := training.module.model.embedding, LanguageModel):
        kind = type(features.language_model()).__name__
        about = f"{kind} of width {features.width}, {'trained' if features.trained else 'frozen'}"
        console.print(f"features    {about}, at most {features.window} tokens at once")
    console.print(
        f"data        {config.data.task} ({LABEL.join(label)}): {len(stream.examples):,} training examples "
        f"(longest {stream.examples.lengths.max()} tokens), {len(training.data.validation):,} for validation"
    )
    first, *more = answers_about(training.task, stream.examples)
    console.print(f"{'numbers' if target_of(training.task).kind == 'number' else 'labels':12}{first}", markup=False)
    for line in more:
        console.print(f"            {line}", markup=False)
    if isinstance(training.task, TextTask):
        if training.task.target.kind == "class":
            for line in imbalance(training.task, stream.examples, training.data.validation):
                console.print(f"            {line}")
        for number, line in enumerate(_coverage(training.task, stream.examples, training.data.validation)):
            console.print(f"{'' if number else 'tokens':12}{line}")
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


def _coverage(task: TextTask, train: RaggedExamples, validation: RaggedExamples) -> list[str]:
    """Return lines about how much of the texts is known and read."""
    spaceless = task.spaceless_remark(train)
    lines = [*task.remarks("train", train), *task.remarks("validation", validation)]
    return lines if spaceless is None else [*lines, spaceless]


def answers_about(task: Task, examples: RaggedExamples) -> list[str]:
    """Return lines about the labels, or the numbers, of the training examples."""
    target, answers = target_of(task), examples.answers
    if answers is None:
        return [label_shares(task, examples)]
    if target.kind == "number":
        return [
            f"{target.names[0]}: from {answers.min():g} to {answers.max():g}, mean {target.mean:.4g}, standard "
            f"deviation {target.deviation:.4g}"
        ]
    counts, name = answers.sum(axis=0, dtype=np.int64), target.names
    most, least = int(counts.argmax()), int(counts.argmin())
    lines = [
        f"{len(name)}, any number per example: {counts.sum() / len(answers):.2f} on average; from {name[most]!r}, "
        f"{counts[most] / len(answers):.1%} of the training examples, to {name[least]!r}, "
        f"{counts[least] / len(answers):.1%}"
    ]
    rare = [f"{name[place]!r} {counts[place]}" for place in np.argsort(counts) if counts[place] < RARE]
    if rare:
        more = f" and {len(rare) - 8} more" * (len(rare) > 8)
        lines.append(f"labels with fewer than {RARE} training examples: {', '.join(rare[:8])}{more}")
    return lines


def label_shares(task: Task, examples: RaggedExamples) -> str:
    """Return the number of classes, and the shares of the most and the least common one, as text."""
    shares = np.bincount(examples.labels, minlength=len(task.label_names)) / len(examples)
    most, least = int(shares.argmax()), len(shares) - 1 - int(shares[::-1].argmin())
    return (
        f"{len(shares)}: from {task.label_names[most]!r}, {shares[most]:.1%} of the training examples, "
        f"to {task.label_names[least]!r}, {shares[least]:.1%}"
    )


def imbalance(task: Task, train: RaggedExamples, validation: RaggedExamples) -> list[str]:
    """Return lines about the accuracy of always answering the most common label, and about rare classes."""
    counts = np.bincount(train.labels, minlength=len(task.label_names))
    most_common = task.label_names[int(counts.argmax())]
    lines = [f"always answering {most_common!r} is correct on {task.baseline(train, validation):.1%} of validation"]
    if counts.max() > COMMON * len(train):
        lines.append(
            f"{most_common!r} is {counts.max():,} of {len(train):,} training examples: compare accuracy with that"
        )
    rare = [f"{task.label_names[place]!r} {counts[place]}" for place in np.argsort(counts) if counts[place] < RARE]
    if rare:
        more = f" and {len(rare) - 8} more" if len(rare) > 8 else ""
        lines.append(f"classes with fewer than {RARE} training examples: {', '.join(rare[:8])}{more}")
    return lines


def _conclude(console: Console, run: Run, facts: Mapping[str, Any]) -> None:
    """Print the results of the training."""
    which = "last" if facts["select"] == "last" else "best"
    measure, value = measured(facts)
    console.print(
        f"finished: {facts['why']}; {which} validation {measure.name} {value:.4f} at step "
        f"{facts['best_step']}; {facts['sequences_per_second']:.1f} sequences/s, {facts['minutes']:.1f} minutes"
    )
    console.print(f"weights     {run.weights}")
