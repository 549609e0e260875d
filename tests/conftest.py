"""What all tests share: one thread, fixed seeds, deterministic hypothesis and shape checks."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background job; the tests of Ctrl-C need the signal, here and in what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before nestree is first imported: from here on its annotated shapes are checked at every call. An integer passes for a
# float, as in the typing rules.
jaxtyping.install_import_hook(
    ["nestree.layers", "nestree.encoders", "nestree.recursions", "nestree.models"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

settings.register_profile(
    "nestree", derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nestree")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Start every test from the same random state."""
    torch.manual_seed(0)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Run as users do, without shape checks, so that our own errors can be seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
