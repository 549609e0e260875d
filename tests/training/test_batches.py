from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data import RaggedExamples
from nestree.data.batches import EvaluationBatches, budget_batches, collate, epoch_batches
from nestree.errors import UserError
from nestree.training.stream import TrainingStream
from support.training import digits

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=120).map(np.array)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_an_epoch_has_every_example_once(lengths: np.ndarray, batch: int, window: int, epoch: int) -> None:
    batches = epoch_batches(lengths, batch=batch, window=window, seed=1, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [batch] * (len(batches) - 1)


@given(LENGTHS, st.integers(2, 9), st.integers(2, 4))
def test_a_last_batch_that_is_too_small_for_all_processes_joins_another(
    lengths: np.ndarray, batch: int, processes: int
) -> None:
    batches = epoch_batches(lengths, batch=batch, window=2, seed=1, epoch=0, least=processes)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == 1 or min(map(len, batches)) >= min(processes, batch)


def test_an_epoch_is_decided_by_seed_and_number() -> None:
    lengths = np.arange(1, 101)

    def epoch(seed: int, number: int) -> list[list[int]]:
        return [part.tolist() for part in epoch_batches(lengths, batch=8, window=3, seed=seed, epoch=number)]

    assert epoch(0, 0) == epoch(0, 0)
    assert epoch(0, 0) != epoch(0, 1)
    assert epoch(0, 0) != epoch(1, 0)


def test_a_batch_holds_similar_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 101, size=2000)

    def padding(window: int) -> float:
        batches = epoch_batches(lengths, batch=20, window=window, seed=0, epoch=0)
        return sum(len(part) * lengths[part].max() for part in batches) / lengths.sum() - 1

    assert padding(10) < 0.2 < padding(1)


def test_a_stream_goes_on_from_its_position() -> None:
    stream = TrainingStream(digits(50), batch=8, window=2, seed=0)
    first = list(islice(stream, 10))
    state = stream.state_dict()
    assert state["position"] == 10
    rest = list(islice(stream, 5))
    again = TrainingStream(digits(50), batch=8, window=2, seed=0)
    again.load_state_dict(state)
    for batch, same in zip(rest, islice(again, 5), strict=True):
        assert (batch.tokens == same.tokens).all()
        assert (batch.labels == same.labels).all()
    assert sum(len(batch.labels) for batch in first[: stream.batches_per_epoch]) == 50


@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_a_batch_are_disjoint_and_complete(processes: int) -> None:
    examples = digits(49)
    streams = [
        TrainingStream(examples, batch=8, window=2, seed=0, share=share, shares=processes) for share in range(processes)
    ]
    whole = TrainingStream(examples, batch=8, window=2, seed=0, shares=1)
    whole.shares, batches = 1, streams[0].epochs.epoch(0)
    for indices, *shares in zip(batches, *streams, strict=False):
        assert sum(len(share.labels) for share in shares) == len(indices) == shares[0].size
        together = sorted(
            row for share in shares for row in zip(share.lengths.tolist(), share.labels.tolist(), strict=True)
        )
        assert together == sorted(
            zip(examples.lengths[indices].tolist(), examples.labels[indices].tolist(), strict=True)
        )
        assert max(map(len, (share.labels for share in shares))) - min(map(len, (s.labels for s in shares))) <= 1


def test_every_process_needs_an_example() -> None:
    with pytest.raises(UserError, match="each of 3 devices"):
        TrainingStream(digits(50), batch=2, window=2, seed=0, shares=3)


@given(st.integers(3, 40), st.integers(3, 9), st.integers(1, 3), st.integers(3, 130))
def test_a_stream_ends_after_exactly_so_many_sequences(count: int, batch: int, shares: int, sequences: int) -> None:
    examples = digits(count)
    streams = [
        TrainingStream(examples, batch=batch, window=2, seed=0, share=n, shares=shares, sequences=sequences)
        for n in range(shares)
    ]
    steps = streams[0].steps
    sizes = [[len(part.labels) for part in islice(stream, steps)] for stream in streams]
    assert sum(map(sum, sizes)) == sequences
    assert min(map(min, sizes)) >= 1
    assert all(next(iter(stream), None) is None for stream in streams)
    limited = TrainingStream(examples, batch=batch, window=2, seed=0, shares=shares, sequences=sequences)
    endless = TrainingStream(examples, batch=batch, window=2, seed=0, shares=shares)
    taken = RaggedExamples.concatenate([limited.take() for _ in range(steps)])
    whole = RaggedExamples.concatenate([endless.take() for _ in range(steps + 1)])
    assert taken.checksum == whole.head(sequences).checksum


def test_a_stream_has_a_sequence_for_every_process() -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_sequences must be at least 3, one per device, not 2"):
        TrainingStream(digits(50), batch=8, window=2, seed=0, shares=3, sequences=2)


@given(LENGTHS, st.integers(1, 200))
def test_evaluation_batches_keep_to_their_budget(lengths: np.ndarray, tokens: int) -> None:
    batches = budget_batches(lengths, tokens=tokens)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens


def test_processes_share_the_evaluation() -> None:
    examples = digits(20)
    parts = [EvaluationBatches(examples, tokens=30, share=share, shares=3) for share in range(3)]
    assert sum(len(batch.labels) for part in parts for batch in part) == 20
    assert all(len(part) == len(part.batches) for part in parts)


def test_collate_pads_with_zeros() -> None:
    examples = digits(4)
    batch = collate(examples, [0, 1, 2, 3])
    assert batch.lengths.tolist() == examples.lengths.tolist()
    for row, (tokens, label) in enumerate(examples[index] for index in range(4)):
        assert batch.tokens[row].tolist() == [*tokens.tolist(), *[0] * (batch.tokens.shape[1] - len(tokens))]
        assert batch.labels[row] == label
