"""Learning rate schedules."""

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
    """Return the learning rate schedule for a new optimizer.

    Args:
        optimizer: the optimizer.
        options: options of the optimizer; ``total_steps`` must be set, except for "plateau".
        mode: whether the metric of "plateau" should rise ("max") or fall ("min").
        minutes: returns the minutes of training so far.
        weights_since: returns the number of steps before the current weights were initialised.
    """
    if options.schedule == "plateau":
        return ReduceLROnPlateau(
            optimizer,
            mode=mode,
            factor=options.plateau_factor,
            patience=options.plateau_patience - 1,  # PyTorch's patience is the number of bad validations it tolerates
            threshold=0.0,
            threshold_mode="abs",
        )

    def share(step: int, highest: float) -> float:
        return rate_share(step, highest=highest, options=options, minutes=minutes(), weights_since=weights_since())

    return LambdaLR(optimizer, [partial(share, highest=group["lr"]) for group in optimizer.param_groups])


def rate_share(
    step: int, *, highest: float, options: OptimizerOptions, minutes: float = 0.0, weights_since: int = 0
) -> float:
    """Return the learning rate of a group of parameters after ``step`` steps, as a share of its ``highest`` rate.

    During warm-up, in step s of w = ``warmup_steps``, counted from 1, the share is s / w. Afterwards the rate falls
    with the share of training that is done: of ``total_steps`` (for "cosine", without the warm-up) or of
    ``total_minutes``, whichever is larger.

    Args:
        step: number of steps since the beginning of training.
        highest: highest learning rate of the group.
        options: options with the schedule "cosine" or "wsd".
        minutes: time since the beginning of training.
        weights_since: number of steps before the current weights were initialised; the warm-up begins there.
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
