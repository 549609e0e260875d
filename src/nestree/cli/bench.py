"""``nestree bench``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.progress import Progress

from nestree.bench.options import QUICK, BenchOptions
from nestree.bench.plan import plan
from nestree.bench.report import Report, device_name, facts, growth_table, table
from nestree.bench.run import run
from nestree.bench.verify import TOLERANCE, Agreement, verify
from nestree.cli.parsing import command_parser, messages, output, parse_command
from nestree.errors import UserError

_LISTS = ("encoders", "lengths")
_NO_CUDA = "--device cuda: PyTorch sees no CUDA device on this machine"


def main(arguments: Sequence[str]) -> int:
    """Verify, measure, and show; 1 if a fast path does not give what its twin gives."""
    arguments = list(arguments)
    parsed = parse_command(_parser(quick="--quick" in arguments), arguments)
    options = _options(parsed)
    device = _device(options.device)
    for name in ("json", "plot"):
        _check_writable(name, parsed[name])
    torch.set_num_threads(options.threads)
    console = messages()
    console.print("\n".join(facts(options, device)))
    agreements = verify(options, device)
    for agreement in agreements:
        console.print(_verdict(agreement))
    if not all(agreement.holds for agreement in agreements):
        console.print("nestree: a fast path disagrees with its naive twin, so there is nothing to measure")
        return 1
    jobs = list(plan(options))
    rows = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(jobs))
        for row in run(_announced(jobs, progress, bar), options, device):
            rows.append(row)
            progress.advance(bar)
    report = Report(options, device_name(device), agreements, rows)
    _show(report, device)
    if parsed.json is not None:
        report.write(Path(parsed.json))
        console.print(f"written to {parsed.json}")
    if parsed.plot is not None:
        from nestree.bench.plot import plot

        plot(rows, Path(parsed.plot), title=f"{report.device}, threads {options.threads}")
        console.print(f"drawn in {parsed.plot}")
    return 0
