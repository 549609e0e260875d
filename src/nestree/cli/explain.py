"""``nestree explain``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from nestree.checks import check_at_least
from nestree.cli.arguments import add_run_and_inputs, command_parser, parse_with_inputs
from nestree.cli.inputs import AT_ONCE, inputs, not_a_table, say_coverage, source_of
from nestree.consoles import output, say
from nestree.data.files import check_free, replacing
from nestree.errors import OptionError, UserError
from nestree.evaluation.predictions import EMPTY, is_empty
from nestree.explanations.draw import draw_explanations, draw_in_terminal
from nestree.explanations.explain import Explanation
from nestree.explanations.page import explanations_page
from nestree.runs import Run
from nestree.trees.terminal import ascii_only

PIPE_COLUMNS = 120
"""Width of a drawing that goes into a file or a pipe, characters."""

FILES = {"svg": ".svg", "html": ".html"}
"""Options that write a file, and its ending."""


def main(arguments: Sequence[str]) -> int:
    """Show a model's answer to each input, and its answer at every node of its most probable tree."""
    given = parse_with_inputs(_parser(), arguments)
    parsed, source = given.options, source_of(given)
    if source.kind == "table":
        raise not_a_table(source.path)
    for name in ("depth", "width"):
        if parsed[name] is not None:
            check_at_least(name, parsed[name], 1)
    files = _files(parsed)
    run = Run.open(parsed.run)
    if parsed.label is not None and parsed.label not in run.task.label_names:
        known = ", ".join(run.task.label_names[:12])
        raise OptionError("label", f"must be one of the model's labels ({known}), not {parsed.label!r}")
    explained = _explained(run, inputs(source, parsed.encoding), inference=parsed.inference)
    if files:
        there = [(text, one) for text, one in explained if one is not None]
        _write(files, there, parsed, title=f"{run.title}: a label at every node")
        say_coverage(run.task)
        return 0
    for text, one in explained:
        if parsed.json:
            print(json.dumps({"input": text, **({"label": None, "reason": EMPTY} if one is None else one.as_dict())}))
        elif one is None:
            print(EMPTY)
        else:
            _draw(one, parsed)
        sys.stdout.flush()
    say_coverage(run.task)
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser(
        "explain",
        "Show a model's answer to each input, and what its classification head says at every node of its most probable "
        "tree, in colour and as a sign.",
    )
    add_run_and_inputs(parser)
    parser.add_argument("--encoding", type=str, help="Encoding of the file (default: UTF-8).")
    parser.add_argument("--svg", type=str, metavar="FILE", help="Write a picture of all inputs into this .svg file.")
    parser.add_argument(
        "--html",
        type=str,
        metavar="FILE",
        help="Write a page, with a table of all nodes and probabilities, into this .html file.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Let --svg and --html replace existing files.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object per input.")
    parser.add_argument(
        "--label",
        type=str,
        help="Show the probability of this label at every node (default: each node's most probable label).",
    )
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
    parser.add_argument(
        "--depth", type=int, help="Number of levels of merges below the root to draw (default: as many as fit)."
    )
    parser.add_argument(
        "--width", type=int, default=100, help="Maximal number of tokens and collapsed parts in a drawing."
    )
    return parser


def _files(parsed: Namespace) -> dict[str, Path]:
    """Return the files to write, by option.

    Raises:
        UserError: a file has another ending, or exists.
    """
    found = {name: Path(parsed[name]) for name in FILES if parsed[name] is not None}
    for name, path in found.items():
        if path.suffix != FILES[name]:
            raise OptionError(name, f"must be a file ending in {FILES[name]}, not {path}")
        check_free(path, overwrite=parsed.overwrite)
    if found and parsed.json:
        raise OptionError("json", f"must be left out with --{next(iter(found))}")
    return found


def _explained(
    run: Run, lines: Iterator[tuple[str, str]], *, inference: str | None
) -> Iterator[tuple[str, Explanation | None]]:
    """Yield (text, explanation) of every (position, text); None for an empty text."""
    run.model(inference)  # loaded first, so that an error in the run is reported before standard input is read
    while chunk := list(islice(lines, AT_ONCE)):
        there = [(where, text) for where, text in chunk if not is_empty(run.task, text)]
        found = iter(run.explain([text for _, text in there], inference=inference, where=[one for one, _ in there]))
        yield from ((text, None if is_empty(run.task, text) else next(found)) for _, text in chunk)


def _draw(one: Explanation, parsed: Namespace) -> None:
    """Draw an explanation as text, with colours only in a terminal."""
    console = output()
    columns = console.width if console.is_terminal else PIPE_COLUMNS
    plain = console.options.ascii_only
    for line in draw_in_terminal(one, columns=columns, depth=parsed.depth, width=parsed.width, label=parsed.label):
        console.print(ascii_only(line) if plain else line, soft_wrap=True)


def _write(files: dict[str, Path], explained: list[tuple[str, Explanation]], parsed: Namespace, *, title: str) -> None:
    """Write all explanations into each of the files.

    Raises:
        UserError: there are none, or a file cannot be written.
    """
    options = {"depth": parsed.depth, "width": parsed.width, "label": parsed.label}
    for name, path in files.items():
        if not explained:
            raise UserError(f"{path}: not written, as there are no inputs")
        if name == "svg":
            text = draw_explanations([one for _, one in explained], **options)
        else:
            text = explanations_page(explained, title=title, **options)
        try:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OptionError(name, f"{path} cannot be written ({error.strerror or error})") from None
        say(f"written to {path}", error=True)
