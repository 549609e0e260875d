"""The value of the list that each token belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from nestree.tasks.listops import encode, evaluate, load_split, operator_spans
from nestree.tasks.listops.tags import closings, list_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("7", [7]),
        ("[MAX 2 9 ]", [9, 9, 9, 9]),
        ("[SM 2 [MIN 4 7 ] 9 ]", [5, 5, 4, 4, 4, 4, 5, 5]),
        ("[MIN [SM 6 6 ] [MED 1 5 9 ] ]", [2, 2, 2, 2, 2, 5, 5, 5, 5, 5, 2]),
    ],
)
def test_values(text: str, values: list[int]) -> None:
    assert list_values(encode(text)).tolist() == values


def test_every_list_has_the_value_of_its_own_expression() -> None:
    examples = load_split("near-iid", seed=0, size=30)
    for row in range(len(examples)):
        (tokens,) = examples.sequences(row)
        values = list_values(tokens)
        assert values[0] == values[-1] == examples.labels[row]
        spans = operator_spans(tokens)
        assert closings(tokens).sum() == len(spans)
        for first, end in spans:
            assert values[first] == values[end - 1] == evaluate(np.asarray(tokens)[first:end])


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="incomplete"):
        list_values([1, 7])
