"""Every reader over the real files, where NESTREE_DATA names a folder with them: each row is accepted and counted."""

import os
from collections import Counter
from pathlib import Path

import pytest

from nestree.tasks.checks import FORMATS
from nestree.tasks.listops import read_tsv
from nestree.tasks.logic.generator import TEST_SIZES, TRAIN_SIZES
from nestree.tasks.logic.reader import find_files, read_pairs
from nestree.tasks.text import DATASETS

FOLDER = Path(os.environ.get("NESTREE_DATA", "none"))

pytestmark = pytest.mark.skipif("NESTREE_DATA" not in os.environ, reason="set NESTREE_DATA to a folder of real files")

COUNTS = {
    ("counterfactual", "train"): 1_707,
    ("counterfactual", "validation"): 245,
    ("counterfactual", "test"): 488,
    ("counterfactual", "original"): 488,
    ("sst5", "train"): 8_544,
    ("sst5", "validation"): 1_101,
    ("sst5", "test"): 2_210,
    ("sst2", "train"): 6_920,
    ("sst2", "validation"): 872,
    ("sst2", "test"): 1_821,
    ("sst5-phrases", "train"): 159_274,
    ("sst2-phrases", "train"): 77_616,
    ("polarity", "train"): 9_596,
    ("polarity", "test"): 1_066,
    ("sick", "train"): 4_500,
    ("sick", "validation"): 500,
    ("imdb", "train"): 25_000,
    ("imdb", "test"): 5_000,  # of 25,000; the whole test split is accepted, too
    ("imdb", "counterfactual"): 488,
}


@pytest.mark.parametrize(("name", "split"), COUNTS)
def test_a_reader_accepts_every_row(name, split):
    dataset = DATASETS[name]
    found = dataset.find(FOLDER)
    if found is None or not dataset.files(found, split) or not dataset.files(found, split)[0].exists():
        pytest.skip(f"{name} is not there")
    labels: Counter[str] = Counter()
    for row in dataset.read(found, split):
        assert len(row.texts) == dataset.sides, row.where
        assert all(text.strip() for text in row.texts), row.where
        labels[row.label] += 1
    assert set(labels) == set(dataset.label_names)
    assert labels.total() in (COUNTS[name, split], dataset.splits[split].size)


def test_every_relation_is_right_and_every_file_whole():
    folder = find_files(FOLDER)
    if folder is None:
        pytest.skip("logic is not there")
    sizes = {f"train{n}": size for n, size in enumerate(TRAIN_SIZES)}
    sizes |= {f"test{n}": size for n, size in enumerate(TEST_SIZES[:9])}
    counts = {name: sum(1 for _ in read_pairs(folder / name)) for name in sizes if (folder / name).is_file()}
    assert counts == {name: sizes[name] for name in counts}
    assert len(counts) >= len(sizes)


def test_every_value_of_listops_is_right():
    path = FOLDER / "listops" / "test_d20s.first2000.tsv"
    if not path.is_file():
        pytest.skip("ListOps is not there")
    assert len(read_tsv(path)) == 2_000


@pytest.mark.parametrize(
    ("place", "name", "again", "elsewhere"),
    [
        ("listops", "ListOps", [0], [0]),
        ("sst", "SST trees", [10, 0, 0], [0, 2, 2]),
        ("rt_polarity", "sentence polarity", [0, 0], [0, 0]),
        ("nli/SICK_trial_parsed.txt", "SICK", [16], [0]),
        ("nli", "SICK", [30, 16], [0, 3]),
        ("counterfactual_imdb", "counterfactual reviews", [0] * 6, [0, 0, 0, 1, 1, 1]),
    ],
)
def test_a_check_recognises_the_real_files_and_finds_no_damage(place, name, again, elsewhere):
    path = FOLDER / place
    if not path.exists():
        pytest.skip(f"{place} is not there")
    kind, found = next((kind, found) for kind in FORMATS for found in kind.find(path))
    assert kind.name == name
    report = kind.check(found, lambda what, rows: None)
    assert [part.again for part in report.parts] == again
    assert [part.elsewhere for part in report.parts] == elsewhere
    assert not any("parentheses" in remark or "U+FFFD" in remark for remark in report.remarks)
    if name != "ListOps":  # of which only the first 2,000 rows are there
        assert all(part.rows == part.size for part in report.parts)


def test_the_snli_tables_are_no_official_format_but_the_users_own():
    path = FOLDER / "nli" / "snli_test.tsv"
    if not path.is_file():
        pytest.skip("the SNLI tables are not there")
    (kind,) = [kind for kind in FORMATS if kind.find(path)]
    report = kind.check(kind.find(path)[0], lambda what, rows: None)
    assert report.facts["columns"] == "premise, hypothesis, label"
