"""Locates and loads the compiled library, and declares its functions."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from ctypes import POINTER, c_double, c_int, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent
VARIABLE = "NESTREE_BACKEND"
"""Environment variable; ``torch`` switches the compiled library off."""


class Weights(ctypes.Structure):
    """Addresses of a cell's and a scorer's parameters."""

    _fields_ = (
        *((name, c_int64) for name in ("dim", "hidden", "width")),
        *((name, c_void_p) for name in ("hidden_weight", "hidden_bias", "gates_weight", "gates_bias")),
        *((name, c_void_p) for name in ("norm_weight", "norm_bias", "scorer_weight", "scorer_bias", "score_weight")),
        *((name, c_double) for name in ("eps", "dropout")),
        ("bfloat16", c_int64),
    )


class Store(ctypes.Structure):
    """Addresses of a node store's tables."""

    _fields_ = (
        *((name, c_void_p) for name in ("states", "left_half", "right_half", "hidden", "gates", "mask_key")),
        *((name, c_void_p) for name in ("left", "right", "height")),
        *((name, c_int64) for name in ("leaves", "capacity")),
    )


class Level(ctypes.Structure):
    """The groups of one level of the outer tree."""

    _fields_ = (
        *((name, c_int64) for name in ("groups", "beams", "items", "beam_size", "most_roots")),
        *((name, c_void_p) for name in ("frontier", "scores", "size", "roots", "part", "sequence", "group", "base")),
        *((name, c_int64) for name in ("level", "seed", "noise", "dropout", "parts")),
        *((name, c_void_p) for name in ("nodes", "final_scores", "used", "compose")),
    )


Compose = ctypes.CFUNCTYPE(c_int, c_int64, c_int64, *[c_void_p] * 3)
"""Composes nodes for the library: their number, the first row, and the addresses of left children, right children and
keys of dropout masks. Returns whether it failed."""


class ReplayCall(ctypes.Structure):
    """The inputs of a backward pass."""

    _fields_ = (
        *((name, c_int64) for name in ("histories", "count", "parts", "dropout")),
        ("history", POINTER(c_void_p)),
        *((name, c_void_p) for name in ("rows", "part", "outside", "gradient")),
    )


class Gradients(ctypes.Structure):
    """Addresses of the tensors that gradients are added to."""

    _fields_ = (
        *((name, c_void_p) for name in ("hidden_weight", "hidden_bias", "gates_weight", "gates_bias")),
        *((name, c_void_p) for name in ("norm_weight", "norm_bias", "scorer_weight", "scorer_bias", "score_weight")),
        ("leaves", c_void_p),
    )


class Convolution(ctypes.Structure):
    """A convolution in both directions, or its gradients."""

    _fields_ = (
        *((name, c_int64) for name in ("sequences", "length", "channels", "parts")),
        *((name, c_void_p) for name in ("signal", "kernel", "result", "gradient", "of_signal", "of_kernel")),
    )


@dataclass
class Counts:
    """Number of nodes that the library has composed in this process, and replayed for gradients."""

    composed: int = 0
    replayed: int = 0


COUNTS = Counts()


class Functions:
    """The library's functions for one dtype."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        """Look up the functions with the suffix ``name``."""

        def function(what: str, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
            found = getattr(library, f"nestree_{what}_{name}")
            found.restype, found.argtypes = result, arguments
            return found

        store, level = POINTER(Store), POINTER(Level)
        self.model = function("model", c_void_p, POINTER(Weights))
        self.free_model = function("free_model", None, c_void_p)
        self.project = function("project", None, c_void_p, store)
        self.search = function("search", c_void_p, c_void_p, store, level, c_int)
        self.free_history = function("free_history", None, c_void_p)
        self.score_gradient = function("score_gradient", None, c_void_p, c_void_p, c_void_p)
        self.convolve = function("convolve", None, POINTER(Convolution))
        self.replay = function("replay", c_int64, POINTER(Weights), store, POINTER(ReplayCall), POINTER(Gradients))


@functools.cache
def load() -> dict[torch.dtype, Functions] | None:
    """Return the functions by dtype; None if this machine has no library."""
    path, _ = status()
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    return {torch.float32: Functions(library, "float32"), torch.float64: Functions(library, "float64")}


@functools.cache
def multiplies_bfloat16() -> bool:
    """Return whether the library multiplies bfloat16 numbers under autocast: this needs a processor that does so."""
    path, _ = status()
    return path is not None and bool(ctypes.CDLL(str(path)).nestree_multiplies_bfloat16())


def status() -> tuple[Path | None, str | None]:
    """Return the path of the library for this machine; or None, and the reason."""
    if switched_off():
        return None, f"{VARIABLE}=torch is set"
    paths = candidates()
    if not paths:
        return None, "this processor has no AVX2"
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        return None, "no library was compiled at installation; install g++ or clang++, then reinstall nestree"
    return found, None


def switched_off() -> bool:
    """Return whether the user has switched the library off."""
    return os.environ.get(VARIABLE) == "torch"


def present() -> bool:
    """Return whether the library is installed and not switched off."""
    return load() is not None


def candidates() -> list[Path]:
    """Return the paths of the builds that this processor can run, fastest first."""
    capability = torch.backends.cpu.get_cpu_capability()
    names = ["any"]
    if platform.machine().lower() in ("x86_64", "amd64"):
        names = {"AVX512": ["x86-64-v4", "x86-64-v3"], "AVX2": ["x86-64-v3"]}.get(capability, [])
    return [FOLDER / f"nestree-{name}.so" for name in names]


def address(tensor: Tensor | None) -> int | None:
    """Return the address of a contiguous CPU tensor's data."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return tensor.data_ptr()
