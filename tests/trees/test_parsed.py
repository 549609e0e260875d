"""Parsed trees: written and read again, with the groups of the outer tree."""

from __future__ import annotations

import builtins
import json

import nltk
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nestree
from nestree.recursions.outer import Outer
from nestree.trees import ParsedTree, Tree
from support.trees import cut, parsed_trees

THREE = Tree(3, ((1, 2), (0, 3)))


@given(parsed_trees())
def test_brackets_are_read_again(parsed: ParsedTree) -> None:
    tree, tokens = Tree.from_brackets(parsed.brackets())
    assert tokens == parsed.tokens
    assert set(tree.spans()) == set(parsed.tree.spans())
    assert tree.brackets(tokens) == parsed.brackets()
    spread = parsed.brackets().replace(" ", "   ")
    assert Tree.from_brackets(spread) == (tree, tokens)


def test_official_brackets_are_read() -> None:
    assert Tree.from_brackets("( ( ( [MAX 2 ) 9 ) ] )") == (
        Tree(4, ((0, 1), (4, 2), (5, 3))),
        ("[MAX", "2", "9", "]"),
    )
    assert Tree(2, ((0, 1),)).brackets(["(", "a b\\"]) == r"(\( a\sb\\)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be one tree, not 0"),
        ("a b", "must be one tree, not 2"),
        ("(a b))", "part 5, '\\)', closes nothing"),
        ("((a b) c", "1 '\\)' missing at the end"),
        ("(a b c)", "closed by part 5 must have 2 parts, not 3"),
        ("((a) b)", "closed by part 4 must have 2 parts, not 1"),
    ],
)
def test_brackets_that_are_no_tree_are_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tree.from_brackets(text)


def test_an_empty_token_has_no_brackets() -> None:
    with pytest.raises(ValueError, match="token 2 is empty"):
        Tree(2, ((0, 1),)).brackets(["a", ""])


@given(parsed_trees(), st.booleans())
def test_json_is_read_again(parsed: ParsedTree, named: bool) -> None:
    parsed = parsed if named else ParsedTree(parsed.tree, parsed.probability, parsed.groups)
    assert ParsedTree.from_dict(json.loads(json.dumps(parsed.as_dict()))) == parsed


def test_values_that_are_no_tree_are_rejected() -> None:
    with pytest.raises(ValueError, match="must have leaves, merges, probability and groups"):
        ParsedTree.from_dict({"leaves": 3})
    with pytest.raises(ValueError, match="do not make one tree"):
        ParsedTree.from_dict({"leaves": 3, "merges": [[0, 1]], "probability": 1, "groups": []})


@pytest.mark.parametrize(
    ("groups", "tokens", "message"),
    [
        ((), ("a",), "tokens must be 3"),
        ((((0, 2), (2, 3)), ((0, 3),)), None, "level 0 must each be a part of the tree"),
        ((((0, 1),), ((0, 3),)), None, "level 0 must follow each other over all 3 leaves"),
        ((((1, 3), (0, 1)), ((0, 3),)), None, "level 0 must follow each other"),
        ((((0, 1), (1, 3)),), None, "must end with a level of one group, not 2"),
    ],
)
def test_words_and_groups_must_fit(groups: tuple, tokens: tuple | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParsedTree(THREE, 1.0, groups, tokens)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(2, 9))
def test_groups_are_those_of_the_definition(lengths: list[int], arity: int) -> None:
    assert Outer(arity).groups(lengths, training=False) == [cut(length, arity) for length in lengths]
    whole = Outer().groups(lengths, training=False)
    assert whole == [(((0, length),),) if length > 1 else () for length in lengths]


@pytest.mark.parametrize("engine", ["fast", "naive"])
def test_rir_says_its_groups_in_every_beam(engine: str) -> None:
    encoder = nestree.build("rir-ebt-grc", dim=8, beam_size=3, arity=4, s4d=False, engine=engine).eval()
    lengths = [1, 2, 5, 6, 23]
    trees = encoder(torch.randn(5, 23, 8), torch.tensor(lengths), trees=True).trees
    assert trees is not None
    for found, length in zip(trees, lengths, strict=True):
        assert {parsed.groups for parsed in found} == {cut(length, 4)}  # each is checked against its tree when made
    flat = nestree.build("rir-grc", dim=8, arity=4, s4d=False, inference="flat").eval()
    (found,) = flat(torch.randn(1, 23, 8), torch.tensor([23]), trees=True).trees or []
    assert found[0].groups == (((0, 23),),)
    plain = nestree.build("ebt-grc", dim=8).eval()(torch.randn(1, 9, 8), torch.tensor([9]), trees=True).trees
    assert plain is not None
    assert plain[0][0].groups == ()


@given(parsed_trees(most=25))
def test_levels_are_where_the_ends_of_a_merge_first_meet(parsed: ParsedTree) -> None:
    for (first, end), level in zip(parsed.tree.spans(), parsed.levels(), strict=True):
        holding = [any(a <= first and end <= b for a, b in groups) for groups in parsed.groups]
        assert level == (holding.index(True) if holding else 0)


@given(parsed_trees(most=20))
def test_nltk_gets_the_same_tree(parsed: ParsedTree) -> None:
    converted = parsed.to_nltk()
    assert tuple(converted.leaves()) == parsed.tokens
    labels = sorted(subtree.label() for subtree in converted.subtrees())
    wanted = [f"X{level}" if level else "X" for level in parsed.levels()] or ["X"]
    assert labels == sorted(wanted)
    assert converted.height() == max(parsed.tree.height, 1) + 1


def test_nltk_draws_with_svgling() -> None:
    assert isinstance(ParsedTree(THREE, 1.0).to_nltk(), nltk.Tree)
    assert ParsedTree(THREE, 1.0).with_tokens("abc").to_nltk()._repr_svg_().startswith("<svg")


def test_without_nltk_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("nltk"):
            raise ImportError(name)
        return real(name, *rest, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'nestree\[nltk\]'"):
        ParsedTree(THREE, 1.0).to_nltk()
