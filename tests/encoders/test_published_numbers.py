"""Every encoder against the numbers of its published implementation: roots and every gradient.

The numbers are in ``fixtures/oracle``, whose README says where they are from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import nestree
from nestree.recursions.beam.options import ENGINES

FIXTURES = Path(__file__).parents[1] / "fixtures" / "oracle"
FILES = sorted(path.stem for path in FIXTURES.glob("*.safetensors"))

UNPUBLISHED = {
    "transformer": "PyTorch's own layers; the published repository has no Transformer",
    "bilstm": "PyTorch's own layer",
    "bow": "a mean",
}
"""Encoders without numbers, and why."""


class Tolerance(NamedTuple):
    """How far a result may be from the published one."""

    root: float
    """Largest absolute difference; the entries of a root are about 1."""
    gradient: float
    """``||difference|| / max(||gradient||, floor)``"""
    floor: float


# float64: measured are 2.3e-14 and 3.2e-14; 1e-10 leaves room for other processors and still catches any wrong term.
# float32: three times what was measured, 9.3e-6 and 1.7e-5. A gradient of a norm below 1 is a sum of larger terms that
# nearly cancel, so that its error is relative to them: hence the floor.
TOLERANCES = {
    torch.float64: Tolerance(root=1e-10, gradient=1e-10, floor=0.0),
    torch.float32: Tolerance(root=3e-5, gradient=5e-5, floor=1.0),
}


@dataclass(frozen=True, eq=False)
class Published:
    """A file."""

    name: str
    options: dict[str, object]
    training: bool
    tensors: dict[str, Tensor]

    def section(self, section: str) -> dict[str, Tensor]:
        """The tensors of a section, as ``weight``, by the rest of their names."""
        prefix = f"{section}/"
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    @property
    def lengths(self) -> Tensor:
        return self.tensors["input/lengths"]

    @property
    def root(self) -> Tensor:
        return self.tensors["output/root"]

    def states(self, dtype: torch.dtype) -> Tensor:
        return self.tensors["input/states"].to(dtype)

    def encoder(self, engine: str | None, dtype: torch.dtype) -> nestree.Encoder:
        """The encoder with the file's weights; ``engine`` None where it has no such option."""
        chosen = {} if engine is None else {"engine": engine}
        encoder = nestree.build(self.name, **self.options, **chosen).to(dtype)  # first, or float64 weights are rounded
        encoder.load_state_dict(self.section("weight"), strict=True)
        return encoder.train(self.training)


@cache
def published(file: str) -> Published:
    with safe_open(FIXTURES / f"{file}.safetensors", "pt") as opened:
        about = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    build = json.loads(about["build"])
    return Published(build["name"], build["options"], {"eval": False, "train": True}[about["mode"]], tensors)


def engines(name: str) -> tuple[str | None, ...]:
    return ENGINES if "engine" in nestree.ENCODERS[name].__dataclass_fields__ else (None,)


EVERY_FILE_AND_ENGINE = pytest.mark.parametrize(
    ("file", "engine"),
    [
        pytest.param(file, engine, id=file if engine is None else f"{file}-{engine}")
        for file in FILES
        for engine in engines(published(file).name)
    ],
)


def assert_root(root: Tensor, wanted: Tensor, tolerance: Tolerance) -> None:
    torch.testing.assert_close(root.double(), wanted, atol=tolerance.root, rtol=0)


@EVERY_FILE_AND_ENGINE
@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_a_padded_batch_has_the_published_roots_and_gradients(
    file: str, engine: str | None, dtype: torch.dtype
) -> None:
    of, tolerance = published(file), TOLERANCES[dtype]
    encoder, states = of.encoder(engine, dtype), of.states(dtype).requires_grad_()
    buffers = {name: value.clone() for name, value in encoder.named_buffers()}
    root = encoder(states, of.lengths).root
    assert_root(root, of.root, tolerance)

    inputs = {"states": states, **dict(encoder.named_parameters())}
    gradients = torch.autograd.grad((root * of.tensors["input/probe"].to(dtype)).sum(), list(inputs.values()))
    wanted = of.section("gradient")
    assert inputs.keys() == wanted.keys()
    for name, gradient in zip(inputs, gradients, strict=True):
        norm = max(wanted[name].norm().item(), tolerance.floor)
        error = (gradient.double() - wanted[name]).norm().item() / norm
        assert error <= tolerance.gradient, f"{name}: relative error {error:.2e}"
    padding = torch.arange(states.shape[1]) >= of.lengths.unsqueeze(-1)
    assert bool((gradients[0][padding] == 0).all())
    for name, value in encoder.named_buffers():
        assert torch.equal(value, buffers[name]), f"{name} has changed"


@EVERY_FILE_AND_ENGINE
def test_a_sequence_alone_has_the_published_root(file: str, engine: str | None) -> None:
    of, dtype = published(file), torch.float64
    encoder, states = of.encoder(engine, dtype), of.states(dtype)
    for row, length in enumerate(of.lengths.tolist()):
        root = encoder(states[row : row + 1, :length], of.lengths[row : row + 1]).root
        assert_root(root, of.root[row : row + 1], TOLERANCES[dtype])


def test_every_encoder_with_a_published_implementation_has_a_file() -> None:
    compared = {published(file).name for file in FILES}
    missing = nestree.ENCODERS.keys() - compared - UNPUBLISHED.keys()
    assert not missing, f"no file in {FIXTURES}; if nobody has published the encoder, say so in UNPUBLISHED"
    assert compared.isdisjoint(UNPUBLISHED)
    assert compared | UNPUBLISHED.keys() == nestree.ENCODERS.keys()
