"""Drawing ListOps expressions from the grammar of Nangia and Bowman (2018), optionally with a given length.

A node above the maximal depth is an operator with probability 1/4, with a uniform number of arguments, else a digit;
nodes at the maximal depth are digits. Operators and digits are uniform.

The number of tokens of an expression is that of a branching process. f_d(n), the probability that a node at depth d
has n tokens, is computed from the maximal depth D upwards:

    f_D(n) = [n = 1]
    f_d(n) = 3/4 [n = 1] + 1/4 * mean over k of (f_{d+1} * ... * f_{d+1})(n - 2)      k factors, convolved

An expression with a length in a given range is then drawn from the top: its length from f_1 within the range; for each
operator, the number of its arguments in proportion to the k-fold convolutions at the number of tokens that they share;
then the arguments' lengths one after another. This is exactly the distribution of rejection sampling, which at 9,500
tokens would accept one expression in 1e41.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestree.data import RaggedExamples, offsets_of
from nestree.errors import OptionError
from nestree.tasks.listops.expression import CLOSE, FIRST_DIGIT, FIRST_OPERATOR, MAX, MED, MIN, OPERATORS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NEGLIGIBLE = 1e-150
"""Tilted probabilities below this are set to 0: products of two are then never denormal, which would be slow."""
_TABLE_LENGTH = 192
"""Shared lengths below this, which are frequent, are looked up in tables."""


@dataclass(frozen=True)
class Grammar:
    """A distribution of expressions.

    Args:
        depth: Nodes at this depth are digits; the root is at depth 1.
        max_args: Operators have 2 to ``max_args`` arguments.
        operator_probability: Probability that a node above the maximal depth is an operator.

    Raises:
        ValueError: An option is out of range.
    """

    depth: int = 20
    max_args: int = 5
    operator_probability: float = 0.25

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise OptionError("depth", f"must be at least 1, not {self.depth}")
        if self.max_args < 2:
            raise OptionError("max_args", f"must be at least 2, not {self.max_args}")
        if not 0 < self.operator_probability < 1:
            raise OptionError("operator_probability", f"must be between 0 and 1, not {self.operator_probability}")


class LengthLaw:
    """The probabilities f_d(n) of a grammar, for drawing expressions with a length in a range.

    They are stored *tilted*, as f_d(n) z^n, which does not change conditional probabilities. z is chosen so that the
    tilted mean length is in the middle of the range; the relevant numbers are then of order one, at any length.
    Convolutions are direct, since the rounding errors of a Fourier transform would be larger than rare probabilities.

    Cost: time O(depth * max_args * longest^2), 1 s for 10,000 tokens; memory O(depth * max_args * longest).

    Args:
        grammar: The grammar.
        shortest: Minimal length of an expression, tokens.
        longest: Maximal length of an expression, tokens, inclusive.

    Raises:
        ValueError: The range is empty, or the grammar has no expression with a length in it.
    """

    def __init__(self, grammar: Grammar, shortest: int, longest: int) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"shortest and longest must be 1 <= shortest <= longest, not {shortest} and {longest}")
        self.grammar = grammar
        self.shortest, self.longest = shortest, longest
        self.log_tilt = _log_tilt(grammar, (shortest + longest) / 2)
        digit = np.zeros(longest + 1)
        digit[1] = math.exp(self.log_tilt)
        shared = math.exp(2 * self.log_tilt) * grammar.operator_probability / (grammar.max_args - 1)
        self._nodes = {grammar.depth: digit}
        # self._shared[d][k - 1][m]: probability that the k arguments of an operator at depth d have m tokens in total.
        self._shared: dict[int, Floats] = {}
        for depth in range(grammar.depth - 1, 0, -1):
            below = self._nodes[depth + 1]
            powers = [below]
            for _ in range(grammar.max_args - 1):
                powers.append(_convolve(powers[-1], below))
            self._shared[depth] = np.stack(powers)
            node = (1 - grammar.operator_probability) * digit
            node[2:] += shared * self._shared[depth][1:, :-2].sum(axis=0)
            self._nodes[depth] = np.where(node < _NEGLIGIBLE, 0, node)
        self._tables: dict[tuple[int, int], Floats] = {}
        if not self._nodes[1][shortest:].any():
            raise OptionError(
                "shortest",
                f"must allow an expression: there is none of {shortest} to {longest} tokens with depth "
                f"{grammar.depth} and at most {grammar.max_args} arguments",
            )
        untilted = self.log_probability(1)[shortest:]
        self._roots = np.cumsum(np.exp(untilted - untilted.max()))

    def log_probability(self, depth: int) -> Floats:
        """Return the natural logarithm of f_d(n) for n = 0..longest, shape (longest + 1,); -inf for probability 0."""
        with np.errstate(divide="ignore"):
            return np.log(self._nodes[depth]) - self.log_tilt * np.arange(self.longest + 1, dtype=np.float64)

    def draw_roots(self, count: int, rng: np.random.Generator, *, uniform: bool = False) -> Ints:
        """Draw the lengths of ``count`` expressions, or draw them uniformly from all possible lengths."""
        if uniform:
            there = self.shortest + np.flatnonzero(self._nodes[1][self.shortest :])
            return there[rng.integers(len(there), size=count)]
        return self.shortest + _invert(self._roots, rng.random(count))

    def draw_arities(self, depth: int, shared: Ints, rng: np.random.Generator) -> Ints:
        """Draw the numbers of arguments of operators at ``depth``, given the total length of each one's arguments."""
        weights = np.cumsum(self._shared[depth][1:, shared], axis=0)
        aims = _below(rng.random(len(shared)), weights[-1])
        return 2 + (weights <= aims).sum(axis=0)

    def draw_children(self, depth: int, shared: Ints, arities: Ints, rng: np.random.Generator) -> Ints:
        """Draw the lengths of the arguments of operators at ``depth``, given their total lengths and numbers.

        Returns:
            The lengths of all arguments, ordered by operator, shape (arities.sum(),).
        """
        lengths = np.empty(int(arities.sum()), dtype=np.int64)
        ends = np.cumsum(arities)
        left = shared.copy()
        for waiting in range(self.grammar.max_args, 1, -1):
            active = np.flatnonzero(arities >= waiting)
            drawn = self._draw_first(depth, waiting, left[active], rng.random(len(active)))
            lengths[ends[active] - waiting] = drawn
            left[active] -= drawn
        lengths[ends - 1] = left
        return lengths

    def _draw_first(self, depth: int, waiting: int, left: Ints, uniform: Floats) -> Ints:
        """Draw the length of the first of ``waiting`` arguments with ``left`` tokens in total."""
        first, rest = self._nodes[depth + 1], self._shared[depth][waiting - 2]
        drawn = np.empty(len(left), dtype=np.int64)
        small = left < _TABLE_LENGTH
        drawn[small] = _invert_rows(self._table(depth, waiting), left[small], uniform[small])
        for index in np.flatnonzero(~small).tolist():
            total = left[index]
            drawn[index] = _invert(np.cumsum(first[: total + 1] * rest[total::-1]), uniform[index])
        return drawn

    def _table(self, depth: int, waiting: int) -> Floats:
        """Return cumulative weights, by total length (row) and length of the first argument (column)."""
        if (depth, waiting) not in self._tables:
            size = min(_TABLE_LENGTH, self.longest + 1)
            first, rest = self._nodes[depth + 1][:size], self._shared[depth][waiting - 2][:size]
            others = np.arange(size)[:, None] - np.arange(size)
            weights = np.where(others >= 0, first * rest[others], 0)
            self._tables[depth, waiting] = np.cumsum(weights, axis=1)
        return self._tables[depth, waiting]


