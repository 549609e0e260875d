"""What can be set about optimizer and trainer; each option with its unit and its check."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch

from nestree.checks import check_at_least, check_one_of, check_positive, check_probability
from nestree.config.selection import SELECTIONS
from nestree.errors import OptionError

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32", "bf16-mixed", "tf32")
OPTIMIZERS = ("radam", "radam-lookahead", "adamw", "muon")
SCHEDULES = ("plateau", "cosine", "wsd")
TIMED = ("cosine", "wsd")
"""Schedules that are as long as the training."""

ENDLESS = 10**9
"""Epochs, or validations, that are never reached: another limit ends the training."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores that this process may use."""


@dataclass(frozen=True)
class OptimizerOptions:
    """Optimizer and learning rate schedule.

    What only the other optimizer or schedule has is not used; but steps that are set for a cosine are refused where
    there is none.
    """

    name: str = OPTIMIZERS[0]
    """Optimizer: adamw; radam-lookahead (RAdam inside Lookahead; radam is the same, or without Lookahead where
    lookahead_steps is null); or muon (for the encoder's weight matrices; AdamW for all else)."""
    learning_rate: float = 1e-3
    """Learning rate at the start; with a cosine, the highest."""
    ssm_learning_rate: float = 1e-3
    """Highest learning rate of state-space parameters; they also have no weight decay."""
    muon_learning_rate: float = 1e-2
    """Learning rate of Muon at the start, or the highest; learning_rate is then of all that AdamW optimizes."""
    weight_decay: float = 1e-2
    """Decoupled weight decay, as a share of the learning rate."""
    beta1: float = 0.9
    """Decay of AdamW's and RAdam's running mean of the gradient, per step."""
    beta2: float = 0.999
    """Decay of their running mean of the squared gradient, per step."""
    lookahead_steps: int | None = 5
    """Steps between two moves of Lookahead's slow weights; null: no Lookahead."""
    lookahead_alpha: float = 0.8
    """Share of the way that the slow weights move towards the fast ones, above 0 up to 1."""
    clip: float | None = 1.0
    """Largest norm of the gradient; null: not clipped."""
    tree_supervision: float = 0.0
    """Weight of the log-loss of gold trees, where the task has them and the encoder a pair scorer; 0: trees are found
    without any. A model that was trained with it says nothing of unsupervised trees."""
    schedule: str = SCHEDULES[0]
    """What the learning rate does: plateau (falls when the validation accuracy does not rise); cosine (rises in a
    straight line over warmup_steps, then falls as half a cosine's wave to minimum_learning_rate at the end); or wsd
    (warm-up, stable, decay: rises so, too, stays, then falls in a straight line to minimum_learning_rate). The end is
    at total_steps or total_minutes, whichever comes first."""
    plateau_factor: float = 0.5
    """What the learning rate is multiplied by on a plateau."""
    plateau_patience: int = 3
    """Validations in a row without a better accuracy (or loss: trainer.select) that make a plateau."""
    warmup_steps: int = 0
    """Steps of cosine and wsd until the rate is highest; at most a tenth of the run's if total_steps is null, so
    that a run that is cut short is a whole schedule. Weights that begin anew (data.curriculum) are warmed up anew."""
    stable: float = 0.4
    """Share of the training during which the rate of wsd is highest, the warm-up included."""
    total_steps: int | None = None
    """Steps until cosine and wsd are at their lowest, where they stay; null: as many as max_epochs, max_steps and
    max_sequences allow when the run begins."""
    total_minutes: float | None = None
    """Minutes of training until cosine and wsd are at their lowest; null: max_minutes when the run begins."""
    minimum_learning_rate: float = 1e-6
    """Lowest learning rate of cosine and wsd."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_one_of("name", self.name, OPTIMIZERS)
        check_positive("learning_rate", self.learning_rate)
        check_positive("ssm_learning_rate", self.ssm_learning_rate)
        check_positive("muon_learning_rate", self.muon_learning_rate)
        check_probability("beta1", self.beta1)
        check_probability("beta2", self.beta2)
        if not 0 <= self.weight_decay < float("inf"):
            raise OptionError("weight_decay", f"must be a number of at least 0, not {self.weight_decay!r}")
        _check_optional("lookahead_steps", self.lookahead_steps)
        if self.name == "radam-lookahead" and self.lookahead_steps is None:
            raise OptionError("lookahead_steps", "must be set, or name be radam")
        if not 0 < self.lookahead_alpha <= 1:
            raise OptionError("lookahead_alpha", f"must be above 0 and at most 1, not {self.lookahead_alpha!r}")
        if self.clip is not None:
            check_positive("clip", self.clip)
        check_one_of("schedule", self.schedule, SCHEDULES)
        if not 0 <= self.tree_supervision < float("inf"):
            raise OptionError("tree_supervision", f"must be a number of at least 0, not {self.tree_supervision!r}")
        if not 0 < self.plateau_factor < 1:
            raise OptionError("plateau_factor", f"must be between 0 and 1, not {self.plateau_factor!r}")
        check_at_least("plateau_patience", self.plateau_patience, 1)
        self._check_timed()

    def _check_timed(self) -> None:
        """Check the options of a schedule that is as long as the training, or that there are none where it is not."""
        check_at_least("warmup_steps", self.warmup_steps, 0)
        _check_optional("total_steps", self.total_steps)
        if self.total_minutes is not None:
            check_positive("total_minutes", self.total_minutes)
        check_probability("stable", self.stable)
        if not 0 <= self.minimum_learning_rate < float("inf"):
            raise OptionError(
                "minimum_learning_rate", f"must be a number of at least 0, not {self.minimum_learning_rate!r}"
            )
        if self.schedule not in TIMED:
            for name in ("warmup_steps", "total_steps", "total_minutes"):
                if getattr(self, name):
                    raise OptionError(
                        name, f"must be left out, or schedule be {' or '.join(TIMED)}, not {self.schedule!r}"
                    )
            return
        if self.minimum_learning_rate > self.learning_rate:
            raise OptionError(
                "minimum_learning_rate",
                f"must be at most the learning_rate {self.learning_rate!r}, not {self.minimum_learning_rate!r}",
            )
        if self.total_steps is not None and self.warmup_steps >= self.total_steps:
            raise OptionError(
                "warmup_steps", f"must be below the total_steps {self.total_steps}, not {self.warmup_steps}"
            )

    def settled(self, steps: int, minutes: float | None = None) -> OptimizerOptions:
        """Return the options with a schedule's length filled in, so that a resumed run keeps to it.

        Args:
            steps: how many the run has by its limits.
            minutes: how many the run has; None: no limit.
        """
        if self.schedule not in TIMED:
            return self
        settled = self if self.total_minutes or minutes is None else replace(self, total_minutes=minutes)
        if settled.total_steps is not None:
            return settled
        return replace(settled, total_steps=steps, warmup_steps=min(self.warmup_steps, steps // 10))


@dataclass(frozen=True)
class TrainerOptions:
    """How long to train, how often to look, from what, and on what."""

    start: str | None = None
    """Run whose best weights the model begins with; null: random weights. Parts of the encoder that it has nothing of,
    such as an S4D layer, begin as without it. Optimizer and schedule begin anew."""
    max_epochs: int = 100
    """Passes over the training examples, at most; steps of a curriculum's stages count as if they were of these."""
    max_steps: int | None = None
    """Optimizer steps, at most; null: no limit."""
    max_minutes: float | None = None
    """Minutes of training, validation included, at most; null: no limit. What depends on time (this limit, and with it
    schedules and curricula) is not the same to the last bit when a run is repeated."""
    max_sequences: int | None = None
    """Training examples, counted every time they are seen, at most: the last batch is cut; null: no limit."""
    patience: int | None = 4
    """Training stops after so many + 1 validations in a row without a better accuracy (or loss: select); null: it does
    not. Validations in a curriculum's stages but the last do not count, for plateaus neither."""
    select: str = "accuracy"
    """What the best weights, patience and plateaus go by: accuracy or loss, on the validation examples. last keeps the
    weights of the last validation, which ends every training, whatever it says; patience and plateaus go by accuracy.
    """
    validate_every: int | None = None
    """Steps between validations; null: once an epoch."""
    checkpoint_every: int = 100
    """Steps between checkpoints to resume from; one is also written after every validation."""
    log_every: int = 10
    """Steps between lines of the logs."""
    accelerator: str = "auto"
    """What to train on: auto, cpu or gpu."""
    devices: int | None = 1
    """GPUs, or processes on the CPU, that share every batch; null: one GPU, or on the CPU one process for encoders that
    the compiled library serves, whose threads it uses, and two processes of one thread for others."""
    precision: str = PRECISIONS[0]
    """Numbers to train with: 32; bf16-mixed, products in bfloat16; or tf32, float32 products with a shorter mantissa on
    a GPU that has them."""
    threads: int | None = None
    """CPU threads of each process; null: PyTorch's choice."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        for name in ("max_epochs", "checkpoint_every", "log_every"):
            check_at_least(name, getattr(self, name), 1)
        if self.patience is not None:
            check_at_least("patience", self.patience, 0)
        for name in ("max_steps", "max_sequences", "validate_every", "devices", "threads"):
            _check_optional(name, getattr(self, name))
        if self.max_minutes is not None:
            check_positive("max_minutes", self.max_minutes)
        check_one_of("accelerator", self.accelerator, ACCELERATORS)
        check_one_of("precision", self.precision, PRECISIONS)
        check_one_of("select", self.select, SELECTIONS)

    def settled(self, *, compiled: bool = False) -> TrainerOptions:
        """Return the options with what was left to the machine filled in, so that a resumed run keeps to it.

        Args:
            compiled: the compiled library does the encoder's work, with all threads of a process.
        """
        if self.devices is not None:
            return self
        if self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available()):
            return replace(self, devices=1)
        if CORES < 2 or compiled:
            return replace(self, accelerator="cpu", devices=1)
        return replace(self, accelerator="cpu", devices=2, threads=self.threads or 1)


def _check_optional(name: str, value: int | None) -> None:
    """Raise a ValueError that names the option if it is set to less than 1."""
    if value is not None:
        check_at_least(name, value, 1)
