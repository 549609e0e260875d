"""Check the engine on a GPU: exactness in float64, waits of the host, speed and memory. See gpu_check.sh."""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

import nestree
from nestree.bench.meters import PeakMemory, synchronize
from nestree.bench.options import BenchOptions
from nestree.bench.report import device_name
from nestree.bench.verify import TOLERANCE, compare
from nestree.data.files import write_json
from nestree.models import Classifier

RIR = {"name": "rir-ebt-grc", "beam_size": 7, "arity": 30}
FLAT = {"name": "ebt-grc", "beam_size": 5}
WARM, TIMED = 2, 5
"""Steps before and in a measurement."""


@dataclass(frozen=True)
class Case:
    """A training step: the encoder, the lengths of a batch, and what they are called."""

    name: str
    encoder: dict[str, Any]
    lengths: tuple[int, ...]
    precision: str = "32"


def listops(batch: int) -> tuple[int, ...]:
    """Return lengths with the mean of ListOps' training split, 22 tokens, and its longest, 100."""
    return tuple(max(4, round(100 * ((place + 0.5) / batch) ** 3.5)) for place in range(batch))


def cases(small: bool) -> list[Case]:
    """Return what is measured."""
    if small:
        return [Case("ListOps, 4", RIR, listops(4)), Case("flat, 4", FLAT, listops(4)), Case("bytes", RIR, (300,) * 2)]
    long = {**RIR, "beam_size": 5}
    return [
        Case("ListOps, 128", RIR, listops(128)),
        Case("ListOps, 512", RIR, listops(512)),
        Case("ListOps, 512", RIR, listops(512), "tf32"),
        Case("ListOps, 2048", RIR, listops(2048)),
        Case("ListOps, flat, 1024", FLAT, listops(1024)),
        Case("bytes, 32 x 4096", long, (4096,) * 32),
        Case("bytes, 32 x 4096", long, (4096,) * 32, "tf32"),
    ]


class Step:
    """Forward, backward and optimizer step of an untrained model on one batch."""

    def __init__(self, case: Case, device: torch.device) -> None:
        torch.manual_seed(0)
        options = dict(case.encoder)
        encoder = nestree.build(options.pop("name"), dim=128, dropout=0.1, **options)
        self.model = Classifier(encoder, vocabulary_size=20, classes=10).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=device.type == "cuda")
        self.lengths = torch.tensor(case.lengths)  # on the host: the engine plans there
        self.tokens = torch.randint(1, 20, (len(case.lengths), max(case.lengths))).to(device)
        self.labels = torch.randint(10, (len(case.lengths),)).to(device)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(self.tokens, self.lengths), self.labels).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def measure(case: Case, device: torch.device) -> dict[str, Any]:
    """Return sequences per second, the share of time in which the device is busy, and peak memory."""
    torch.backends.cuda.matmul.allow_tf32 = case.precision == "tf32"
    step = Step(case, device)
    memory, times = PeakMemory(device), []
    for number in range(WARM + TIMED):
        start = time.perf_counter()
        step()
        synchronize(device)
        if number >= WARM:
            times.append(time.perf_counter() - start)
    peak = memory.over_base()
    seconds = statistics.median(times)
    found = {
        "case": case.name,
        "precision": case.precision,
        "sequences_per_second": len(case.lengths) / seconds,
        "milliseconds_per_step": 1000 * seconds,
        "peak_memory_gb": None if peak is None else peak / 1e9,
    }
    if device.type == "cuda":
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            start = time.perf_counter()
            step()
            synchronize(device)
            wall = time.perf_counter() - start
        events = profiled.key_averages()
        found["busy_share"] = sum(event.self_device_time_total for event in events) / 1e6 / wall
        found["launches"] = sum(event.count for event in events)
    return found


def waits(case: Case, device: torch.device) -> int | None:
    """Return how often the host waits for the device in a training step; None if this is not a GPU.

    Two are on purpose: token numbers and states are checked before they are used.
    """
    if device.type != "cuda":
        return None
    step = Step(case, device)
    step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught)


def main() -> None:
    """Run all checks, print them, and write gpu_check.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU; --device cpu tries the script itself")
    device = torch.device(options.device)
    print(f"{device_name(device)}, torch {torch.__version__}")
    bench = BenchOptions(dim=32, arity=8)
    exact = [
        compare(name, mode, bench, device) for name in ("rir-ebt-grc", "ebt-grc") for mode in ("inference", "training")
    ]
    for one in exact:
        verdict = "ok" if one.holds else f"NOT within {TOLERANCE:g}"
        print(f"exact: {one.encoder}, {one.mode}: outputs {one.output:.1e}, gradients {one.gradient:.1e}: {verdict}")
    planned = cases(small=device.type == "cpu")
    waited = waits(planned[0], device)
    print(f"waits of the host per step: {'not measured' if waited is None else waited}")
    rows = []
    for case in planned:
        try:
            rows.append(measure(case, device))
        except torch.OutOfMemoryError:
            rows.append({"case": case.name, "precision": case.precision, "failed": "out of memory"})
        print(
            {name: round(value, 3) if isinstance(value, float) else value for name, value in rows[-1].items()},
            flush=True,
        )
    write_json(
        options.out,
        {"device": device_name(device), "exact": [one.as_dict() for one in exact], "waits": waited, "rows": rows},
    )
    if not all(one.holds for one in exact):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