def sample(grammar: Grammar, count: int, rng: np.random.Generator) -> RaggedExamples:
    """Draw ``count`` expressions of any length, independently."""
    arities: list[Ints] = []
    nodes = count
    for depth in range(1, grammar.depth + 1):
        uniform = rng.random(nodes) if depth < grammar.depth else np.ones(nodes)
        # For operators, uniform / probability is uniform again.
        chosen = 2 + (uniform / grammar.operator_probability * (grammar.max_args - 1)).astype(np.int64)
        chosen = np.minimum(chosen, grammar.max_args)  # against rounding
        arities.append(np.where(uniform < grammar.operator_probability, chosen, 0))
        nodes = int(arities[-1].sum())
    return _assemble(arities, rng)


def sample_within(
    law: LengthLaw,
    count: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    uniform_lengths: bool = False,
) -> RaggedExamples:
    """Draw ``count`` independent expressions with lengths in the law's range, distributed as by rejection sampling.

    Args:
        law: Grammar and range of lengths.
        count: Number of expressions.
        rng: Random number generator.
        weights: Weights of the operators in order, shape (4,); None for equal weights.
        uniform_lengths: Draw all possible lengths in the range equally often; the distribution given the length is the
            same.
    """
    arities: list[Ints] = []
    lengths = law.draw_roots(count, rng, uniform=uniform_lengths)
    for depth in range(1, law.grammar.depth + 1):
        operators = np.flatnonzero(lengths > 1)
        shared = lengths[operators] - 2
        arities.append(np.zeros(len(lengths), dtype=np.int64))
        if len(operators) == 0:
            break
        chosen = law.draw_arities(depth, shared, rng)
        arities[-1][operators] = chosen
        lengths = law.draw_children(depth, shared, chosen, rng)
    return _assemble(arities, rng, weights)


