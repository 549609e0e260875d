"""Callbacks: best weights, checkpoints, limits, interruptions, random states, curriculum stages and peak memory."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from rich.console import Console
from torch import Tensor

from nestree.config.selection import LOSS, SELECTIONS, Selection
from nestree.data.batches import Batch
from nestree.models import Classifier
from nestree.runs import Run
from nestree.runs.provenance import peak_memory
from nestree.training.curriculum import Curriculum, Left, Spent
from nestree.training.module import ClassifierModule
from nestree.training.parallel import SIGNALS, is_further_process, signals_come
from nestree.training.stream import TrainingStream


class Interrupted(Exception):
    """The user stopped the training, and a checkpoint was written."""


class InterruptedAtOnce(BaseException):
    """The user asked twice to stop, and no checkpoint was written."""


class KeepBest(Callback):
    """Writes the weights to the run whenever a validation is the best so far, by ``selection``."""

    def __init__(self, run: Run, selection: Selection = SELECTIONS["accuracy"]) -> None:
        self.run = run
        self.selection = selection
        self.best = selection.worst
        self.measured, self.loss = -1.0, float("inf")
        self.step = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights if they are the best so far."""
        key = self.selection.measure.key
        measured, loss = (float(trainer.callback_metrics[name]) for name in (key, LOSS))
        value = float(trainer.callback_metrics[self.selection.monitor])
        if not self.selection.better(value, self.best):
            return
        self.best, self.measured, self.loss, self.step = value, measured, loss, trainer.global_step
        if trainer.is_global_zero:
            assert isinstance(pl_module, ClassifierModule)
            self.run.save_weights(pl_module.model, step=self.step, **{key: measured, LOSS: loss})

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, with its measure, loss and step."""
        return {"best": self.best, "accuracy": self.measured, "loss": self.loss, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.measured, self.step = state_dict["accuracy"], state_dict["step"]
        # Older checkpoints, which were always selected by accuracy, have only the accuracy.
        self.loss, self.best = state_dict.get("loss", self.loss), state_dict.get("best", self.measured)


class KeepRandomStates(Callback):
    """Saves all random states in the checkpoint, and restores them before the first step of a resumed run.

    It also seeds the processes of a parallel training differently, so that their dropout masks differ.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.pending: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed every process except the first with its rank."""
        if trainer.global_rank > 0:
            seed_everything(self.seed + trainer.global_rank * 1_000_003)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int):
        """Restore the states only now, as starting the training may draw random numbers."""
        if self.pending is not None:
            restore_random_states(self.pending)
            self.pending = None

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of all processes."""
        states: list[Any] = [random_states()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            states = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(states, random_states())
        return {"states": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep this process's state until the first step."""
        parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.pending = state_dict["states"][torch.distributed.get_rank() if parallel else 0]


class Patience(EarlyStopping):
    """Stops training after ``patience`` validations without improvement, counted in the last stage of a curriculum."""

    def __init__(self, curriculum: Curriculum, selection: Selection, *, patience: int) -> None:
        super().__init__(selection.monitor, mode=selection.mode, patience=patience, check_on_train_epoch_end=False)
        self.curriculum = curriculum

    @property
    def state_key(self) -> str:
        """Name of the callback's state in checkpoints."""
        return f"EarlyStopping{ {'monitor': self.monitor, 'mode': self.mode}!r}"

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the validation in the last stage."""
        if not self.curriculum.running:
            super().on_validation_end(trainer, pl_module)


class Stages(Callback):
    """Counts each batch for the curriculum, prints when a stage ends, and resets the weights if the stage starts again.

    Args:
        curriculum: the curriculum.
        stream: the stream of batches.
        console: for messages.
        fresh: returns a new model, initialised as at the beginning of training, for the given attempt.
    """

    def __init__(
        self, curriculum: Curriculum, stream: TrainingStream, console: Console, fresh: Callable[[int], Classifier]
    ) -> None:
        self.curriculum, self.stream, self.console, self.fresh = curriculum, stream, console, fresh

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch, and end the stage if it is time."""
        minutes, number = outputs["minutes"], self.curriculum.number
        spent = Spent(self.stream.position, self.stream.sequences, minutes)
        left = self.curriculum.count(outputs["correct"], batch.size, spent)
        if left is None:
            return
        if left.how == "again":
            states = random_states()
            assert isinstance(pl_module, ClassifierModule)
            pl_module.begin_anew(self.fresh(self.curriculum.attempt))
            restore_random_states(states)
        if trainer.is_global_zero:
            self.console.print(self._said(left, number))

    def _said(self, left: Left, number: int) -> str:
        mark = self.curriculum.stages[number].mark
        why = {
            "mark": f"ended, reached its mark {mark}",
            "time": "ended, out of time",
            "again": f"starts again (attempt {left.attempt + 1}), out of time",
        }
        return (
            f"step {left.step:>6}  stage {number + 1} of {len(self.curriculum.stages)}, {left.stage}: "
            f"{why[left.how]}; accuracy {left.accuracy:.3f}, {60 * left.minutes:.0f} seconds"
        )


class PeakMemory(Callback):
    """Measures the peak memory of the training: of all processes together, over all sessions."""

    def __init__(self) -> None:
        self.peak: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Measure and return the peak, bytes; all processes call this together, when a checkpoint is written."""
        mine = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else peak_memory()
        peaks: list[int | None] = [mine]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            peaks = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(peaks, mine)
        known = [peak for peak in peaks if peak is not None]
        if len(known) == len(peaks):
            self.peak = max(self.peak or 0, sum(known))
        return {"peak": self.peak}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Start with an earlier session's peak."""
        self.peak = state_dict["peak"]


class Keeper(Callback):
    """Ends training at its limit, and writes checkpoints at points where training can be resumed exactly.

    If a validation is due after a step, the checkpoint is written after the validation. This callback must be the last
    one, as it depends on the decisions of the others.

    Args:
        run: the run to write to.
        stream: the stream of batches.
        steps: maximal number of steps.
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints; there is one after each validation too.
        over: returns why training is complete, or None; asked once the checkpoint to resume from is loaded.
        note: records the progress of the training in the run.
    """

    def __init__(
        self,
        run: Run,
        stream: TrainingStream,
        *,
        steps: int,
        validate_every: int,
        checkpoint_every: int,
        over: Callable[[], str | None],
        note: Callable[[], object],
    ) -> None:
        self.run = run
        self.stream = stream
        self.steps = steps
        self.validate_every = validate_every
        self.checkpoint_every = checkpoint_every
        self.over = over
        self.note = note
        self.started = False
        """Whether training has started, from the beginning or from a checkpoint that could be read."""
        self.already_over = False
        """Whether the checkpoint was of a complete training."""
        self.interrupted = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make no further step if the checkpoint is of a complete training."""
        self.started = True
        self.already_over = self.stream.position > 0 and self.over() is not None
        if self.already_over:
            trainer.should_stop = True
        else:
            self.note()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop at the limit; write a checkpoint if one is due and no validation is."""
        step = self.stream.position
        if step >= self.steps or self.stream.ended:
            trainer.should_stop = True
        if trainer.should_stop or step % self.validate_every == 0:
            return
        interrupted = trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)
        if interrupted or step % self.checkpoint_every == 0:
            self.save(trainer)
        if interrupted:
            raise Interrupted

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a checkpoint."""
        self.save(trainer)
        if trainer.strategy.reduce_boolean_decision(self.interrupted, all=False) and not trainer.should_stop:
            raise Interrupted

    def save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint, replacing the previous one."""
        before = random.getstate()
        for logger in trainer.loggers:
            logger.save()
        if trainer.is_global_zero:
            with self.run.replacing(self.run.checkpoint) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(self.run.checkpoint)  # contributes its states; only the first process writes
        self.note()
        random.setstate(before)  # the names of temporary files draw from it

    @contextmanager
    def watching_signals(self) -> Iterator[None]:
        """Stop after the current step on the first of [`SIGNALS`][], and immediately on the second."""

        def stop(signum: int, _frame: FrameType | None) -> None:
            if self.interrupted:
                raise InterruptedAtOnce
            self.interrupted = True

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is signalled
            return
        # nohup ignores SIGHUP, and that remains so.
        taken = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in taken}
        if is_further_process():
            signals_come()
        try:
            yield
        finally:
            for number, handler in before.items():
                # From now on only the first process has anything to do, and Lightning kills it if another fails.
                signal.signal(number, signal.SIG_IGN if is_further_process() else handler)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries may draw from the global generator)
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """Return the states of all random generators, as tensors and JSON values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Restore the states of all random generators."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    assert isinstance(keys, Tensor)
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"]:
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
