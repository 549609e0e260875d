"""Loggers beside the CSV files, by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nestree.config.options import TrainerOptions
from nestree.errors import UserError
from nestree.runs import Run
from nestree.training.loggers import connect, make_loggers
from support.training import config, training


def test_tensorboard_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("", "tensorboard"):
        trained = training(tmp_path / f"run{name}", config(trainer={"max_steps": 2, "loggers": name}))
        assert trained.fit()["steps"] == 2
        assert (trained.run.logs / "csv").is_dir()
        assert bool(list((trained.run.logs / "tensorboard").glob("events*"))) == bool(name)


def test_names_are_separated_by_commas_or_a_list() -> None:
    assert TrainerOptions(loggers="tensorboard, wandb").loggers == ("tensorboard", "wandb")
    assert TrainerOptions(loggers=("mlflow",)).loggers == ("mlflow",)
    with pytest.raises(ValueError, match=r"^loggers must be one of tensorboard, wandb, mlflow, not 'wan'"):
        TrainerOptions(loggers="wan")


def test_a_missing_program_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr("nestree.training.loggers.find_spec", lambda name: None if name == "wandb" else original(name))
    loggers = make_loggers(Run(tmp_path / "run"), ("tensorboard",))
    assert [type(one) for one in loggers] == [CSVLogger, TensorBoardLogger]
    with pytest.raises(UserError, match=r"^trainer.loggers has wandb, .* pip install 'nestree\[wandb\]'"):
        make_loggers(Run(tmp_path / "run"), ("wandb",))


def test_a_program_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"^trainer\.loggers has tensorboard, which cannot be used") as caught:
        connect(make_loggers(Run(tmp_path), ("tensorboard",))[1:])
    assert "\n" not in str(caught.value)
