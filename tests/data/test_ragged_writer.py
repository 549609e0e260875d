"""Pairs, and the writer that keeps tokens on disk: the same as what is laid out in memory."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestree.data import RaggedExamples, RaggedWriter, load_or_write
from nestree.errors import UserError

on_disk = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = [np.uint8, np.uint16, np.uint32]
sides = st.integers(1, 2)


@st.composite
def datasets(draw, dtype: type | None = None):
    """(type of the tokens, sides, [(the sides' tokens, label)])"""
    dtype = dtype or draw(st.sampled_from(DTYPES))
    count = draw(sides)
    side = st.lists(st.integers(0, np.iinfo(dtype).max), max_size=5)
    example = st.tuples(st.lists(side, min_size=count, max_size=count), st.integers(0, 300))
    return dtype, count, draw(st.lists(example, max_size=7))


def in_memory(dataset) -> RaggedExamples:
    dtype, count, rows = dataset
    sequences = [np.array(side, dtype) for example, _ in rows for side in example]
    return RaggedExamples.from_sequences(
        sequences, [label for _, label in rows], name="toy", dtype=dtype, sides=count, source={"of": "x"}, seed=2
    )


def listed(examples: RaggedExamples) -> list[tuple[list[list[int]], int]]:
    return [
        ([side.tolist() for side in examples.sequences(index)], int(examples.labels[index]))
        for index in range(len(examples))
    ]


@given(datasets())
def test_examples_are_what_went_in(dataset) -> None:
    _, count, rows = dataset
    examples = in_memory(dataset)
    assert listed(examples) == rows
    assert [examples[index][0].tolist() for index in range(len(rows))] == [list(chain(*example)) for example, _ in rows]
    assert examples.lengths.tolist() == [max(map(len, example)) for example, _ in rows]
    assert examples.sides == count


@given(datasets(), st.data())
def test_pairs_stay_together(dataset, data) -> None:
    _, _, rows = dataset
    examples = in_memory(dataset)
    chosen = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1))) if rows else []
    count = data.draw(st.integers(0, len(rows) + 1))
    assert listed(examples.select(chosen)) == [rows[index] for index in chosen]
    assert listed(examples.select(examples.lengths > 2)) == [row for row in rows if max(map(len, row[0])) > 2]
    assert listed(examples.head(count)) == rows[:count]
    assert listed(RaggedExamples.concatenate([examples, examples.head(count)])) == rows + rows[:count]


@on_disk
@given(datasets())
def test_the_writer_writes_what_memory_holds(tmp_path: Path, dataset) -> None:
    dtype, count, rows = dataset
    written, saved = tmp_path / "written", tmp_path / "saved"
    with RaggedWriter(written, name="toy", dtype=dtype, sides=count) as writer:
        for example, label in rows:
            writer.add([np.array(side, dtype) for side in example], label=label)
        writer.finish(seed=2, source={"of": "x"})
    in_memory(dataset).save(saved)
    assert written.read_bytes() == saved.read_bytes()
    found = RaggedExamples.load(written)
    assert listed(found) == rows
    assert (found.tokens.dtype, found.sides, found.seed, found.source) == (dtype, count, 2, {"of": "x"})
    assert found.checksum == in_memory(dataset).checksum
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved", "written"]


@on_disk
@given(datasets(), st.integers(1, 9))
def test_the_size_of_the_blocks_changes_nothing(tmp_path: Path, dataset, block: int) -> None:
    in_memory(dataset).save(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nestree.data.ragged._BLOCK", block)
        in_memory(dataset).save(tmp_path / "blocks")
    assert (tmp_path / "blocks").read_bytes() == (tmp_path / "whole").read_bytes()


@on_disk
@given(datasets())
def test_safetensors_itself_reads_the_file(tmp_path: Path, dataset) -> None:
    from safetensors.numpy import load_file

    examples = in_memory(dataset)
    examples.save(tmp_path / "toy.safetensors")
    arrays = load_file(tmp_path / "toy.safetensors")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: getattr(examples, name).tolist() for name in ("tokens", "offsets", "labels")
    }


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "<i4", ">i4", "u4", "u8", "i8", ">i8"])
def test_labels_may_be_any_integers(tmp_path: Path, kind: str) -> None:
    labels = np.array([3, 0, 7], kind)
    RaggedExamples(np.arange(4, dtype=np.uint8), np.array([0, 1, 1, 4]), labels, "toy").save(tmp_path / "toy")
    found = RaggedExamples.load(tmp_path / "toy")
    assert found.labels.tolist() == [3, 0, 7]
    assert found.labels.dtype.kind == labels.dtype.kind
    assert [found[index][0].tolist() for index in range(3)] == [[0], [], [1, 2, 3]]


