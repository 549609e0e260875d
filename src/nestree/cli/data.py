"""``nestree data make|check|list``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from nestree.checks import check_at_least
from nestree.cli.arguments import command_parser, parse_command
from nestree.cli.data_report import show_report
from nestree.cli.errors import error_line
from nestree.consoles import messages, one_line, output, say
from nestree.data.cache import cache_dir
from nestree.errors import OptionError, UserError, without
from nestree.suggest import unknown
from nestree.tasks import TASKS, DataOptions, Task
from nestree.tasks.base import SECTION
from nestree.tasks.checks import recognise
from nestree.tasks.listops import write_tsv
from nestree.tasks.text import OfficialOptions, TextTask
from nestree.tasks.text.official import OfficialTexts

ACTIONS = {
    "make": "prepare splits in the cache, and export one of ListOps as a file",
    "check": "recognise official files, verify every row, and summarise them",
    "list": "list every split, with what it contains and whether it is in the cache",
}


def main(arguments: Sequence[str]) -> int:
    """Run one of [`ACTIONS`][]."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: nestree data ACTION ...\n")
        print("\n".join(f"  {name:<7} {what}" for name, what in ACTIONS.items()))
        print()
        say(f"The cache is {cache_dir()} (NESTREE_CACHE names another folder).")
        return 0
    action, *rest = arguments
    if action not in ACTIONS:
        raise UserError(unknown("action of nestree data", action, ACTIONS))
    if action == "check":
        return check(rest)
    with without(SECTION):  # errors name data.path, which is --path here
        return {"make": make, "list": list_splits}[action](rest)


def make(arguments: Sequence[str]) -> int:
    """Prepare splits, and export one if asked to."""
    parser = command_parser("data make", "Generate splits, or read them from official files, into the cache.")
    parser.add_argument("split", nargs="+", type=str, help="Names of splits (see `nestree data list`), or all.")
    parser.add_argument("--task", type=str, default="listops", help=f"One of {', '.join(TASKS)}.")
    parser.add_argument("--seed", type=int, default=DataOptions.seed, help="Seed of the data, at least 0.")
    parser.add_argument("--size", type=int, help="Number of examples per split (default: all).")
    parser.add_argument("--path", type=str, help="Folder of the official files, for tasks that have them.")
    parser.add_argument(
        "--export", type=str, help="Also write the split to this file, label TAB expression (ListOps only)."
    )
    parsed = parse_command(parser, arguments)
    task = _opened(parsed.task, parsed.seed, parsed.path)
    splits = list(task.splits) if parsed.split == ["all"] else parsed.split
    for name in splits:
        if name not in task.splits:
            raise UserError(unknown("split", name, task.splits))
    if parsed.export and len(splits) > 1:
        raise OptionError("export", "takes one split at a time")
    if parsed.export and not task.name.startswith("listops"):
        raise OptionError("export", f"writes splits of ListOps, not of {task.name}")
    if parsed.size is not None:
        check_at_least("size", parsed.size, 1)
    for name in splits:
        console = messages()
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(name)
            examples = task.load(
                name,
                size=parsed.size,
                progress=lambda done, total, bar=bar, progress=progress: progress.update(
                    bar, completed=done, total=total
                ),
            )
        print(f"{examples.name}: {len(examples):,} examples, {len(examples.tokens):,} tokens, seed {examples.seed}")
        if parsed.export:
            write_tsv(examples, parsed.export)
            say(f"written to {parsed.export}")
    return 0


def check(arguments: Sequence[str]) -> int:
    """Verify the files at a path."""
    parser = command_parser(
        "data check",
        "Recognise the official files at a path, read every row, verify what can be verified, and print a summary. "
        "The exit code is 2 if a file is damaged.",
    )
    parser.add_argument("path", help="A file, or a folder with one or more datasets.")
    path = Path(parse_command(parser, arguments).path).expanduser()
    console, damaged = output(), list[UserError]()
    for kind, found in recognise(path):
        try:
            with messages().status("") as status:
                report = kind.check(
                    found, lambda what, rows, status=status: status.update(Text(f"{one_line(what)}: {rows:,} rows"))
                )
        except UserError as error:
            damaged.append(error)
            console.print(f"{kind.name}, {found.shown}: damaged", style="bold", soft_wrap=True)
        else:
            show_report(console, kind.name, found.shown, report)
    for error in damaged[:-1]:
        messages().print(error_line(error))
    if damaged:
        raise damaged[-1]
    return 0


def list_splits(arguments: Sequence[str]) -> int:
    """List the splits of every task."""
    parser = command_parser(
        "data list",
        "List every task and its splits, the files they need, where these come from, and what is available.",
    )
    parser.add_argument("--seed", type=int, default=DataOptions.seed, help="Seed of the cached data to look for.")
    parser.add_argument("--path", type=str, help="Folder of the official files (default: the folder in NESTREE_DATA).")
    parsed = parse_command(parser, arguments)
    table = Table(title=f"data, seed {parsed.seed}, cache {cache_dir()}", title_justify="left")
    for column in ("task", "split", "examples", "description", "state"):
        table.add_column(column, justify="right" if column == "examples" else "left")
    needs = []
    for name in TASKS:
        if name == "own":
            continue
        shown = False
        task = _opened(name, parsed.seed, parsed.path if issubclass(TASKS[name], OfficialOptions) else None)
        there = "generated on first use"
        if isinstance(task, TextTask) and isinstance(task.texts, OfficialTexts):
            found = task.texts.found()
            there = "files found"
            needs.append((name, str(found or "missing"), task.texts.dataset.origin))
        for split, about in task.splits.items():
            size = "" if about.size is None else f"{about.size:,}"
            state = "cached" if task.is_cached(split) else there if task.is_there(split) else "files missing"
            table.add_row("" if shown else name, split, size, about.description, state)
            shown = True
        table.add_section()
    console = output()
    console.print(table)
    files = Table(title="official files", title_justify="left")
    for column in ("task", "found", "from"):
        files.add_column(column, overflow="fold")
    for row in needs:
        files.add_row(*row)
    console.print(files)
    console.print(
        "own: your own files, with `nestree train classify --data.train FILE --data.text COLUMN --data.label COLUMN`"
    )
    return 0


def _opened(name: str, seed: int, path: str | None) -> Task:
    """Open a task.

    Raises:
        UserError: there is no such task, ``path`` is given and it has no files, or the seed is out of range.
    """
    if name not in TASKS:
        raise UserError(unknown("task", name, TASKS))
    if name == "own":
        raise OptionError(
            "task", "own needs no preparation: `nestree train classify --data.train FILE` reads your files"
        )
    given: dict[str, object] = {"task": name, "seed": seed}
    if path is not None:
        if "path" not in TASKS[name].__dataclass_fields__:
            raise OptionError("path", f"must be left out: {name} has no official files to read")
        given["path"] = path
    return TASKS[name](**given).open()  # pyright: ignore[reportArgumentType]
