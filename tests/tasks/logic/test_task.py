"""Logical inference as a task: official files are checked row by row, and splits are what they say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nestree.errors import UserError
from nestree.tasks.logic import RELATIONS, VOCABULARY, Logic, LogicOptions, draw_pairs, find_files, read_pairs
from nestree.tasks.logic import task as logic_task

PAIR = "<\t( a ( and b ) )\ta"


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate few pairs, into a folder of the test's own."""
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    for module in ("generator", "task"):
        monkeypatch.setattr(f"nestree.tasks.logic.{module}.TRAIN_SIZES", [20, 25, *[13] * 11])
        monkeypatch.setattr(f"nestree.tasks.logic.{module}.TEST_SIZES", [4, *[5] * 12])
    logic_task._generated.cache_clear()


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A folder of official files, two folders below; each of 12 training and 3 test pairs."""
    folder = tmp_path / "data" / "logic"
    folder.mkdir(parents=True)
    for count in range(7):
        pairs = ["\t".join(pair) for pair in draw_pairs(count, 15, seed=8)]
        (folder / f"train{count}").write_text("\n".join(pairs[:12]) + "\n")
        (folder / f"test{count}").write_text("\n".join(pairs[12:]) + "\n")
    return tmp_path


def write(path: Path, *rows: str, end: str = "\n") -> Path:
    path.write_bytes("".join(row + end for row in rows).encode())
    return path


def texts(task: Logic, split: str) -> list[tuple[str, ...]]:
    """The pairs of a split as they are loaded, in words."""
    examples = task.load(split)
    return [
        tuple(" ".join(VOCABULARY[token] for token in side) for side in examples.sequences(index))
        for index in range(len(examples))
    ]


def test_rows_are_read_with_their_parentheses(tmp_path: Path) -> None:
    path = write(tmp_path / "train1", "\ufeff" + PAIR, "^\tf\t( not f )", end="\r\n")
    assert [(row.texts, row.label, row.where) for row in read_pairs(path)] == [
        (("( a ( and b ) )", "a"), "<", f"{path}:1"),
        (("f", "( not f )"), "^", f"{path}:2"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (">\t( a ( and b ) )\ta", "the relation is '>', but the truth tables show '<'"),
        ("?\t( a ( and b ) )\ta", "the relation is '?', but the truth tables show '<'"),
        ("<\t( a ( and b ) )", "2 columns; a row has 3, separated by tabs"),
        ("", "1 column; a row has 3, separated by tabs"),
        (f"{PAIR}\t", "4 columns; a row has 3, separated by tabs"),
        ("<\t( a ( and b )\ta", "token 6: the formula does not end here"),
        ("<\t( a ( and g ) )\ta", "token 5: 'g' is not one of"),
        ("<\t\ta", "a formula must have at least one token"),
        ("<\ta\t( a ( or ( not a ) ) )", "a side is always true or always false"),
        ("#\ta\tb", "the longer side has 0 operators; train1 is for 1"),
        ("<\t( a ( and ( not b ) ) )\ta", "the longer side has 2 operators; train1 is for 1"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "train1", PAIR, row, PAIR)
    with pytest.raises(UserError) as caught:
        list(read_pairs(path))
    assert str(caught.value).startswith(f"{path}:2: {message}")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "test1"
    path.write_bytes(PAIR.encode() + b"\n\xff\n")
    with pytest.raises(UserError, match=f"{path}:2: not UTF-8"):
        list(read_pairs(path))


def test_the_last_file_is_for_more_operators_too(tmp_path: Path) -> None:
    rows = {count: f"^\t{'( not ' * count}a{' )' * count}\ta" for count in (9, 11, 13)}
    for name, count in (("train12", 13), ("test9", 9), ("mine.tsv", 11)):
        assert len(list(read_pairs(write(tmp_path / name, rows[count])))) == 1
    for name, count in (("train12", 11), ("test9", 11), ("train11", 13)):
        with pytest.raises(UserError, match=f"has {count} operators; {name} is for {name[-2:].strip('t')}"):
            list(read_pairs(write(tmp_path / name, rows[count])))


def test_official_files_are_found_below_and_told_from_others(official: Path) -> None:
    assert find_files(official) == find_files(official / "data" / "logic") == official / "data" / "logic"
    other = official / "other"
    other.mkdir()
    (other / "train6").write_text("3\t[MAX 1 3 ]\n")
    assert find_files(other) is None
    with pytest.raises(
        UserError, match=r"^data.path must be a folder with the official files train6 or test6, .*other"
    ):
        Logic(path=other).load("train")


def test_every_tenth_training_pair_is_for_validation(official: Path) -> None:
    task = LogicOptions(path=str(official)).open()
    assert task.protocol == "official"
    assert list(task.splits) == ["train", "validation", *(f"ops-{count}" for count in range(7))]
    files = [
        [tuple(line.split("\t")[1:]) for line in (task.folder / f"train{count}").read_text().splitlines()]
        for count in range(7)
    ]
    assert texts(task, "validation") == [rows[9] for rows in files]
    assert texts(task, "train") == [row for rows in files for row in rows[:9] + rows[10:]]
    rows = [line.split("\t") for line in (task.folder / "test3").read_text().splitlines()]
    examples = task.load("ops-3")
    assert [RELATIONS[label] for label in examples.labels] == [row[0] for row in rows]
    assert texts(task, "ops-3") == [tuple(row[1:]) for row in rows]
    assert examples.tokens.dtype == np.uint8
    assert (examples.name, examples.sides) == ("logic/ops-3", 2)


def test_a_file_that_is_damaged_or_missing_leaves_nothing(official: Path, tmp_path: Path) -> None:
    task = Logic(path=official)
    path = task.folder / "train4"
    path.write_text(path.read_text().replace("\t", " ", 1))
    for message in (f"{path}:1: 2 columns", f"{path}: cannot be read"):
        with pytest.raises(UserError, match=message):
            task.load("train")
        assert not list((tmp_path / "cache" / "logic").iterdir())
        path.unlink(missing_ok=True)


def test_a_changed_file_is_read_again(official: Path) -> None:
    task = Logic(path=official)
    assert len(task.load("ops-2")) == 3
    assert task.is_cached("ops-2")
    write(task.folder / "test2", "<\t( a ( and ( not b ) ) )\ta")
    assert not Logic(path=official).is_cached("ops-2")
    assert texts(Logic(path=official), "ops-2") == [("( a ( and ( not b ) ) )", "a")]


def test_generated_splits_have_the_published_sizes_and_share_nothing() -> None:
    task = LogicOptions().open()
    loaded = {name: texts(task, name) for name in task.splits}
    assert {name: len(rows) for name, rows in loaded.items()} == {
        name: about.size for name, about in task.splits.items()
    }
    assert [len(loaded[f"ops-{count}"]) for count in (0, 1, 12)] == [4, 5, 5]
    every = [row for rows in loaded.values() for row in rows]
    assert len(every) == len(set(every))
    again = Logic(seed=0)
    assert all(again.is_cached(name) for name in task.splits)
    assert texts(Logic(seed=1), "train") != loaded["train"]
    assert texts(again, "train") == loaded["train"]


def test_a_size_takes_a_sample() -> None:
    task = Logic()
    train, sample = task.load("train"), task.load("train", size=3)
    assert sample.checksum == train.sample(3, seed=0).checksum
    assert len(sample) == 3
    for size in (0, -1):
        with pytest.raises(ValueError, match="size must be an integer of at least 1"):
            task.load("train", size=size)
    with pytest.raises(ValueError, match=r"split must be one of train, validation, ops-0, .*, not 'test'"):
        task.load("test")


def test_strata_and_baseline_by_hand(tmp_path: Path, official: Path) -> None:
    task = Logic(path=official)
    write(task.folder / "test1", PAIR, "^\tf\t( not f )", "#\t( a ( or b ) )\tc")
    examples = task.load("ops-1")
    strata = task.strata(examples)
    assert strata["length"].tolist() == [7, 4, 7]
    assert strata["operators"].tolist() == [1, 1, 1]
    assert strata["relation"].tolist() == ["<", "^", "#"]
    assert task.baseline(examples.select([1, 2, 2]), examples) == pytest.approx(1 / 3)
    assert [len(values) for values in task.strata(examples.head(0)).values()] == [0, 0, 0]


def test_an_input_is_two_formulas() -> None:
    task = Logic()
    assert [side.tolist() for side in task.encode("( a ( and b ) )", "a")] == [[1, 3, 1, 9, 4, 2, 2], [3]]
    for wrong in (("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match=f"two formulas, separated by a tab, not {len(wrong)}"):
            task.encode(*wrong)
    with pytest.raises(ValueError, match="token 2: 'b' is after the end"):
        task.encode("a", "a b")


@pytest.mark.skipif("NESTREE_DATA" not in os.environ, reason="needs the official files")
def test_the_official_files_have_no_row_that_is_wrong() -> None:
    folder = find_files(Path(os.environ["NESTREE_DATA"]))
    assert folder is not None
    for name, rows in (("train0", 30), ("train2", 12_451), ("test4", 5_361)):
        assert sum(1 for _ in read_pairs(folder / name)) == rows
