"""The dataset container, its file and the cache."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestree.data import RaggedExamples, cache_dir, load_or_make, replacing
from nestree.errors import UserError

on_disk = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
rows = st.lists(st.tuples(st.lists(st.integers(0, 255), max_size=6), st.integers(0, 9)), max_size=8)


def ragged(data: list[tuple[list[int], int]]) -> RaggedExamples:
    sequences = [np.array(tokens, dtype=np.uint8) for tokens, _ in data]
    return RaggedExamples.from_sequences(
        sequences, [label for _, label in data], name="toy", seed=3, source={"of": ["x", 1]}
    )


def listed(examples: RaggedExamples) -> list[tuple[list[int], int]]:
    return [(tokens.tolist(), label) for tokens, label in (examples[i] for i in range(len(examples)))]


@given(rows)
def test_examples_are_what_went_in(data):
    examples = ragged(data)
    assert listed(examples) == data
    assert examples.lengths.tolist() == [len(tokens) for tokens, _ in data]


@given(rows.filter(len), st.data())
def test_select_and_head_and_concatenate_are_those_of_lists(data, draw):
    examples = ragged(data)
    indices = draw.draw(st.lists(st.integers(-len(data), len(data) - 1)))
    mask = draw.draw(st.lists(st.booleans(), min_size=len(data), max_size=len(data)))
    count = draw.draw(st.integers(0, len(data) + 2))
    assert listed(examples.select(indices)) == [data[i] for i in indices]
    assert listed(examples.select(np.array(mask))) == [row for row, keep in zip(data, mask, strict=True) if keep]
    assert listed(examples.head(count)) == data[:count]
    assert listed(RaggedExamples.concatenate([examples, examples.head(count)])) == data + data[:count]


@on_disk
@given(rows, st.sampled_from([np.uint8, np.uint16]))
def test_a_saved_file_loads_the_same(tmp_path, data, dtype):
    examples = RaggedExamples.from_sequences(
        [np.array(tokens, dtype=dtype) for tokens, _ in data], [label for _, label in data], name="toy", dtype=dtype
    )
    examples.save(tmp_path / "toy.safetensors")
    loaded = RaggedExamples.load(tmp_path / "toy.safetensors")
    assert listed(loaded) == data
    assert loaded.tokens.dtype == dtype
    assert (loaded.name, loaded.seed, loaded.source) == ("toy", None, {})
    assert loaded.checksum == examples.checksum
    assert not loaded.tokens.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["toy.safetensors"]


def test_seed_and_source_come_back(tmp_path):
    ragged([([1, 2], 0)]).save(tmp_path / "toy")
    loaded = RaggedExamples.load(tmp_path / "toy")
    assert (loaded.seed, loaded.source) == (3, {"of": ["x", 1]})


def test_the_checksum_tells_contents_apart():
    one, other = ragged([([1, 2], 0), ([3], 1)]), ragged([([1], 0), ([2, 3], 1)])
    assert len({one.checksum, other.checksum, one.head(1).checksum, ragged([([1, 2], 0), ([3], 2)]).checksum}) == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tokens": np.zeros(3, np.int64)}, "tokens"),
        ({"tokens": np.zeros((3, 1), np.uint8)}, "tokens"),
        ({"offsets": np.array([0, 3], np.int32)}, "offsets"),
        ({"offsets": np.array([0, 2])}, "offsets"),
        ({"offsets": np.array([0, 4, 3])}, "offsets"),
        ({"labels": np.zeros(2, np.int64)}, "labels"),
        ({"labels": np.zeros(1)}, "labels"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, named):
    arrays = {"tokens": np.zeros(3, np.uint8), "offsets": np.array([0, 3]), "labels": np.zeros(1, np.int64)}
    with pytest.raises(ValueError, match=f"^{named} must"):
        RaggedExamples(**{**arrays, **change}, name="toy")


@on_disk
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_changes_the_examples(tmp_path, place, change):
    path, examples = tmp_path / "toy", ragged([([1, 2, 3], 0), ([4], 7)])
    examples.save(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)
    try:
        found = listed(RaggedExamples.load(path))
    except UserError as error:
        found = str(error)
    assert found == listed(examples) or (str(path) in found and "\n" not in found)


@on_disk
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_named(tmp_path, share):
    path = tmp_path / "toy"
    ragged([([1, 2, 3], 0), ([4], 7)]).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="toy: "):
        RaggedExamples.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none: cannot be read"):
        RaggedExamples.load(tmp_path / "none")


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_each_write_a_whole_file(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first:
        with replacing(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_cache_dir_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NESTREE_CACHE", raising=False)
    assert cache_dir() == tmp_path / "nestree"
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("NESTREE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir().name == "nestree"


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> RaggedExamples:
        self.made += 1
        return ragged([([1, 2], 0), ([3], 1)])

    def load(self, path: Path, seed: int = 3, of: str = "x") -> RaggedExamples:
        return load_or_make(path, seed=seed, source={"of": [of, 1]}, make=self)


def test_the_cache_makes_once(tmp_path):
    maker, path = Maker(), tmp_path / "deep" / "toy"
    assert listed(maker.load(path)) == listed(maker.load(path)) == [([1, 2], 0), ([3], 1)]
    assert maker.made == 1


@pytest.mark.parametrize("other", [{"seed": 4}, {"of": "y"}])
def test_the_cache_replaces_what_was_made_otherwise(tmp_path, other):
    maker, path = Maker(), tmp_path / "toy"
    maker.load(path)
    maker.load(path, **other)
    assert maker.made == 2


def test_the_cache_replaces_what_is_damaged_and_says_so(tmp_path, caplog):
    maker, path = Maker(), tmp_path / "toy"
    maker.load(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert listed(maker.load(path)) == [([1, 2], 0), ([3], 1)]
    assert maker.made == 2
    assert "toy" in caplog.text


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    maker = Maker()
    with pytest.raises(UserError, match=r"file/toy.*NESTREE_CACHE"):
        maker.load(tmp_path / "file" / "toy")
    assert maker.made == 0


@given(data=rows, sizes=st.tuples(st.integers(0, 12), st.integers(0, 12)), seed=st.integers(0, 5))
def test_a_sample_keeps_the_order_and_a_larger_one_holds_a_smaller(
    data: list[tuple[list[int], int]], sizes: tuple[int, int], seed: int
) -> None:
    numbered = ragged([(tokens, row) for row, (tokens, _) in enumerate(data)])
    small, large = (numbered.sample(size, seed=seed).labels.tolist() for size in sorted(sizes))
    assert small == sorted(set(small))
    assert len(small) == min(min(sizes), len(data))
    assert set(small) <= set(large)


def test_a_sample_of_rows_sorted_by_label_has_every_label() -> None:
    examples = ragged([([1], 0)] * 200 + [([1], 1)] * 200)
    assert 60 < examples.sample(200, seed=0).labels.sum() < 140
    assert examples.sample(200, seed=0).labels.tolist() != examples.sample(200, seed=1).labels.tolist()
