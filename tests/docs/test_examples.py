"""The notebooks run from top to bottom, and come out as their text says."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

EXAMPLES = Path(__file__).parents[2] / "examples"
Execute = Callable[[str], dict[str, Any]]
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def cells(name: str, kind: str) -> list[dict[str, Any]]:
    notebook = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked_shapes: None) -> Iterator[Execute]:
    """Run a notebook's code cells, show what Jupyter would, and return their names."""
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")

    def run_cells(name: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "__main__"}
        for number, cell in enumerate(cells(name, "code")):
            source = "".join(cell["source"])
            body = ast.parse(source).body
            shown = body.pop() if isinstance(body[-1], ast.Expr) else None
            where = f"{name}, code cell {number}"
            exec(compile(ast.Module(body, []), where, "exec"), names)
            if shown is not None:
                value = eval(compile(ast.Expression(shown.value), where, "eval"), names)
                if hasattr(value, "_repr_svg_"):
                    assert value._repr_svg_().lstrip().startswith("<svg")
        return names

    yield run_cells
    plt.close("all")


def test_every_notebook_is_run_below() -> None:
    assert NOTEBOOKS == ["encoder-in-your-own-loop.ipynb", "looking-at-trees.ipynb"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_outputs_are_kept(name: str) -> None:
    for cell in cells(name, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_an_encoder_in_your_own_loop(run: Execute) -> None:
    names = run("encoder-in-your-own-loop.ipynb")
    accuracy, baseline = names["accuracy"], names["baseline"]
    assert accuracy(names["test"]) > 0.6 > 2 * baseline(names["test"])  # 0.89 and 0.28
    assert accuracy(names["longer"]) > 1.5 * baseline(names["longer"])  # 0.67 and 0.24
    assert names["scores"]["model"].recall > 2 * names["scores"]["random"].recall  # 0.35 and 0.07


def test_looking_at_trees(run: Execute, capsys: pytest.CaptureFixture[str]) -> None:
    run("looking-at-trees.ipynb")
    printed = capsys.readouterr().out
    assert "60 answers are right" in printed
    assert printed.count("F1 of the first tree 1.00") == 5
    assert printed.count("only in the tree of") == 2 * 5
    assert printed.count("F1 of one against the other 1.00") == 5
    table = re.findall(
        r"^ +(\d+) +(right|wrong) +(right|wrong) +(right|wrong) +(right|wrong) +1\.00$", printed, re.MULTILINE
    )
    assert [int(row[0]) for row in table] == list(range(3, 16))
    assert {answer for row in table for answer in row[1:4]} == {"right"}
    assert [row[4] for row in table] == ["right"] * 4 + ["wrong"] * 9
