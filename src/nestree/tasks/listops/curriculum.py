"""Curricula of ListOps: simpler expressions before the training split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestree.checks import check_at_least
from nestree.data import RaggedExamples
from nestree.errors import OptionError, within
from nestree.tasks.base import SECTION
from nestree.tasks.listops.expression import OPERATORS
from nestree.tasks.listops.sampler import Grammar, LengthLaw, sample_within
from nestree.tasks.listops.splits import POOLED, PUBLISHED, SPLITS
from nestree.tasks.stages import TRAIN, Sampler, Stage, stage_error

if TYPE_CHECKING:
    from nestree.tasks.base import Task

NAMES = tuple(operator.removeprefix("[") for operator in OPERATORS)

MOST_TOKENS = (SPLITS["train"].lengths or (0, 0))[1]
"""Maximal length of a stage's expressions, tokens: that of the training split."""

HELD_OUT = tuple(name for name in POOLED if name != "train")
"""Splits whose expressions no stage may draw."""

_MOST_ROUNDS = 100


MOST_DEPTH = 1_000
"""Maximal depth, and number of arguments of an operator."""


@dataclass(frozen=True)
class ListOpsStage(Stage):
    """A stage with its own distribution of expressions; options that are not set are as in the training split.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    operators: Mapping[str, float] | None = None
    """Weights of the operators, such as {SM: 3, MIN: 1}; others are not drawn. None: equal weights."""
    depth: int | None = None
    """Maximal number of nested operators; 1 allows only flat lists."""
    max_args: int | None = None
    """Maximal number of arguments per operator."""
    operator_probability: float = PUBLISHED.operator_probability
    """Probability that a node is an operator, above the maximal depth."""
    shortest: int = 1
    """Minimal length, tokens."""
    longest_tokens: int = MOST_TOKENS
    """Maximal length, tokens. Lengths in between have the distribution of the grammar."""
    uniform_lengths: bool = False
    """Draw all possible lengths in the range equally often instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.operators is not None:
            _check_weights(self.operators)
        for name, least in (("depth", 1), ("max_args", 2)):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), least, MOST_DEPTH)
        check_at_least("shortest", self.shortest, 1)
        if check_at_least("longest_tokens", self.longest_tokens, self.shortest) > MOST_TOKENS:
            raise OptionError(
                "longest_tokens", f"must be at most {MOST_TOKENS}, as in the training split, not {self.longest_tokens}"
            )
        if not isinstance(self.uniform_lengths, bool):
            raise OptionError("uniform_lengths", f"must be true or false, not {self.uniform_lengths!r}")
        if not isinstance(self.operator_probability, float) or not 0 < self.operator_probability < 1:
            raise OptionError("operator_probability", f"must be between 0 and 1, not {self.operator_probability!r}")

    @property
    def most_tokens(self) -> int:
        """Length of the longest expression, tokens."""
        return self.longest_tokens

    def check(self, grammar: Grammar) -> None:
        """Check that the stage's expressions exist and are possible in the training split's grammar.

        Raises:
            ValueError: they are not; names the option.
        """
        if self.depth is not None and self.depth >= grammar.depth:
            raise OptionError(
                "depth", f"must be at most {grammar.depth - 1}, as in the training split, not {self.depth}"
            )
        if self.max_args is not None and self.max_args > grammar.max_args:
            raise OptionError(
                "max_args", f"must be at most {grammar.max_args}, as in the training split, not {self.max_args}"
            )
        self.law(grammar)

    def law(self, grammar: Grammar) -> LengthLaw:
        """Return the distribution of the lengths.

        Args:
            grammar: grammar of the training split.

        Raises:
            ValueError: no expression has such a length.
        """
        depth = grammar.depth if self.depth is None else self.depth + 1
        own = Grammar(depth, self.max_args or grammar.max_args, self.operator_probability)
        return LengthLaw(own, self.shortest, self.longest_tokens)

    def sampler(self, task: Task, train: RaggedExamples) -> Sampler:
        """Return the sampler of the stage's expressions, without those in the validation and near-iid splits.

        The sampler raises a UserError if nearly all of the stage's expressions are in these splits.
        """
        law = self.law(getattr(task, "grammar", PUBLISHED))
        held_out = {row for split in HELD_OUT for row in _rows(task.load(split))}
        weights = None if self.operators is None else np.array([self.operators.get(name, 0.0) for name in NAMES], float)

        def draw(count: int, rng: np.random.Generator) -> RaggedExamples:
            parts: list[RaggedExamples] = []
            for _ in range(_MOST_ROUNDS):
                missing = count - sum(map(len, parts))
                drawn = sample_within(law, missing, rng, weights=weights, uniform_lengths=self.uniform_lengths)
                parts.append(drawn.select(np.array([row not in held_out for row in _rows(drawn)], bool)))
                if len(parts[-1]) == missing:
                    return RaggedExamples.concatenate(parts)
            with within(SECTION):
                raise stage_error(self.name, "nearly all of its expressions are held out")

        return draw


def _rows(examples: RaggedExamples) -> Iterator[bytes]:
    """Yield the tokens of each expression."""
    content = examples.tokens.tobytes()
    return (content[first:end] for first, end in itertools.pairwise(examples.offsets.tolist()))


def _check_weights(operators: object) -> None:
    if not isinstance(operators, Mapping) or not operators:
        raise OptionError("operators", f"must be weights by name, as {{SM: 3, MIN: 1}}, not {operators!r}")
    for name, weight in operators.items():
        if name not in NAMES:
            raise OptionError("operators", f"must be of {', '.join(NAMES)}, not {name!r}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise OptionError(f"operators {name}", f"must be a number of at least 0, not {weight!r}")
    if sum(operators.values()) <= 0:
        raise OptionError("operators", "must have a weight above 0")


def _sums_first() -> tuple[ListOpsStage, ...]:
    """Return the stages of a curriculum that begins with the sum modulo 10.

    Trained together with the other operators, the sum stays at chance: it needs the digits on a circle, the others need
    them in order. The first stage has a lower rate, as training at the full rate may get stuck with half of the sums
    learned; later stages rehearse sums. It folds along random trees: any order of merges can sum digits, and a model
    that has learned to sum from left to right may keep that order in nested lists, where it is wrong. Nested lists
    follow, short because the longest expression decides the time of a step, and deep because the wrong order fails
    there. All lengths, half of them from the training split, last to the end: of the training split alone, few
    expressions are long enough to be cut into groups.
    """
    return (
        ListOpsStage(
            "sums", mark=0.95, longest=0.03, otherwise="again", rate=0.5,
            search={"beam_size": 1, "noise": True}, operators={"SM": 1}, depth=1, shortest=4, longest_tokens=7,
        ),
        ListOpsStage(
            "flat lists", mark=0.92, longest=0.06,
            operators={"SM": 3, "MIN": 1, "MAX": 1, "MED": 1}, depth=1, shortest=4, longest_tokens=7,
        ),
        ListOpsStage(
            "nested", mark=0.88, longest=0.2, also={"sums": 0.1},
            depth=6, max_args=3, operator_probability=0.5, shortest=7, longest_tokens=16,
        ),
        ListOpsStage(
            "longer", mark=0.9, longest=0.15, also={"sums": 0.05},
            depth=4, operator_probability=0.35, shortest=7, longest_tokens=40,
        ),
        ListOpsStage("all lengths", mark=1.0, longest=1.0, also={TRAIN: 0.5}, shortest=7, uniform_lengths=True),
        ListOpsStage(TRAIN),
    )  # fmt: skip


CURRICULA = {"sums-first": _sums_first()}
"""Curricula by name, for ``--data.curriculum``."""
