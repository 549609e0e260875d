"""Options of the optimizer and the trainer."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch

from nestree.checks import (
    MOST,
    MOST_MINUTES,
    MOST_THREADS,
    check_at_least,
    check_one_of,
    check_positive,
    check_probability,
)
from nestree.config.selection import SELECTIONS
from nestree.errors import OptionError

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32", "bf16-mixed", "tf32")
OPTIMIZERS = ("radam", "radam-lookahead", "adamw", "muon")
LOGGERS = ("tensorboard", "wandb", "mlflow")
SCHEDULES = ("plateau", "cosine", "wsd")
TIMED = ("cosine", "wsd")
"""Schedules that end with the training."""

ENDLESS = 10**9
"""Number of epochs, or validations, that is never reached: another limit ends the training."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores that this process may use."""


@dataclass(frozen=True)
class OptimizerOptions:
    """Optimizer and learning rate schedule.

    Options that belong to another optimizer or schedule are ignored, except that warm-up and length of the schedule
    must not be set for a plateau.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    name: str = OPTIMIZERS[0]
    """Optimizer: adamw; radam-lookahead (RAdam inside Lookahead); radam (the same, or plain RAdam if lookahead_steps is
    null); or muon (Muon for the encoder's weight matrices, AdamW for everything else)."""
    learning_rate: float = 1e-3
    """Learning rate at the start; for cosine and wsd, the highest."""
    ssm_learning_rate: float = 1e-3
    """Maximal learning rate of state-space parameters, which also have no weight decay."""
    language_model_learning_rate: float = 2e-5
    """Maximal learning rate of a language model (data.features) that is trained too (model.train_embedding)."""
    muon_learning_rate: float = 1e-2
    """Learning rate of Muon; learning_rate then applies only to what AdamW optimizes."""
    weight_decay: float = 1e-2
    """Decoupled weight decay: each step shrinks weights by this times the learning rate."""
    beta1: float = 0.9
    """Decay per step of the running mean of the gradient, in AdamW and RAdam."""
    beta2: float = 0.999
    """Decay per step of the running mean of the squared gradient, in AdamW and RAdam."""
    lookahead_steps: int | None = 5
    """Steps between two updates of Lookahead's slow weights; null: no Lookahead."""
    lookahead_alpha: float = 0.8
    """Fraction of the distance to the fast weights that the slow weights move per update, above 0 and at most 1."""
    clip: float | None = 1.0
    """Maximal norm of the gradient, which is clipped to it; null: no clipping."""
    tree_supervision: float = 0.0
    """Weight of the log-loss of gold trees, for tasks that have them and encoders with a pair scorer; 0: trees are
    learned without supervision. Trees of a model that was trained with it are not unsupervised."""
    node_supervision: float = 0.0
    """Weight of the cross-entropy of the head at the labelled nodes of the gold trees (sst5, sst2), the mean over a
    text's nodes, folding along the gold tree; 0: the head is trained at the root only."""
    schedule: str = SCHEDULES[0]
    """Learning rate schedule: plateau (reduced when the validation accuracy stops rising); cosine (linear warm-up over
    warmup_steps, then half a cosine down to minimum_learning_rate); or wsd (warm-up, stable, decay: the same warm-up,
    then constant, then linear decay to minimum_learning_rate). Cosine and wsd end at total_steps or total_minutes,
    whichever comes first."""
    plateau_factor: float = 0.5
    """Factor by which the learning rate is multiplied on a plateau."""
    plateau_patience: int = 3
    """Number of validations in a row without an improvement (of trainer.select) that count as a plateau."""
    warmup_steps: int = 0
    """Steps of linear warm-up for cosine and wsd; at most a tenth of the run's steps if total_steps is null, so that
    short runs decay too. A curriculum stage that starts again with new weights warms up again."""
    stable: float = 0.4
    """Share of the training, warm-up included, after which the learning rate of wsd decays."""
    total_steps: int | None = None
    """Step at which cosine and wsd reach minimum_learning_rate; null: the number that max_epochs, max_steps and
    max_sequences allow when the run starts."""
    total_minutes: float | None = None
    """Minutes after which cosine and wsd reach minimum_learning_rate; null: max_minutes when the run starts."""
    minimum_learning_rate: float = 1e-6
    """Final learning rate of cosine and wsd."""

    def __post_init__(self) -> None:
        check_one_of("name", self.name, OPTIMIZERS)
        check_positive("learning_rate", self.learning_rate)
        check_positive("ssm_learning_rate", self.ssm_learning_rate)
        check_positive("language_model_learning_rate", self.language_model_learning_rate)
        check_positive("muon_learning_rate", self.muon_learning_rate)
        check_probability("beta1", self.beta1)
        check_probability("beta2", self.beta2)
        if not 0 <= self.weight_decay < float("inf"):
            raise OptionError("weight_decay", f"must be a number of at least 0, not {self.weight_decay!r}")
        _check_optional("lookahead_steps", self.lookahead_steps)
        if self.name == "radam-lookahead" and self.lookahead_steps is None:
            raise OptionError("lookahead_steps", "must be set, unless name is radam")
        if not 0 < self.lookahead_alpha <= 1:
            raise OptionError("lookahead_alpha", f"must be above 0 and at most 1, not {self.lookahead_alpha!r}")
        if self.clip is not None:
            check_positive("clip", self.clip)
        check_one_of("schedule", self.schedule, SCHEDULES)
        for name in ("tree_supervision", "node_supervision"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OptionError(name, f"must be a number of at least 0, not {getattr(self, name)!r}")
        if not 0 < self.plateau_factor < 1:
            raise OptionError("plateau_factor", f"must be between 0 and 1, not {self.plateau_factor!r}")
        check_at_least("plateau_patience", self.plateau_patience, 1)
        self._check_timed()

    def _check_timed(self) -> None:
        """Check the options of cosine and wsd, which must not be set for a plateau."""
        check_at_least("warmup_steps", self.warmup_steps, 0)
        _check_optional("total_steps", self.total_steps)
        if self.total_minutes is not None:
            check_positive("total_minutes", self.total_minutes, MOST_MINUTES)
        check_probability("stable", self.stable)
        if not 0 <= self.minimum_learning_rate < float("inf"):
            raise OptionError(
                "minimum_learning_rate", f"must be a number of at least 0, not {self.minimum_learning_rate!r}"
            )
        if self.schedule not in TIMED:
            for name in ("warmup_steps", "total_steps", "total_minutes"):
                if getattr(self, name):
                    raise OptionError(
                        name, f"must be left out unless schedule is {' or '.join(TIMED)}; it is {self.schedule}"
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
        """Return the options with the length of the schedule filled in, so that a resumed run has the same schedule.

        Args:
            steps: number of steps that the run's limits allow.
            minutes: number of minutes that they allow; None for no limit.
        """
        if self.schedule not in TIMED:
            return self
        settled = self if self.total_minutes or minutes is None else replace(self, total_minutes=minutes)
        if settled.total_steps is not None:
            return settled
        return replace(settled, total_steps=steps, warmup_steps=min(self.warmup_steps, steps // 10))


@dataclass(frozen=True)
class TrainerOptions:
    """Initial weights, limits, validation and devices of the training.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    start: str | None = None
    """Run whose best weights initialise the model; null: random weights. Parts of the encoder that it lacks, such as an
    S4D layer, keep their initial values. Optimizer and schedule start from the beginning."""
    max_epochs: int = 100
    """Maximal number of passes over the training examples; the steps of all curriculum stages count."""
    max_steps: int | None = None
    """Maximal number of optimizer steps; null: no limit."""
    max_minutes: float | None = None
    """Maximal duration of the training, minutes, validation included; null: no limit. A run with this
    limit is not bit for bit the same when it is repeated."""
    max_sequences: int | None = None
    """Maximal number of training examples, counted each time they are seen; the last batch is cut; null: no limit."""
    patience: int | None = 4
    """Number of validations in a row without an improvement (of select) that are tolerated; training stops at the next;
    null: never. Here and for plateaus, only validations in the last stage of a curriculum count."""
    select: str = "accuracy"
    """Criterion for the best weights, patience and plateaus: accuracy or loss on the validation examples; or last,
    which keeps the weights at the end of the training (patience and plateaus then use accuracy). In place of accuracy,
    several labels (data.target) are measured by micro F1, numbers by Pearson correlation."""
    validate_every: int | None = None
    """Steps between validations; null: one validation per epoch."""
    checkpoint_every: int = 100
    """Steps between checkpoints to resume from; one is also written after each validation."""
    log_every: int = 10
    """Steps between entries of the logs."""
    loggers: tuple[str, ...] | str = ()
    """Programs to log to in addition to CSV files: tensorboard, wandb, mlflow, or several separated by commas; each
    needs the extra of its name."""
    accelerator: str = "auto"
    """Hardware to train on: auto, cpu or gpu."""
    devices: int | None = 1
    """Number of GPUs, or of processes on the CPU, that share each batch; null: one GPU; on the CPU one process for
    encoders that use the compiled library, which is multi-threaded, and two processes of one thread for others."""
    precision: str = PRECISIONS[0]
    """Numbers to train with: 32; bf16-mixed, products in bfloat16; or tf32, float32 products with a shorter mantissa on
    a GPU that has them."""
    threads: int | None = None
    """Number of CPU threads per process; null: PyTorch's default."""

    def __post_init__(self) -> None:
        for name in ("max_epochs", "checkpoint_every", "log_every"):
            check_at_least(name, getattr(self, name), 1)
        if self.patience is not None:
            check_at_least("patience", self.patience, 0)
        for name in ("max_steps", "max_sequences", "validate_every"):
            _check_optional(name, getattr(self, name))
        for name in ("devices", "threads"):
            _check_optional(name, getattr(self, name), MOST_THREADS)
        if self.max_minutes is not None:
            check_positive("max_minutes", self.max_minutes, MOST_MINUTES)
        check_one_of("accelerator", self.accelerator, ACCELERATORS)
        check_one_of("precision", self.precision, PRECISIONS)
        check_one_of("select", self.select, SELECTIONS)
        if isinstance(self.loggers, str):
            object.__setattr__(self, "loggers", tuple(filter(None, map(str.strip, self.loggers.split(",")))))
        for name in self.loggers:
            check_one_of("loggers", name, LOGGERS)

    def settled(self, *, compiled: bool = False) -> TrainerOptions:
        """Return the options with the choices that depend on the machine filled in, so that a resumed run keeps them.

        Args:
            compiled: whether the encoder uses the compiled library, with all threads of a process.
        """
        if self.devices is not None:
            return self
        if self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available()):
            return replace(self, devices=1)
        if CORES < 2 or compiled:
            return replace(self, accelerator="cpu", devices=1)
        return replace(self, accelerator="cpu", devices=2, threads=self.threads or 1)


def _check_optional(name: str, value: int | None, most: int = MOST) -> None:
    """Raise a ValueError that names the option if it is set to less than 1, or more than ``most``."""
    if value is not None:
        check_at_least(name, value, 1, most)
