"""``nestree predict``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

from jsonargparse import ArgumentParser, Namespace

from nestree.cli.arguments import add_run_and_inputs, command_parser, parse_with_inputs
from nestree.cli.inputs import AT_ONCE, Source, inputs, not_a_table, say_coverage, source_of
from nestree.consoles import messages
from nestree.errors import OptionError
from nestree.evaluation.predict_table import TableOptions, predict_table
from nestree.evaluation.predictions import Threshold
from nestree.evaluation.shown import Shown
from nestree.evaluation.tally import Tally
from nestree.runs import Run
from nestree.tasks.target import target_of
from nestree.tasks.text import TextTask


def main(arguments: Sequence[str]) -> int:
    """Print the answer to each input, as a line or a JSON object; or write a table with the answers added."""
    given = parse_with_inputs(_parser(), arguments)
    parsed = given.options
    threshold = Threshold(parsed.threshold, parsed.abstain)
    shown = Shown(parsed.probabilities, parsed.top)
    source = source_of(given)
    run = Run.open(parsed.run)
    target = target_of(run.task)
    shown = shown.of(target)
    threshold.check(target)
    if source.kind == "table" and not isinstance(run.task, TextTask):
        raise not_a_table(source.path)
    model = run.model(parsed.inference)  # an error in the run is reported before standard input is read
    if source.kind == "table":
        options = TableOptions(**{field.name: parsed[field.name] for field in fields(TableOptions)})
        predict_table(run, model, source.path, options, shown=shown, threshold=threshold, console=messages())
        say_coverage(run.task, source.path, only_low=False)
        return 0
    _refuse_table_options(parsed)
    _predict_lines(run, source, parsed, shown, threshold)
    return 0


def _refuse_table_options(parsed: Namespace) -> None:
    """Raise a UserError if an option for tables is given, as there is no table."""
    for name in (field.name for field in fields(TableOptions) if field.name not in ("overwrite", "encoding", "json")):
        if parsed[name] is not None:
            option = name.removesuffix("_column")
            raise OptionError(option, "is for tables (.csv, .tsv or .jsonl), and none is given")


def _predict_lines(run: Run, source: Source, parsed: Namespace, shown: Shown, threshold: Threshold) -> None:
    """Print one line, or JSON object, per input."""
    tally = Tally(target_of(run.task))
    lines = inputs(source, parsed.encoding)
    while chunk := list(islice(lines, AT_ONCE)):
        where, texts = zip(*chunk, strict=True)
        found = run.predict(
            texts, threshold=threshold.threshold, abstain=threshold.abstain, inference=parsed.inference, where=where
        )
        for text, one in zip(texts, found, strict=True):
            tally.add(one)
            if parsed.json:
                print(json.dumps({"input": text, **shown.json(one)}))
            else:
                print(shown.line(one, text, sides=run.task.sides))
        sys.stdout.flush()
    for message in tally.unanswered("input", threshold):
        messages().print(message)
    say_coverage(run.task)


def _parser() -> ArgumentParser:
    parser = command_parser(
        "predict",
        "Predict the labels (or numbers) of inputs on the command line, in a file, or on standard input: one answer "
        "per input, in their order. A table of texts (.csv, .tsv, .jsonl, also with .gz; .xlsx; .parquet; a folder) is "
        "returned with more columns, prediction and, of a single label, probability.",
    )
    add_run_and_inputs(parser, tables=True)
    parser.add_argument(
        "--json",
        action="store_true",
        help="Print one JSON object per line: input (for tables: row), label, probability.",
    )
    parser.add_argument("--probabilities", action="store_true", help="Also show the probability of every label.")
    parser.add_argument("--top", type=int, metavar="K", help="Also list the K most probable labels.")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="Give no label if the most probable one is less probable than P (above 0, at most 1); where there may be "
        "several, give those more probable than P (default: 0.5).",
    )
    parser.add_argument("--abstain", type=str, metavar="LABEL", help="Label below the threshold (default: none).")
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
    parser.add_argument("--encoding", type=str, help="Encoding of a file (default: UTF-8; of a table: as in training).")
    table = parser.add_argument_group("tables")
    table.add_argument(
        "-o", "--output", type=str, metavar="OUT", help="File to write the table to (default: standard output)."
    )
    table.add_argument("--overwrite", action="store_true", help="Replace OUT if it exists.")
    table.add_argument(
        "--text", type=str, dest="text_column", metavar="COLUMN", help="Column of texts (default: as in training)."
    )
    table.add_argument(
        "--text2", type=str, dest="text2_column", metavar="COLUMN", help="Column of second texts, for pairs."
    )
    table.add_argument("--delimiter", type=str, help="Character between columns (default: as in training).")
    table.add_argument("--quotes", type=bool, help="Whether fields may be in double quotes (default: as in training).")
    return parser
