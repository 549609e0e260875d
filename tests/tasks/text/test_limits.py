"""Limits of what files may contain, and encodings that are none of text."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from nestree.data.vectors import read_vectors
from nestree.errors import UserError
from nestree.tasks.text.datasets.imdb import read_split
from nestree.tasks.text.datasets.sst import labelled_nodes
from nestree.tasks.text.encodings import check_encoding
from nestree.tasks.text.rows import MOST_COLUMNS
from nestree.tasks.text.table import Table


@pytest.mark.parametrize("name", ["utf-8", "latin-1", "cp037", "shift_jis", "utf-16", "utf-7", "iso2022_jp"])
def test_encodings_of_text(name: str) -> None:
    assert check_encoding(name) == name


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "unicode_escape", "rot13", "zlib", "hex", "undefined", "", "\0", "x"]
)
def test_other_codecs_are_no_encodings(name: str) -> None:
    with pytest.raises(UserError, match="encoding must be one that Python knows"):
        check_encoding(name)


def test_too_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("," * MOST_COLUMNS + "\n")
    with pytest.raises(UserError, match="10,001 columns; a table has at most 10,000"):
        Table(path).columns  # noqa: B018


def test_workbooks_that_are_compressed_too_much(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 2**26)
    with pytest.raises(UserError, match=r"64 MB, packed into .* KB; at most 100 to 1 is read"):
        Table(path).columns  # noqa: B018


@pytest.mark.parametrize("flag", [(6, 1), (8, 99)], ids=["encrypted", "unknown method"])
def test_archives_that_cannot_be_unpacked(flag: tuple[int, int], tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "word 1 2 3\n")
    changed = bytearray(content.getvalue())
    at, value = flag
    changed[at] = changed[changed.find(b"PK\x01\x02") + at + 2] = value
    path = tmp_path / "vectors.zip"
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"vectors\.zip: cannot be read"):
        read_vectors(path, ["word"])


@pytest.mark.parametrize("part", ["review", "header"])
def test_reviews_that_are_too_large(part: str, tmp_path: Path) -> None:
    path = tmp_path / "aclImdb_v1.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("aclImdb/train/neg/0_1.txt")
        if part == "header":
            member.pax_headers = {"comment": "x" * 2**21}
        member.size = 2**21 if part == "review" else 3
        archive.addfile(member, io.BytesIO(b"bad" * 2**20))
    with pytest.raises(UserError, match="too large; a review has" if part == "review" else "more than 1 MB"):
        list(read_split(path, "train"))


def test_trees_that_are_too_deep() -> None:
    with pytest.raises(ValueError, match="deeper than 1,000 nodes"):
        labelled_nodes("(1 " * 100_000)


def test_lines_that_are_too_long_in_a_small_archive(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress(b"x" * 2**22))
    with pytest.raises(UserError, match=r"vectors\.txt\.gz:1: the line is longer than 1 MB"):
        read_vectors(path, ["word"])
