"""Checking official text datasets with their readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from nestree.tasks.base import Dataset, Row
from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.checks.tally import Counting, Part, Tally


def dataset_format(
    name: str,
    dataset: Dataset,
    *,
    verified: str,
    measures: Mapping[str, Callable[[Row], int]],
    splits: Sequence[str] = (),
) -> Format:
    """Return the format of a dataset's official files.

    Args:
        name: name of the format.
        dataset: the dataset.
        verified: what the reader verifies for every row.
        measures: lengths to measure, by name.
        splits: the splits to read; empty: all.
    """
    chosen = tuple(splits or dataset.splits)
    return Format(
        name=name,
        looks=dataset.origin,
        find=partial(_find, dataset=dataset, splits=chosen),
        check=partial(_check, dataset=dataset, splits=chosen, verified=verified, measures=measures),
    )


def _find(path: Path, *, dataset: Dataset, splits: Sequence[str]) -> list[Found]:
    found = dataset.find(path)
    if found is None:
        return []
    if path.is_file():
        return [Found(found, (path,))]
    files = {file for split in splits for file in dataset.files(found, split) if file.exists()}
    return [Found(found, sorted(files))]


def _check(
    found: Found,
    advance: Advance,
    *,
    dataset: Dataset,
    splits: Sequence[str],
    verified: str,
    measures: Mapping[str, Callable[[Row], int]],
) -> Report:
    """Read the splits; if a single file was given, those in that file."""
    tally = Tally(Counting(measures))
    absent: list[str] = []
    for split in splits:
        files = dataset.files(found.place, split)
        missing = [file.name for file in files if not file.exists()]
        if not missing and any(file in found.files for file in files):
            about = dataset.splits[split]
            tally.count(
                Part(split, partial(dataset.read, found.place, split), about.size, about.description),
                lambda part, rows: advance(f"{dataset.name} {part}", rows),
            )
        elif missing:
            absent.append(f"{split}: missing ({', '.join(missing)})")
    return Report(verified, tally.parts, remarks=[*absent, *tally.remarks()])
