"""Write public data as the tables that docs/own-text.md compares models on.

    python tools/write_own_tables.py DATA FOLDER

DATA has the folders ``rt_polarity``, ``sst``, ``propositionallogic`` and ``nli`` in their official formats.
"""

from __future__ import annotations

import csv
import random
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Rows = list[tuple[str, ...]]
ENTAILMENT = {"0": "entailment", "1": "neutral", "2": "contradiction"}


def write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table of texts, or of pairs, with their labels."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", *["text2"] * (len(rows[0]) == 3), "label"])
        writer.writerows(rows)


def polarity(data: Path) -> Rows:
    """Return the sentences of both labels, in random order."""
    found = []
    for label, suffix in (("positive", "pos"), ("negative", "neg")):
        text = (data / f"rt_polarity/rt-polarity.{suffix}").read_text(encoding="latin-1")
        found += [(line.strip(), label) for line in text.split("\n") if line.strip()]
    random.Random(1).shuffle(found)
    return found


def treebank(path: Path) -> Rows:
    """Return the sentences that are not neutral."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = re.findall(r" ([^()\s]+)\)", line)
        if words and line[1] != "2":
            text = " ".join(words).replace("\\/", "/").replace("-LRB-", "(").replace("-RRB-", ")")
            found.append((text, "positive" if line[1] > "2" else "negative"))
    return found


def logic(data: Path, names: Iterable[str]) -> Rows:
    """Return pairs of formulas with their relation."""
    lines = (line for name in names for line in (data / "propositionallogic" / name).read_text().splitlines())
    return [(first, second, label) for label, first, second in (line.split("\t") for line in lines if line)]


def sick(path: Path) -> Rows:
    """Return pairs without their brackets."""
    lines = [line.split("\t")[:3] for line in path.read_text().splitlines() if not line.startswith("%")]
    return [(*(" ".join(word for word in side.split() if word not in "()") for side in sides), label.lower())
            for label, *sides in lines]  # fmt: skip


def snli(path: Path) -> Rows:
    """Return pairs with a label."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [(first, second, ENTAILMENT[label]) for first, second, label in rows if label in ENTAILMENT]


def main(data: Path, folder: Path) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = polarity(data)
    tenth = len(sentences) // 10
    tables = {
        "rt_test": sentences[:tenth],
        "rt_train": sentences[tenth:],
        **{f"sst2_{name}": treebank(data / f"sst/{name}.txt") for name in ("train", "dev", "test")},
        "logic_train": logic(data, [f"train{number}" for number in range(7)]),
        "logic_test": logic(data, ["test7"]),
        **{
            f"sick_{name}": sick(data / f"nli/SICK_{file}_parsed.txt")
            for name, file in (("train", "train"), ("test", "trial"))
        },
        "snli_train": snli(data / "nli/snli_validation.tsv"),
        "snli_test": snli(data / "nli/snli_test.tsv"),
    }
    for name, rows in tables.items():
        write(folder / f"{name}.csv", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
