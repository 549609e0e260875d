"""A head that is trained at the nodes of a treebank's trees, and its accuracy there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.data.batches import collate
from nestree.errors import UserError
from nestree.evaluation.node_accuracy import NodeScore, node_accuracy
from nestree.runs import Run
from nestree.training.fit import Training, load_examples
from support.training import QUIET, config, training

TREES = {
    "train": ["(4 (2 It) (4 (2 is) (3 fun)))", "(1 (2 It) (1 (2 is) (0 dull)))", "(3 (0 dull) (3 (2 but) (3 fun)))"],
    "dev": ["(4 (2 It) (4 (2 is) (3 fun)))"],
    "test": ["(1 (2 It) (1 (2 is) (0 dull)))", "(2 (2 It) (2 is))"],
}


@pytest.fixture
def sst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sst").mkdir()
    for name, lines in TREES.items():
        repeated = lines * (20 if name == "train" else 1)
        (tmp_path / "sst" / f"{name}.txt").write_text("".join(f"{line}\n" for line in repeated))
    return tmp_path / "sst"


def trained(folder: Path, sst: Path, weight: float) -> Run:
    """A run of half a second."""
    configuration = config(
        "ebt-grc",
        data={"task": "sst5", "path": str(sst)},
        encoder={"beam_size": 2, "dim": 16},
        model={"input_dropout": 0.0, "head_dropout": 0.0},
        optimizer={"node_supervision": weight, "name": "adamw", "learning_rate": 0.02},
        trainer={"max_steps": 60, "validate_every": 60, "select": "last"},
    )
    task = configuration.data.open()
    run = Run(folder).begin(configuration, task, command="test")
    Training(run, configuration, task, *load_examples(task, configuration.data, QUIET), console=QUIET).fit()
    return run


def test_the_head_learns_the_labels_of_nodes(tmp_path: Path, sst: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = {}
    for weight in (0.0, 1.0):
        run = trained(tmp_path / f"run-{weight:g}", sst, weight)
        score[weight] = node_accuracy(run.model(), run.task.load("train"), run.task.gold)
    assert (score[1.0].nodes, score[1.0].roots, score[1.0].common) == (300, 60, 100)
    assert score[1.0].all == 1 > score[0.0].all
    assert run.explain(["It is fun"])[0].notes == ()
    assert main(["evaluate", str(run.path), "--nodes"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    (result,) = json.loads(run.evaluation_file.read_text())["results"]
    counts = result["nodes"]
    assert (counts["nodes"], counts["roots"], counts["common"]) == (8, 2, 5)
    assert f"accuracy at all 8 labelled nodes of the gold trees {100 * counts['all']:.1f}%" in shown
    assert "(always the most common label: 62.5%)" in shown
    assert NodeScore.from_dict(counts).as_dict() == counts
    assert main(["evaluate", str(run.path)]) == 0
    (again,) = json.loads(run.evaluation_file.read_text())["results"]
    assert again["nodes"] == counts


def test_nodes_are_counted_one_by_one(tmp_path: Path, sst: Path) -> None:
    run = trained(tmp_path / "run", sst, 0.0)
    examples = run.task.load("test")
    score = node_accuracy(run.model(), examples, run.task.gold)
    right = []
    for row in range(len(examples)):
        (tokens,) = examples.sequences(row)
        gold = run.task.gold(tokens)
        assert gold is not None
        batch = collate(examples, [row])
        (states,) = run.model().node_states(batch.tokens, batch.lengths, [gold.tree])
        answers = run.model().classify(states).argmax(-1).tolist()
        right += [gold.labels[span] == found for span, found in zip(gold.tree.all_spans(), answers, strict=True)]
    assert (score.right, score.nodes) == (sum(right), len(right))


@pytest.mark.parametrize(
    ("encoder", "task", "message"),
    [
        ("ebt-grc", "sst5-phrases", "must be 0: task sst5-phrases knows no labels of the nodes of trees"),
        ("grc", "sst5", "must be 0: encoder grc does not fold along given trees"),
        ("om", "sst5", "must be 0: encoder om does not fold along given trees"),
    ],
)
def test_what_cannot_be_trained_at_nodes_is_refused(
    encoder: str, task: str, message: str, tmp_path: Path, sst: Path
) -> None:
    configuration = config(encoder, data={"task": task, "path": str(sst)}, optimizer={"node_supervision": 1.0})
    opened = configuration.data.open()
    examples = load_examples(opened, configuration.data, QUIET)
    run = Run(tmp_path / "run").begin(configuration, command="test")
    with pytest.raises(UserError, match=f"optimizer.node_supervision {message}"):
        Training(run, configuration, opened, *examples, console=QUIET)


def test_an_evaluation_without_labelled_nodes_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sst: Path
) -> None:
    run = training(tmp_path / "listops", config("ebt-grc"))
    run.run.save_weights(run.module.model)
    assert main(["evaluate", str(run.run.path), "--nodes", "--tests", "near-iid", "--limit", "2"]) == 2
    assert "--nodes needs gold trees with labelled nodes, and task listops has none" in capsys.readouterr().err
