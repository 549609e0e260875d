"""``nestree predict``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

from jsonargparse import ArgumentParser, Namespace

from nestree.cli.arguments import RUN, command_parser, options_first, parse_command
from nestree.cli.inputs import AT_ONCE, inputs, say_coverage
from nestree.consoles import messages
from nestree.errors import OptionError, UserError
from nestree.evaluation.predict_table import TableOptions, predict_table, table_among
from nestree.evaluation.predictions import Prediction
from nestree.runs import Run


def main(arguments: Sequence[str]) -> int:
    """Print label and probability of each input, as a line or a JSON object; or write a table with both added."""
    parsed = parse_command(_parser(), options_first(arguments, flags=("--json", "--overwrite", "--help", "-h")))
    if parsed.file is not None and parsed.text:
        raise UserError("give inputs or --file, not both")
    run = Run.open(parsed.run)
    if (path := table_among(run.task, parsed.text)) is not None:
        if parsed.json:
            raise OptionError("json", f"is for single inputs; the table {path} keeps its format")
        predict_table(run, run.model(parsed.inference), path, _table_options(parsed), console=messages())
        say_coverage(run.task, path, only_low=False)
        return 0
    for name in (field.name for field in fields(TableOptions) if field.name != "overwrite"):
        if parsed[name] is not None:
            option = name.removesuffix("_column")
            raise OptionError(option, "is for tables (.csv, .tsv or .jsonl), and none is given")
    run.model(parsed.inference)  # loaded first, so that an error in the run is reported before standard input is read
    lines = inputs(parsed.text, parsed.file)
    while chunk := list(islice(lines, AT_ONCE)):
        where, texts = zip(*chunk, strict=True)
        for text, found in zip(texts, run.predict(texts, inference=parsed.inference, where=where), strict=True):
            print(_line(text, found, as_json=parsed.json))
        sys.stdout.flush()
    say_coverage(run.task)
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser(
        "predict",
        "Predict the labels of inputs on the command line, in a file, or on standard input. A table of texts (.csv, "
        ".tsv, .jsonl, also with .gz) is returned with two more columns, prediction and probability.",
    )
    parser.add_argument("run", help=f"{RUN}.")
    parser.add_argument(
        "text",
        nargs="*",
        type=str,
        default=[],
        help="Inputs, or one table. Without any, or with -: standard input, one input per line.",
    )
    parser.add_argument("--file", type=str, help="File with one input per line.")
    parser.add_argument(
        "--json", action="store_true", help="Print one JSON object per line: input, label, probability."
    )
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
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
    table.add_argument("--encoding", type=str, help="Encoding of the table (default: as in training).")
    table.add_argument("--delimiter", type=str, help="Character between columns (default: as in training).")
    table.add_argument("--quotes", type=bool, help="Whether fields may be in double quotes (default: as in training).")
    return parser


def _table_options(parsed: Namespace) -> TableOptions:
    return TableOptions(**{field.name: parsed[field.name] for field in fields(TableOptions)})


def _line(text: str, found: Prediction, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"input": text, "label": found.label, "probability": round(found.probability, 6)})
    return f"{found.label}\t{found.probability:.4f}\t{text}"
