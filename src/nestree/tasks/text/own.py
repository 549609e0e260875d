"""The user's own texts: tables with one or two columns of texts and a column of labels."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nestree.data import cache_dir, load_or_count
from nestree.data.cache import source_digest
from nestree.data.text import SPLITTER, normal
from nestree.errors import OptionError, UserError, within
from nestree.tasks.base import SECTION, OfficialSplit, Row
from nestree.tasks.official_files import count_empty, note
from nestree.tasks.text.hub_table import PREFIX, HubTable
from nestree.tasks.text.lines import shown
from nestree.tasks.text.table import Record, Table, TableStyle, cell_text, text_of
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
    """Share of the training rows to hold out if there is no validation table, stratified by label."""
    test: str | None = None
    """Table for evaluation; null: evaluate on validation."""
    text: str = "text"
    """Column of texts, by name or by number, from 1."""
    text2: str | None = None
    """Column of second texts, for pairs; null: one text per row."""
    label: str = "label"
    """Column of labels, which are names: 1 and 1.0 are different labels."""
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
        if self.label in (self.text, self.text2):
            raise OptionError("label", f"must be a different column from the texts, not {self.label!r}")
        for name in FILES:
            path = getattr(self, name)
            if path is not None and not path.startswith(PREFIX):
                object.__setattr__(self, name, os.path.abspath(os.path.expanduser(path)))
        self.style()

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
        self._columns: dict[str, dict[str, str]] = {}
        """Names of the columns in each table, by option."""

    @property
    def splits(self) -> Mapping[str, OfficialSplit]:
        """Train, validation, and test if it has a table."""
        rows = {
            name: OfficialSplit(None, f"rows of {path if path.startswith(PREFIX) else shown(Path(path))}")
            for name, path in self.files.items()
        }
        share = f"{self.options.validation_share:.0%} of the training rows, held out by seed, stratified by label"
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
        """Labels of the training table, sorted as by [`sorted_labels`][]."""
        return tuple(self._survey["labels"])

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
        texts = [columns[option] for option in ("text", "text2") if option in columns]
        skipped = 0

        def rows() -> Iterator[Row]:
            nonlocal skipped
            for record in table.records():
                label = self._label(record, columns["label"])
                if label is None:
                    skipped += 1
                else:
                    yield Row(tuple(cell_text(record, column) for column in texts), label, record.where)

        with within(SECTION):
            yield from count_empty(rows(), Path(table.shown))
        if skipped:
            note(f"{table.shown}: {skipped:,} row{'s' * (skipped > 1)} without a label skipped")

    def _label(self, record: Record, column: str) -> str | None:
        """Return a row's label; None if it has none and can be skipped."""
        label = text_of(record.values.get(column), record.where, column)
        # Lone surrogates, which JSON may contain, cannot be printed.
        label = None if label is None else normal(label.encode("utf-8", "replace").decode()).strip()
        if not label and not self.options.skip_unlabelled:
            problem = f"{record.where}: no label in column {column!r}"
            raise OptionError("skip_unlabelled", "true leaves such rows out", problem=problem)
        return label or None

    @cached_property
    def _held_out(self) -> set[int]:
        """Indices of the training rows that are held out for validation."""
        codes: dict[str, int] = {}
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
        counts: Counter[str] = Counter()
        for row in self._table_rows("train"):
            counts[row.label] += 1
            if len(counts) > MOST_CLASSES:
                break
        _check_classes(self.table("train").shown, self.options.label, counts)
        labels = sorted_labels(counts)
        keys = {split: np.fromiter(self._keys(split, labels), np.uint64) for split in self.splits}
        train = np.unique(keys.pop("train"))
        repeated = {split: (int(np.isin(found, train).sum()), len(found)) for split, found in keys.items()}
        return {"labels": labels, "repeated": repeated}

    def _keys(self, split: str, labels: list[str]) -> Iterator[int]:
        """Yield a hash of each row's texts; raise a UserError if a label is not in ``labels``."""
        known = set(labels)
        for row in self.rows(split):
            if row.label not in known:
                there = f"{', '.join(labels[:12])}{', ...' * (len(labels) > 12)}"
                raise UserError(
                    f"{row.where}: the label {row.label!r} is not in {self.table('train').shown}, which has {there}"
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
        names = ("text", "text2", "label", "skip_unlabelled", "validation_share")
        return {"tables": self._digests, **asdict(self.options.style()), **{n: getattr(self.options, n) for n in names}}

    def state(self) -> dict[str, Any]:
        """Return the digest of each file, to detect changes when a run is resumed."""
        local = {split: digest for split, digest in self._digests.items() if not self.files[split].startswith(PREFIX)}
        return {"files": local}


def _columns(table: Table | HubTable, options: OwnOptions) -> dict[str, str]:
    """Check a table's columns, and return their names by option.

    Raises:
        UserError: a column is missing, or two options name the same one.
    """
    asked = {name: column for name in ("text", "text2", "label") if (column := getattr(options, name)) is not None}
    for option, column in asked.items():
        table.check_column(column, option)
    found: dict[str, str] = {}
    for option, column in asked.items():
        name = table.column(column)
        if name in found.values():
            raise OptionError(option, f"must be a different column: {name!r} of {table.shown} is named twice")
        found[option] = name
    return found


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
