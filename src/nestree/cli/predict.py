"""``nestree predict``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from nestree.cli.arguments import RUN, command_parser, options_first, parse_command
from nestree.cli.consoles import messages
from nestree.cli.inputs import AT_ONCE, encoded, inputs
from nestree.data.ragged import RaggedExamples
from nestree.errors import OptionError, UserError
from nestree.evaluation.evaluate import probabilities
from nestree.evaluation.predict_table import TableOptions, predict_table
from nestree.models import Classifier
from nestree.runs import Run, load
from nestree.tasks import Task
from nestree.tasks.text import TextTask
from nestree.tasks.text.table import table_format


def main(arguments: Sequence[str]) -> int:
    """Print one line an input, its label and the label's probability, or a JSON object; or a table with both."""
    parsed = parse_command(_parser(), options_first(arguments, flags=("--json", "--overwrite", "--help", "-h")))
    if parsed.file is not None and parsed.text:
        raise UserError("give inputs or --file, not both")
    run = Run.open(parsed.run)
    model = load(run, **({} if parsed.inference is None else {"inference": parsed.inference}))
    if (path := _table(run.task, parsed.text)) is not None:
        if parsed.json:
            raise OptionError("json", f"is for inputs; {path} keeps its format")
        predict_table(run, model, path, _table_options(parsed), console=messages())
        return 0
    for name in (field.name for field in fields(TableOptions) if field.name != "overwrite"):
        if parsed[name] is not None:
            option = name.removesuffix("_column")
            raise OptionError(option, "is for a table (.csv, .tsv or .jsonl), and there is none here")
    task = run.task
    lines = inputs(parsed.text, parsed.file)
    while chunk := list(islice(lines, AT_ONCE)):
        _answer(model, task, chunk, as_json=parsed.json, tokens=run.config.data.evaluation_tokens)
    return 0


def _parser() -> ArgumentParser:
    parser = command_parser(
        "predict",
        "Predict the labels of inputs: given here, in a file, or on standard input. A table of texts (.csv, .tsv, "
        ".jsonl, also with .gz) comes back with two more columns, prediction and probability.",
    )
    parser.add_argument("run", help=f"{RUN}.")
    parser.add_argument(
        "text", nargs="*", type=str, default=[], help="Inputs, or one table; none, or -, reads standard input by line."
    )
    parser.add_argument("--file", type=str, help="File with one input a line.")
    parser.add_argument("--json", action="store_true", help="Print an object a line: input, label, probability.")
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
    table = parser.add_argument_group("tables")
    table.add_argument("-o", "--output", type=str, metavar="OUT", help="Write the table to this file, not to here.")
    table.add_argument("--overwrite", action="store_true", help="Replace OUT if it is there.")
    table.add_argument(
        "--text", type=str, dest="text_column", metavar="COLUMN", help="Column of texts (default: as in training)."
    )
    table.add_argument(
        "--text2", type=str, dest="text2_column", metavar="COLUMN", help="Column of second texts, for pairs."
    )
    table.add_argument("--encoding", type=str, help="Encoding (default: as in training).")
    table.add_argument("--delimiter", type=str, help="Character between columns (default: as in training).")
    table.add_argument("--quotes", type=bool, help="Fields may stand in double quotes (default: as in training).")
    return parser


def _table_options(parsed: Namespace) -> TableOptions:
    return TableOptions(**{field.name: parsed[field.name] for field in fields(TableOptions)})


def _table(task: Task, inputs: list[str]) -> str | None:
    """Return the table among inputs of a task on texts, if it is one; what is named like one must be there.

    Raises:
        UserError: there are further inputs.
    """
    if not isinstance(task, TextTask):
        return None
    tables = [text for text in inputs if table_format(text) and (Path(text).exists() or len(text.split()) == 1)]
    if tables and len(inputs) > 1:
        raise UserError(f"{tables[0]}: give one table, and no inputs beside it")
    return tables[0] if tables else None


def _answer(model: Classifier, task: Task, chunk: list[tuple[str, str]], *, as_json: bool, tokens: int) -> None:
    """Print the answers to (where it stands, text) pairs."""
    sequences = [sequence for where, text in chunk for sequence in encoded(task, where, text)]
    examples = RaggedExamples.from_sequences(
        sequences, [0] * len(chunk), name="inputs", dtype=np.uint32, sides=task.sides
    )
    found = probabilities(model, examples, tokens=tokens)
    for (_, text), row in zip(chunk, found, strict=True):
        label = task.label_names[int(row.argmax())]
        if as_json:
            print(json.dumps({"input": text, "label": label, "probability": round(float(row.max()), 6)}))
        else:
            print(f"{label}\t{row.max():.4f}\t{text}")
    sys.stdout.flush()
