"""Pairs, from their batches to the gradient: both sides in one batch, and no pair ever parted."""

from __future__ import annotations

from itertools import islice, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

import nestree
from nestree.config.options import OptimizerOptions
from nestree.data import RaggedExamples
from nestree.data.batches import Batch, EvaluationBatches, budget_batches, collate, pad
from nestree.models import ClassifierOptions
from nestree.training.module import ClassifierModule, build_optimizer
from nestree.training.stream import TrainingStream

WORDS, CLASSES = 12, 3

lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30)


def pairs(sizes: list[tuple[int, int]], seed: int = 0) -> RaggedExamples:
    """Random pairs of these lengths; the first token of each side is the example's number, to know them again."""
    rng = np.random.default_rng(seed)
    sequences = []
    for number, size in enumerate(sizes):
        for side in size:
            sequences.append(rng.integers(1, WORDS, size=side).astype(np.uint8))
            sequences[-1][0] = number % (WORDS - 1) + 1
    labels = [number % CLASSES for number in range(len(sizes))]
    return RaggedExamples.from_sequences(sequences, labels, name="pairs", sides=2)


def model(
    encoder: str = "rir-ebt-grc", *, sides: int = 2, dropout: float = 0.0, **options: object
) -> nestree.Classifier:
    """A small classifier in evaluation mode."""
    torch.manual_seed(0)
    of_encoder = {
        "rir-ebt-grc": {"arity": 3, "beam_size": 2, "dropout": dropout, "s4d_dropout": dropout},
        "transformer": {"heads": 2},
    }
    small = of_encoder.get(encoder, {})
    chosen = {"head_hidden": 5, "input_dropout": dropout, "head_dropout": dropout, **options}
    return nestree.Classifier(
        nestree.build(encoder, dim=6, **small),
        vocabulary_size=WORDS,
        classes=CLASSES,
        sides=sides,
        options=ClassifierOptions(**chosen),
    ).eval()


def rows_of(examples: RaggedExamples, batch: Batch) -> list[tuple[list[list[int]], int]]:
    """The examples of a batch, without their padding."""
    sides = [row[:end].tolist() for row, end in zip(batch.tokens, batch.lengths, strict=True)]
    return [
        (sides[at * examples.sides : (at + 1) * examples.sides], int(label)) for at, label in enumerate(batch.labels)
    ]


def rows(examples: RaggedExamples) -> list[tuple[list[list[int]], int]]:
    return [
        ([side.tolist() for side in examples.sequences(at)], int(examples.labels[at])) for at in range(len(examples))
    ]


@given(lengths)
def test_a_batch_holds_both_sides_behind_one_another(sizes: list[tuple[int, int]]) -> None:
    examples = pairs(sizes)
    batch = collate(examples, range(len(sizes)))
    assert rows_of(examples, batch) == rows(examples)
    assert batch.tokens.shape == (2 * len(sizes), max(map(max, sizes)))
    assert batch.tokens.count_nonzero() == sum(map(sum, sizes))
    assert batch.size == len(sizes)


@given(lengths, st.integers(2, 8), st.integers(1, 3), st.integers(1, 3))
def test_an_epoch_has_every_pair_once_over_all_processes(
    sizes: list[tuple[int, int]], batch: int, window: int, shares: int
) -> None:
    examples = pairs(sizes)
    shares = min(shares, batch, len(sizes))
    streams = [
        TrainingStream(examples, batch=batch, window=window, seed=5, share=share, shares=shares)
        for share in range(shares)
    ]
    steps = streams[0].batches_per_epoch
    parts = [list(islice(stream, steps)) for stream in streams]
    found = [row for part in parts for each in part for row in rows_of(examples, each)]
    assert sorted(found) == sorted(rows(examples))
    for step in range(steps):
        assert {part[step].size for part in parts} == {sum(len(part[step].labels) for part in parts)}


def test_batches_are_of_similar_longest_sides() -> None:
    rng = np.random.default_rng(0)
    examples = pairs([(int(a), int(b)) for a, b in rng.integers(1, 50, size=(600, 2))])

    def padding(window: int) -> float:
        batches = islice(TrainingStream(examples, batch=10, window=window, seed=0), 60)
        longest = [batch.tokens.shape[1] * batch.tokens.shape[0] for batch in batches]
        return sum(longest) / (2 * examples.lengths.sum()) - 1

    assert padding(10) < 0.1 < padding(1)


