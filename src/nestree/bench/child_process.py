"""Measuring in a child process, whose peak memory is measured separately and which can be killed at its limits."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from nestree.bench.meters import resident
from nestree.bench.options import BenchOptions
from nestree.bench.plan import Job
from nestree.bench.rows import Measurement

GIGA = 1e9
ALLOWANCE = 5.0
"""Time for everything except the passes, seconds."""
_POLL_EVERY = 0.05
"""Time between two checks of the child process, seconds."""


class OverBudget(Exception):
    """A job exceeded its limit of time or memory; the text says which."""


def measure_in_child_process(job: Job, options: BenchOptions, device: torch.device) -> Measurement:
    """Measure a job in a child process.

    Raises:
        OverBudget: the job took more memory than ``options.memory``, or much more time than ``options.seconds``.
        RuntimeError: the job failed.
    """
    fork = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver") if fork else multiprocessing.get_context("spawn")
    if fork:  # the server imports once; forked processes start quickly and have separate memory
        context.set_forkserver_preload(["nestree.bench.measure"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(job, options, device, sender), daemon=True)
    process.start()
    sender.close()
    try:
        return _wait(receiver, process, options)
    finally:
        process.kill()
        process.join()
        receiver.close()


def _measure(job: Job, options: BenchOptions, device: torch.device, sender: Connection) -> None:
    """Measure, and send the measurement or the error."""
    from nestree.bench.measure import measure

    sender.send("begins")
    try:
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, options.memory * GIGA / total), device)
        sender.send(measure(job, options, device))
    except torch.OutOfMemoryError:
        sender.send(OverBudget(_over_memory(options)))
    except Exception:
        sender.send(RuntimeError(f"{job} failed:\n{traceback.format_exc()}"))


def _wait(receiver: Connection, process: BaseProcess, options: BenchOptions) -> Measurement:
    """Wait for the measurement, as long as the process stays within its limits."""
    base, start = None, time.monotonic()
    limit = 2 * options.seconds + 2 * options.least + ALLOWANCE  # a pass to count, then passes to time
    while True:
        try:
            answer = receiver.recv() if receiver.poll(_POLL_EVERY) else None
        except EOFError:
            process.join()
            raise RuntimeError(f"the measuring process ended early, with exit code {process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Measurement):
            return answer
        held = resident(process.pid) if process.pid else None
        if answer == "begins":
            base, start = held, time.monotonic()
        if base is not None and held is not None and held - base > options.memory * GIGA:
            raise OverBudget(_over_memory(options))
        if base is not None and time.monotonic() - start > limit:
            raise OverBudget(f"over {options.seconds:g} s per pass")


def _over_memory(options: BenchOptions) -> str:
    return f"over {options.memory:g} GB"
