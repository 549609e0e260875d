"""The Lightning module: optimizer step, validation and learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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

from nestree.config.options import OptimizerOptions
from nestree.config.selection import LOSS, SELECTIONS, Selection
from nestree.data.batches import Batch
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.recursions import BeamTree
from nestree.tasks.target import Target
from nestree.training.curriculum import Curriculum
from nestree.training.objectives import Objective
from nestree.training.optimizers import build_optimizer, forget
from nestree.training.schedules import build_schedule
from nestree.trees.scores import GoldTree


class NotFinite(UserError):
    """The loss or a gradient became infinite or NaN; the weights are still those of the step before."""


class ClassifierModule(pl.LightningModule):
    """Trains a [`Classifier`][nestree.models.Classifier] with the loss of its task's kind of answers.

    It uses Lightning's manual optimization, so that a batch is one step for any micro-batch and any number of
    processes: each process weights its examples by the size of the whole batch.

    Args:
        model: the model to train.
        classes: number of labels, or of outputs.
        target: what the answers are; None for single labels.
        options: options of optimizer and schedule.
        micro_batch: maximal number of examples per forward pass; None for the whole batch.
        selection: the metric for the schedule "plateau".
        curriculum: the curriculum, whose stages may scale the learning rate.
        clock: returns the minutes of training so far.
        gold: returns the gold tree of a sequence of token ids, for supervision of trees.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        classes: int,
        target: Target | None = None,
        options: OptimizerOptions,
        micro_batch: int | None = None,
        selection: Selection = SELECTIONS["accuracy"],
        curriculum: Curriculum | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None] | None = None,
    ) -> None:
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
        self.objective = Objective(target or Target(), classes)
        self.measure = self.objective.metric  # an attribute of the module, so that it is on the module's device
        self.loss = MeanMetric()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return optimizer and schedule; "plateau" is stepped after each validation, others after each step."""
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
        """Make one optimizer step.

        Returns:
            ``loss`` (this process's share), ``norm`` of the gradient, learning ``rate``, number of ``correct`` answers
            of all processes (0 in the last stage, where it is not needed), ``minutes`` of training so far.

        Raises:
            NotFinite: the gradient is not finite; the weights are unchanged.
        """
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.zero_grad()
        loss, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        with self._search_of_stage():
            for tokens, lengths, labels in self._micro_batches(batch):
                logits = self.model(tokens, lengths)
                total = self.objective.losses(logits, labels).sum()
                correct += self.objective.correct(logits.detach(), labels)
                if self.options.tree_supervision:
                    total = total - self.options.tree_supervision * self._gold_log_prob(tokens, lengths)
                if self.options.node_supervision:
                    total = total + self.options.node_supervision * self._node_loss(tokens, lengths)
                # DistributedDataParallel averages gradients over processes; this makes it the mean of the whole batch.
                part = total * (self.trainer.world_size / batch.size)
                self.manual_backward(self._reaching_all(part))
                loss += part.detach()
        for parameter in self._trained():
            if parameter.grad is None:  # Lookahead passes over such parameters
                parameter.grad = torch.zeros_like(parameter)
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

    def _node_loss(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean cross-entropy at the labelled nodes of each gold tree, the sum over the sequences.

        Sequences without labelled nodes, such as texts that were cut, count as 0.
        """
        assert self.gold is not None
        rows = zip(tokens.cpu().numpy(), lengths.tolist(), strict=True)
        golds = [self.gold(row[:length]) for row, length in rows]
        known = [(row, gold) for row, gold in enumerate(golds) if gold is not None and gold.labels]
        if not known:
            return torch.zeros((), device=tokens.device)
        chosen = torch.tensor([row for row, _ in known], device=tokens.device)
        of_trees = self.model.node_states(tokens[chosen], lengths[chosen], [gold.tree for _, gold in known])
        losses = []
        for states, (_, gold) in zip(of_trees, known, strict=True):
            places = [place for place, span in enumerate(gold.tree.all_spans()) if span in gold.labels]
            labels = [gold.labels[span] for span in gold.tree.all_spans() if span in gold.labels]
            losses.append((states[places], torch.tensor(labels), torch.full((len(labels),), 1 / len(labels))))
        states, labels, weights = (torch.cat(parts) for parts in zip(*losses, strict=True))
        each = functional.cross_entropy(self.model.classify(states), labels.to(states.device), reduction="none")
        return (each * weights.to(each)).sum()

    @contextmanager
    def _search_of_stage(self) -> Iterator[None]:
        """Give a beam tree the stage's options of the search within this context."""
        options, tree = self.curriculum.stage.search, getattr(self.model.encoder, "inner", None)
        if not options or not isinstance(tree, BeamTree):
            yield
            return
        own = tree.search
        tree.search = replace(own, **options)
        try:
            yield
        finally:
            tree.search = own

    @contextmanager
    def _rate_of_stage(self, groups: list[dict[str, Any]]) -> Iterator[None]:
        """Multiply the learning rates by the stage's factor within this context."""
        scheduled = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= self.curriculum.stage.rate
        yield
        for group, rate in zip(groups, scheduled, strict=True):
            group["lr"] = rate

    def _agreed(self, correct: Tensor) -> tuple[int, float]:
        """Return the correct answers of all processes and the first process's minutes, if decisions depend on them."""
        minutes = self.clock()
        if not self.curriculum.running and self.options.total_minutes is None:
            return 0, minutes
        if self.trainer.world_size > 1:
            figures = torch.stack([correct, correct.new_tensor(minutes if self.trainer.is_global_zero else 0.0)])
            torch.distributed.all_reduce(figures)
            correct, minutes = figures[0], float(figures[1])
        return int(correct), minutes

    def begin_anew(self, model: Classifier) -> None:
        """Copy another model's weights, and reset optimizer and warm-up."""
        self.model.load_state_dict(model.state_dict())
        for optimizer in self.trainer.optimizers:
            forget(optimizer)
        schedule = self.lr_schedulers()
        if isinstance(schedule, LambdaLR):  # recompute the rate of the last step, now that the warm-up begins again
            schedule.last_epoch -= 1
            schedule.step()

    def _reaching_all(self, loss: Tensor) -> Tensor:
        """Return the loss, made to depend on every parameter if DistributedDataParallel waits for every gradient.

        With sequences of one or two tokens the scorer is not used.
        """
        if self.trainer.world_size == 1:
            return loss
        return loss + 0.0 * torch.stack([parameter.reshape(-1)[0] for parameter in self._trained()]).sum()

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _micro_batches(self, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Split a batch into micro-batches, equally many on every process, each padded only as far as necessary."""
        if self.micro_batch is None:
            return [(batch.tokens, batch.lengths, batch.labels)]
        sides = self.model.sides
        rows = (batch.tokens.unflatten(0, (-1, sides)), batch.lengths.unflatten(0, (-1, sides)), batch.labels)
        largest_share = math.ceil(batch.size / self.trainer.world_size)
        # Shares may differ by one example, but every process needs the same number of backward passes.
        count = min(math.ceil(largest_share / self.micro_batch), batch.size // self.trainer.world_size)
        parts = zip(*(part.tensor_split(max(1, count)) for part in rows), strict=True)
        return [
            (tokens[..., : int(lengths.max())].flatten(0, 1), lengths.flatten(), labels)
            for tokens, lengths, labels in parts
        ]

    def on_validation_start(self) -> None:
        """Copy the first process's running statistics, which are those that are saved, to all processes."""
        if self.trainer.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to measure and loss."""
        logits = self.model(batch.tokens, batch.lengths)
        self.objective.update(logits, batch.labels)
        self.loss.update(self.objective.losses(logits, batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Log measure and loss over all processes, and step the schedule "plateau"."""
        figures = {self.objective.measure.key: self.objective.compute(), LOSS: self.loss.compute()}
        self.log_dict(figures)
        self.measure.reset()
        self.loss.reset()
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau) and not self.curriculum.running:
            schedule.step(figures[self.selection.monitor].item())
