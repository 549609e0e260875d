"""Label every token of a ListOps expression with the value of its list, with one encoder or several in turn.

    python examples/tag_listops.py                           # rir-ebt-grc, two minutes
    python examples/tag_listops.py --encoders rir-ebt-grc transformer s4d --minutes 10

The labels are exact and need no annotation. Training goes through the stages of ListOps' curriculum, sums first, by
time; no expression has more than 100 tokens. The tests are near-IID, and 500 to 600 tokens. Accuracy is reported over
all tokens, and over ``]`` alone, whose label depends on the whole list.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch.nn import functional

import nestree
from nestree.data import RaggedExamples
from nestree.data.batches import budget_batches, collate
from nestree.models import ClassifierOptions
from nestree.tasks.listops import VOCABULARY, ListOps, ListOpsOptions, load_split
from nestree.tasks.listops.tags import closings, list_values

ENCODERS = {
    "rir-ebt-grc": {
        "token_rounds": 1,
        "beam_size": 3,
        "arity": 300,
        "training_arities": (30, 100),
        "partial": 0.5,
        "s4d": False,
        "noise": False,
    },
    "ebt-grc": {"token_rounds": 1, "beam_size": 3, "noise": False},
    "transformer": {"layers": 4, "heads": 4, "feedforward": 256},
    "s4d": {"layers": 4},
}
"""About 90,000 to 200,000 parameters each at width 64."""
ENDS = (0.06, 0.1, 0.25, 0.4, 1.0)
"""When the stages of the curriculum end, as shares of the training time."""


def tags(examples: RaggedExamples, indices: np.ndarray, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the labels (B, L), -100 in the padding, and which tokens are a ``]``."""
    labels = torch.full((len(indices), longest), -100)
    closes = torch.zeros(len(indices), longest, dtype=torch.bool)
    for row, index in enumerate(indices):
        (tokens,) = examples.sequences(int(index))
        labels[row, : len(tokens)] = torch.from_numpy(list_values(tokens).astype(np.int64))
        closes[row, : len(tokens)] = torch.from_numpy(closings(tokens))
    return labels, closes


def train(model: nestree.Tagger, examples: RaggedExamples, minutes: float, batch: int, rate: float, seed: int) -> None:
    """Train for ``minutes``, stage after stage of the curriculum, with some sums in each."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98))
    stages, rng = ListOpsOptions(curriculum="sums-first").stages[: len(ENDS)], np.random.default_rng(seed)
    draws = [stage.sampler(ListOps(), examples) for stage in stages]
    began, step = time.monotonic(), 0
    while (done := (time.monotonic() - began) / 60 / minutes) < 1:
        stage = next(number for number, end in enumerate(ENDS) if done < end)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50, 1.25 * (1 - done) + 0.005)
        sums = batch // 20 if stage > 0 else 0
        drawn = RaggedExamples.concatenate([draws[stage](batch - sums, rng), *([draws[0](sums, rng)] if sums else [])])
        one = collate(drawn, np.arange(batch))
        labels, closes = tags(drawn, np.arange(batch), one.tokens.shape[1])
        logits = model.train()(one.tokens, one.lengths)
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            right = (logits.argmax(-1) == labels)[closes].float().mean()
            print(f"  {done:4.0%}  step {step:5}  {stages[stage].name:12}  loss {loss:.3f}  ] {right:.1%}", flush=True)
        step += 1


@torch.no_grad()
def accuracy(model: nestree.Tagger, examples: RaggedExamples) -> tuple[float, float]:
    """Return the accuracy over all tokens, and over ``]`` alone."""
    model.eval()
    right = torch.zeros(2)
    counts = torch.zeros(2)
    for rows in budget_batches(examples.lengths, tokens=8192):
        one = collate(examples, rows)
        labels, closes = tags(examples, rows, one.tokens.shape[1])
        hit = model(one.tokens, one.lengths).argmax(-1) == labels
        for place, which in enumerate((labels >= 0, closes)):
            right[place] += hit[which].sum()
            counts[place] += which.sum()
    return tuple((right / counts).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=["rir-ebt-grc"], choices=ENCODERS)
    parser.add_argument("--minutes", type=float, default=2.0, help="training time per encoder, in minutes")
    parser.add_argument("--dim", type=int, default=64, help="width of the encoder")
    parser.add_argument("--batch", type=int, default=64, help="expressions per training step")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--train_size", type=int, default=20_000, help="number of training expressions")
    parser.add_argument("--test_size", type=int, default=500, help="number of expressions per test")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    examples = load_split("train", seed=0, size=given.train_size)
    tests = {name: load_split(name, seed=0, size=given.test_size) for name in ("near-iid", "500-600")}
    options = ClassifierOptions(input_dropout=0.0, head_dropout=0.0)
    for name in given.encoders:
        torch.manual_seed(given.seed)
        encoder = nestree.build(name, dim=given.dim, dropout=0.0, **ENCODERS[name])
        model = nestree.Tagger(encoder, vocabulary_size=len(VOCABULARY), classes=10, options=options)
        print(f"{name}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters", flush=True)
        train(model, examples, given.minutes, given.batch, given.rate, given.seed)
        for test, split in tests.items():
            every, closing = accuracy(model, split)
            print(f"{name}  {test}: {every:.1%} of tokens, {closing:.1%} of ]", flush=True)


if __name__ == "__main__":
    main()
