from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nestree.data import RaggedExamples
from nestree.recipes import load_recipe, recipe_names
from nestree.runs import Run
from nestree.tasks import Task
from nestree.training import Config
from nestree.training.config import read_config
from nestree.training.fit import Training
from training_helpers import QUIET

NAMES = ("rir", "ebt", "bbt", "grc")


def recipe_config(name: str, **trainer: int) -> Config:
    values = dict(load_recipe(name).values)
    return read_config({**values, "trainer": {**values["trainer"], **trainer}}, source=name)


def test_every_recipe_has_a_quick_form() -> None:
    assert {f"listops-{name}{form}" for name in NAMES for form in ("", "-quick")} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains(name: str, tmp_path: Path) -> None:
    config = recipe_config(name, max_steps=1, devices=1)
    task = config.data.open({"labels": ["bad", "good"], "words": []})
    run = Run.new(name, tmp_path / "run").begin(config)
    train, validation = (tiny_examples(task, count) for count in (6, 4))
    facts = Training(run, config, task, train, validation, console=QUIET).fit()
    assert facts["steps"] == 1
    assert run.weights.is_file()


def tiny_examples(task: Task, count: int) -> RaggedExamples:
    """Examples of the task's shape: token 1, three times a side, of labels in turn."""
    sequences = [np.ones(3, np.uint8)] * (count * task.sides)
    labels = [number % len(task.label_names) for number in range(count)]
    return RaggedExamples.from_sequences(sequences, labels, name="tiny", sides=task.sides)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.about
    assert recipe.time
    assert recipe_config(name).recipe == name


@pytest.mark.parametrize("name", NAMES)
def test_full_recipes_have_the_published_settings(name: str) -> None:
    config = recipe_config(f"listops-{name}")
    assert (config.encoder.dim, config.encoder.dropout) == (128, 0.1)
    assert getattr(config.encoder, "beam_size", None) == {"rir": 7, "ebt": 5}.get(name)
    assert getattr(config.encoder, "arity", None) == (30 if name == "rir" else None)
    assert (config.data.batch, config.data.window) == (128, 5)
    assert (config.model.head_hidden, config.model.head_dropout, config.model.input_dropout) == (128, 0.1, 0.1)
    optimizer, trainer = config.optimizer, config.trainer
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.clip) == (1e-3, 1e-2, 1.0)
    assert (optimizer.lookahead_steps, optimizer.lookahead_alpha) == (5, 0.8)
    assert (optimizer.plateau_factor, optimizer.plateau_patience) == (0.5, 3)
    assert (trainer.max_epochs, trainer.patience, trainer.max_minutes) == (100, 4, None)


@pytest.mark.parametrize("name", NAMES)
def test_quick_recipes_keep_to_ten_minutes(name: str) -> None:
    minutes = recipe_config(f"listops-{name}-quick").trainer.max_minutes
    assert minutes is not None
    assert minutes <= 10
