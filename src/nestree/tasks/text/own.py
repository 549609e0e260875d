"""The user's own texts: tables with one or two columns of texts and a column of labels."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nestree.checks import check_one_of
from nestree.data import cache_dir, load_or_count
from nestree.data.cache import source_digest
from nestree.data.text import SPLITTER
from nestree.errors import OptionError, UserError, within
from nestree.tasks.base import SECTION, OfficialSplit, Row
from nestree.tasks.official_files import count_empty, note
from nestree.tasks.target import KINDS, SEPARATOR, Kind, Target
from nestree.tasks.text.answers import Answer, AnswerColumns, label_columns
from nestree.tasks.text.hub_table import PREFIX, HubTable
from nestree.tasks.text.lines import shown
from nestree.tasks.text.table import Record, Table, TableStyle, cell_text
from nestree.tasks.text.task import TextOptions, Texts, TextTask, held_out

NAME = "own"

FILES = ("train", "validation", "test")
"""Splits that may have a file, and the names of their options."""

MOST_CLASSES = 10_000
"""Maximal number of labels; a column with more different values is not a column of labels."""

SURVEY_VERSION = 2
"""Increased whenever the survey of the tables changes; cached surveys of another version are replaced."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class OwnOptions(TextOptions):
    """Your own tables: CSV, TSV, JSON lines, Excel, Parquet, folders of text files, or datasets of Hugging Face.

    Paths are made absolute, so that a run finds its files from any folder.

    Raises:
        ValueError: an option is invalid; names the option.
    """

    train: str | None = None
    """Table to train on: a file .csv, .tsv or .jsonl, optionally followed by .gz; .xlsx, or FILE.xlsx#SHEET; .parquet;
    a folder of .txt files in a folder per label; a folder saved by Hugging Face datasets; or hf:NAME,
    hf:NAME:CONFIG@SPLIT of the Hugging Face Hub."""
    validation: str | None = None
    """Table for validation; null: a share of train is held out."""
    validation_share: float = 0.1
    """Share of the training rows to hold out if there is no validation table, stratified by label (target class)."""
    test: str | None = None
    """Table for evaluation; null: evaluate on validation."""
    text: str = "text"
    """Column of texts, by name or by number, from 1."""
    text2: str | None = None
    """Column of second texts, for pairs; null: one text per row."""
    label: str = "label"
    """Column of labels, which are names: 1 and 1.0 are different labels; or of numbers. For target labels also several
    columns, as a,b,c: one per label, with 0 or 1, true or false, yes or no, or nothing."""
    target: Kind = "class"
    """What the column has: class, one label per row; labels, any number of labels; or number, one number."""
    separator: str | None = None
    """For target labels: what separates the labels in a cell, such as "|"; null: the cells are lists (.jsonl,
    .parquet), or there is a column per label."""
    skip_unlabelled: bool = False
    """Skip rows without a label; false: they are an error."""
    encoding: str = "utf-8"
    """Encoding of the files: utf-8, latin-1, cp1252, utf-16 or any other that Python knows; UTF-16 with a byte
    order mark is recognised."""
    delimiter: str | None = None
    """Character between columns, or tab; null: a tab in .tsv files, else a comma, or what separates the columns asked
    for."""
    quotes: bool | None = None
    """Whether fields may be in double quotes, as spreadsheets write them; null: yes, unless this fails for a .tsv."""
    header: bool = True
    """Whether the first row of .csv, .tsv and .xlsx names the columns; false: they are called 1, 2, ..."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.validation_share, bool) or not 0 < self.validation_share <= 0.5:
            raise OptionError(
                "validation_share", f"must be a number above 0 and at most 0.5, not {self.validation_share!r}"
            )
        if self.text == self.text2:
            raise OptionError("text2", f"must be a different column from text, not {self.text2!r}")
        check_one_of("target", self.target, KINDS)
        if self.separator is not None and (self.target != "labels" or not self.separator):
            what = "must not be empty" if self.target == "labels" else "is for target labels: it must be left out"
            raise OptionError("separator", what)
        if {self.text, self.text2} & set(self.label_columns()):
            raise OptionError("label", f"must be a different column from the texts, not {self.label!r}")
        for name in FILES:
            path = getattr(self, name)
            if path is not None and not path.startswith(PREFIX):
                object.__setattr__(self, name, os.path.abspath(os.path.expanduser(path)))
        self.style()

    def label_columns(self, columns: Sequence[str] | None = None) -> list[str]:
        """Return the columns that ``label`` names, of a table with these ``columns``."""
        return label_columns(self.label, several=self.target == "labels" and self.separator is None, columns=columns)

    def style(self) -> TableStyle:
        """Return the style of the files."""
        return TableStyle(self.encoding, self.delimiter, self.quotes, self.header)

    def open(self, state: Mapping[str, Any] | None = None) -> TextTask:
        """Return the task; with a ``state``, files are opened only when they are needed.

        Raises:
            UserError: no training table is named, a file does not exist, or a column is missing.
        """
        if state is None:
            if self.train is None:
                raise OptionError(
                    "data.train",
                    "must name the table to train on (.csv, .tsv, .jsonl, .xlsx, .parquet, a folder of text files, "
                    "or hf:NAME)",
                )
            texts = OwnTexts(self, {})
            for split in texts.files:
                texts.table(split)
            return TextTask(texts, self)
        files = state.get("files")
        return TextTask(OwnTexts(self, files if isinstance(files, dict) else {}), self, state)


class OwnTexts(Texts):
    """The rows of the user's tables, and of a validation split if there is no table for it.

    Args:
        options: the tables and their style.
        known: digests of the files that a run was trained on, by split.
    """

    level = "word"
    max_tokens = None
    splitter = SPLITTER

    def __init__(self, options: OwnOptions, known: Mapping[str, str]) -> None:
        self.options = options
        self.known = known
        self.name = NAME
        self.sides = 1 if options.text2 is None else 2
        self.files = {name: path for name in FILES if (path := getattr(options, name)) is not None}
        self.protocol = "own" if "validation" in self.files else "clean"
        self._tables: dict[str, Table | HubTable] = {}
        self._columns: dict[str, _Columns] = {}
        """The columns of each table."""

    @property
    def splits(self) -> Mapping[str, OfficialSplit]:
        """Train, validation, and test if it has a table."""
        rows = {
            name: OfficialSplit(None, f"rows of {path if path.startswith(PREFIX) else shown(Path(path))}")
            for name, path in self.files.items()
        }
        stratified = ", stratified by label" * (self.options.target == "class")
        share = f"{self.options.validation_share:.0%} of the training rows, held out by seed{stratified}"
        return {"train": OfficialSplit(None, "training rows"), "validation": OfficialSplit(None, share)} | rows

    def table(self, split: str) -> Table | HubTable:
        """Return the table of a split, and check its columns.

        Raises:
            UserError: the table does not exist, or a column is missing.
        """
        if split not in self.files:
            problem = "the run was trained on texts in memory, or its table was not kept"
            raise OptionError(f"data.{split}", "must name a table", problem=problem)
        if split not in self._tables:
            path, options = self.files[split], self.options
            try:
                table = HubTable(path, split) if path.startswith(PREFIX) else Table(path, options.style(), split)
            except UserError as error:
                moved = "; if it was moved, change the path in the run's config.yaml" * bool(self.known)
                raise OptionError(f"data.{split}", f"{error}{moved}") from None
            with within(SECTION):
                self._columns[split] = _columns(table, options)
            self._tables[split] = table
        return self._tables[split]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels of the training table, sorted as by [`sorted_labels`][]; for numbers, the name of their column."""
        return tuple(self._survey["labels"])

    @property
    def target(self) -> Target:
        """What the answers are; mean and deviation of numbers are those of the training rows."""
        separator = self.options.separator or SEPARATOR
        mean, deviation = self._survey.get("numbers", (0.0, 1.0))
        return Target(self.options.target, self.label_names, separator, mean, deviation)

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split."""
        if split == "test" or "validation" in self.files:
            yield from self._table_rows(split)
            return
        for number, row in enumerate(self._table_rows("train")):
            if (number in self._held_out) == (split == "validation"):
                yield row

    def _table_rows(self, split: str) -> Iterator[Row]:
        table = self.table(split)
        columns = self._columns[split]
        skipped = 0

        def rows() -> Iterator[Row]:
            nonlocal skipped
            for record in table.records():
                answer = self._answer(record, columns.answers)
                if answer is None:
                    skipped += 1
                    continue
                label, more = (answer, None) if isinstance(answer, str) else ("", answer)
                yield Row(tuple(cell_text(record, column) for column in columns.texts), label, record.where, more)

        with within(SECTION):
            yield from count_empty(rows(), Path(table.shown))
        if skipped:
            note(f"{table.shown}: {skipped:,} row{'s' * (skipped > 1)} without a label skipped")

    def _answer(self, record: Record, columns: AnswerColumns) -> Answer | None:
        """Return a row's answer; None if it has none and can be skipped."""
        answer = columns.read(record)
        if answer is None and not self.options.skip_unlabelled:
            what = "number" if columns.kind == "number" else "label"
            problem = f"{record.where}: no {what} in column {columns.columns[0]!r}"
            raise OptionError("skip_unlabelled", "true leaves such rows out", problem=problem)
        return answer

    @cached_property
    def _held_out(self) -> set[int]:
        """Indices of the training rows that are held out for validation."""
        codes: dict[str, int] = {}  # where the answers are not single labels, all have the same
        labels = np.fromiter((codes.setdefault(row.label, len(codes)) for row in self._table_rows("train")), np.int64)
        count = max(2, round(self.options.validation_share * len(labels)))
        return held_out(labels, min(count, len(labels) // 2), self.options.seed)

    @cached_property
    def _survey(self) -> dict[str, Any]:
        """Labels of the training table, and numbers of texts that other splits have in common with it; cached."""
        source = source_digest({"survey": SURVEY_VERSION, "seed": self.options.seed, **self.fingerprint()})
        path = cache_dir() / self.name / f"survey-{source}.json"
        survey = load_or_count(path, self._look)
        for split, (repeated, rows) in survey["repeated"].items():
            if repeated:
                texts = "texts" if self.sides == 1 else "pairs of texts"
                note(f"{split}: {repeated:,} of {rows:,} rows have {texts} that are in train too; accuracy is inflated")
        return survey

    def _look(self) -> dict[str, Any]:
        """Read every table once.

        Raises:
            UserError: train has no labels to learn, or another table has a label that train does not have.
        """
        labels, numbers = self._answers()
        keys = {split: np.fromiter(self._keys(split, labels), np.uint64) for split in self.splits}
        train = np.unique(keys.pop("train"))
        repeated = {split: (int(np.isin(found, train).sum()), len(found)) for split, found in keys.items()}
        return {"labels": labels, "repeated": repeated, **({"numbers": numbers} if numbers is not None else {})}

    def _answers(self) -> tuple[list[str], tuple[float, float] | None]:
        """Return the labels of the training table; and, of numbers, mean and standard deviation of the training rows.

        Raises:
            UserError: there is nothing to learn.
        """
        name, options = self.table("train").shown, self.options
        if options.target == "number":
            numbers = np.array([row.answer for row in self.rows("train")], np.float64)
            if len(numbers) == 0:
                raise UserError(f"{name}: has no rows with a number")
            mean, deviation = float(numbers.mean()), float(numbers.std())
            if not 0 < deviation < float("inf"):
                raise UserError(f"{name}: every training row has the number {mean:g}; there must be different ones")
            return [options.label], (mean, deviation)
        counts: Counter[str] = Counter()
        for row in self._table_rows("train"):
            counts.update(row.answer if isinstance(row.answer, tuple) else (row.label,))
            if len(counts) > MOST_CLASSES:
                break
        if options.target == "class":
            _check_classes(name, options.label, counts)
            return sorted_labels(counts), None
        if not counts:
            raise UserError(f"{name}: no row has a label in {options.label!r}")
        if len(counts) > MOST_CLASSES:
            raise UserError(f"{name}: there are more than {MOST_CLASSES:,} different labels; is the separator right?")
        return list(self._columns["train"].answers.names) or sorted_labels(counts), None

    def _keys(self, split: str, labels: list[str]) -> Iterator[int]:
        """Yield a hash of each row's texts; raise a UserError if a label is not in ``labels``."""
        known = set(labels)
        for row in self.rows(split):
            several = row.answer if isinstance(row.answer, tuple) else ()
            wrong = [label for label in (several if row.answer is not None else (row.label,)) if label not in known]
            if wrong:
                there = f"{', '.join(labels[:12])}{', ...' * (len(labels) > 12)}"
                raise UserError(
                    f"{row.where}: the label {wrong[0]!r} is not in {self.table('train').shown}, which has {there}"
                )
            content = "\0".join(row.texts).encode("utf-8", "surrogatepass")
            yield int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {split: self.table(split).digest() for split in self.files}

    def fingerprint(self) -> dict[str, Any]:
        """Return the digest of each table's content, and the options that it is read with.

        Raises:
            UserError: the content has changed since a run was trained on it.
        """
        for split in ("train", "validation"):
            if split in self.known and self.known[split] != self._digests.get(split):
                raise UserError(
                    f"{self.table(split).shown}: has changed since the run was trained on it, "
                    "so it is unknown which rows were held out: restore it, or train again"
                )
        names = ["text", "text2", "label", "skip_unlabelled", "validation_share"]
        if self.options.target != "class":
            names += ["target", "separator"]
        return {"tables": self._digests, **asdict(self.options.style()), **{n: getattr(self.options, n) for n in names}}

    def state(self) -> dict[str, Any]:
        """Return the digest of each file, to detect changes when a run is resumed."""
        local = {split: digest for split, digest in self._digests.items() if not self.files[split].startswith(PREFIX)}
        return {"files": local}


@dataclass(frozen=True)
class _Columns:
    """The columns of a table that are read."""

    texts: tuple[str, ...]
    answers: AnswerColumns


def _columns(table: Table | HubTable, options: OwnOptions) -> _Columns:
    """Check a table's columns, and return their names.

    Raises:
        UserError: a column is missing, or two options name the same one.
    """
    texts = [(name, column) for name in ("text", "text2") if (column := getattr(options, name)) is not None]
    labels = options.label_columns(table.columns)
    asked = [*texts, *(("label", column) for column in labels)]
    for option, column in asked:
        table.check_column(column, option)
    found: list[str] = []
    for option, column in asked:
        name = table.column(column)
        if name in found:
            raise OptionError(option, f"must be a different column: {name!r} of {table.shown} is named twice")
        found.append(name)
    of_labels = tuple(found[len(texts) :])
    names = of_labels if len(labels) > 1 else ()
    answers = AnswerColumns(options.target, of_labels, names, options.separator)
    return _Columns(tuple(found[: len(texts)]), answers)


def sorted_labels(labels: Collection[str]) -> list[str]:
    """Sort labels: by value if all are integers, else alphabetically."""
    if all(_INTEGER.fullmatch(label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def _check_classes(name: str, column: str, counts: Counter[str]) -> None:
    """Check that a column can be a column of labels.

    Raises:
        UserError: there are no rows, only one label, or nearly as many labels as rows.
    """
    rows, classes = counts.total(), len(counts)
    if rows == 0:
        raise UserError(f"{name}: has no rows with a label")
    if classes == 1:
        raise UserError(f"{name}: every row has the label {next(iter(counts))!r}; there must be at least two labels")
    if classes > MOST_CLASSES or (classes > 20 and classes > rows / 2):
        raise UserError(
            f"{name}: the {rows:,} {'first ' * (classes > MOST_CLASSES)}rows have {classes:,} different labels; "
            f"is {column!r} the column of labels?"
        )
