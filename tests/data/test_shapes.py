"""Shapes of JSON values: what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from nestree.data.shapes import COUNT, COUNTED, SHARE, TEXT, check_shape
from nestree.errors import UserError

SHAPE = {"name": TEXT, "share?": SHARE, "pairs?": [(TEXT, COUNT)], "any?": {str: {"n": COUNT}}, "counted?": COUNTED}


def test_values_of_the_shape_pass_and_other_names_are_ignored() -> None:
    values = {"name": "a", "share": None, "pairs": [["b", 3]], "any": {"x": {"n": 0}}, "later": object()}
    check_shape({**values, "counted": {"correct": 1, "examples": 9, "right": "8000"}}, SHAPE, "file.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": 3}, "name must be a text, not 3"),
        ({"name": None}, "name must be a text, not None"),
        ({"share": 1.5}, "share must be a number from 0 to 1, not 1.5"),
        ({"pairs": {}}, "pairs must be a list, not {}"),
        ({"pairs": [["b", 3], ["b"]]}, r"pairs\[1\] must be a list of 2"),
        ({"pairs": [["b", True]]}, r"pairs\[0\]\[1\] must be an integer from 0"),
        ({"pairs": [["b", 10**5000]]}, ".*, not a number of 16610 bits"),
        ({"any": {"x": {}}}, "any.x.n is missing"),
        ({"any": []}, "any must be an object"),
        ({"counted": {"correct": 2, "examples": 1}}, "counted has 2 correct answers to 1 examples"),
        ({"counted": {"correct": 1, "examples": 9, "right": "80"}}, "counted has 8 bits for 9 examples"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=rf"file\.json: damaged, {said}"):
        check_shape({"name": "a", **changed}, SHAPE, "file.json")
