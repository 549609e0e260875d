"""The ListOps splits: their ranges, their seeds and their cache; all small, but for the pool of the near-IID ones."""

import logging

import numpy as np
import pytest

from nestree.data import RaggedExamples
from nestree.errors import UserError
from nestree.tasks.listops import SPLITS, evaluate, load_split, splits
from nestree.tasks.listops.expression import CLOSE

SMALL = 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pooled(cache) -> dict[str, RaggedExamples]:
    return {name: load_split(name, seed=0, cache_dir=cache) for name in ("train", "validation", "near-iid")}


def expressions(examples: RaggedExamples) -> list[bytes]:
    return [examples[index][0].tobytes() for index in range(len(examples))]


def arguments_and_depth(tokens: np.ndarray) -> tuple[int, int, int]:
    """Fewest and most arguments of an operator, and operators open at the deepest point."""
    counts, opened, deepest = [], [], 0
    for token in tokens.tolist():
        if token < CLOSE:
            opened.append(0)
            deepest = max(deepest, len(opened))
            continue
        if token == CLOSE:
            counts.append(opened.pop())
        if opened:
            opened[-1] += 1
    return min(counts, default=2), max(counts, default=2), deepest


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_keeps_to_its_row(cache, pooled, name):
    split = SPLITS[name]
    size = 3 if name == "10000" else SMALL
    examples = load_split(name, seed=0, cache_dir=cache, size=size)
    assert len(examples) == size
    assert examples.name == f"listops/{name}"
    assert len(set(expressions(examples))) == size
    for index in range(size):
        tokens, label = examples[index]
        fewest, most, deepest = arguments_and_depth(tokens)
        assert evaluate(tokens) == label
        assert fewest >= 2
        assert most <= split.grammar.max_args
        assert deepest < split.grammar.depth
        if split.lengths is not None:
            assert split.lengths[0] <= len(tokens) <= split.lengths[1]


def test_the_table_has_the_published_splits():
    assert {name: row.size for name, row in SPLITS.items()} == {
        "train": 90_000,
        "validation": 1_000,
        "near-iid": 10_000,
        **{f"{length}-{length + 100}": 2_000 for length in range(200, 1_000, 100)},
        "args-iid": 2_000,
        "args-10": 2_000,
        "args-15": 2_000,
        "lra": 2_000,
        "10000": 200,
    }


def test_no_expression_is_in_two_of_train_validation_and_near_iid(pooled):
    together = [expression for examples in pooled.values() for expression in expressions(examples)]
    assert len(set(together)) == len(together)
    assert (len(pooled["validation"]), len(pooled["near-iid"])) == (1_000, 10_000)


def test_the_pool_has_the_statistics_of_the_published_files(pooled):
    train, test = pooled["train"], pooled["near-iid"]
    assert len(train) == pytest.approx(80_000, rel=0.01)
    assert train.lengths.mean() == pytest.approx(22, abs=0.2)
    assert train.lengths.max() == 100
    assert (test.lengths <= 100).mean() == pytest.approx(0.89, abs=0.01)
    # Short expressions are drawn early; every split has its share of them all the same.
    short = [(test.lengths <= 6).mean(), (train.lengths <= 6).sum() / 90_000]
    assert short[0] == pytest.approx(short[1], rel=0.1)


def test_a_smaller_size_is_the_beginning_of_a_larger_one(cache, pooled):
    small = load_split("200-300", seed=0, cache_dir=cache, size=SMALL)
    large = load_split("200-300", seed=0, cache_dir=cache, size=1_000)  # two batches
    assert large.head(SMALL).checksum == small.checksum
    assert (
        load_split("near-iid", seed=0, cache_dir=cache, size=SMALL).checksum == pooled["near-iid"].head(SMALL).checksum
    )
    assert len(load_split("validation", seed=0, cache_dir=cache, size=10**9)) == 1_000


def test_a_seed_decides_everything(tmp_path):
    one, same, other = (
        load_split("200-300", seed=seed, cache_dir=tmp_path / folder, size=SMALL)
        for seed, folder in ((7, "a"), (7, "b"), (8, "a"))
    )
    assert one.checksum == same.checksum
    assert not set(expressions(one)) & set(expressions(other))
    # Known in advance: a change to what a seed draws must raise GENERATOR_VERSION.
    assert splits.GENERATOR_VERSION == 1
    assert one.checksum == "1013e27cacb5ecc0b8c6c2a558e4f5e8ac28bbc286124345af189fa798cc44d1"


def test_the_pool_is_another_for_another_seed_or_size():
    one, same, other = splits.draw_pool(500, 1), splits.draw_pool.__wrapped__(500, 1), splits.draw_pool(500, 2)
    assert one.checksum == same.checksum != other.checksum
    assert len(set(expressions(one))) == len(one) == 500


def test_the_second_load_generates_nothing(tmp_path, monkeypatch):
    first = load_split("args-15", seed=1, cache_dir=tmp_path, size=5)
    monkeypatch.setattr(splits, "_generate", None)
    again = load_split("args-15", seed=1, cache_dir=tmp_path, size=5)
    assert again.checksum == first.checksum
    assert again.seed == 1
    assert again.source["version"] == splits.GENERATOR_VERSION
    assert again.source["max_args"] == 15


def test_a_damaged_or_outdated_file_is_made_again(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    first = load_split("args-10", seed=1, cache_dir=tmp_path, size=5)
    (path,) = (tmp_path / "listops").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    assert load_split("args-10", seed=1, cache_dir=tmp_path, size=5).checksum == first.checksum
    monkeypatch.setattr(splits, "GENERATOR_VERSION", 99)
    assert load_split("args-10", seed=1, cache_dir=tmp_path, size=5).source["version"] == 99
    assert caplog.text.count("replacing ") == 2


def test_the_environment_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "mine"))
    load_split("args-iid", seed=1, size=2)
    assert [path.suffix for path in (tmp_path / "mine" / "listops").iterdir()] == [".safetensors"]


def test_progress_is_told_to_the_end(tmp_path):
    told: list[tuple[int, int]] = []
    load_split("200-300", seed=1, cache_dir=tmp_path, size=900, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 900)
    assert told[-1] == (900, 900)
    assert len(told) > 2
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"name": "tests"}, "split must be one of train, "), ({"seed": -1}, "seed"), ({"size": 0}, "size")],
)
def test_arguments_out_of_range_are_named(tmp_path, arguments, named):
    with pytest.raises(ValueError, match=named):
        load_split(**{"name": "200-300", "seed": 0, "cache_dir": tmp_path, **arguments})


def test_a_cache_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        load_split("200-300", seed=0, cache_dir=tmp_path / "file", size=2)
