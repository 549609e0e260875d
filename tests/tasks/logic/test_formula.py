"""Propositional formulas: parsed and related to one another as brute force over all assignments does it."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nestree.tasks.logic import RELATIONS, VOCABULARY, encode, operators, relation, truth_table
from nestree.tasks.logic.formula import EVERYWHERE, ROWS, TABLES, VARIABLES

WORLDS = [dict(zip(VARIABLES, values, strict=True)) for values in product((False, True), repeat=6)]

formulas = st.recursive(
    st.sampled_from(VARIABLES),
    lambda inner: st.one_of(st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner)),
    max_leaves=7,
)
"""Nested tuples: a variable, ("not", F), ("and", F, G), ("or", F, G)."""


def spell(formula) -> str:
    if isinstance(formula, str):
        return formula
    if formula[0] == "not":
        return f"( not {spell(formula[1])} )"
    return f"( {spell(formula[1])} ( {formula[0]} {spell(formula[2])} ) )"


def holds(formula, world: dict[str, bool]) -> bool:
    if isinstance(formula, str):
        return world[formula]
    if formula[0] == "not":
        return not holds(formula[1], world)
    return (all if formula[0] == "and" else any)([holds(formula[1], world), holds(formula[2], world)])


def true_in(formula) -> list[bool]:
    return [holds(formula, world) for world in WORLDS]


def found_by_hand(left: list[bool], right: list[bool]) -> set[str]:
    """Every relation whose definition (MacCartney 2009) holds, from what is true in each world."""
    seen = set(zip(left, right, strict=True))
    both, neither = (True, True) in seen, (False, False) in seen
    left_only, right_only = (True, False) in seen, (False, True) in seen
    definitions = {
        "=": not left_only and not right_only,
        "<": not left_only and right_only,
        ">": left_only and not right_only,
        "^": not both and not neither,
        "|": not both and neither,
        "v": both and not neither,
        "#": both and neither and left_only and right_only,
    }
    return {name for name, true in definitions.items() if true}


@given(formulas)
def test_a_truth_table_has_a_bit_for_every_assignment(formula) -> None:
    table = truth_table(spell(formula))
    rows = [[bool(TABLES[name] >> row & 1) for name in VARIABLES] + [bool(table >> row & 1)] for row in range(ROWS)]
    assert sorted(rows) == sorted([*world.values(), holds(formula, world)] for world in WORLDS)


@given(formulas, formulas)
def test_exactly_one_relation_holds_and_it_is_the_one_by_hand(left, right) -> None:
    worlds = true_in(left), true_in(right)
    assume(all(len(set(side)) == 2 for side in worlds))  # neither always true nor always false
    (only,) = found_by_hand(*worlds)
    assert relation(truth_table(spell(left)), truth_table(spell(right))) == only


@pytest.mark.parametrize(
    ("left", "right", "name"),
    [
        ("a", "b", "#"),
        ("( a ( and b ) )", "a", "<"),
        ("a", "( b ( and a ) )", ">"),
        ("( a ( and b ) )", "( not a )", "|"),
        ("( a ( or b ) )", "( not a )", "v"),
        ("( a ( and b ) )", "( not ( ( not b ) ( or ( not a ) ) ) )", "="),
        ("f", "( not f )", "^"),
    ],
)
def test_one_example_of_each(left: str, right: str, name: str) -> None:
    assert relation(truth_table(left), truth_table(right)) == name


tables = st.integers(1, EVERYWHERE - 1)


@given(tables, tables, st.sampled_from(["as drawn", "within", "beside", "around", "equal", "opposite"]))
def test_relations_turn_round_and_through_negation(left: int, right: int, kind: str) -> None:
    right = {
        "as drawn": right,
        "within": left & right,
        "beside": right & ~left,
        "around": right | (EVERYWHERE & ~left),
        "equal": left,
        "opposite": EVERYWHERE & ~left,
    }[kind]
    assume(0 < right < EVERYWHERE)
    found, turned = relation(left, right), relation(right, left)
    assert found in RELATIONS
    assert turned == {"<": ">", ">": "<"}.get(found, found)
    assert relation(EVERYWHERE & ~left, EVERYWHERE & ~right) == {"<": ">", ">": "<", "|": "v", "v": "|"}.get(
        found, found
    )
    swap = {"=": "^", "^": "=", "<": "|", "|": "<", ">": "v", "v": ">", "#": "#"}
    assert relation(left, EVERYWHERE & ~right) == swap[found]


@given(formulas)
def test_operators_are_and_or_not(formula) -> None:
    def count(part) -> int:
        return 0 if isinstance(part, str) else 1 + sum(count(inner) for inner in part[1:])

    assert operators(spell(formula)) == count(formula)


@given(formulas)
def test_parentheses_are_tokens(formula) -> None:
    text = spell(formula)
    ids = encode(text)
    assert [VOCABULARY[number] for number in ids] == text.split()
    assert 0 not in ids


@given(st.lists(st.sampled_from([*VOCABULARY[1:], "x", "<padding>"]), max_size=9))
def test_what_is_no_formula_is_refused_with_the_token(tokens: list[str]) -> None:
    """Whatever is accepted is what the grammar spells."""
    text = " ".join(tokens)
    try:
        truth_table(text)
    except ValueError as error:
        message = str(error)
        assert message.startswith("token ") or not tokens
        assert "\n" not in message
    else:
        assert spell(parsed(tokens)) == text


def parsed(tokens: list[str]):
    """Read a formula by descent, and check that nothing is left."""
    rest = list(tokens)

    def take(*wanted: str) -> str:
        token = rest.pop(0)
        assert token in wanted
        return token

    def formula():
        if rest[0] in VARIABLES:
            return rest.pop(0)
        take("(")
        if rest[0] == "not":
            made = (take("not"), formula())
        else:
            left = formula()
            take("(")
            made = (take("and", "or"), left, formula())
            take(")")
        take(")")
        return made

    made = formula()
    assert not rest
    return made


@given(formulas, st.data())
def test_a_formula_with_a_token_lost_is_refused(formula, data) -> None:
    tokens = spell(formula).split()
    assume(len(tokens) > 1)
    del tokens[data.draw(st.integers(0, len(tokens) - 1))]
    with pytest.raises(ValueError, match=r"^token \d+: "):
        truth_table(" ".join(tokens))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a formula must have at least one token"),
        ("a g", "token 2: 'g' is not one of ( ) a b"),
        ("( not aandbandcandeandfandgandh )", "token 3: 'aandbandcandeandfand' is not one of"),
        ("<padding>", "token 1: '<padding>' is not one of ( ) a b"),
        ("a b", "token 2: 'b' is after the end of the formula"),
        ("not a", "token 1: a formula cannot begin with 'not'"),
        ("( not a", "token 3: the formula does not end here"),
        ("( and a )", "token 4: ( and F ) is the right half of a formula; ( F ( and F ) ) is one"),
        ("( a and b )", "token 5: ')' closes none of"),
        ("( a ( not b ) )", "token 7: ')' closes none of"),
        (")", "token 1: ')' closes none of"),
    ],
)
def test_the_first_wrong_token_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        truth_table(text)
    assert str(caught.value).startswith(message)
