"""``nestree parse``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.text import Text

from nestree.checks import check_at_least
from nestree.cli.arguments import add_run_and_inputs, command_parser, parse_with_inputs
from nestree.cli.inputs import AT_ONCE, inputs, not_a_table, say_coverage, source_of
from nestree.consoles import one_line, output, say
from nestree.data.files import check_free, replacing
from nestree.errors import OptionError, UserError
from nestree.evaluation.readings import Reading
from nestree.runs import Run
from nestree.trees import ParsedTree
from nestree.trees.folding import printable_line
from nestree.trees.svg import draw_svg
from nestree.trees.terminal import ascii_only, draw_text

FORMATS = ("tree", "brackets", "json", "svg")
SUFFIXES = {".txt": "tree", ".json": "json", ".svg": "svg"}
"""Default format of an output file, by its ending."""

PIPE_COLUMNS = 120
"""Width of a drawing that goes into a file or a pipe, characters."""


@dataclass(frozen=True)
class ParseOptions:
    """How much of the trees to show.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    beams: int = 1
    """Number of trees to show per text, the most probable ones."""
    depth: int | None = None
    """Number of levels of merges below the root to draw; null: as many as fit."""
    width: int | None = 100
    """Maximal number of tokens and collapsed parts in a drawing; null: no limit."""

    def __post_init__(self) -> None:
        check_at_least("beams", self.beams, 1)
        for name in ("depth", "width"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)


def main(arguments: Sequence[str]) -> int:
    """Show a model's answer to each input, and the trees it found."""
    given = parse_with_inputs(_parser(), arguments)
    parsed = given.options
    options = ParseOptions(**{name: parsed[name] for name in ParseOptions.__dataclass_fields__})
    source = source_of(given)
    if source.kind == "table":
        raise not_a_table(source.path)
    path = None if parsed.output is None else Path(parsed.output)
    kind = _format(parsed.format, path)
    if path is not None:
        check_free(path, overwrite=parsed.overwrite)
    run = Run.open(parsed.run)
    readings = _readings(run, inputs(source, parsed.encoding), inference=parsed.inference)
    if kind == "svg":
        readings = _only_one(readings)
    if path is None:
        for text, reading in readings:
            _print(kind, text, reading, options, sys.stdout)
        say_coverage(run.task)
        return 0
    _write(path, kind, list(readings), options)
    say_coverage(run.task)
    say(f"written to {path}", error=True)
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser(
        "parse",
        "Show a model's answer to each input, and the trees it found. Drawings of deep or long trees collapse some "
        "parts; brackets and JSON are complete.",
    )
    add_run_and_inputs(parser)
    parser.add_argument("--encoding", type=str, help="Encoding of the file (default: UTF-8).")
    parser.add_argument(
        "--format",
        type=str,
        help="tree (a drawing), brackets (label, probability and tree, tab-separated), json (one object per line) or "
        "svg (default: by the ending of -o, or else tree).",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        metavar="FILE",
        help="File to write: .svg, .json or .txt (default: standard output).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Let -o replace an existing file.")
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
    parser.add_class_arguments(ParseOptions, None)
    return parser


def _format(chosen: str | None, path: Path | None) -> str:
    """Return one of [`FORMATS`][].

    Raises:
        UserError: there is no such format, or it does not fit the ending of the file.
    """
    if chosen is not None and chosen not in FORMATS:
        raise OptionError("format", f"must be one of {', '.join(FORMATS)}, not {chosen!r}")
    if path is None:
        return chosen or FORMATS[0]
    if path.suffix not in SUFFIXES:
        raise OptionError("output", f"must end in {', '.join(SUFFIXES)}, not {path}")
    by_suffix = SUFFIXES[path.suffix]
    if chosen not in (None, by_suffix) and not (chosen == "brackets" and by_suffix == "tree"):
        raise OptionError("format", f"must be {by_suffix} for {path}, not {chosen}")
    return chosen or by_suffix


def _readings(run: Run, lines: Iterator[tuple[str, str]], *, inference: str | None) -> Iterator[tuple[str, Reading]]:
    """Yield (text, reading) of every (position, text)."""
    run.model(inference)  # loaded first, so that an error in the run is reported before standard input is read
    while chunk := list(islice(lines, AT_ONCE)):
        where, texts = zip(*chunk, strict=True)
        yield from zip(texts, run.read(texts, inference=inference, where=where), strict=True)


