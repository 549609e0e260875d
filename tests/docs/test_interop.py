"""The page on other libraries says what works, and answers need only what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
