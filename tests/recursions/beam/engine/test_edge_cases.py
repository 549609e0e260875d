"""The edge cases that break fast engines, each by name: outputs, trees and gradients as the naive one has them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nestree.recursions import BeamTree
from nestree.recursions.outer import ALIGNMENTS
from support.engines import Case, Outcome, Spans, assert_engines_agree, with_seeds

ALIGNED = pytest.mark.parametrize("alignment", ALIGNMENTS)
MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
ENGINES = pytest.mark.parametrize("engine", ["fast", "torch", "naive"])


def sizes(case: Case) -> list[list[int]]:
    """The sizes of the groups of each level."""
    return [level.size for level in case.outer().levels(list(case.lengths), training=case.training)]


def assert_engines_agree_with_many_seeds(case: Case) -> list[Outcome]:
    return [assert_engines_agree(other) for other in with_seeds(case, 2)]


@ALIGNED
@MODES
def test_last_group_shorter_than_the_arity(alignment: str, training: bool) -> None:
    case = Case((7, 10, 6), 3, arity=4, alignment=alignment, training=training)
    assert sizes(case)[0] == [4, 3, 4, 4, 2, 4, 2]
    assert_engines_agree_with_many_seeds(case)


@ALIGNED
@MODES
def test_group_of_one_item(alignment: str, training: bool) -> None:
    case = Case((9, 13), 3, arity=4, alignment=alignment, training=training)
    assert sizes(case)[0] == [4, 4, 1, 4, 4, 4, 1]
    assert_engines_agree_with_many_seeds(case)


@MODES
def test_group_of_one_item_at_a_higher_level(training: bool) -> None:
    case = Case((5, 9), 3, arity=2, training=training)
    assert sizes(case)[:2] == [[2, 2, 1, 2, 2, 2, 2, 1], [2, 1, 2, 2, 1]]
    assert_engines_agree_with_many_seeds(case)


@pytest.mark.parametrize("arity", [None, 3], ids=["flat", "grouped"])
@MODES
def test_fewer_valid_pairs_than_beams(arity: int | None, training: bool) -> None:
    for found in assert_engines_agree_with_many_seeds(Case((3, 4, 2, 6), 7, arity=arity, training=training)):
        assert len(found.trees[0]) == 2  # all the trees that there are


@ALIGNED
@MODES
def test_beam_absent_in_one_of_the_groups_it_spans(alignment: str, training: bool) -> None:
    """Groups of four have several beams, a group of two has one, and a group of one item has none but that item."""
    case = Case((6, 9, 5), 4, arity=4, alignment=alignment, training=training)
    assert sizes(case)[0] == [4, 2, 4, 4, 1, 5]
    assert_engines_agree_with_many_seeds(case)


@pytest.mark.parametrize("arity", [None, 5], ids=["flat", "grouped"])
@MODES
def test_length_one_or_two_in_a_long_batch(arity: int | None, training: bool) -> None:
    case = Case((1, 38, 2, 29, 1), 3, arity=arity, training=training)
    found = assert_engines_agree(case)
    assert torch.equal(found.root[[0, 4]], case.states()[[0, 4], 0])
    assert [list(found.trees[row]) for row in (0, 2)] == [[frozenset()], [frozenset({(0, 2)})]]


@ALIGNED
@MODES
def test_level_that_ends_with_a_single_group(alignment: str, training: bool) -> None:
    case = Case((3, 6, 1), 4, arity=4, alignment=alignment, training=training)
    assert sizes(case) == [[3, 4, 2], [2]]
    assert_engines_agree_with_many_seeds(case)


@MODES
def test_batch_of_single_tokens(training: bool) -> None:
    case = Case((1, 1, 1), training=training)
    found = assert_engines_agree(case)
    assert torch.equal(found.root, case.states()[:, 0])
    assert all(not gradient.any() for name, gradient in found.gradients.items() if name != "leaves")


@MODES
def test_batch_of_one_pair(training: bool) -> None:
    found = assert_engines_agree(Case((2,), 5, training=training))
    assert found.trees == [{frozenset({(0, 2)}): 1.0}]
    assert not found.gradients["scorer.hidden.weight"].any()  # there was nothing to choose


@MODES
def test_lengths_around_the_first_cut(training: bool) -> None:
    assert_engines_agree(Case((4, 5, 6, 7, 8, 9), 3, arity=4, training=training))


# --- ties, at evaluation: to the lower beam, then to the leftmost pair


def tied_search(length: int, beam_size: int) -> dict[Spans, float]:
    """The trees of a beam tree over ``length`` leaves to which all pairs are alike, and their probabilities."""
    beams: list[tuple[list[tuple[int, int]], Spans]] = [([(leaf, leaf + 1) for leaf in range(length)], frozenset())]
    while len(beams[0][0]) > 1:
        candidates = [(beam, at) for beam in beams for at in range(len(beam[0]) - 1)]
        if len(beams[0][0]) == 2:
            beam_size = len(beams)
        beams = []
        for (frontier, spans), at in candidates[:beam_size]:
            parent = (frontier[at][0], frontier[at + 1][1])
            beams.append(([*frontier[:at], parent, *frontier[at + 2 :]], spans | {parent}))
    found: dict[Spans, float] = {}
    for _, spans in beams:
        found[spans] = found.get(spans, 0.0) + 1 / len(beams)
    return found


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3), beam_size=st.integers(1, 5))
def test_ties_go_to_the_lower_beam_then_to_the_leftmost_pair(
    engine: str, dtype: torch.dtype, lengths: list[int], beam_size: int
) -> None:
    case = Case(tuple(lengths), beam_size, arity=None, training=False)
    tree = case.tree(engine, dtype)
    torch.nn.init.zeros_(tree.scorer.score.weight)
    folded = tree.recurse(case.leaves(case.states(dtype)), case.outer(), trees=True)
    assert folded.trees is not None
    for length, trees in zip(lengths, folded.trees, strict=True):
        found = {frozenset(parsed.tree.spans()): parsed.probability for parsed in trees}
        assert found == pytest.approx(tied_search(length, beam_size))


class Repeated(Case):
    """Sequences that repeat their first ``dim - 1`` tokens again and again.

    Equal sums tie only if they are rounded alike, and a matrix product may round equal rows differently: here no state
    or logit hangs on a sum of more than one product, and no frontier is longer than four.
    """

    def tree(self, engine: str, dtype: torch.dtype = torch.float64) -> BeamTree:
        tree = super().tree(engine, dtype)
        with torch.no_grad():
            tree.cell.gates.weight.zero_()
            tree.scorer.hidden.weight[:, tree.scorer.width :] = 0
            tree.scorer.hidden.bias.zero_()
        return tree

    def states(self, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        states = super().states(dtype).detach()
        tokens = torch.arange(states.shape[1]) % (self.dim - 1)
        real = torch.arange(states.shape[1]) < torch.tensor(self.lengths).unsqueeze(-1)
        return (states[:1, tokens] * real.unsqueeze(-1)).requires_grad_()


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@given(length=st.integers(2, 4), seed=st.integers(0, 99))
def test_the_leftmost_of_equal_tokens_merge_first(engine: str, dtype: torch.dtype, length: int, seed: int) -> None:
    case = Repeated((length,), 1, arity=None, training=False, dim=2, scorer_width=1, seed=seed)
    folded = case.tree(engine, dtype).recurse(case.leaves(case.states(dtype)), case.outer(), trees=True)
    assert folded.trees is not None
    assert (0, 2) in folded.trees[0][0].tree.spans()


@settings(max_examples=40)
@given(
    dim=st.integers(2, 4),
    lengths=st.lists(st.integers(2, 16), min_size=1, max_size=3),
    beam_size=st.integers(1, 5),
    alignment=st.sampled_from(["none", "systematic"]),
    seed=st.integers(0, 99),
)
def test_engines_agree_on_repeated_tokens(
    dim: int, lengths: list[int], beam_size: int, alignment: str, seed: int
) -> None:
    assert_engines_agree(
        Repeated(
            tuple(lengths),
            beam_size,
            arity=4,
            split_from=5,
            alignment=alignment,
            training=False,
            scorer_width=1,
            dim=dim,
            seed=seed,
        )
    )


@pytest.mark.parametrize("alignment", ["none", "systematic", "sampled"])
@MODES
def test_identical_beams_at_a_higher_level(alignment: str, training: bool) -> None:
    """Groups of two items have one beam each, which fills all four slots of the next level."""
    case = Case((8, 4), 4, arity=2, alignment=alignment, training=training)
    assert sizes(case)[:2] == [[2] * 6, [2] * 3]
    for found in assert_engines_agree_with_many_seeds(case):
        assert [list(trees.values()) for trees in found.trees] == [[pytest.approx(1.0)]] * 2


@MODES
def test_identical_beams_over_a_frontier_of_several_items(training: bool) -> None:
    case = Case((10, 8), 4, arity=2, split_from=6, alignment="none", training=training)
    assert sizes(case)[1] == [5, 4]
    assert_engines_agree_with_many_seeds(case)
