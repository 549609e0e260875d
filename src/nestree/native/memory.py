"""A memory pool for the tables of searches: allocating fresh memory would cost a tenth of a training step."""

from __future__ import annotations

import math
import mmap
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_char

import torch
from torch import Tensor

MOST_KEPT = 2**30
"""Largest number of bytes kept for later searches; pages that were never written take no memory."""

_ALIGNMENT = 64


class MemoryPool:
    """Blocks of memory that return to the pool when the last tensor in them is freed."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Keep at most ``most`` bytes of free blocks."""
        self.most = most
        self.free: list[mmap.mmap] = []
        self._lock = threading.RLock()  # reentrant: garbage collection inside take() may call give_back()

    def take(self, size: int) -> Tensor:
        """Return a block of at least ``size`` bytes, uninitialized."""
        with self._lock:
            fitting = [memory for memory in self.free if len(memory) >= size]
            if fitting:
                memory = min(fitting, key=len)
                self.free = [other for other in self.free if other is not memory]
            else:
                memory = _fresh(_rounded(size))
        lent = (c_char * len(memory)).from_buffer(memory)
        weakref.finalize(lent, self.give_back, memory).atexit = False
        return torch.frombuffer(lent, dtype=torch.uint8)

    def give_back(self, memory: mmap.mmap) -> None:
        """Return a block to the pool; the oldest blocks beyond the limit are freed."""
        with self._lock:
            kept, total = [], 0
            for each in (memory, *self.free):
                total += len(each)
                if total <= self.most:
                    kept.append(each)
            self.free = kept


POOL = MemoryPool()


def allocate(*tables: tuple[Sequence[int], torch.dtype]) -> list[Tensor]:
    """Return an uninitialized tensor of each shape and dtype, all in one block of the pool."""
    sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in tables]
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    memory = POOL.take(max(1, end))
    return [
        memory[start : start + size].view(dtype).view(*shape)
        for start, size, (shape, dtype) in zip(starts, sizes, tables, strict=True)
    ]


def _fresh(size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the kernel may not support it
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _rounded(size: int) -> int:
    """Round up, so that slightly larger searches later can reuse the block."""
    step = max(mmap.PAGESIZE, 2 ** (size.bit_length() - 3))
    return -(-size // step) * step