def _only_one(readings: Iterator[tuple[str, Reading]]) -> Iterator[tuple[str, Reading]]:
    """Yield the only reading.

    Raises:
        UserError: there are several.
    """
    first = list(islice(readings, 2))
    if len(first) > 1:
        raise UserError("svg is for one input at a time: --format tree, brackets and json take several")
    if first and (reason := first[0][1].reason) is not None:
        raise UserError(f"there is no tree to draw: {reason}")
    yield from first


def _print(kind: str, text: str, reading: Reading, options: ParseOptions, stream: Any) -> None:
    if kind == "brackets" and reading.reason is not None:
        print("\t\t", file=stream)  # one line per input, of as many columns
    elif kind == "brackets":
        for trees in reading.sides:
            for parsed in trees[: options.beams]:
                print(f"{one_line(reading.label or '')}\t{parsed.probability:.4f}\t{parsed.brackets()}", file=stream)
    elif kind == "json":
        print(json.dumps(_plain(text, reading, options)), file=stream)
    elif kind == "svg":
        (caption, best), *others = _captioned(reading, options)
        answer = f"answer {printable_line(reading.label or '')}{reading.certainty}; {caption}"
        stream.write(draw_svg([(answer, best), *others], depth=options.depth, width=options.width))
    else:
        _draw(reading, options, stream)
    stream.flush()


def _plain(text: str, reading: Reading, options: ParseOptions) -> dict[str, Any]:
    """Return a reading as plain values for JSON."""
    return {
        "input": text,
        "label": reading.label,
        "probability": None if math.isnan(reading.probability) else round(reading.probability, 6),
        **({"reason": reading.reason} if reading.reason else {}),
        "sides": [
            [{**parsed.as_dict(), "brackets": parsed.brackets()} for parsed in trees[: options.beams]]
            for trees in reading.sides
        ],
    }


def _captioned(reading: Reading, options: ParseOptions) -> list[tuple[str, ParsedTree]]:
    """Return the trees to draw, each with its caption."""
    found = []
    for side, trees in enumerate(reading.sides, start=1):
        which = f"side {side}, " if len(reading.sides) > 1 else ""
        for number, parsed in enumerate(trees[: options.beams], start=1):
            found.append((f"{which}tree {number} of {len(trees)}, probability {parsed.probability:.2f}", parsed))
    return found


def _draw(reading: Reading, options: ParseOptions, stream: Any) -> None:
    """Draw trees as text, with colours only in a terminal."""
    console = output(stream)
    columns = console.width if console.is_terminal else PIPE_COLUMNS
    plain = console.options.ascii_only

    def write(line: Text) -> None:
        console.print(ascii_only(line) if plain else line, soft_wrap=True)

    if reading.reason is not None:
        write(Text(f"no answer: {reading.reason}\n", style="dim"))
        return
    write(Text.assemble(("answer ", "dim"), (printable_line(reading.label or ""), "bold green"), reading.certainty))
    for caption, parsed in _captioned(reading, options):
        write(Text(f"{caption}; {_size(parsed)}", style="dim"))
        for line in draw_text(parsed, columns=columns, depth=options.depth, width=options.width):
            write(line)
    hidden = sum(max(0, len(trees) - options.beams) for trees in reading.sides)
    if hidden:
        most = max(map(len, reading.sides))
        write(Text(f"{hidden} more: --beams {most} shows all", style="dim"))
    write(Text(""))


def _size(parsed: ParsedTree) -> str:
    tokens = "1 token" if parsed.tree.leaves == 1 else f"{parsed.tree.leaves} tokens"
    return ", ".join([tokens, f"{parsed.tree.height} deep", *(f"{len(level)} groups" for level in parsed.groups[:-1])])


def _write(path: Path, kind: str, readings: list[tuple[str, Reading]], options: ParseOptions) -> None:
    """Write all readings into a file.

    Raises:
        UserError: there are none, or the file cannot be written.
    """
    if not readings:
        raise UserError(f"{path}: not written, as there are no inputs")
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for text, reading in readings:
                _print(kind, text, reading, options, stream)
    except OSError as error:
        raise OptionError("output", f"{path} cannot be written ({error.strerror or error})") from None
