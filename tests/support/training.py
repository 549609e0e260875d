"""Tiny data, configurations and runs for the tests of training and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from nestree.config.config import read_config
from nestree.data import RaggedExamples
from nestree.errors import INTERRUPTED
from nestree.models import Classifier
from nestree.runs import Run, build_model
from nestree.runs.history import read_history, series
from nestree.training import Config
from nestree.training.callbacks import Interrupted
from nestree.training.fit import Training, load_examples
from nestree.training.module import NotFinite

QUIET = Console(file=StringIO())


def digits(count: int, *, seed: int = 0, longest: int = 9) -> RaggedExamples:
    """ListOps tokens whose label is the first token's digit: anything that learns at all learns it."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(6, 16, size=rng.integers(1, longest + 1)).astype(np.uint8) for _ in range(count)]
    return RaggedExamples.from_sequences(sequences, [int(tokens[0]) - 6 for tokens in sequences], name="digits")


def config(encoder_name: str = "grc", **sections: dict[str, Any]) -> Config:
    """A configuration that trains in a second: 24 steps of 8, a validation every 6."""
    defaults: dict[str, dict[str, Any]] = {
        "encoder": {"name": encoder_name, "dim": 8},
        "data": {"batch": 8, "window": 2},
        "model": {"head_hidden": 8},
        "optimizer": {},
        "trainer": {"max_steps": 24, "validate_every": 6, "checkpoint_every": 4, "log_every": 1, "patience": 100},
    }
    values = {name: options | sections.get(name, {}) for name, options in defaults.items()}
    return read_config({"recipe": "tiny", "seed": 3, **values}, source="test")


def fresh_model(encoder_name: str = "grc") -> Classifier:
    """A model of the tiny configuration, untrained."""
    configuration = config(encoder_name)
    return build_model(configuration, configuration.data.open())


def training(folder: Path, configuration: Config | None = None, *, examples: int = 60) -> Training:
    """A training in ``folder``, which is made unless it is there: then it goes on."""
    configuration = configuration or config()
    run = Run(folder)
    if not folder.exists():
        run.begin(configuration, command="test")
    return Training(run, configuration, configuration.data.open(), digits(examples), digits(20, seed=1), console=QUIET)


def train_here(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
    """Train as [`nestree.training.child_process.train_in_child_process`][] does, but here, asking after validations."""
    task = run.task
    trained = Training(run, run.config, task, *load_examples(task, run.config.data, QUIET), console=QUIET)
    validated = trained.keeper.on_validation_end

    def and_ask(*arguments: Any) -> None:
        trained.keeper.save(trained.trainer)  # the logs are flushed
        trained.keeper.interrupted |= stop()
        validated(*arguments)

    trained.keeper.on_validation_end = and_ask  # type: ignore[method-assign]
    try:
        trained.fit()
    except Interrupted:
        return INTERRUPTED
    except NotFinite:
        return 2
    return 0


def saved_run(folder: Path, encoder_name: str = "grc", **sections: dict[str, Any]) -> Run:
    """A run with fresh weights."""
    configuration = config(encoder_name, **sections)
    task = configuration.data.open()
    run = Run(folder).begin(configuration, task, command="nestree train tiny")
    run.save_weights(build_model(configuration, task))
    return run


def after_step(trained: Training, step: int, action: Callable[[], None]) -> None:
    """Call ``action`` when ``step`` is done, before the training looks whether it should stop."""
    original = trained.keeper.on_train_batch_end

    def hook(*arguments: object) -> None:
        if trained.stream.position == step:
            action()
        original(*arguments)  # pyright: ignore[reportArgumentType]

    trained.keeper.on_train_batch_end = hook  # type: ignore[method-assign]


def assert_same(left: object, right: object, where: str = "") -> None:
    """Compare bit for bit, into tensors and containers."""
    assert type(left) is type(right), where
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict) and isinstance(right, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}/{key}")
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        assert len(left) == len(right), where
        for number, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}/{number}")
    else:
        assert left == right, where


def everything(trained: Training) -> dict[str, object]:
    """All that must be the same after a resumed training."""
    checkpoint = torch.load(trained.run.checkpoint, weights_only=True)
    for state in checkpoint["callbacks"]["KeepRandomStates"]["states"]:
        del state["python"]  # the shape checks that tests switch on draw from it
    return {
        "weights": checkpoint["state_dict"],
        "optimizer": checkpoint["optimizer_states"],
        "schedule": checkpoint["lr_schedulers"],
        "random": checkpoint["callbacks"]["KeepRandomStates"],
        "best": checkpoint["callbacks"]["KeepBest"],
        "position": checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"],
        "best weights": load_file(trained.run.weights),
        "validation": series(read_history(trained.run), "validation_accuracy"),
    }
