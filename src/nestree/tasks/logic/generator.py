"""Pairs of formulas, drawn from a seed to resemble the official ones (Bowman et al. 2015).

A pair with N operators is drawn as follows:

- Four of the six variables are chosen; the official pairs have at most four.
- One side, left or right, has N operators. The other has n of 0..N, with the weights [`SHORTER`][], which are the
  frequencies in the official files with 5 to 9 operators.
- A formula of n operators is a variable (n = 0), or begins with ``not`` (probability 0.7 for n = 1, else 0.3), or with
  ``and`` or ``or``; the remaining operators are then divided uniformly at random between its two sides.
- Formulas that are always true or always false, and duplicate pairs, are rejected.

The label is computed from the truth tables. Frequencies of the labels in the 121,978 training pairs (up to 6 operators,
seed 0): # 53.9 %, < 11.4 %, > 11.5 %, | 9.7 %, v 9.6 %, = 2.2 %, ^ 1.7 %. In the official files: # 54.3 %, < 10.6 %,
> 10.7 %, | and v 10.2 %, = 2.1 %, ^ 1.9 %.
"""

from __future__ import annotations

import random

from nestree.errors import OptionError
from nestree.tasks.logic.formula import EVERYWHERE, VARIABLES, relation, truth_table

GENERATOR_VERSION = 1
"""Increased whenever a seed's pairs change; cached files of another version are replaced."""

SHORTER = (0.440, 0.262, 0.071, 0.058, 0.050, 0.052, 0.047, 0.035, 0.022, 0.013, 0.008, 0.003, 0.002)
"""Weights of the number of operators in the shorter side."""

TRAIN_SIZES = (30, 2_319, 12_451, 23_252, 30_373, 34_152, 32_952, 26_671, 18_962, 12_634, 8_181, 4_894, 4_831)
"""Number of pairs by operators in the official train0 to train12."""

TEST_SIZES = (6, 410, 2_198, 4_104, 5_361, 6_027, 5_816, 4_707, 3_347, 2_230, 1_444, 864, 853)
"""Number of pairs by operators in the official test0 to test8; from 9 on, in the same proportion to training pairs."""

NAMES: list[str] = list(VARIABLES)

Pair = tuple[str, str, str]
"""(relation, left, right)"""


def draw_pairs(count: int, size: int, seed: int) -> list[Pair]:
    """Draw ``size`` distinct pairs whose longer side has ``count`` operators, the same for the same seed.

    Raises:
        ValueError: ``count`` is not between 0 and 12, or there are not enough distinct pairs.
    """
    if not 0 <= count < len(SHORTER):
        raise OptionError("count", f"must be from 0 to {len(SHORTER) - 1} operators, not {count}")
    rng = random.Random(f"nestree logic {GENERATOR_VERSION} {seed} {count}")
    pairs: dict[tuple[str, str], str] = {}
    tries = 0
    while len(pairs) < size:
        tries += 1
        if tries > 1_000 + 200 * size:
            raise ValueError(f"there are not {size} distinct pairs of {count} operators")
        names = rng.sample(NAMES, 4)
        (shorter,) = rng.choices(range(count + 1), SHORTER[: count + 1])
        sides = [count, shorter]
        rng.shuffle(sides)
        left, right = (_formula(rng, side, names) for side in sides)
        if (left, right) not in pairs:
            pairs[left, right] = relation(truth_table(left), truth_table(right))
    return [(label, left, right) for (left, right), label in pairs.items()]


def split_pairs(count: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Return disjoint training and test pairs with ``count`` operators."""
    train = TRAIN_SIZES[count]
    pairs = draw_pairs(count, train + TEST_SIZES[count], seed)
    random.Random(f"nestree logic split {seed} {count}").shuffle(pairs)  # the first pairs drawn are the common ones
    return pairs[:train], pairs[train:]


def _formula(rng: random.Random, count: int, names: list[str]) -> str:
    """Draw a formula that is neither always true nor always false."""
    while True:
        formula = _any_formula(rng, count, names)
        if 0 < truth_table(formula) < EVERYWHERE:
            return formula


def _any_formula(rng: random.Random, count: int, names: list[str]) -> str:
    if count == 0:
        return rng.choice(names)
    if rng.random() < (0.7 if count == 1 else 0.3):
        return f"( not {_any_formula(rng, count - 1, names)} )"
    left = rng.randrange(count)
    operator = rng.choice(("and", "or"))
    first, second = _any_formula(rng, left, names), _any_formula(rng, count - 1 - left, names)
    return f"( {first} ( {operator} {second} ) )"
