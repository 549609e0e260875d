"""GloVe's text format: only the vocabulary is kept; what a line may look like, and what damage is called."""

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data.vectors import read_vectors
from nestree.errors import UserError

LINES = b"the 0.5 -1 2e-1\ncat 1 2 3\nThe 7 8 9\n. . . 4 5 6\n"


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_bytes(LINES)
    return path


def test_words_of_the_vocabulary_take_their_vectors_and_others_zeros(glove):
    vectors = read_vectors(glove, ["cat", "dog", "the"])
    assert vectors.matrix.dtype == np.float32
    assert vectors.matrix.tolist() == np.array([[1, 2, 3], [0, 0, 0], [0.5, -1, 0.2]], np.float32).tolist()
    assert vectors.known.tolist() == [True, False, True]


def test_a_word_that_differs_by_case_takes_the_first_such_vector_unless_its_own_comes(glove):
    vectors = read_vectors(glove, ["THE", "The", "CAT"])
    assert vectors.matrix[:, 0].tolist() == [0.5, 7, 1]
    assert vectors.known.all()


def test_words_may_hold_spaces_and_line_ends_may_be_of_either_kind(tmp_path, glove):
    assert read_vectors(glove, [". . ."]).matrix.tolist() == [[4, 5, 6]]
    (tmp_path / "dos.txt").write_bytes(LINES.replace(b"\n", b" \r\n"))
    assert read_vectors(tmp_path / "dos.txt", ["cat", ". . ."]).matrix.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_first_line_of_two_numbers_is_passed_over(tmp_path):
    (tmp_path / "wiki.vec").write_bytes(b"4 3\n" + LINES)
    assert read_vectors(tmp_path / "wiki.vec", ["cat", "4"]).matrix.tolist() == [[1, 2, 3], [0, 0, 0]]


def test_archives_are_read_as_they_are(tmp_path):
    with gzip.open(tmp_path / "some.txt.gz", "wb") as file:
        file.write(LINES)
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.3d.txt", LINES)
    for name in ("some.txt.gz", "glove.zip"):
        assert read_vectors(tmp_path / name, ["cat"]).matrix.tolist() == [[1, 2, 3]]
    with zipfile.ZipFile(tmp_path / "glove.zip", "a") as archive:
        archive.writestr("glove.4d.txt", LINES)
    with pytest.raises(UserError, match=r"has 2 .txt files; unpack one of them"):
        read_vectors(tmp_path / "glove.zip", ["cat"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"dog 1 two 3", "damaged; expected a word and 3 numbers"),
        (b"dog 1 nan 3", "damaged; expected a word and 3 finite numbers"),
        (b"dog 1 inf 3", "damaged; expected a word and 3 finite numbers"),
        (b"dog 1 1e60 3", "damaged; expected a word and 3 finite numbers"),
        (b"dog 1 2 x", "damaged"),
    ],
)
def test_a_damaged_line_of_a_wanted_word_is_named(tmp_path, line, message):
    path = tmp_path / "glove.txt"
    path.write_bytes(LINES + line + b"\n")
    with pytest.raises(UserError, match=f"^{path}:5: {message}") as error:
        read_vectors(path, ["dog"])
    assert "\n" not in str(error.value)
    assert read_vectors(path, ["cat"]).known.all()  # what is not wanted is not read


@pytest.mark.parametrize("line", [b"dog 1 2", b"dog 1", b"dog"])
def test_a_line_of_too_few_numbers_is_named_whatever_its_word(tmp_path, line):
    path = tmp_path / "glove.txt"
    path.write_bytes(LINES + line + b"\ncat 1 2 3\n")
    with pytest.raises(UserError, match=f"^{path}:5: damaged; expected a word and 3 numbers"):
        read_vectors(path, ["elephant"])


def test_blank_lines_do_not_matter(tmp_path):
    (tmp_path / "glove.txt").write_bytes(b"\n" + LINES + b"\n")
    assert read_vectors(tmp_path / "glove.txt", ["cat"]).matrix.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "has no word vectors"), (b"4 3\n", "has no word vectors"), (b"word\n", ":1: not a word vector")],
)
def test_a_file_without_vectors_is_refused(tmp_path, content, message):
    (tmp_path / "none.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "none.txt", ["cat"])


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(LINES * 100)[:-20])
    (tmp_path / "no.zip").write_bytes(b"no zip")
    for name in ("none.txt", "cut.txt.gz", "no.zip", "."):
        with pytest.raises(UserError, match="cannot be read"):
            read_vectors(tmp_path / name, ["elephant"])


def test_memory_is_that_of_the_vocabulary(tmp_path):
    path = tmp_path / "glove.txt"
    with path.open("w") as file:
        file.writelines(f"w{number} {' '.join(['0.123456'] * 50)}\n" for number in range(4_000))
    tracemalloc.start()
    vectors = read_vectors(path, ["w7", "w3999"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vectors.known.all()
    assert peak < 200_000 < path.stat().st_size / 5


numbers = st.floats(-100, 100, width=32)
entries = st.dictionaries(
    st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=5), st.tuples(numbers, numbers), min_size=1
)


@given(entries=entries, chosen=st.sets(st.integers(0, 20)))
def test_written_vectors_are_read_back(tmp_path_factory, entries, chosen):
    path = tmp_path_factory.mktemp("vectors") / "some.txt"
    path.write_text(
        "".join(f"{word} {x!r} {y!r}\n" for word, (x, y) in entries.items()), encoding="utf-8", newline="\n"
    )
    words = [word for place, word in enumerate(entries) if place in chosen]
    vectors = read_vectors(path, words)
    assert vectors.known.all()
    assert vectors.matrix.tolist() == [list(entries[word]) for word in words]
