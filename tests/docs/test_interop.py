"""The page on other libraries says what works, and answers need only what it says."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nestree.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "interop.md").read_text(encoding="utf-8")

HEAVY = ("lightning", "torchmetrics", "matplotlib", "tensorboard", "pytorch_optimizer", "sklearn", "transformers")


def test_the_snippets_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(snippet, names)
    logits = names["logits"]
    assert getattr(logits, "shape", None) == (2, 3)


@pytest.mark.parametrize(
    "use",
    [
        "nestree.load('listops-rir')",
        "run = nestree.Run.open('listops-rir'); run.predict(['[MAX 2 9 ]']); run.parse('[MAX 2 9 ]')",
    ],
    ids=["load", "predict"],
)
def test_answers_import_nothing_that_only_training_needs(use: str) -> None:
    script = f"import sys, nestree; {use}; print(sorted({set(HEAVY)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("module", "library", "install"),
    [
        ("nestree.sklearn", "sklearn.base", "needs scikit-learn: pip install 'nestree[sklearn]'"),
        ("nestree.huggingface", "transformers", "needs transformers: pip install 'nestree[transformers]'"),
    ],
)
def test_a_missing_library_is_named(
    module: str,
    library: str,
    install: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.startswith(module)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=re.escape(install)):
        importlib.import_module(module)
    if library == "transformers":
        assert main(["share", "listops-rir", "--transformers", str(tmp_path / "new")]) == 2
        assert install in capsys.readouterr().err
