"""A trained model as the contents of its run's files, and training on rows in memory."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from nestree.config.config import Config
from nestree.data.ragged import RaggedExamples
from nestree.data.text import SPLITTER, Vocabulary
from nestree.errors import OptionError, UserError
from nestree.evaluation.evaluate import probabilities
from nestree.evaluation.predictions import as_examples, encode_all
from nestree.runs import SHARED, Run
from nestree.runs.history import read_history, thinned
from nestree.sklearn.rows import Rows
from nestree.tasks import Task
from nestree.tasks.text import TextTask
from nestree.tasks.text.own import OwnOptions
from nestree.tasks.text.task import held_out

if TYPE_CHECKING:
    import torch


class Trained:
    """The model of a run, with what is in the run's files; it needs no folder.

    It is pickled as the files: options and words as text, weights as safetensors.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Load the model from the contents of the files of a packed run, by name."""
        self.files = dict(files)
        with tempfile.TemporaryDirectory(prefix="nestree-sklearn-") as folder:
            run = self.write(Path(folder))
            self.model, self.task = run.model(), run.task
            self.tokens = run.config.data.evaluation_tokens

    @classmethod
    def of(cls, run: Run) -> Trained:
        """Return the model of a run."""
        files = {path.name: path.read_bytes() for path in run.shared_files()}
        if history := read_history(run):
            files[run.thin_log.name] = thinned(history).encode()
        return cls(files)

    def write(self, folder: Path) -> Run:
        """Write the files into a folder, and return the run that it is then."""
        for name, content in self.files.items():
            assert name in SHARED
            (folder / name).write_bytes(content)
        return Run(folder)

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["files"])

    def probabilities(self, rows: Rows, device: torch.device) -> NDArray[np.float64]:
        """Return the probability of each label, (rows, classes)."""
        where = [f"row {number} of X" for number in range(len(rows))]
        empty = self.task.encode(*[""] * self.task.sides)  # scikit-learn wants probabilities for every row
        encoded = [empty if one is None else one for one in encode_all(self.task, rows, where=where)]
        examples = as_examples(self.task, encoded)
        found = probabilities(self.model.to(device), examples, tokens=self.tokens).astype(np.float64)
        return found / found.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Facts:
    """How a training ended."""

    epochs: float
    """Passes over the training rows."""
    validation_accuracy: float
    """Best accuracy on the rows that were held out."""


def train_on_rows(
    config: Config, rows: Rows, labels: NDArray[np.int64], names: Sequence[str], *, console: Console
) -> tuple[Trained, Facts]:
    """Train a configuration of the task "own" on rows in memory; nothing is written that stays.

    Args:
        config: the configuration, without files of data.
        rows: the texts, of which ``config.data.validation_share`` are held out.
        labels: number of each row's label.
        names: name of each label.
        console: for messages.

    Raises:
        UserError: there are too few rows, or options do not fit the data or the machine.
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    from nestree.training.callbacks import (  # Lightning is slow to import
        Interrupted,
        InterruptedAtOnce,
        random_states,
        restore_random_states,
    )
    from nestree.training.fit import Training

    data = config.data
    assert isinstance(data, OwnOptions)
    if data.target != "class":
        raise OptionError("data.target", f"must be class: scikit-learn's y is one label per text, not {data.target!r}")
    validating = _held_out(labels, data)
    task = _task(data, [row for row, held in zip(rows, validating, strict=True) if not held], names)
    inputs = np.arange(len(rows))
    train, validation = (
        _examples(task, [rows[place] for place in inputs[chosen]], labels[chosen])
        for chosen in (~validating, validating)
    )
    states = random_states()
    try:
        with tempfile.TemporaryDirectory(prefix="nestree-sklearn-") as folder:
            run = Run(folder)
            training = Training(run, config, task, train, validation, console=console)
            run.begin(training.config, task, command="nestree.sklearn.TreeClassifier.fit")
            facts = training.fit()
            return Trained.of(run), Facts(facts["epochs"], facts["validation_accuracy"])
    except (Interrupted, InterruptedAtOnce):
        raise KeyboardInterrupt from None
    finally:
        restore_random_states(states)  # training seeds the global generators, which are the caller's


def _held_out(labels: NDArray[np.int64], options: OwnOptions) -> NDArray[np.bool_]:
    """Return which rows are held out for validation, as for a table of the task "own"."""
    if len(labels) < 2:
        raise UserError(f"X has n_samples={len(labels)}: one row to train on and 1 sample to hold out are needed")
    count = min(max(2, round(options.validation_share * len(labels))), len(labels) // 2)
    held = np.zeros(len(labels), bool)
    held[list(held_out(labels, count, options.seed))] = True
    # A label with a single row is trained on, if any row is held out then.
    single = [label for label, number in Counter(labels.tolist()).items() if number == 1]
    without = held & ~np.isin(labels, single)
    return without if without.any() else held


def _task(options: OwnOptions, rows: Rows, names: Sequence[str]) -> TextTask:
    """Return the task, with the words of the training rows."""
    state: dict[str, Any] = {"labels": list(names)}
    if options.level != "byte":
        texts = (text for row in rows for text in row)
        level = options.level or "word"
        found = Vocabulary.count(texts, level, size=options.vocabulary_size, least=options.min_count)
        if not found.words:
            raise UserError(
                f"no {level} occurs {options.min_count} times in the {len(rows)} training rows: "
                f"set min_count below {options.min_count}" + ", or level to char" * (level == "word")
            )
        state |= {**found.state(), "splitter": SPLITTER}
    return options.open(state)


def _examples(task: Task, rows: Rows, labels: NDArray[np.int64]) -> RaggedExamples:
    sequences = [sequence for row in rows for sequence in task.encode(*row)]
    return RaggedExamples.from_sequences(sequences, labels, name="rows", dtype=np.uint32, sides=task.sides)
