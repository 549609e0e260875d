"""Measure what docs/ideas.md and docs/results.md say about fragments and long lists.

python tools/measure_limits.py [MODEL]
"""

from __future__ import annotations

import sys

import numpy as np

import nestree
from nestree.data import RaggedExamples
from nestree.evaluation.evaluate import evaluate
from nestree.tasks.listops import encode, gold_tree, load_split
from nestree.tasks.listops import evaluate as value_of

ARITIES = (30, 50, 100, 200)
DIGITS = (4, 5, 6, 7, 8, 10, 12, 15)


def complete_parts(tokens: np.ndarray, arity: int) -> list[int]:
    """Return the number of complete parts of the gold tree in each full group of ``arity`` tokens."""
    ends = {place: [place + 1] for place in range(len(tokens))}
    for first, end in gold_tree(tokens).spans():
        ends[first].append(end)
    counts = []
    for start in range(0, len(tokens) - arity, arity):
        place, count = start, 0
        while place < start + arity:
            place = max(end for end in ends[place] if end <= start + arity)
            count += 1
        counts.append(count)
    return counts


def main(model_name: str) -> None:
    """Print both tables."""
    examples = load_split("900-1000", seed=0, size=100)
    expressions = [tokens for row in range(40) for tokens in examples.sequences(row)]
    for arity in ARITIES:
        counts = np.concatenate([complete_parts(tokens, arity) for tokens in expressions])
        print(f"{arity} tokens: {counts.mean():.1f} complete parts on average, {np.percentile(counts, 99):.0f} in 99 %")
    model, rng = nestree.load(model_name), np.random.default_rng(0)
    for operator in ("SM", "MED", "MAX", "MIN"):
        for digits in DIGITS:
            lists = [encode(f"[{operator} {' '.join(map(str, rng.integers(0, 10, digits)))} ]") for _ in range(200)]
            asked = RaggedExamples.from_sequences(lists, [value_of(one) for one in lists], name="lists")
            print(f"[{operator} of {digits} digits: {evaluate(model, asked, test='lists').total.accuracy:.0%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "listops-rir")
