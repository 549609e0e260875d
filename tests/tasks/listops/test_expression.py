"""ListOps expressions: text, value, depth and gold tree, against recursive definitions."""

import statistics
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.tasks.listops import (
    OPERATORS,
    VOCABULARY,
    decode,
    depth,
    encode,
    evaluate,
    gold_tree,
    operator_spans,
    root_operator,
)

# A tree is a digit or (operator, [arguments]).
trees = st.recursive(
    st.integers(0, 9),
    lambda inner: st.tuples(st.sampled_from(OPERATORS), st.lists(inner, min_size=1, max_size=6)),
    max_leaves=40,
)


def plain(tree) -> str:
    return str(tree) if isinstance(tree, int) else " ".join([tree[0], *map(plain, tree[1]), "]"])


def binary(tree) -> str:
    if isinstance(tree, int):
        return str(tree)
    return list(accumulate([tree[0], *map(binary, tree[1]), "]"], lambda left, right: f"( {left} {right} )"))[-1]


def value(tree) -> int:
    if isinstance(tree, int):
        return tree
    operators = {"[MIN": min, "[MAX": max, "[MED": statistics.median, "[SM": lambda values: sum(values) % 10}
    return int(operators[tree[0]]([value(argument) for argument in tree[1]]))


def height(tree) -> int:
    return 0 if isinstance(tree, int) else 1 + max(map(height, tree[1]))


@given(trees)
def test_both_spellings_are_read_and_written(tree):
    tokens = encode(plain(tree))
    assert tokens.dtype == np.uint8
    assert encode(binary(tree)).tolist() == tokens.tolist()
    assert decode(tokens) == plain(tree)
    assert decode(tokens, parentheses=True) == binary(tree)
    assert decode(np.append(tokens, [0, 0])) == plain(tree)


@given(trees)
def test_value_depth_and_root_are_those_of_the_recursive_definition(tree):
    tokens = encode(plain(tree))
    assert evaluate(tokens) == value(tree)
    assert depth(tokens) == height(tree)
    assert root_operator(tokens) == ("digit" if isinstance(tree, int) else tree[0])


@given(trees)
def test_the_gold_tree_is_the_one_that_the_parentheses_spell(tree):
    tokens = encode(plain(tree))
    spelled = gold_tree(tokens).brackets([VOCABULARY[token] for token in tokens])
    assert spelled == binary(tree).replace("( ", "(").replace(" )", ")")


@given(trees)
def test_operator_spans_are_whole_expressions(tree):
    words = plain(tree).split()
    spans = operator_spans(encode(plain(tree)))
    assert len(spans) == sum(word in OPERATORS for word in words)
    for first, end in spans:
        assert words[first] in OPERATORS
        encode(" ".join(words[first:end]))
    assert set(spans) <= {*gold_tree(encode(plain(tree))).spans(), (0, len(words))}


@given(trees, st.data())
def test_a_word_lost_from_the_official_form_never_passes(tree, data):
    words = binary(tree).split()
    del words[data.draw(st.integers(0, len(words) - 1))]
    with pytest.raises(ValueError, match=r"token|empty|incomplete|end of the expression"):
        encode(" ".join(words))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("( )", "empty"),
        ("[MAX 2 x ]", "token 3 'x' is unknown: allowed are"),
        ("[MAX 2 12 ]", "token 3 '12' is unknown"),
        ("<pad>", "token 1 '<pad>' is unknown"),
        ("[MAX 2 (3 ]", r"token 3 '\(3' has a parenthesis attached to it"),
        ("[MAX 2 3", r"incomplete: 1 \] missing at the end, for \[MAX"),
        ("[MAX 2 [MIN 3", r"incomplete: 2 \] missing at the end, for \[MIN"),
        ("[MAX 2 ] ]", r"token 4 '\]' is after the end"),
        ("]", r"token 1 '\]' closes nothing"),
        ("2 3", "token 2 '3' is after the end"),
        ("[MAX 2 [MIN ] ]", r"token 4 '\]' closes \[MIN, which needs at least one argument"),
        ("[MAX 2 ( 3 ]", r"token 1 '\[MAX' is where the binary parentheses require '\('"),
        ("( ( ( [MAX 2 ) ) 9 ] )", r"token 7 '\)' is where the binary parentheses require '9'"),
        ("( ( ( [MAX 2 ) 9 ) ]", r"the end of the expression is where the binary parentheses require '\)'"),
        ("( ( ( [MAX 2 ) 9 ) ] ) )", r"token 11 '\)' is where the binary parentheses require the end"),
        ("( 3 )", r"token 1 '\(' is where the binary parentheses require '3'"),
        ("( ( ( [MAX 2 ) 9 ) ] ) 7", r"token 11 '7' is after the end"),
        ("x" * 1000, "'x{20}[.]{3}' is unknown"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        encode(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("tokens", [[], [0], [1], [8, 8], [1, 0, 8, 5], [99], [-1], [[8]]])
def test_ids_that_are_no_expression_are_refused(tokens):
    for function in (decode, evaluate, gold_tree, operator_spans):
        with pytest.raises(ValueError, match=r"token|empty|incomplete"):
            function(tokens)


def test_medians_of_an_even_count_are_truncated():
    assert [evaluate(encode(f"[MED {digits} ]")) for digits in ("1 2", "9 0 4 7", "9 8", "3")] == [1, 5, 8, 3]


def test_depth_is_not_bounded_by_recursion():
    levels = 20_000
    tokens = encode("[SM 1 " * levels + "0" + " ]" * levels)
    assert (depth(tokens), evaluate(tokens)) == (levels, 0)
    assert encode(decode(tokens, parentheses=True)).tolist() == tokens.tolist()
    assert gold_tree(tokens).height == 2 * levels + 1
    assert len(operator_spans(tokens)) == levels
