"""What an installation says of itself: the backend that runs, and why not the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import nestree
from nestree.cli.main import main
from nestree.native import library
from support.training import config, training


def test_info_names_the_library_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found = nestree.info()
    assert found.versions["nestree"] == nestree.__version__
    assert found.threads == torch.get_num_threads()
    assert (found.backend == "compiled") == (library.load() is not None)
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert f"nestree {nestree.__version__}" in shown
    assert (found.library or f"PyTorch: {found.why_not_compiled}") in shown


def test_info_says_why_there_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "candidates", lambda: [tmp_path / "nestree-any.so"])
    assert "reinstall nestree" in (nestree.info().why_not_compiled or "")
    monkeypatch.setattr(library, "candidates", list)
    assert "AVX2" in (nestree.info().why_not_compiled or "")
    monkeypatch.setenv(library.VARIABLE, "torch")
    assert nestree.info().why_not_compiled == f"{library.VARIABLE}=torch is set"
    assert nestree.info().backend == "torch"
    assert "PyTorch: NESTREE_BACKEND=torch is set" in str(nestree.info())


@pytest.mark.parametrize(
    ("encoder", "options", "missed"),
    [("ebt-grc", {}, True), ("ebt-grc", {"engine": "torch"}, False), ("egt-grc", {}, False), ("grc", {}, False)],
)
def test_a_training_says_that_the_library_is_missing_where_it_would_serve(
    encoder: str, options: dict[str, str], missed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "candidates", lambda: [tmp_path / "nestree-any.so"])
    monkeypatch.delenv(library.VARIABLE, raising=False)
    trained = training(tmp_path / "run", config(encoder, encoder=options))
    assert (trained.missing_library() is not None) == missed
    monkeypatch.setenv(library.VARIABLE, "torch")  # it is not missed then
    assert trained.missing_library() is None
