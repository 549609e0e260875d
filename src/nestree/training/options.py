"""What can be set about optimizer and trainer; each option with its unit and its check."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch

from nestree.checks import check_at_least, check_one_of, check_positive

ACCELERATORS = ("auto", "cpu", "gpu")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores that this process may use."""


@dataclass(frozen=True)
class OptimizerOptions:
    """RAdam with Lookahead and a plateau schedule."""

    learning_rate: float = 1e-3
    """Learning rate at the start."""
    ssm_learning_rate: float = 1e-3
    """Highest learning rate of state-space parameters; they also have no weight decay."""
    weight_decay: float = 1e-2
    """Decoupled weight decay, as a share of the learning rate."""
    lookahead_steps: int = 5
    """Steps between two moves of Lookahead's slow weights."""
    lookahead_alpha: float = 0.8
    """Share of the way that the slow weights move towards the fast ones, above 0 up to 1."""
    clip: float | None = 1.0
    """Largest norm of the gradient; null: not clipped."""
    plateau_factor: float = 0.5
    """What the learning rate is multiplied by on a plateau."""
    plateau_patience: int = 3
    """Validations in a row without a better accuracy that make a plateau."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_positive("learning_rate", self.learning_rate)
        check_positive("ssm_learning_rate", self.ssm_learning_rate)
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be a number of at least 0, not {self.weight_decay!r}")
        check_at_least("lookahead_steps", self.lookahead_steps, 1)
        if not 0 < self.lookahead_alpha <= 1:
            raise ValueError(f"lookahead_alpha must be above 0 and at most 1, not {self.lookahead_alpha!r}")
        if self.clip is not None:
            check_positive("clip", self.clip)
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f"plateau_factor must be between 0 and 1, not {self.plateau_factor!r}")
        check_at_least("plateau_patience", self.plateau_patience, 1)


@dataclass(frozen=True)
class TrainerOptions:
    """How long to train, how often to look, and on what."""

    max_epochs: int = 100
    """Passes over the training examples, at most."""
    max_steps: int | None = None
    """Optimizer steps, at most; null: no limit."""
    max_minutes: float | None = None
    """Minutes of training, validation included, at most; null: no limit."""
    patience: int = 4
    """Training stops after so many + 1 validations in a row without a better accuracy."""
    validate_every: int | None = None
    """Steps between validations; null: once an epoch."""
    checkpoint_every: int = 100
    """Steps between checkpoints to resume from; one is also written after every validation."""
    log_every: int = 10
    """Steps between lines of the logs."""
    accelerator: str = "auto"
    """What to train on: auto, cpu or gpu."""
    devices: int | None = 1
    """GPUs, or processes on the CPU, that share every batch; null: one GPU, or on the CPU two processes of one thread,
    which beat one process of two threads."""
    threads: int | None = None
    """CPU threads of each process; null: PyTorch's choice."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        for name in ("max_epochs", "checkpoint_every", "log_every"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("patience", self.patience, 0)
        for name in ("max_steps", "validate_every", "devices", "threads"):
            _check_optional(name, getattr(self, name))
        if self.max_minutes is not None:
            check_positive("max_minutes", self.max_minutes)
        check_one_of("accelerator", self.accelerator, ACCELERATORS)

    def settled(self) -> TrainerOptions:
        """Return the options with what was left to the machine filled in, so that a resumed run keeps to it."""
        if self.devices is not None:
            return self
        if self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available()):
            return replace(self, devices=1)
        if CORES < 2:
            return replace(self, accelerator="cpu", devices=1)
        return replace(self, accelerator="cpu", devices=2, threads=self.threads or 1)


def _check_optional(name: str, value: int | None) -> None:
    """Raise a ValueError that names the option if it is set to less than 1."""
    if value is not None:
        check_at_least(name, value, 1)