@given(lengths, st.integers(1, 60), st.integers(1, 3))
def test_evaluation_counts_the_tokens_of_both_sides(sizes: list[tuple[int, int]], tokens: int, shares: int) -> None:
    examples = pairs(sizes)
    found = []
    for share in range(shares):
        for batch in EvaluationBatches(examples, tokens=tokens, share=share, shares=shares):
            assert batch.tokens.numel() <= tokens or len(batch.labels) == 1
            found += rows_of(examples, batch)
    assert sorted(found) == sorted(rows(examples))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200), st.integers(1, 2))
def test_a_budget_is_filled(sizes: list[int], tokens: int, sides: int) -> None:
    """No batch could take the next example too."""
    batches = budget_batches(np.array(sizes), tokens=tokens, sides=sides)
    for batch, following in pairwise(batches):
        longest = max(sizes[index] for index in batch)
        assert (len(batch) + 1) * longest * sides > tokens
        assert max(sizes[index] for index in following) <= min(sizes[index] for index in batch)


@pytest.mark.parametrize("encoder", nestree.ENCODERS)
def test_a_side_is_encoded_as_if_alone(encoder: str) -> None:
    classifier = model(encoder)
    examples = pairs([(9, 2), (1, 7), (4, 4), (1, 1)])
    batch = collate(examples, range(4))
    together = classifier.encode(batch.tokens, batch.lengths).root
    for at, sequence in enumerate(sequence for example in range(4) for sequence in examples.sequences(example)):
        alone = classifier.encode(*pad([torch.from_numpy(sequence.astype(np.int64))])).root
        torch.testing.assert_close(together[at], alone[0], atol=1e-5, rtol=1e-5)


def test_the_head_reads_both_roots_their_product_and_their_distance() -> None:
    classifier = model()
    batch = collate(pairs([(5, 3), (2, 6)]), [0, 1])
    root = classifier.encode(batch.tokens, batch.lengths).root
    logits = classifier(batch.tokens, batch.lengths)
    assert logits.shape == (2, CLASSES)
    for example in range(2):
        u, v = root[2 * example], root[2 * example + 1]
        features = [
            *u,
            *v,
            *(a * b for a, b in zip(u, v, strict=True)),
            *(abs(a - b) for a, b in zip(u, v, strict=True)),
        ]
        torch.testing.assert_close(logits[example], classifier.head(torch.stack(features)[None])[0])


def test_turning_a_pair_round_swaps_what_the_head_reads() -> None:
    classifier = model(head_hidden=None)
    batch = collate(pairs([(5, 3)]), [0])
    (layer,) = [part for part in classifier.head.modules() if isinstance(part, torch.nn.Linear)]
    turned = classifier(batch.tokens.flip(0), batch.lengths.flip(0))
    with torch.no_grad():
        first, second, *rest = layer.weight.split(6, dim=1)
        layer.weight.copy_(torch.cat([second, first, *rest], dim=1))
    torch.testing.assert_close(classifier(batch.tokens, batch.lengths), turned)


def test_half_a_pair_and_other_sides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tokens must have an even number of rows, .* not 3"):
        model()(*pad([torch.tensor([1, 2])] * 3))
    with pytest.raises(ValueError, match="sides must be 1 or 2, not 3"):
        model(sides=3)


