"""``Run.explain``: the root is the prediction, and a node's state is that of its constituent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nestree.data import RaggedExamples
from nestree.encoders.registry import BUILT_IN
from nestree.errors import UserError
from nestree.evaluation import probabilities
from nestree.explanations.explain import ALONE, UNTRAINED, NoTrees, explain
from nestree.models import Classifier
from nestree.runs import Run, build_model
from nestree.tasks.listops import ListOps
from nestree.trees import Tree
from support.training import config, fresh_model

TEXTS = ["[MAX 2 9 [MIN 4 7 ] 0 ]", "3", "[SM 1 2 ]", "[MED 4 5 [MAX 1 1 ] 3 2 1 6 [MIN 9 8 ] ]"]
SEARCHING = [name for name in BUILT_IN if name not in ("s4d", "transformer", "bilstm", "bow")]
ALONE_READ = ["om", "crvnn", "rir-om", "rir-crvnn", "grc", "rir-grc"]
LISTOPS = ListOps()


def run_of(folder: Path, name: str, **sections: dict) -> Run:
    """A run with fresh weights."""
    configuration = config(name, **sections)
    run = Run(folder / name).begin(configuration, command="test")
    run.save_weights(build_model(configuration, run.task))
    return run


def small(encoder: str) -> dict:
    return {"encoder": {"arity": 3}} if encoder.startswith("rir") else {}


@pytest.mark.parametrize("encoder", SEARCHING)
def test_every_node_has_a_label_and_the_root_is_the_prediction(encoder: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, encoder, **small(encoder))
    for text, one, predicted in zip(TEXTS, run.explain(TEXTS), run.predict(TEXTS), strict=True):
        (side,) = one.sides
        assert [node.span for node in side.nodes] == side.tree.tree.all_spans()
        assert side.tree.words == tuple(text.split())
        assert one.probabilities == pytest.approx(predicted.probabilities, abs=1e-5)
        assert (one.label, side.root.span) == (predicted.label, (0, len(text.split())))
        for node in side.nodes:
            assert sum(node.probabilities.values()) == pytest.approx(1, abs=1e-5)
            assert node.probability == node.probabilities[node.label] == max(node.probabilities.values())
        assert one.notes == ((UNTRAINED, ALONE) if encoder in ALONE_READ else (UNTRAINED,))
        assert side.tree.groups == run.parse(text)[0].groups


@pytest.mark.parametrize("name", ["gt-grc", "egt-grc", "bbt-grc"])
def test_without_beams_folding_along_the_tree_gives_the_encoders_own_root(name: str) -> None:
    model = fresh_model(name).eval()
    tokens = torch.from_numpy(LISTOPS.encode(TEXTS[3])[0].astype("int64"))[None]
    lengths = torch.tensor([tokens.shape[1]])
    found = model.encode(tokens, lengths, trees=True)
    assert found.trees is not None
    (states,) = model.node_states(tokens, lengths, [found.trees[0][0].tree])
    torch.testing.assert_close(states[-1:], found.root)


@pytest.mark.parametrize("name", ["rir-ebt-grc", "ebt-grc", "bt-grc"])
def test_the_nodes_of_a_beam_tree_are_those_of_its_search(name: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, name, encoder={"beam_size": 3, **small(name).get("encoder", {})})
    model = run.model()
    (side,) = run.explain([TEXTS[3]])[0].sides
    tokens = torch.from_numpy(LISTOPS.encode(TEXTS[3])[0].astype("int64"))[None]
    found = model.encoder(model.states(tokens), [tokens.shape[1]], nodes=True).nodes
    assert found is not None
    for node in side.nodes[:-1]:
        wanted = model.classify(found[0][node.span][None]).softmax(-1)[0].tolist()
        assert list(node.probabilities.values()) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", ["ebt-grc", "bt-grc", "egt-grc", "bbt-grc"])
def test_a_node_is_its_constituent_folded_by_itself(name: str) -> None:
    model = fresh_model(name).eval()
    (one,) = explain(model, LISTOPS, [LISTOPS.encode(TEXTS[3])])
    (side,) = one.sides
    tokens = torch.from_numpy(LISTOPS.encode(TEXTS[3])[0].astype("int64"))
    for node in side.nodes[:-1]:
        first, end = node.span
        inside = [span for span in side.tree.tree.spans() if first <= span[0] and span[1] <= end]
        tree = tree_of(first, end, inside)
        root = model.encoder(model.states(tokens[None, first:end]), [end - first], along=[tree]).root
        wanted = model.classify(root).softmax(-1)[0].tolist()
        assert list(node.probabilities.values()) == pytest.approx(wanted, abs=1e-5)


def tree_of(first: int, end: int, spans: list[tuple[int, int]]) -> Tree:
    """The tree over leaves ``first`` to ``end`` with these spans, children first."""
    number = {(leaf, leaf + 1): leaf - first for leaf in range(first, end)}
    merges = []
    for start, stop in spans:
        between = next(at for at in range(start + 1, stop) if (start, at) in number and (at, stop) in number)
        merges.append((number[start, between], number[between, stop]))
        number[start, stop] = end - first + len(merges) - 1
    return Tree(end - first, tuple(merges))


@pytest.mark.parametrize("name", ALONE_READ)
def test_without_states_of_nodes_every_part_is_read_by_itself(name: str) -> None:
    model = fresh_model(name).eval()
    (tokens,) = LISTOPS.encode(TEXTS[0])
    (one,) = explain(model, LISTOPS, [(tokens,)])
    for node in one.sides[0].nodes:
        first, end = node.span
        part = RaggedExamples.from_sequences([tokens[first:end]], [0], name="part", dtype=np.uint32)
        wanted = probabilities(model, part)[0].tolist()
        assert list(node.probabilities.values()) == pytest.approx(wanted, abs=1e-5)


def test_batches_do_not_matter() -> None:
    model = fresh_model("ebt-grc").eval()
    inputs = [LISTOPS.encode(text) for text in TEXTS]
    together, apart = explain(model, LISTOPS, inputs), explain(model, LISTOPS, inputs, tokens=1)
    for one, other in zip(together, apart, strict=True):
        for node, same in zip(one.sides[0].nodes, other.sides[0].nodes, strict=True):
            assert node.span == same.span
            assert node.probabilities == pytest.approx(same.probabilities, abs=1e-5)


def test_the_sides_of_a_pair_are_read_with_the_others_root(tmp_path: Path) -> None:
    run = run_of(tmp_path, "ebt-grc", data={"task": "logic"})
    text = "( ( not a ) ( and b ) )\t( a ( or b ) )"
    (one,), (predicted,) = run.explain([text]), run.predict([text])
    assert [side.text(side.root) for side in one.sides] == text.split("\t")
    model: Classifier = run.model()
    first, second = run.task.encode(*text.split("\t"))
    for side in one.sides:
        assert side.root.probabilities == pytest.approx(predicted.probabilities, abs=1e-5)
    tokens = [torch.from_numpy(tokens.astype("int64"))[None] for tokens in (first, second)]
    roots = [model.encode(part, torch.tensor([part.shape[1]])).root for part in tokens]
    leaf = model.encode(tokens[1][:, :1], torch.tensor([1])).root
    wanted = model.classify(torch.cat([roots[0], leaf])).softmax(-1)[0].tolist()
    assert list(one.sides[1].nodes[0].probabilities.values()) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", ["s4d", "transformer"])
def test_an_encoder_without_trees_is_named(name: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, name, encoder={"heads": 2} if name == "transformer" else {})
    with pytest.raises(UserError, match=f"encoder {name} has no trees: `nestree predict"):
        run.explain(TEXTS)
    with pytest.raises(NoTrees):
        explain(run.model(), run.task, [run.task.encode("3")])


def test_values_for_json_are_complete(tmp_path: Path) -> None:
    (one,) = run_of(tmp_path, "ebt-grc").explain([TEXTS[2]])
    values = one.as_dict()
    (side,) = values["sides"]
    assert (values["label"], values["notes"]) == (one.label, [UNTRAINED])
    assert [(node["text"], node["label"]) for node in side["nodes"]] == [
        (one.sides[0].text(node), node.label) for node in one.sides[0].nodes
    ]
    assert side["nodes"][-1]["text"] == TEXTS[2]