def test_token_ids_that_do_not_fit_their_type_are_refused(tmp_path: Path) -> None:
    tokens = np.array([1, 256], np.uint16)
    with pytest.raises(ValueError, match="tokens must be at most 255, to fit into uint8, not 256"):
        RaggedExamples.from_sequences([tokens], [0], name="toy")
    assert listed(RaggedExamples.from_sequences([tokens[:1]], [0], name="toy")) == [([[1]], 0)]
    with RaggedWriter(tmp_path / "toy", name="toy", dtype=np.uint8) as writer:
        with pytest.raises(ValueError, match="tokens must be at most 255, to fit into uint8, not 256"):
            writer.add([tokens], label=0)
        writer.add([tokens[:1]], label=4)
        writer.finish()
    assert listed(RaggedExamples.load(tmp_path / "toy")) == [([[1]], 4)]


def test_tokens_may_be_any_view(tmp_path: Path) -> None:
    tokens = np.arange(6, dtype=np.uint16)
    with RaggedWriter(tmp_path / "toy", name="toy", dtype=np.uint32, sides=2) as writer:
        writer.add([tokens[::-2], tokens[1::2]], label=0)
        writer.finish()
    assert listed(RaggedExamples.load(tmp_path / "toy")) == [([[5, 3, 1], [1, 3, 5]], 0)]


def test_an_example_has_as_many_sequences_as_sides(tmp_path: Path) -> None:
    one = np.ones(2, np.uint8)
    with RaggedWriter(tmp_path / "toy", name="toy", dtype=np.uint8, sides=2) as writer:
        for wrong in ([one], [one] * 3):
            with pytest.raises(ValueError, match=f"sequences must be 2, one per side, not {len(wrong)}"):
                writer.add(wrong, label=0)
    with pytest.raises(ValueError, match="offsets must have 2 sequences per example, not 3 in all"):
        RaggedExamples.from_sequences([one] * 3, [0], name="toy", sides=2)
    with pytest.raises(ValueError, match="sides must be an integer of at least 1, not 0"):
        RaggedExamples.from_sequences([], [], name="toy", sides=0)


def test_a_writer_that_does_not_finish_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with RaggedWriter(tmp_path / "toy", name="toy", dtype=np.uint8) as writer:
            writer.add([np.ones(2, np.uint8)], label=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not list(tmp_path.iterdir())


def damaged(content: bytes, place: int, change: int) -> bytes:
    """Change one byte."""
    place %= len(content)
    return content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]


def loaded(path: Path) -> list[tuple[list[list[int]], int]] | str:
    """What is in a file, or "refused" if one line that names it says that it is damaged."""
    try:
        return listed(RaggedExamples.load(path))
    except UserError as error:
        return "refused" if str(error).startswith(f"{path}: ") and "\n" not in str(error) else str(error)


@on_disk
@given(datasets(), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_changes_pairs(tmp_path: Path, dataset, place: int, change: int) -> None:
    path, examples = tmp_path / "toy", in_memory(dataset)
    examples.save(path)
    path.write_bytes(damaged(path.read_bytes(), place, change))
    assert loaded(path) in (listed(examples), "refused")


def test_no_change_of_any_one_byte_of_the_header_is_a_traceback(tmp_path: Path) -> None:
    path, examples = tmp_path / "toy", in_memory((np.uint16, 2, [([[1, 2], [3]], 1)]))
    examples.save(path)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(damaged(content, place, 1))
        assert loaded(path) in (listed(examples), "refused")


def test_the_cache_writes_again_what_is_cut_short(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, examples = tmp_path / "deep" / "toy.safetensors", in_memory((np.uint16, 2, [([[1, 2], [3]], 1)]))
    made: list[Path] = []

    def write(temporary: Path) -> None:
        made.append(temporary)
        examples.save(temporary)

    load_or_write(path, write)
    load_or_write(path, write)
    assert len(made) == 1
    path.write_bytes(path.read_bytes()[:-1])
    load_or_write(path, write)
    assert len(made) == 2
    assert f"replacing a damaged file: {path}" in caplog.text
    assert listed(RaggedExamples.load(path)) == listed(examples)
    assert [found.name for found in path.parent.iterdir()] == ["toy.safetensors"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), UserError("x:3: wrong"), OSError(28, "No space left on device")]
)
def test_a_write_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "toy.safetensors"

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise error

    expected = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        load_or_write(path, write)
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"cannot write {path} (No space left on device): name another cache folder")
    assert not list(tmp_path.iterdir())
