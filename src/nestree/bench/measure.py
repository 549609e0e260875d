"""One measurement, in the current process."""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from nestree.bench.meters import CellArithmetic, PeakMemory, matrix_rate, synchronize
from nestree.bench.options import BenchOptions
from nestree.bench.plan import BFLOAT16, Job
from nestree.bench.rows import Measurement
from nestree.config.options import OptimizerOptions
from nestree.data.batches import pad
from nestree.encoders.registry import ENCODERS
from nestree.models import Classifier
from nestree.recursions.beam.options import ENGINES
from nestree.tasks.listops import ListOps
from nestree.training.module import build_optimizer

_FEW = ((3, 4),)
"""Lengths of the warm-up batch."""


def measure(job: Job, options: BenchOptions, device: torch.device) -> Measurement:
    """Measure a job in this process.

    The first pass measures cells and memory and is not timed. Then passes are timed for at least ``options.least``
    seconds.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    workload = Workload(job, options, device)
    workload.run(
        workload.batches_of(_FEW), CellArithmetic(workload.model)
    )  # warm-up: loads everything that is loaded on first use
    batches = workload.batches_of(job.batches)
    rate_seconds = min(0.5, options.least / 2)
    rate = matrix_rate(device, seconds=rate_seconds)
    memory, arithmetic = PeakMemory(device), CellArithmetic(workload.model)
    workload.run(batches, arithmetic)
    synchronize(device)
    peak = memory.over_base()
    times: list[float] = []
    while sum(times) < options.least:
        start = time.perf_counter()
        workload.run(batches)
        synchronize(device)
        times.append(time.perf_counter() - start)
    return Measurement(
        passes=len(times),
        seconds=sorted(times)[len(times) // 2],
        peak_memory=peak,
        cell_evaluations=arithmetic.evaluations,
        cell_operations=arithmetic.operations,
        matrix_rate=(rate + matrix_rate(device, seconds=rate_seconds)) / 2,
    )


class Workload:
    """An untrained ListOps classifier with its optimizer."""

    def __init__(self, job: Job, options: BenchOptions, device: torch.device) -> None:
        self.training = job.mode != "inference"
        self.device = device
        self.task = ListOps()
        self.bfloat16 = job.engine == BFLOAT16
        engine = ENGINES[0] if self.bfloat16 else job.engine
        encoder = ENCODERS[job.encoder](**options.of_encoder(job.encoder, engine)).build()
        model = Classifier(encoder, vocabulary_size=self.task.vocabulary_size, classes=len(self.task.label_names))
        self.model = model.to(device).train(self.training)
        self.optimizer = build_optimizer(self.model, OptimizerOptions())

    def batches_of(self, lengths: tuple[tuple[int, ...], ...]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return batches (tokens, lengths, labels) of random tokens with these lengths."""
        return [tuple(part.to(self.device) for part in self._batch(batch)) for batch in lengths]  # pyright: ignore[reportReturnType]

    def _batch(self, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        tokens, count = pad([torch.randint(1, self.task.vocabulary_size, (length,)) for length in lengths])
        return tokens, count, torch.randint(len(self.task.label_names), (len(lengths),))

    def run(self, batches: list[tuple[Tensor, Tensor, Tensor]], arithmetic: CellArithmetic | None = None) -> None:
        """Run one pass over the batches; ``arithmetic`` counts operations."""
        for tokens, lengths, labels in batches:
            if self.training:
                self._train(tokens, lengths, labels, arithmetic)
            else:
                self._infer(tokens, lengths, arithmetic)

    def _infer(self, tokens: Tensor, lengths: Tensor, arithmetic: CellArithmetic | None) -> None:
        with torch.inference_mode(), arithmetic or nullcontext(), self._precision():
            self.model(tokens, lengths)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _train(self, tokens: Tensor, lengths: Tensor, labels: Tensor, arithmetic: CellArithmetic | None) -> None:
        self.optimizer.zero_grad()
        with arithmetic or nullcontext():
            with self._precision():
                loss = functional.cross_entropy(self.model(tokens, lengths), labels)
            if arithmetic:
                arithmetic.turn_back(True)
            loss.backward()
            if arithmetic:
                arithmetic.turn_back(False)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
