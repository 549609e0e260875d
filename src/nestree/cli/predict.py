"""``nestree predict``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import islice

import numpy as np

from nestree.cli.inputs import AT_ONCE, encoded, inputs
from nestree.cli.parsing import command_parser, options_first, parse_command
from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError
from nestree.evaluation.evaluate import probabilities
from nestree.models import Classifier
from nestree.runs import Run, load
from nestree.tasks import Task


def main(arguments: Sequence[str]) -> int:
    """Print one line an input: its label and the label's probability, or a JSON object."""
    parser = command_parser("predict", "Predict the labels of inputs: given here, in a file, or on standard input.")
    parser.add_argument("run", help="Run folder, as `nestree train` made it.")
    parser.add_argument(
        "text", nargs="*", type=str, default=[], help="Inputs; none, or -, reads standard input, one a line."
    )
    parser.add_argument("--file", type=str, help="File with one input a line.")
    parser.add_argument("--json", action="store_true", help="Print an object a line: input, label, probability.")
    parser.add_argument("--inference", type=str, help="For RIR: grouped or flat (default: as configured).")
    parsed = parse_command(parser, options_first(arguments, flags=("--json", "--help")))
    if parsed.file is not None and parsed.text:
        raise UserError("give inputs or --file, not both")
    run = Run.open(parsed.run)
    model = load(run, **({} if parsed.inference is None else {"inference": parsed.inference}))
    task = run.task
    lines = inputs(parsed.text, parsed.file)
    while chunk := list(islice(lines, AT_ONCE)):
        _answer(model, task, chunk, as_json=parsed.json, tokens=run.config.data.evaluation_tokens)
    return 0


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
