"""The Long Range Arena's ListOps: generated at its lengths, or read from its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nestree.errors import UserError
from nestree.tasks.listops import decode, evaluate, load_split
from nestree.tasks.listops.lra import FILES, PARTS, ListOpsLRA, ListOpsLRAOptions

ROWS = ["( ( ( [MAX 2 ) 9 ) ] )\t9", "( ( ( ( [SM 1 ) 2 ) 3 ) ] )\t6", "7\t7"]


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few examples a split, in a folder of the test's own."""
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "nestree.tasks.listops.lra.PARTS", {"validation": (0, 20), "test": (20, 40), "train": (40, 120)}
    )


def listed(task: ListOpsLRA, split: str) -> list[tuple[str, int]]:
    examples = task.load(split)
    return [(decode(tokens), label) for tokens, label in (examples[index] for index in range(len(examples)))]


def write(folder: Path, *rows: str, header: str = "Source\tTarget", end: str = "\n") -> Path:
    """Write the three official files, all with these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        (folder / name).write_bytes("".join(row + end for row in [header, *rows]).encode())
    return folder


def test_the_published_sizes_are_the_whole_set_cut_in_three() -> None:
    assert {name: about.size for name, about in ListOpsLRA().splits.items()} == {
        "train": 96_000,
        "validation": 2_000,
        "test": 2_000,
    }
    spans = sorted(PARTS.values())
    assert [first for first, _ in spans] == [0, *(end for _, end in spans[:-1])]


def test_generated_expressions_are_long_and_wide_and_right() -> None:
    task = ListOpsLRAOptions().open()
    assert task.protocol == "generated"
    lengths, widest = [], 0
    for split in PARTS:
        for text, label in listed(task, split):
            tokens = task.encode(text)[0]
            assert evaluate(tokens) == label
            lengths.append(len(tokens))
            widest = max(widest, most_arguments(text))
    assert min(lengths) >= 501
    assert max(lengths) <= 1999
    assert max(lengths) > 1500
    assert widest == 10
    assert task.load("train").seed == 0


def most_arguments(text: str) -> int:
    """Count the arguments of the operator that has most."""
    most, open_operators = 0, [0]
    for token in text.split():
        if token == "]":
            most = max(most, open_operators.pop())
        else:
            open_operators[-1] += 1
            if token.startswith("["):
                open_operators.append(0)
    return most


def test_splits_are_disjoint_and_decided_by_the_seed() -> None:
    splits = {name: listed(ListOpsLRA(0), name) for name in PARTS}
    assert {name: len(rows) for name, rows in splits.items()} == {"validation": 20, "test": 20, "train": 80}
    every = [text for rows in splits.values() for text, _ in rows]
    assert len(set(every)) == len(every)
    again = ListOpsLRA(0)
    assert all(again.is_cached(name) for name in PARTS)
    for file in again._file("test").parent.iterdir():
        file.unlink()
    assert listed(again, "test") == splits["test"]
    assert not {text for text, _ in listed(ListOpsLRA(1), "train")} & set(every)
    # ListOps' own test of such lengths is drawn apart.
    zero_shot = load_split("lra", seed=0, size=120)
    assert not {decode(zero_shot[index][0]) for index in range(120)} & set(every)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_official_files_are_read_with_their_header(tmp_path: Path, end: str) -> None:
    folder = write(tmp_path / "lra" / "listops-1000", *ROWS, end=end)
    task = ListOpsLRAOptions(path=str(tmp_path)).open()
    assert (task.protocol, task.folder) == ("official", folder)
    for split in task.splits:
        assert listed(task, split) == [("[MAX 2 9 ]", 9), ("[SM 1 2 3 ]", 6), ("7", 7)]
        assert task.is_cached(split)
    examples = task.load("test", size=2)
    assert (len(examples), examples.name, examples.seed) == (2, "listops-lra/test", None)
    assert task.strata(task.load("test"))["root operator"].tolist()[:2] == ["[MAX", "[SM"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("( ( ( [MAX 2 ) 9 ) ] )\t2", "the label is 2, but the expression's value is 9"),
        ("( ( ( [MAX 2 ) 9 ) ] )\tx", "the label must be a digit from 0 to 9, not 'x'"),
        ("( ( ( [MAX 2 ) 9 ) ] )", "1 column; a row has two columns"),
        ("( ( [MAX 2 ) 9 ) ] )\t9", "token"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_kept(tmp_path: Path, row: str, message: str) -> None:
    folder = write(tmp_path / "lra", *ROWS, row)
    with pytest.raises(UserError) as caught:
        ListOpsLRA(path=folder).load("validation")
    assert str(caught.value).startswith(f"{folder / 'basic_val.tsv'}:5: ")
    assert message in str(caught.value)
    assert not list((tmp_path / "cache" / "listops-lra").iterdir())


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    task = ListOpsLRA(path=tmp_path)
    with pytest.raises(
        UserError, match=r"^data.path must be a folder with basic_train.tsv and basic_val.tsv and basic_test.tsv"
    ):
        task.load("train")
    assert not task.is_cached("train")
    folder = write(tmp_path / "lra", *ROWS)
    (folder / "basic_val.tsv").unlink()
    task = ListOpsLRA(path=tmp_path)
    assert len(task.load("train")) == 3
    with pytest.raises(UserError, match=r"basic_val.tsv: missing; it is needed for the split validation"):
        task.load("validation")
    assert not task.is_cached("validation")


def test_arguments_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="split must be one of validation, test, train, not 'lra'"):
        ListOpsLRA().load("lra")
    with pytest.raises(ValueError, match="size must be an integer of at least 1, not 0"):
        ListOpsLRA().load("test", size=0)


def test_control_c_while_generating_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ListOpsLRA().load("test", progress=interrupt)
    assert not list((tmp_path / "cache" / "listops-lra").iterdir())
    assert not ListOpsLRA().is_cached("test")


def test_progress_counts_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    ListOpsLRA().load("test", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == 40
    assert np.all(np.diff([done for done, _ in told]) >= 0)