class Step(ClassifierModule):
    """A module that makes gradients without a trainer's help."""

    def __init__(self, classifier: nestree.Classifier, *, micro_batch: int | None, world_size: int) -> None:
        super().__init__(classifier, classes=CLASSES, options=OptimizerOptions(clip=None), micro_batch=micro_batch)
        self._world_size = world_size
        self._nothing = SimpleNamespace(zero_grad=lambda: None, step=lambda: None, param_groups=[{"lr": 1.0}])

    @property
    def trainer(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        return SimpleNamespace(world_size=self._world_size)

    def optimizers(self, use_pl_optimizer: bool = True):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._nothing

    def lr_schedulers(self) -> None:
        return None

    def manual_backward(self, loss: torch.Tensor, *args: object, **kwargs: object) -> None:
        loss.backward()


@pytest.mark.parametrize("examples", [pairs([(5, 3), (2, 6), (1, 1), (7, 7), (3, 9), (4, 2), (8, 1)])])
@pytest.mark.parametrize("shares", [1, 2, 3])
@pytest.mark.parametrize("micro_batch", [None, 1, 2, 5])
def test_shares_and_micro_batches_make_the_gradient_of_the_whole(
    examples: RaggedExamples, shares: int, micro_batch: int | None
) -> None:
    classifier = model()
    whole = collate(examples, range(len(examples)))
    loss = functional.cross_entropy(classifier(whole.tokens, whole.lengths), whole.labels)
    wanted = torch.autograd.grad(loss, list(classifier.parameters()), allow_unused=True)
    sums = [torch.zeros_like(parameter) for parameter in classifier.parameters()]
    losses, passes = [], []
    for share in range(shares):
        part = collate(examples, np.arange(share, len(examples), shares), size=len(examples))
        step = Step(classifier, micro_batch=micro_batch, world_size=shares)
        micro = step._micro_batches(part)
        passes.append(len(micro))
        found = [
            row for tokens, lengths, labels in micro for row in rows_of(examples, Batch(tokens, lengths, labels, 0))
        ]
        assert found == rows_of(examples, part)
        for tokens, lengths, labels in micro:
            assert tokens.shape == (2 * len(labels), int(lengths.max()))
            assert len(labels) <= (micro_batch or len(part.labels)) or micro_batch == 1
        classifier.zero_grad()
        losses.append(step.training_step(part, 0)["loss"])
        for total, parameter in zip(sums, classifier.parameters(), strict=True):
            assert parameter.grad is not None
            total += parameter.grad / shares  # as DistributedDataParallel does
    assert len(set(passes)) == 1
    torch.testing.assert_close(torch.stack(losses).mean(), loss)
    for total, gradient in zip(sums, wanted, strict=True):
        gradient = torch.zeros_like(total) if gradient is None else gradient
        torch.testing.assert_close(total, gradient, atol=1e-6, rtol=1e-4)


def test_every_parameter_gets_a_gradient_from_pairs() -> None:
    classifier = model(embedding_dim=4).train()
    batch = collate(pairs([(5, 3), (2, 6), (9, 9)]), range(3))
    classifier(batch.tokens, batch.lengths).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.ne(0).any()), name


def test_an_embedding_of_another_width_is_projected() -> None:
    classifier = model("grc", embedding_dim=4, sides=1)
    assert classifier.embedding.weight.shape == (WORDS, 4)
    tokens, sizes = pad([torch.tensor([1, 2, 3]), torch.tensor([4])])
    states = classifier.embedding.weight[tokens] @ classifier.projection.weight.T + classifier.projection.bias
    torch.testing.assert_close(classifier.encode(tokens, sizes).root, classifier.encoder(states, sizes).root)
    same_width = model("grc", embedding_dim=6, sides=1)
    assert isinstance(same_width.projection, torch.nn.Linear)
    assert not list(model("grc", sides=1).projection.parameters())


def test_word_vectors_go_to_the_words_they_are_of() -> None:
    classifier = model("grc", embedding_dim=4)
    before = classifier.embedding.weight.detach().clone()
    matrix = np.arange(40, dtype=np.float32).reshape(10, 4) + 1
    known = np.arange(10) % 3 == 0
    classifier.set_embedding(matrix, known)
    for row in range(WORDS):
        word = row - (WORDS - 10)  # padding and the unknown word come before the words
        wanted = torch.from_numpy(matrix[word]) if word >= 0 and known[word] else before[row]
        assert torch.equal(classifier.embedding.weight[row].detach(), wanted)
    assert classifier.embedding.weight.requires_grad
    classifier.set_embedding(matrix, np.zeros(10, bool))
    with pytest.raises(ValueError, match="embedding_dim must be 3, the width of the word vectors, not 4"):
        classifier.set_embedding(matrix[:, :3], known)
    with pytest.raises(ValueError, match="matrix must have at most 12 rows"):
        classifier.set_embedding(np.zeros((13, 4), np.float32), np.ones(13, bool))
    with pytest.raises(ValueError, match="known the same number, not 10 and 9"):
        classifier.set_embedding(matrix, known[:9])


def test_an_embedding_that_is_not_trained_stays_as_it_began() -> None:
    classifier = model("grc", embedding_dim=4, train_embedding=False)
    before = {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
    optimizer = build_optimizer(classifier, OptimizerOptions(learning_rate=0.1, weight_decay=0.5))
    assert all(
        parameter is not classifier.embedding.weight
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    step = Step(classifier.train(), micro_batch=2, world_size=1)
    step._nothing = optimizer
    batch = collate(pairs([(5, 3), (2, 6), (9, 9)]), range(3))
    for number in range(7):  # Lookahead moves the weights at the fifth
        step.training_step(batch, number)
    assert classifier.embedding.weight.grad is None
    for name, parameter in classifier.named_parameters():
        assert torch.equal(parameter, before[name]) == (name == "embedding.weight"), name
    assert classifier.parameter_count() == sum(p.numel() for p in classifier.parameters()) - 4 * WORDS
