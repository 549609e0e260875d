"""The progress bar of training, and the counts of sequences and seconds."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar, Timer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nestree.consoles import Description, has_bars
from nestree.data.batches import Batch
from nestree.training.callbacks import KeepBest
from nestree.training.stream import TrainingStream


class TrainingProgress(ProgressBar):
    """A bar with sequences per second, loss, validation measure and time left, and one line per validation.

    Where no bar can be drawn there are only the lines.
    """

    def __init__(
        self, console: Console, stream: TrainingStream, timer: Timer, best: KeepBest, *, steps: int, log_every: int
    ) -> None:
        super().__init__()
        self.log_every = log_every
        self.console = console
        self.stream, self.timer, self.best, self.steps = stream, timer, best, steps
        self.sequences = 0
        self.seconds = 0.0
        self._began = 0.0
        self._loss = float("nan")
        self._shown = True
        self._bar = Progress(
            Description(), BarColumn(bar_width=24), TextColumn("{task.fields[figures]}"),
            console=console, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=1.0, figures="")

    def disable(self) -> None:
        """Show nothing; Lightning calls this in all processes except the first."""
        self._shown = False

    def enable(self) -> None:
        """Show again."""
        self._shown = True

    @property
    def sequences_per_second(self) -> float:
        """Training speed of all processes together, without the time of validation."""
        return self.sequences / self.seconds if self.seconds else 0.0

    def share_done(self) -> float:
        """Return the share of training that is done, by steps, sequences or minutes, whichever is largest."""
        remaining = self.timer.time_remaining()
        elapsed = self.timer.time_elapsed()
        by_time = 0.0 if remaining is None else elapsed / max(elapsed + remaining, 1e-9)
        by_sequences = self.stream.sequences / self.stream.limit if self.stream.limit else 0.0
        return min(1.0, max(by_time, by_sequences, self.stream.position / self.steps))

    def time_left(self) -> str:
        """Return the estimated remaining time, as hours:minutes:seconds."""
        share = self.share_done()
        seconds = self.timer.time_elapsed() * (1 - share) / share if share else 0
        return str(timedelta(seconds=round(seconds)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the bar."""
        if self._shown and self.stream.position:
            self.console.print(f"resuming from step {self.stream.position}")
        if self._shown and has_bars(self.console):
            self._bar.start()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count, log and update the bar."""
        seconds = time.perf_counter() - self._began
        self.sequences += batch.size
        self.seconds += seconds
        loss = float(outputs["loss"])
        self._loss = loss if self._loss != self._loss else 0.95 * self._loss + 0.05 * loss
        # Lightning writes no other steps' figures, and to take them costs as much as a small model's backward pass.
        if self.stream.position % self.log_every == 0 or trainer.should_stop or self.share_done() >= 1:
            pl_module.log_dict(
                {
                    "loss": loss,
                    "gradient_norm": outputs["norm"],
                    "learning_rate": outputs["rate"],
                    "sequences_per_second": batch.size / seconds,
                    "epoch": self.stream.epoch,
                    "seconds": self.timer.time_elapsed(),
                },
                batch_size=batch.size,
            )
        self._bar.update(self._task, completed=self.share_done(), description=self._where(), figures=self._figures())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show that a validation is running."""
        self._bar.update(self._task, description=f"{self._where()}, validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line with the results of the validation."""
        if not self._shown:
            return
        measure = self.best.selection.measure
        value = float(trainer.callback_metrics[measure.key])
        stage = str(self.stream.curriculum)
        where = [stage] if stage else []
        if not self.stream.curriculum.running:
            where.append(f"epoch {self.stream.epoch:6.2f}")
        self.console.print(
            f"step {self.stream.position:>6}  {'  '.join(where)}  loss {self._loss:.4f}  "
            f"validation {measure.name} {value:.4f}{' *' if self.best.step == trainer.global_step else '  '} "
            f"{self.sequences_per_second:8.1f} sequences/s  {self.time_left()} left",
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the bar."""
        if self._bar.live.is_started:
            self._bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar before the error is printed."""
        self.teardown(trainer, pl_module, "fit")

    def state_dict(self) -> dict[str, Any]:
        """Return the counts for a checkpoint."""
        return {"sequences": self.sequences, "seconds": self.seconds, "loss": self._loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts of a checkpoint."""
        self.sequences, self.seconds, self._loss = (state_dict[key] for key in ("sequences", "seconds", "loss"))

    def _where(self) -> str:
        return ", ".join(filter(None, (f"step {self.stream.position}", str(self.stream.curriculum))))

    def _figures(self) -> str:
        best = f"  validation {self.best.selection.measure.name} {self.best.measured:.4f}" if self.best.step else ""
        return f"{self.sequences_per_second:.1f} sequences/s  loss {self._loss:.4f}{best}  {self.time_left()} left"
