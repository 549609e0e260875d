"""``nestree bench``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.progress import Progress, TaskID

from nestree.bench.options import QUICK, BenchOptions
from nestree.bench.plan import Job, plan
from nestree.bench.report import Report, device_name, engines_table, facts, growth_table, table
from nestree.bench.run_jobs import run
from nestree.bench.verify import TOLERANCE, Agreement, verify
from nestree.cli.arguments import command_parser, parse_command
from nestree.consoles import messages, output
from nestree.errors import OptionError

_LISTS = ("encoders", "lengths")
_RENAMED = {"--twins": "--naive", "--twin_batch": "--naive_batch", "--twin_tokens": "--naive_tokens"}
"""Options of version 0.1 that are still accepted."""


def main(arguments: Sequence[str]) -> int:
    """Verify, measure and print; return 1 if the fast engine disagrees with the naive implementation."""
    arguments = [_renamed(argument) for argument in arguments]
    parsed = parse_command(_parser(quick="--quick" in arguments), arguments)
    options = _options(parsed)
    device = _device(options.device)
    for name in ("json", "plot"):
        _check_writable(name, parsed[name])
    torch.set_num_threads(options.threads)
    console = messages()
    agreements = verify(options, device)
    for agreement in agreements:
        console.print(_verdict(agreement))
    if not all(agreement.holds for agreement in agreements):
        console.print("nestree: the fast engine disagrees with the naive implementation, so its speed is not measured")
        return 1
    jobs = list(plan(options))
    report = Report(options, device_name(device), agreements, rows := [])
    json = None if parsed.json is None else Path(parsed.json)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(jobs))
        for row in run(_announced(jobs, progress, bar), options, device):
            rows.append(row)
            if json is not None:
                report.write(_part(json))  # measuring may take hours and be interrupted
            progress.advance(bar)
    _show(report, device)
    if json is not None:
        _part(json).replace(json)
        console.print(f"written to {json}")
    if parsed.plot is not None:
        from nestree.bench.plot import plot

        plot(rows, Path(parsed.plot), title=f"{report.device}, threads {options.threads}")
        console.print(f"plot written to {parsed.plot}")
    return 0


def _renamed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return f"{_RENAMED.get(name, name)}{equals}{value}"


def _parser(*, quick: bool) -> ArgumentParser:
    parser = command_parser(
        "bench",
        "Measure speed and memory of the encoders, with the fast engine and the naive implementation, each measurement "
        "in a new process. First the outputs and gradients of the two are compared in float64 with the same random "
        "numbers; if they differ, the command fails.",
    )
    defaults = QUICK if quick else {}
    parser.add_argument(
        "--encoders", nargs="+", type=str, default=list(BenchOptions.encoders), help="Names of the encoders to measure."
    )
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=int,
        help="Lengths of the inputs, tokens; null: 25 to 1,000, for RIR up to 100,000.",
    )
    parser.add_class_arguments(BenchOptions, None, skip=set(_LISTS))
    parser.add_argument(
        "--quick", action="store_true", help="Measure fewer encoders on fewer, smaller inputs: takes about a minute."
    )
    parser.add_argument(
        "--json",
        type=str,
        metavar="FILE",
        help="Write all rows to this JSON file, when the last is measured; until then, to FILE.part.",
    )
    parser.add_argument(
        "--plot", type=str, metavar="FILE", help="Plot time and memory against length, with fitted exponents, as a PNG."
    )
    parser.set_defaults({name: list(value) if name in _LISTS else value for name, value in defaults.items()})
    return parser


def _options(parsed: Namespace) -> BenchOptions:
    values = {field.name: parsed[field.name] for field in fields(BenchOptions)}
    for name in _LISTS:
        values[name] = None if values[name] is None else tuple(values[name])
    return BenchOptions(**values)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("device", "must be cpu or auto: PyTorch sees no CUDA device on this machine")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _check_writable(option: str, path: str | None) -> None:
    """Fail before the measurements, not after, if a file cannot be written."""
    if path is None:
        return
    folder = Path(path).parent
    if Path(path).is_dir() or not folder.is_dir():
        raise OptionError(option, f"must be a file in a folder that exists, not {path}")
    if not os.access(folder, os.W_OK):
        raise OptionError(option, f"must be a file in a writable folder, not {path}")


def _part(path: Path) -> Path:
    """Return the file that holds the rows until all are measured."""
    return path.with_name(f"{path.name}.part")


def _verdict(agreement: Agreement) -> str:
    word = "agrees with" if agreement.holds else "DISAGREES with"
    return (
        f"verified {agreement.encoder}, {agreement.mode}: fast {word} naive in float64, outputs within "
        f"{agreement.output:.1e}, gradients within {agreement.gradient:.1e} (tolerance {TOLERANCE:.0e})"
    )


def _announced(jobs: Sequence[Job], progress: Progress, bar: TaskID) -> Iterator[Job]:
    """Yield the jobs, and show the current one next to the bar."""
    for job in jobs:
        progress.update(bar, description=str(job))
        yield job


def _show(report: Report, device: torch.device) -> None:
    console = output()
    console.print("\n".join(facts(report.options, device)))
    console.print(table(report.rows))
    for row in report.rows:
        if row.skipped is not None:
            console.print(f"skipped: {row.job}: {row.skipped}")
    if (engines := engines_table(report.rows)) is not None:
        console.print(engines)
    if report.growth:
        console.print(growth_table(report.growth))
