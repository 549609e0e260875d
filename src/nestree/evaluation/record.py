"""Results in a run folder, in ``evaluation.json``."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from nestree.data.files import read_json, replacing
from nestree.data.shapes import check_shape
from nestree.evaluation.bag_of_words import BagOfWords
from nestree.evaluation.evaluate import ENTRY, Result
from nestree.runs import Run
from nestree.runs.provenance import commit, nestree_version


def record(run: Run, result: Result, *, seed: int, encoder_options: Mapping[str, Any] | None = None) -> None:
    """Add a result to ``evaluation.json``, replacing one of the same test, inference, options, size and seed.

    Args:
        run: the run.
        result: a result of its best weights.
        seed: seed of the test's examples.
        encoder_options: encoder options that were changed for this result.
    """
    entry = {
        **result.as_dict(),
        "protocol": run.protocol,
        "seed": seed,
        **({"encoder_options": dict(encoder_options)} if encoder_options else {}),
        "weights": weights_digest(run),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "version": nestree_version(),
        "commit": commit(),
    }
    before = next((other for other in entries(run) if _identity(other) == _identity(entry)), {})
    for name in ("trees", "nodes", "bag_of_words"):
        if getattr(result, name) is None and before.get("weights") == entry["weights"] and name in before:
            entry[name] = before[name]  # scored earlier, for the same weights
    others = [other for other in entries(run) if _identity(other) != _identity(entry)]
    write_entries(run, [*others, entry])


def write_entries(run: Run, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write ``evaluation.json`` atomically, with each list of numbers, such as a row of a matrix, in one line."""
    written = json.dumps({"results": list(entries)}, indent=2)
    # Text has no line breaks in JSON, so that no text begins with a bracket and a line break.
    short = re.sub(r'\[\n[^][{}"]*\]', lambda found: f"[{' '.join(found[0][1:-1].split())}]", written)
    with replacing(run.evaluation_file) as temporary:
        temporary.write_text(short + "\n")


def entries(run: Run) -> list[dict[str, Any]]:
    """Return all entries of ``evaluation.json``, oldest first.

    Raises:
        UserError: the file is damaged; names what is wrong.
    """
    values = read_json(run.evaluation_file)
    check_shape(values, {"results?": [ENTRY]}, str(run.evaluation_file))
    return values.get("results") or []


def known_bag_of_words(run: Run, source: str) -> BagOfWords | None:
    """Return the answers of a bag of words that an earlier result recorded, by their ``source``; None if unknown."""
    found = (values for entry in entries(run) if (values := entry.get("bag_of_words")) is not None)
    return next((BagOfWords.from_dict(values) for values in found if values.get("source") == source), None)


def as_configured(run: Run) -> list[dict[str, Any]]:
    """Return the entries of the run's current weights with the run's own encoder options, oldest first."""
    digest = weights_digest(run)
    return [entry for entry in entries(run) if entry.get("weights") == digest and not entry.get("encoder_options")]


def largest(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entry with the most examples per test and inference, the latest if there are several."""
    best: dict[tuple[str, str | None], dict[str, Any]] = {}
    for entry in entries:
        key = (entry["test"], entry.get("inference"))
        if key not in best or best[key]["examples"] <= entry["examples"]:
            best[key] = entry
    return list(best.values())


def weights_digest(run: Run) -> str:
    """Return the first 16 digits of the SHA-256 of the weights, to recognise results of other weights."""
    return hashlib.sha256(run.weights.read_bytes()).hexdigest()[:16]


def _identity(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in ("test", "inference", "encoder_options", "examples", "seed"))
