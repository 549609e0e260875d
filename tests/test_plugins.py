"""What other packages add: registered, declared or named by the environment, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import nestree
from nestree import plugins
from nestree.encoders import register
from nestree.encoders.base import Encoder
from nestree.encoders.options import EncoderOptions
from nestree.encoders.registry import ENCODERS
from nestree.errors import UserError
from nestree.tasks import TASKS
from nestree.tasks import register as register_task
from nestree.tasks.listops import ListOpsOptions
from nestree.tasks.text import DATASETS


@dataclass(frozen=True)
class MineOptions(EncoderOptions):
    """Mine."""

    depth: int = 3
    """Depth."""

    def build(self) -> Encoder:
        return nestree.build("grc", dim=self.dim)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test registers, and look for declared encoders anew."""
    for registry in (ENCODERS, TASKS):
        monkeypatch.setattr(registry, "_known", dict(registry._known))
        registry.__dict__.pop("_declared", None)
    monkeypatch.setattr(plugins, "_imported", set())
    before = set(sys.modules)
    yield
    for registry in (ENCODERS, TASKS):
        registry.__dict__.pop("_declared", None)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def declared(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """Install a package that declares entry points and has no modules."""
    metadata = folder / "other-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(folder)


def test_a_registered_encoder_is_one_like_the_others() -> None:
    register("mine", MineOptions)
    assert ENCODERS["mine"] is MineOptions
    assert list(ENCODERS)[-1] == "mine"
    assert nestree.build("mine", {"dim": 6}).dim == 6
    with pytest.raises(ValueError, match="encoder mine: there is no option 'deph'; did you mean depth"):
        nestree.build("mine", {"deph": 6})
    with pytest.raises(nestree.UserError, match=r"encoder\.depth must be an integer"):
        nestree.train("listops-grc", {"encoder.name": "mine", "encoder.depth": "x"})


def test_a_cell_of_a_notebook_can_be_run_again() -> None:
    register("mine", MineOptions)
    again = dataclasses.make_dataclass("MineOptions", [], bases=(MineOptions,), frozen=True)
    again.__module__, again.__qualname__ = MineOptions.__module__, MineOptions.__qualname__
    register("mine", again)
    assert ENCODERS["mine"] is again


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grc", MineOptions, "encoder 'grc' exists already"),
        ("", MineOptions, "name must be a word"),
        ("my own", MineOptions, "name must be a word"),
        ("mine", object, "must be a dataclass derived from EncoderOptions"),
        ("mine", MineOptions(), "must be a dataclass derived from EncoderOptions"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_cannot_be_registered_is_told(name: str, options: type[EncoderOptions], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register(name, options)


def test_another_encoder_does_not_take_a_name() -> None:
    register("mine", MineOptions)
    with pytest.raises(ValueError, match="encoder 'mine' exists already"):
        register("mine", dataclasses.make_dataclass("OtherOptions", [], bases=(MineOptions,), frozen=True))


def test_a_declared_encoder_that_is_broken_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[nestree.encoders]\nbroken = not_there:Options\ngrc = not_there:Options\n"
    declared(tmp_path, monkeypatch, points)
    assert "broken" in ENCODERS
    assert len(ENCODERS) == len(list(ENCODERS)) == len(set(ENCODERS))
    assert nestree.build("grc", dim=4).dim == 4  # nestree's own
    with pytest.raises(UserError, match="encoder broken of package other cannot be loaded: ModuleNotFoundError"):
        ENCODERS["broken"]
    with pytest.raises(KeyError):
        ENCODERS["missing"]


def test_a_module_is_imported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counted.py").write_text(
        "from nestree.encoders import register\n"
        "from nestree.encoders.registry import ENCODERS\n"
        "register('counted', type('Options', (ENCODERS['grc'],), {'__doc__': 'Counted.'}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NESTREE_MODULES", " counted, ")
    assert nestree.build("counted", {"dim": 4}).dim == 4
    assert "counted" in ENCODERS


def test_a_module_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_MODULES", "not_there")
    for _ in range(2):
        with pytest.raises(UserError, match="NESTREE_MODULES: not_there cannot be imported: ModuleNotFoundError"):
            nestree.build("grc")


def test_a_task_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "mine", DATASETS["sst2"])  # and taken away again
    register_task("own-listops", ListOpsOptions)
    assert TASKS["own-listops"] is ListOpsOptions
    register_task("mine", dataclasses.replace(DATASETS["sst2"], name="mine"))
    assert TASKS["mine"](task="mine").open().label_names == DATASETS["sst2"].label_names
    with pytest.raises(ValueError, match="must have the same name, not 'sst2'"):
        register_task("other", DATASETS["sst2"])
    with pytest.raises(ValueError, match="a Dataset, or a dataclass derived from DataOptions"):
        register_task("other", MineOptions)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="task 'logic' exists already"):
        register_task("logic", ListOpsOptions)
