"""Room for the tables of a search, taken over from earlier ones: fresh memory costs a tenth of a training step."""

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
"""Bytes that are kept for later searches, at most; the part of them that was never written takes no memory."""

_ALIGNMENT = 64


class MemoryPool:
    """Memory that is lent, and taken back when the last tensor in it is gone."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Keep at most so many bytes."""
        self.most = most
        self.free: list[mmap.mmap] = []
        self._lock = threading.RLock()  # collecting garbage may give memory back in the middle of a take

    def take(self, size: int) -> Tensor:
        """Return at least ``size`` bytes, whatever is in them."""
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
        """Keep the memory, the latest first; what is too much is freed."""
        with self._lock:
            kept, total = [], 0
            for each in (memory, *self.free):
                total += len(each)
                if total <= self.most:
                    kept.append(each)
            self.free = kept


POOL = MemoryPool()


def allocate(*tables: tuple[Sequence[int], torch.dtype]) -> list[Tensor]:
    """Return a tensor of each shape and type, whatever is in it; together they take one piece of memory."""
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
        with suppress(OSError):  # a kernel may do without
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _rounded(size: int) -> int:
    """Return a size that later, slightly larger searches fit into as well."""
    step = max(mmap.PAGESIZE, 2 ** (size.bit_length() - 3))
    return -(-size // step) * step
