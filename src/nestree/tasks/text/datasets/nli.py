"""SNLI (Bowman et al. 2015) and MNLI (Williams et al. 2018): whether one sentence follows from another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import beside, count_empty, files_beside, find, lines, note
from nestree.tasks.text.datasets.parses import words_of

LABELS = ("entailment", "neutral", "contradiction")
UNDECIDED = "-"
"""Gold label of a pair without a majority among the annotators."""

SNLI_FILES = {"train": "snli_1.0_train.jsonl", "validation": "snli_1.0_dev.jsonl", "test": "snli_1.0_test.jsonl"}
MNLI_FILES = {
    "train": "multinli_1.0_train.jsonl",
    "validation": "multinli_1.0_dev_matched.jsonl",
    "matched": "multinli_1.0_dev_matched.jsonl",
    "mismatched": "multinli_1.0_dev_mismatched.jsonl",
}


def _read(found: Path, split: str, *, files: Mapping[str, str]) -> Iterator[Row]:
    """Yield the pairs with a gold label; log the number of pairs without one.

    A text has the words of the official binary parse, separated by spaces. If the parse is missing or damaged (the
    number of which is logged), the text is the original sentence.
    """
    path = beside(found, files, split)
    return count_empty(_pairs(path), path)


def _pairs(path: Path) -> Iterator[Row]:
    undecided = damaged = 0
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = _object(line, where)
        label = _field(row, "gold_label", where)
        first, second = (_field(row, name, where) for name in ("sentence1", "sentence2"))
        if label == UNDECIDED:
            undecided += 1
            continue
        if label not in LABELS:
            raise UserError(f"{where}: gold_label must be one of {', '.join(LABELS)} or -, not {label[:20]!r}")
        parsed = [_parsed(row, side) for side in (1, 2)]
        damaged += sum(words == "" for words in parsed)
        yield Row((parsed[0] or first, parsed[1] or second), label, where)
    if undecided:
        note(f"{path}: {undecided:,} pairs without a gold label are skipped")
    if damaged:
        note(f"{path}: {damaged:,} binary parses are damaged; the original sentences are used instead")


def _object(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a line.

    Raises:
        UserError: the line is not a JSON object.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}); a line is one object in braces") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: a line is one JSON object in braces, not {line[:20]!r}")
    return row


def _field(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a text field of a row.

    Raises:
        UserError: the field is missing or not a text.
    """
    if not isinstance(value := row.get(name), str):
        state = f"is {json.dumps(value)[:20]}, not a text" if name in row else "is missing"
        raise UserError(f"{where}: the field {name} {state}")
    return value


def _parsed(row: Mapping[str, Any], side: int) -> str | None:
    """Return the words of a binary parse; None if there is none, an empty string if it is damaged."""
    parse = row.get(f"sentence{side}_binary_parse")
    if not isinstance(parse, str) or not parse.startswith("("):
        return None  # a single word has no brackets; the sentence is the same word
    try:
        return words_of(parse)
    except ValueError:
        return ""


def _find(path: Path, *, files: Mapping[str, str]) -> Path | None:
    return find(path, list(files.values()), accept=Path.is_file)


SNLI = Dataset(
    name="snli",
    about="whether one sentence about a picture follows from another",
    origin=", ".join(SNLI_FILES.values()) + " of snli_1.0.zip, nlp.stanford.edu/projects/snli",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(549_367, "pairs of sentences with a gold label"),
        "validation": OfficialSplit(9_842, "pairs of sentences with a gold label, called dev"),
        "test": OfficialSplit(9_824, "pairs of sentences with a gold label"),
    },
    find=partial(_find, files=SNLI_FILES),
    files=partial(files_beside, files=SNLI_FILES),
    read=partial(_read, files=SNLI_FILES),
    sides=2,
)
"""Pairs of sentences with a gold label."""

MNLI = Dataset(
    name="mnli",
    about="whether one sentence follows from another, in several kinds of text",
    origin=", ".join(dict.fromkeys(MNLI_FILES.values())) + " of multinli_1.0.zip, cims.nyu.edu/~sbowman/multinli",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(392_702, "pairs of sentences, five kinds of text"),
        "validation": OfficialSplit(9_815, "pairs of the same kinds of text, called dev_matched"),
        "matched": OfficialSplit(
            9_815, "the same file as validation: not held out if it was used to select the weights"
        ),
        "mismatched": OfficialSplit(9_832, "pairs of five other kinds of text, called dev_mismatched"),
    },
    find=partial(_find, files=MNLI_FILES),
    files=partial(files_beside, files=MNLI_FILES),
    read=partial(_read, files=MNLI_FILES),
    sides=2,
)
"""Pairs of sentences with a gold label; the official test labels are not public."""
