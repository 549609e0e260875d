from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nestree.config.config import read_config
from nestree.data import RaggedExamples
from nestree.recipes import load_recipe, recipe_names
from nestree.runs import Run
from nestree.tasks import Task
from nestree.training import Config
from nestree.training.fit import Training
from support.training import QUIET

BEAM_TREES = ("ebt", "ebt-noslice", "bt", "bt-onesoft")
NAMES = (
    *("rir", "gt", "egt", "bbt", "grc", "om", "crvnn", "rir-grc", "rir-om", "rir-crvnn"),
    *BEAM_TREES,
)
TASKS = {"lra-listops": "listops-lra"} | {
    name: name for name in ("listops", "lra-text", "lra-retrieval", "logic", "sst5", "sst2", "imdb", "snli")
}
"""Tasks that have recipes, by the beginning of the recipes' names."""


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
    assert getattr(config.encoder, "beam_size", None) == {"rir": 7, **dict.fromkeys(BEAM_TREES, 5)}.get(name)
    assert getattr(config.encoder, "arity", None) == (30 if name.startswith("rir") else None)
    assert getattr(config.encoder, "slots", None) == (21 if name.endswith("om") else None)
    assert getattr(config.encoder, "memory_dropout", None) == (0.1 if name.endswith("om") else None)
    published = (5, 0.1) if name.endswith("crvnn") else (None, None)
    assert (getattr(config.encoder, "window", None), getattr(config.encoder, "threshold", None)) == published
    assert (config.data.batch, config.data.window) == (128, 5)
    assert (config.model.head_hidden, config.model.head_dropout, config.model.input_dropout) == (128, 0.1, 0.1)
    optimizer, trainer = config.optimizer, config.trainer
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.clip) == (1e-3, 1e-2, 1.0)
    assert (optimizer.lookahead_steps, optimizer.lookahead_alpha) == (5, 0.8)
    assert (optimizer.plateau_factor, optimizer.plateau_patience) == (0.5, 3)
    patience = 10 if name == "crvnn" else 4
    assert (trainer.max_epochs, trainer.patience, trainer.max_minutes) == (100, patience, None)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_recipe_for_each_system(task: str) -> None:
    encoders = {"rir": "rir-ebt-grc", "ebt": "ebt-grc", "s4d": "s4d", "transformer": "transformer"}
    made = {name: recipe_config(f"{task}-{name}") for name in encoders}
    assert {name: config.encoder_name for name, config in made.items()} == encoders
    assert {config.data.task for config in made.values()} == {TASKS[task]}


@pytest.mark.parametrize(
    ("task", "sizes", "data", "model", "trainer", "clip"),
    [
        ("listops", (128, 7, 30, 0.1, 0.1), (128, None, 5), (0.1, 128), (100, 4), 1.0),
        ("lra-listops", (128, 7, 30, 0.1, 0.0), (128, 64, 5), (0.1, 128), (40, 9), 1.0),
        ("lra-text", (128, 7, 30, 0.2, 0.2), (128, 32, 5), (0.4, None), (40, 10), 1.0),
        ("lra-retrieval", (128, 5, 5, 0.1, 0.1), (128, 8, 10), (0.4, 128), (20, 4), 5.0),
        ("logic", (200, 7, 30, 0.1, 0.0), (128, None, 5), (0.4, 200), (100, 4), 1.0),
    ],
)
def test_rir_has_its_published_settings(task: str, sizes, data, model, trainer, clip: float) -> None:
    made = recipe_config(f"{task}-rir")
    names = ("dim", "beam_size", "arity", "dropout", "s4d_dropout")
    assert tuple(getattr(made.encoder, name) for name in names) == sizes
    assert (made.data.batch, made.data.micro_batch, made.data.window) == data
    assert (made.model.input_dropout, made.model.head_hidden) == model
    assert (made.trainer.max_epochs, made.trainer.patience, made.optimizer.clip) == (*trainer, clip)
    assert (made.optimizer.name, made.optimizer.schedule) == ("radam", "plateau")


@pytest.mark.parametrize(
    ("task", "layers", "dim", "batch", "epochs", "warmup", "steps"),
    [
        ("listops", 8, 128, 50, 40, 1000, 60_000),
        ("lra-listops", 8, 128, 50, 40, 1000, 80_000),
        ("logic", 8, 200, 50, 50, 1000, 125_000),
        ("lra-text", 6, 256, 16, 32, 5000, 50_000),
        ("lra-retrieval", 6, 256, 64, 20, 5000, 50_000),
    ],
)
def test_s4d_has_its_published_settings(
    task: str, layers: int, dim: int, batch: int, epochs: int, warmup: int, steps: int
) -> None:
    made = recipe_config(f"{task}-s4d")
    optimizer = made.optimizer
    assert (made.encoder.layers, made.encoder.dim, made.encoder.dropout) == (layers, dim, 0.0)
    assert made.encoder.prenorm == (task in ("lra-text", "lra-retrieval"))
    assert (made.data.batch, made.trainer.max_epochs, made.trainer.patience) == (batch, epochs, None)
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 1e-2, 0.05)
    assert (optimizer.schedule, optimizer.minimum_learning_rate, optimizer.clip) == ("cosine", 1e-6, None)
    assert (optimizer.warmup_steps, optimizer.total_steps) == (warmup, steps)
    assert (made.model.input_dropout, made.model.head_hidden) == (0.0, None)


@pytest.mark.parametrize("name", NAMES)
def test_quick_recipes_keep_to_ten_minutes(name: str) -> None:
    minutes = recipe_config(f"listops-{name}-quick").trainer.max_minutes
    assert minutes is not None
    assert minutes <= 10
