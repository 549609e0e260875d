"""``nestree data make|check|list``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from nestree.cli.parsing import command_parser, messages, output, parse_command
from nestree.data.cache import cache_dir
from nestree.errors import UserError
from nestree.suggest import unknown
from nestree.tasks import TASKS
from nestree.tasks.listops import read_tsv, summarise, write_tsv
from nestree.training.options import DataOptions

ACTIONS = {
    "make": "generate splits into the cache, or export one as an official file",
    "check": "verify a file, every label included, and sum it up",
    "list": "every split, what it is, and whether it is in the cache",
}


def main(arguments: Sequence[str]) -> int:
    """Run one of :data:`ACTIONS`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: nestree data ACTION ...\n")
        print("\n".join(f"  {name:<7} {what}" for name, what in ACTIONS.items()))
        print(f"\nGenerated data is kept in {cache_dir()} (NESTREE_CACHE names another folder).")
        return 0
    action, *rest = arguments
    if action not in ACTIONS:
        raise UserError(unknown("action of nestree data", action, ACTIONS))
    return {"make": make, "check": check, "list": list_splits}[action](rest)


def make(arguments: Sequence[str]) -> int:
    """Generate splits."""
    task = TASKS["listops"]
    parser = command_parser("data make", "Generate ListOps splits from a seed; what is in the cache is not made again.")
    parser.add_argument("split", nargs="+", type=str, help=f"Any of {', '.join(task.splits)}, or all.")
    parser.add_argument("--seed", type=int, default=DataOptions.seed, help="Seed, from 0 up.")
    parser.add_argument("--size", type=int, help="Only the first so many examples.")
    parser.add_argument("--export", type=str, help="Also write the one split to this file: label TAB expression.")
    parsed = parse_command(parser, arguments)
    splits = list(task.splits) if parsed.split == ["all"] else parsed.split
    for name in splits:
        if name not in task.splits:
            raise UserError(unknown("split", name, task.splits))
    if parsed.export and len(splits) > 1:
        raise UserError("--export takes one split at a time")
    for option, least in (("seed", 0), ("size", 1)):
        if parsed[option] is not None and parsed[option] < least:
            raise UserError(f"--{option} must be an integer of at least {least}, not {parsed[option]}")
    for name in splits:
        console = messages()
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(name)
            examples = task.load(
                name,
                seed=parsed.seed,
                size=parsed.size,
                progress=lambda done, total, bar=bar, progress=progress: progress.update(
                    bar, completed=done, total=total
                ),
            )
        print(f"{examples.name}: {len(examples):,} examples, {len(examples.tokens):,} tokens, seed {examples.seed}")
        if parsed.export:
            write_tsv(examples, parsed.export)
            print(f"written to {parsed.export}")
    return 0


def check(arguments: Sequence[str]) -> int:
    """Verify a file."""
    parser = command_parser(
        "data check",
        "Verify a ListOps file (either column order): every label is checked by evaluating its expression.",
    )
    parser.add_argument("path", help="The file.")
    path = parse_command(parser, arguments).path
    if Path(path).is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    summary = asdict(summarise(read_tsv(path)))
    print(f"{path}: {summary['examples']:,} examples, every label right")
    table = Table(show_header=False, box=None)
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), _shown(name, value))
    output().print(table)
    return 0


def _shown(name: str, value: float | dict[str, float]) -> str:
    """Return a figure of a summary: shares in per cent, sizes as they are."""
    if isinstance(value, dict):
        return "   ".join(f"{key}: {_shown(name, part)}" for key, part in value.items())
    shares = ("at_most_100", "labels", "roots", "operators")
    return f"{100 * value:.1f} %" if name in shares else f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def list_splits(arguments: Sequence[str]) -> int:
    """List the splits."""
    parser = command_parser("data list", "Every split of every task, and whether it is in the cache.")
    parser.add_argument("--seed", type=int, default=DataOptions.seed, help="Seed of the cached data to look for.")
    seed = parse_command(parser, arguments).seed
    table = Table(title=f"data, seed {seed}, in {cache_dir()}", title_justify="left")
    for column in ("task", "split", "examples", "what", "in the cache"):
        table.add_column(column, justify="right" if column == "examples" else "left")
    for task in TASKS.values():
        for name, split in task.splits.items():
            kept = "yes" if task.is_cached(name, seed=seed) else "no, made on first use"
            table.add_row(task.name, name, f"{split.size:,}", split.description, kept)
    output().print(table)
    return 0