def _assemble(arities: list[Ints], rng: np.random.Generator, weights: Floats | None = None) -> RaggedExamples:
    """Draw operators and digits for trees of known shape, evaluate them, and return their tokens.

    Args:
        arities: For each depth from the root down, the number of arguments of each node, 0 for a digit; the nodes of
            one depth are in the order of their parents.
        rng: Random number generator.
        weights: Weights of the operators; None for equal weights.
    """
    bounds = np.cumsum(np.ones(len(OPERATORS)) if weights is None else weights)
    lengths, values, symbols = np.empty(0, np.int64), np.empty(0, np.int64), []
    befores: list[Ints] = []  # for each depth, the number of tokens of all earlier nodes there, by node
    for arity in reversed(arities):
        # For each node here: the number of earlier nodes one level down, and of their tokens.
        children, before = offsets_of(arity), offsets_of(lengths)
        uniform = rng.random(len(arity))
        digits = (uniform * 10).astype(np.int64)
        operators = FIRST_OPERATOR + _invert(bounds, uniform)
        values = np.where(arity > 0, _apply(operators, arity, values), digits)
        lengths = np.where(arity > 0, 2 + np.diff(before[children]), 1)
        symbols.append(np.where(arity > 0, operators, FIRST_DIGIT + digits))
        befores.append(before)
    offsets = offsets_of(lengths)
    tokens = np.empty(offsets[-1], dtype=np.uint8)
    starts = offsets[:-1]
    for arity, symbol, before in zip(arities, reversed(symbols), reversed(befores), strict=True):
        children = offsets_of(arity)
        spans = np.diff(before[children])
        tokens[starts] = symbol
        is_operator = arity > 0
        tokens[(starts + spans + 1)[is_operator]] = CLOSE
        starts = np.repeat(starts + 1 - before[children[:-1]], arity) + before[:-1]
    return RaggedExamples(tokens, offsets, values, name="listops")


def _apply(operators: Ints, arities: Ints, values: Ints) -> Ints:
    """Apply each operator to the values of its arguments, which are concatenated; results for digits are arbitrary."""
    owners = np.repeat(np.arange(len(arities)), arities)
    counts = np.bincount(owners * 10 + values, minlength=10 * len(arities)).reshape(-1, 10)
    at_most = np.cumsum(counts, axis=1)

    def ranked(rank: Ints) -> Ints:  # the value with this rank, from 0, in ascending order
        return (at_most <= rank[:, None]).sum(axis=1)

    median = (ranked((arities - 1) // 2) + ranked(arities // 2)) // 2
    total = counts @ np.arange(10)
    return np.select(
        [operators == MIN, operators == MAX, operators == MED],
        [ranked(np.zeros_like(arities)), ranked(arities - 1), median],
        total % 10,
    )


def _log_tilt(grammar: Grammar, mean: float) -> float:
    """Return ln z such that expressions weighted by z^length have this mean length, or the closest possible one."""
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _tilted_mean(grammar, middle) < mean else (low, middle)
    return low


def _tilted_mean(grammar: Grammar, log_tilt: float) -> float:
    """Return the mean length of expressions weighted by z^length; infinity on overflow.

    The generating function of the lengths at depth d is F_d(z) = 3/4 z + 1/4 z^2 mean_k F_{d+1}(z)^k; the mean is
    z F_1'(z) / F_1(z).
    """
    tilt = math.exp(log_tilt)
    arities = range(2, grammar.max_args + 1)
    shared = grammar.operator_probability / len(arities) * tilt**2
    total, slope = tilt, tilt
    try:
        for _ in range(grammar.depth - 1):
            powers = [total**k for k in arities]
            slopes = [k * total ** (k - 1) * slope for k in arities]
            alone = (1 - grammar.operator_probability) * tilt
            slope = alone + shared * (2 * sum(powers) + sum(slopes))
            total = alone + shared * sum(powers)
        mean = slope / total
    except OverflowError:
        return math.inf
    return mean if math.isfinite(mean) else math.inf


def _convolve(left: Floats, right: Floats) -> Floats:
    """Convolve directly, cut to the length of ``left``, and set negligible numbers to 0."""
    result = np.zeros_like(left)
    short, long = np.trim_zeros(left, "b"), np.trim_zeros(right, "b")
    if len(short) and len(long):
        product = np.convolve(short, long)[: len(left)]
        result[: len(product)] = np.where(product < _NEGLIGIBLE, 0, product)
    return result


def _below(uniform: Floats | float, total: Floats) -> Floats:
    """Scale uniform numbers in [0, 1) to [0, total), excluding the total despite rounding."""
    return np.minimum(uniform * total, np.nextafter(total, 0))


def _invert(cumulative: Floats, uniform: Floats | float) -> Ints:
    """Draw indices in proportion to weights, given their cumulative sum."""
    return np.searchsorted(cumulative, _below(uniform, cumulative[-1]), side="right")


def _invert_rows(cumulative: Floats, rows: Ints, uniform: Floats) -> Ints:
    """Like ``_invert``, with a row of cumulative sums for each draw, by bisection."""
    aims = _below(uniform, cumulative[rows, -1])
    low = np.zeros(len(rows), dtype=np.int64)
    high = np.full(len(rows), cumulative.shape[1] - 1)
    for _ in range(cumulative.shape[1].bit_length()):
        middle = (low + high) // 2
        beyond = cumulative[rows, middle] > aims
        low, high = np.where(beyond, low, np.minimum(middle + 1, high)), np.where(beyond, middle, high)
    return low
