"""Tables and the JSON file of a benchmark."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from nestree.bench.exponents import Growth, exponents
from nestree.bench.options import BenchOptions
from nestree.bench.plan import MEASURED
from nestree.bench.rows import Row
from nestree.bench.verify import Agreement
from nestree.data.files import replacing
from nestree.native.library import status
from nestree.recursions.beam.options import ENGINES
from nestree.runs.provenance import provenance

FORMAT = "nestree-bench-1"
"""Format of the JSON file."""


@dataclass(frozen=True)
class Report:
    """All results of a benchmark."""

    options: BenchOptions
    device: str
    agreements: Sequence[Agreement]
    rows: Sequence[Row]

    @property
    def growth(self) -> list[Growth]:
        """Exponents of time and memory."""
        return exponents(self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, with versions, machine and commit."""
        return {
            "format": FORMAT,
            "device": self.device,
            "threads": self.options.threads,
            **provenance(),
            "options": {name: value for name, value in asdict(self.options).items() if name != "device"},
            "verification": [agreement.as_dict() for agreement in self.agreements],
            "rows": [{**row.as_dict(), "speedup": speedup(row, self.rows)} for row in self.rows],
            "exponents": [growth.as_dict() for growth in self.growth],
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_dict(), indent=2) + "\n")


def facts(options: BenchOptions, device: torch.device) -> list[str]:
    """Return lines about device, versions, commit and model."""
    about = provenance()
    used, why = status()
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return [
        f"device   {device_name(device)}; threads {options.threads}",
        f"versions {versions}; {about['platform']}",
        f"backend  fast is {'the compiled library' if used else f'PyTorch ({why})'}",
        f"commit   {about['commit'] or 'unknown (not a checkout)'}",
        f"model    D {options.dim}, W {options.beam_size}, k {options.arity}, "
        f"{f'partial {options.partial}, ' if options.partial else ''}dropout {options.dropout}, float32 unless stated, "
        "untrained; random tokens; training is forward, backward and optimizer step",
    ]


def device_name(device: torch.device) -> str:
    """Return the name of a device, with its model."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"cpu ({models[0] if models else platform.processor() or platform.machine()})"


def speedup(row: Row, rows: Sequence[Row]) -> float | None:
    """Return the speed of an engine's row divided by the naive implementation's; None if not both were measured."""
    if row.job.engine in (None, ENGINES[-1]) or row.sequences_per_second is None:
        return None
    for naive in rows:
        job = naive.job
        same = (job.encoder, job.mode, job.data) == (row.job.encoder, row.job.mode, row.job.data)
        if same and job.engine == ENGINES[-1] and naive.sequences_per_second is not None:
            return row.sequences_per_second / naive.sequences_per_second
    return None


COLUMNS = (
    ("encoder", "left"),
    ("engine", "left"),
    ("mode", "left"),
    ("inputs", "right"),
    ("batch", "right"),
    ("sequences/s", "right"),
    ("x naive", "right"),
    ("peak MB", "right"),
    ("cells/token", "right"),
    ("matrix rate", "right"),
    ("share", "right"),
    ("seq/GFLOP", "right"),
)


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table, sorted by encoder, mode and length."""
    shown = Table(title="speed and memory", title_justify="left")
    for name, side in COLUMNS:
        shown.add_column(name, justify=side, no_wrap=True)  # pyright: ignore[reportArgumentType]
    encoders = list(dict.fromkeys(row.job.encoder for row in rows))
    ordered = sorted(rows, key=lambda row: (encoders.index(row.job.encoder), *_order(row)))
    for number, row in enumerate(ordered):
        ends = number + 1 == len(ordered) or ordered[number + 1].job.encoder != row.job.encoder
        shown.add_row(*_cells(row, rows), end_section=ends)
    return shown


def _order(row: Row) -> tuple[Any, ...]:
    job = row.job
    engine = 0 if job.engine is None else MEASURED.index(job.engine)
    return job.mode, job.length is None, job.length or 0, engine


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    job, measured = row.job, row.measured
    begin = [job.encoder, job.engine or "", job.mode, job.data, f"{job.batch}"]
    if measured is None:
        return [*begin, "skipped"]
    times, memory = speedup(row, rows), measured.peak_memory
    return [
        *begin,
        figure(row.sequences_per_second),
        figure(times),
        figure(None if memory is None else memory / 1e6),
        figure(row.cells_per_token),
        f"{measured.matrix_rate / 1e9:.0f} GFLOP/s",
        f"{100 * (row.matrix_share or 0):.1f} %",
        figure(row.sequences_per_gflop),
    ]


def figure(value: float | None) -> str:
    """Return a number with three significant digits or more; an empty string for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def engines_table(rows: Sequence[Row]) -> Table | None:
    """Return the speeds with one column per engine; None if no encoder has several on the same batches."""
    found: dict[tuple[str, str, str, int], dict[str, float]] = {}
    for row in rows:
        job, speed = row.job, row.sequences_per_second
        if job.engine is not None and speed is not None:
            found.setdefault((job.encoder, job.mode, job.data, job.batch), {})[job.engine] = speed
    found = {key: speeds for key, speeds in found.items() if len(speeds) > 1}
    if not found:
        return None
    shown = Table(title="sequences/s by engine (times the first one's speed)", title_justify="left")
    for name in ("encoder", "mode", "inputs", "batch"):
        shown.add_column(name, no_wrap=True)
    columns = [engine for engine in reversed(MEASURED) if any(engine in speeds for speeds in found.values())]
    for engine in columns:
        shown.add_column(engine, justify="right", no_wrap=True)
    for (encoder, mode, data, batch), speeds in sorted(found.items(), key=lambda item: (item[0][0], item[0][1])):
        present = [engine for engine in columns if engine in speeds]
        cells = {
            engine: figure(speeds[engine])
            + (f" ({figure(speeds[engine] / speeds[present[0]])})" if engine != present[0] else "")
            for engine in present
        }
        shown.add_row(encoder, mode, data, f"{batch}", *(cells.get(engine, "") for engine in columns))
    return shown


def growth_table(growths: Sequence[Growth]) -> Table:
    """Return the exponents as a table; see [`ASYMPTOTIC`][nestree.bench.exponents.ASYMPTOTIC]."""
    shown = Table(title="growth with length n", title_justify="left")
    for name in ("encoder", "engine", "mode", "time", "memory"):
        shown.add_column(name)
    for growth in growths:
        powers = ("" if power is None else f"n^{power:.2f}" for power in (growth.time, growth.memory))
        shown.add_row(growth.encoder, growth.engine or "", growth.mode, *powers)
    return shown
