"""The Lightning module: one optimizer step, one validation, parameter groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from nestree.config.options import OptimizerOptions
from nestree.config.selection import ACCURACY, LOSS, SELECTIONS, Selection
from nestree.data.batches import Batch
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.training.curriculum import Curriculum
from nestree.training.optimizers import build_optimizer, forget
from nestree.training.schedules import build_schedule
from nestree.trees.scores import GoldTree


class NotFinite(UserError):
    """The loss or a gradient became infinite or NaN; the weights have not been touched by it."""


class ClassifierModule(pl.LightningModule):
    """Trains a [`Classifier`][nestree.models.Classifier] with cross-entropy.

    Optimization is by hand so that a batch is one step whatever the micro-batch and the number of processes: each
    process weighs its examples by the size of the whole batch.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        classes: int,
        options: OptimizerOptions,
        micro_batch: int | None = None,
        selection: Selection = SELECTIONS["accuracy"],
        curriculum: Curriculum | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None] | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: it.
            classes: how many labels there are.
            options: of optimizer and schedule.
            micro_batch: examples that run at once, at most; None: all.
            selection: what a plateau's schedule goes by.
            curriculum: whose stages have rates of their own.
            clock: returns the minutes of training so far.
            gold: returns the gold tree of a sequence, where trees are supervised.
        """
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.options = options
        self.micro_batch = micro_batch
        self.selection = selection
        self.curriculum = Curriculum() if curriculum is None else curriculum
        self.clock = clock
        self.gold = gold
        self.minutes = 0.0
        self.accuracy = MulticlassAccuracy(num_classes=classes, average="micro", validate_args=False)
        self.loss = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return optimizer and schedule; a plateau's schedule moves on with validations, others with every step."""
        optimizer = build_optimizer(self.model, self.options)
        schedule = build_schedule(
            optimizer,
            self.options,
            mode=self.selection.mode,
            minutes=lambda: self.minutes,
            weights_since=lambda: self.curriculum.weights_since,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": self.selection.monitor}}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Make one optimizer step and return what is known of it.

        Returns:
            ``loss`` (this process's part of it), ``norm`` of the gradient, learning ``rate``, ``correct`` answers of
            all processes (0 when no stage of a curriculum is to come), ``minutes`` of training so far.

        Raises:
            NotFinite: before the weights are changed.
        """
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        loss, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for tokens, lengths, labels in self._micro_batches(batch):
            logits = self.model(tokens, lengths)
            total = functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.detach().argmax(dim=-1) == labels).sum()
            # DistributedDataParallel averages gradients over processes; the whole batch's mean is wanted.
            if self.options.tree_supervision:
                total = total - self.options.tree_supervision * self._gold_log_prob(tokens, lengths)
            part = total * (self.trainer.world_size / batch.size)
            self.manual_backward(part + self._touch_all())
            loss += part.detach()
        largest = math.inf if self.options.clip is None else self.options.clip
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), largest)
        if not torch.isfinite(norm):
            raise NotFinite(f"the loss is no longer finite (loss {loss.item():.4g}, gradient norm {norm.item():.4g})")
        with self._rate_of_stage(optimizer.param_groups):
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
        right, self.minutes = self._agreed(correct)
        schedule = self.lr_schedulers()
        if isinstance(schedule, LambdaLR):
            schedule.step()
        return {"loss": loss, "norm": norm.detach(), "rate": rate, "correct": right, "minutes": self.minutes}

    def _gold_log_prob(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probability of finding the gold trees, the sum over the sequences."""
        assert self.gold is not None
        rows = zip(tokens.cpu().numpy(), lengths.tolist(), strict=True)
        golds = [self.gold(row[:length]) for row, length in rows]
        trees = [gold.tree for gold in golds if gold is not None]
        if len(trees) < len(golds):
            raise OptionError("optimizer.tree_supervision", "must be 0: the task knows no gold trees")
        return self.model.tree_log_prob(tokens, lengths, trees).sum()

    @contextmanager
    def _rate_of_stage(self, groups: list[dict[str, Any]]) -> Iterator[None]:
        """Multiply the scheduled learning rates by the stage's factor during a step."""
        scheduled = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= self.curriculum.stage.rate
        yield
        for group, rate in zip(groups, scheduled, strict=True):
            group["lr"] = rate

    def _agreed(self, correct: Tensor) -> tuple[int, float]:
        """Return right answers of all processes and the first one's minutes, as far as decisions depend on them."""
        minutes = self.clock()
        if not self.curriculum.running and self.options.total_minutes is None:
            return 0, minutes
        if self.trainer.world_size > 1:
            figures = torch.stack([correct, correct.new_tensor(minutes if self.trainer.is_global_zero else 0.0)])
            torch.distributed.all_reduce(figures)
            correct, minutes = figures[0], float(figures[1])
        return int(correct), minutes

    def begin_anew(self, model: Classifier) -> None:
        """Take another model's weights, and let the optimizer forget what it knows of those before."""
        self.model.load_state_dict(model.state_dict())
        for optimizer in self.trainer.optimizers:
            forget(optimizer)
        schedule = self.lr_schedulers()
        if isinstance(schedule, LambdaLR):  # it moved on with the last step: now to where a warm-up begins
            schedule.last_epoch -= 1
            schedule.step()

    def _touch_all(self) -> Tensor:
        """Return a zero that depends on every parameter, so that each has a gradient in every step.

        Sequences of one or two tokens leave the scorer nothing to choose. DistributedDataParallel waits for every
        gradient, and Lookahead passes over parameters that have none.
        """
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return 0.0 * torch.stack([parameter.reshape(-1)[0] for parameter in trained]).sum()

    def _micro_batches(self, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Cut a batch into micro-batches, as many on every process, each without padding that it does not need."""
        if self.micro_batch is None:
            return [(batch.tokens, batch.lengths, batch.labels)]
        sides = self.model.sides
        rows = (batch.tokens.unflatten(0, (-1, sides)), batch.lengths.unflatten(0, (-1, sides)), batch.labels)
        largest_share = math.ceil(batch.size / self.trainer.world_size)
        # A process whose share is one smaller than another's still needs as many backward passes.
        count = min(math.ceil(largest_share / self.micro_batch), batch.size // self.trainer.world_size)
        parts = zip(*(part.tensor_split(max(1, count)) for part in rows), strict=True)
        return [
            (tokens[..., : int(lengths.max())].flatten(0, 1), lengths.flatten(), labels)
            for tokens, lengths, labels in parts
        ]

    def on_validation_start(self) -> None:
        """Give every process the first one's running statistics, which are those that are kept."""
        if self.trainer.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to accuracy and loss."""
        logits = self.model(batch.tokens, batch.lengths)
        self.accuracy.update(logits, batch.labels)
        self.loss.update(functional.cross_entropy(logits, batch.labels, reduction="none"))

    def on_validation_epoch_end(self) -> None:
        """Log accuracy and loss over all processes, and let the schedule see the one that decides."""
        figures = {ACCURACY: self.accuracy.compute(), LOSS: self.loss.compute()}
        self.log_dict(figures)
        self.accuracy.reset()
        self.loss.reset()
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau) and not self.curriculum.running:
            schedule.step(figures[self.selection.monitor].item())
