"""Meters of a measurement: matrix rate, operations of the cells, peak memory."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nestree.layers import Cell
from nestree.native.library import COUNTS, Counts
from nestree.runs.provenance import peak_memory

SIZE = 512
"""Width of the matrices whose product measures the speed of the machine."""


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, *, seconds: float) -> float:
    """Return the floating-point operations per second of 512 x 512 float32 products, the median of ten samples."""
    left, right = torch.rand(2, SIZE, SIZE, device=device)
    product = left @ right
    samples, repeats = [], 1
    while len(samples) < 10:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(left, right, out=product)
        synchronize(device)
        passed = time.perf_counter() - start
        if passed < seconds / 10:
            repeats *= 2
            continue
        samples.append(2 * SIZE**3 * repeats / passed)
    return sorted(samples)[len(samples) // 2]


class CellArithmetic(TorchDispatchMode):
    """Counts the operations of matrix products with the weights of a model's cells.

    In the backward pass, each product with a weight comes with one of the same size for the weight's gradient.
    """

    _PRODUCTS = ("mm", "addmm", "linear", "matmul")

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        cells = [part for part in model.modules() if isinstance(part, Cell)]
        weights = [[weight for weight in cell.parameters() if weight.ndim == 2] for cell in cells]
        self._storages = {weight.untyped_storage().data_ptr() for of_cell in weights for weight in of_cell}
        self._of_one = 2 * sum(weight.numel() for weight in weights[0]) if cells else 1
        self._counted = [0, 0]  # forwards, backwards
        self._native = Counts()  # the compiled library counts its own, always
        self._before = Counts()
        self._backwards = 0

    def turn_back(self, back: bool) -> None:
        """Count the following operations as backward (``back``) or as forward."""
        self._backwards = int(back)

    @property
    def evaluations(self) -> float:
        """Number of cell evaluations in the forward pass."""
        return self._counted[0] / self._of_one + self._native.composed

    @property
    def operations(self) -> int:
        """Floating-point operations of the cells' matrix products, forwards and backwards."""
        composed, replayed = self._native.composed, self._native.replayed
        return self._counted[0] + 2 * self._counted[1] + self._of_one * (composed + 2 * replayed)

    def __enter__(self) -> CellArithmetic:
        """Begin to count, or go on."""
        self._before = replace(COUNTS)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Count no more."""
        super().__exit__(*error)
        self._native.composed += COUNTS.composed - self._before.composed
        self._native.replayed += COUNTS.replayed - self._before.replayed

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in self._PRODUCTS:
            for tensor in args:
                if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() in self._storages:
                    rows = result.numel() // result.shape[-1]
                    self._counted[self._backwards] += 2 * rows * tensor.numel()
        return result


class PeakMemory:
    """Peak memory since this object was created, minus the memory at that time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.base = torch.cuda.memory_allocated(device)
            return
        # Reset the high-water mark: imports may have taken more memory for a moment.
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.base = _status("VmRSS")
        except OSError:
            self.base = peak_memory()

    def over_base(self) -> int | None:
        """Return the peak over the base, bytes; None if the system does not report it."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - (self.base or 0)
        peak = _status("VmHWM")
        if peak is None:
            peak = peak_memory()
        return None if peak is None or self.base is None else max(0, peak - self.base)


def resident(process: int) -> int | None:
    """Return the resident memory of a process, bytes; None if the system does not report it."""
    return _status("VmRSS", str(process))


def _status(name: str, process: str = "self") -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
