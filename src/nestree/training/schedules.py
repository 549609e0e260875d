"""What the learning rate does during a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from nestree.config.options import OptimizerOptions


def build_schedule(
    optimizer: Optimizer,
    options: OptimizerOptions,
    *,
    mode: Literal["min", "max"] = "max",
    minutes: Callable[[], float] = lambda: 0.0,
    weights_since: Callable[[], int] = lambda: 0,
) -> ReduceLROnPlateau | LambdaLR:
    """Return the schedule of a fresh optimizer's learning rates.

    Args:
        optimizer: the optimizer.
        options: its options; ``total_steps`` must be set for all schedules but plateau.
        mode: whether a plateau is where a figure no longer rises, or no longer falls.
        minutes: returns the minutes of training so far.
        weights_since: returns the step after which the weights began.
    """
    if options.schedule == "plateau":
        return ReduceLROnPlateau(
            optimizer,
            mode=mode,
            factor=options.plateau_factor,
            patience=options.plateau_patience - 1,  # PyTorch counts the bad ones that it lets pass
            threshold=0.0,
            threshold_mode="abs",
        )

    def share(step: int, highest: float) -> float:
        return rate_share(step, highest=highest, options=options, minutes=minutes(), weights_since=weights_since())

    return LambdaLR(optimizer, [partial(share, highest=group["lr"]) for group in optimizer.param_groups])


def rate_share(
    step: int, *, highest: float, options: OptimizerOptions, minutes: float = 0.0, weights_since: int = 0
) -> float:
    """Return the share of the ``highest`` rate that a group of parameters has after ``step`` steps.

    In step s of the first w = ``warmup_steps``, counted from 1, the rate is the highest one's share s / w. How far it
    has fallen later depends on the share of the training that is done: of ``total_steps`` (for a cosine without the
    warm-up) or of ``total_minutes``, whichever is larger.

    Args:
        step: from the beginning of the training.
        highest: rate of the group.
        options: those of a cosine or of wsd.
        minutes: from the beginning of the training.
        weights_since: step after which the weights began; they are warmed up from there.
    """
    warmup, total = options.warmup_steps, options.total_steps
    assert total is not None
    if step - weights_since < warmup:
        return (step - weights_since + 1) / warmup
    by_time = minutes / options.total_minutes if options.total_minutes else 0.0
    lowest = min(1.0, options.minimum_learning_rate / highest)
    if options.schedule == "cosine":
        done = min(1.0, max((step - warmup) / (total - warmup), by_time))
        return lowest + (1 - lowest) * (1 + math.cos(math.pi * done)) / 2
    done = min(1.0, max(step / total, by_time))
    return lowest + (1 - lowest) * min(1.0, (1 - done) / (1 - options.stable))
