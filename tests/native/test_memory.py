"""Memory of the tables: lent once, given back with the last tensor, and never needed to be zero."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import nestree
from nestree.native import library, memory
from nestree.native.memory import MemoryPool

needs_library = pytest.mark.skipif(library.load() is None, reason="the compiled library is not there")


def test_memory_is_lent_again_when_the_last_tensor_in_it_is_gone() -> None:
    pool = MemoryPool()
    whole = pool.take(1000)
    begins, view = whole.data_ptr(), whole[10:20]
    del whole
    gc.collect()
    assert pool.take(1000).data_ptr() != begins  # a view lives
    del view
    gc.collect()
    assert begins in (pool.take(1000).data_ptr(), pool.take(1000).data_ptr())


def test_what_is_lent_at_once_does_not_overlap() -> None:
    pool = MemoryPool()
    for _ in range(3):
        lent = [pool.take(5000) for _ in range(4)]
        for number, tensor in enumerate(lent):
            tensor.fill_(number)
        assert [tensor.unique().tolist() for tensor in lent] == [[0], [1], [2], [3]]
        lent.clear()


def test_threads_do_not_share_memory() -> None:
    pool, barrier = MemoryPool(), threading.Barrier(4)

    def work(number: int) -> bool:
        for _ in range(50):
            barrier.wait()
            tensor = pool.take(4096)
            tensor.fill_(number)
            barrier.wait()
            if not bool((tensor == number).all()):
                return False
            del tensor
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(4)))


def test_no_more_is_kept_than_was_said() -> None:
    pool = MemoryPool(most=20_000)
    lent = [pool.take(8192) for _ in range(5)]
    del lent
    gc.collect()
    assert sum(map(len, pool.free)) <= 20_000
    assert pool.free


def test_tables_do_not_overlap_and_have_their_shapes() -> None:
    tables = memory.allocate(
        ((3, 5), torch.float64), ((0, 7), torch.float32), ((7,), torch.int64), ((2, 2), torch.float32)
    )
    assert [tuple(table.shape) for table in tables] == [(3, 5), (0, 7), (7,), (2, 2)]
    assert [table.dtype for table in tables] == [torch.float64, torch.float32, torch.int64, torch.float32]
    for number, table in enumerate(tables):
        table.fill_(number)
    assert [table.unique().tolist() for table in tables] == [[0], [], [2], [3]]


@needs_library
@pytest.mark.parametrize("name", ["ebt-grc", "rir-ebt-grc"])
def test_nothing_is_read_that_was_not_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = nestree.build(name, dim=8, beam_size=3, noise=False, dropout=0.0)
    states, lengths = torch.randn(4, 9, 8), torch.tensor([9, 1, 2, 6])

    def gradients() -> list[torch.Tensor]:
        root = encoder(states, lengths).root
        torch.manual_seed(0)
        return [root, *torch.autograd.grad((root * torch.randn_like(root)).sum(), list(encoder.parameters()))]

    def spoilt(self: MemoryPool, size: int) -> torch.Tensor:
        return take(self, size).fill_(0xFF)  # NaN, and a row before the first

    torch.manual_seed(1)
    expected = gradients()
    take = MemoryPool.take
    monkeypatch.setattr(MemoryPool, "take", spoilt)
    torch.manual_seed(1)
    for found, right in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=0)


@needs_library
def test_two_searches_and_a_second_backward_pass_keep_apart() -> None:
    encoder = nestree.build("ebt-grc", dim=8, beam_size=3, noise=False, dropout=0.0).eval()
    batches = [(torch.randn(3, 7, 8), torch.tensor([7, 4, 5])) for _ in range(2)]
    parameters = list(encoder.parameters())
    alone = [torch.autograd.grad(encoder(*batch).root.sum(), parameters) for batch in batches]
    roots = [encoder(*batch).root.sum() for batch in batches]
    for _ in range(2):
        for root, right in zip(roots, alone, strict=True):
            for found, gradient in zip(torch.autograd.grad(root, parameters, retain_graph=True), right, strict=True):
                torch.testing.assert_close(found, gradient, rtol=0, atol=0)
