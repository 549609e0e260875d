"""Which encoding a text file is in, as far as its bytes tell."""

from __future__ import annotations

import codecs
import re
from typing import IO

from nestree.errors import OptionError

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encoding by byte order mark."""

CANDIDATES = ("utf-8", "cp1252", "latin-1")
"""Encodings that are tried; the last accepts any bytes."""

FOREIGN = 0.5
"""Share of the characters outside ASCII that are next to others above which a text is hardly in a Western encoding:
accented letters are mostly single, while in other scripts every letter is decoded as one."""

_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]{3,}")
_CHUNK = 2**20


NO_TEXT = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
"""Encodings of Python that no file is written in."""


def check_encoding(name: str, option: str = "encoding") -> str:
    """Return the name of an encoding of text.

    Raises:
        OptionError: Python does not know it, or it is none of text, such as zlib or rot13.
    """
    try:
        known = codecs.lookup(name)
        fits = known._is_text_encoding and known.name.replace("-", "_") not in NO_TEXT
        "text\n".encode(name)
    except (LookupError, ValueError):
        fits = False
    if not fits:
        shown = name if len(name) <= 40 else f"{name[:40]}..."
        said = "must be one that Python knows, such as utf-8, latin-1, cp1252 or utf-16"
        raise OptionError(option, f"{said}, not {shown!r}")
    return name


def same(one: str, other: str) -> bool:
    """Return whether two names are of one encoding."""
    return codecs.lookup(one).name == codecs.lookup(other).name


def actual_encoding(start: bytes, encoding: str) -> str:
    """Return UTF-16 or UTF-32 if the first bytes are its mark and the encoding is the default, else the encoding."""
    if not same(encoding, "utf-8"):
        return encoding
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), encoding)


def fitting(file: IO[bytes], encoding: str) -> tuple[str | None, bool]:
    """Return the first candidate, other than ``encoding``, that decodes the whole file; None if it is not text.

    The second value is whether the decoded text may be right: a Western encoding decodes Cyrillic and Chinese too, as
    accented letters.
    """
    for candidate in CANDIDATES:
        if same(candidate, encoding):
            continue
        file.seek(0)
        share = _foreign_share(file, candidate)
        if share is not None:
            return candidate, candidate == "utf-8" or share < FOREIGN
    return None, True


def _foreign_share(file: IO[bytes], encoding: str) -> float | None:
    """Return the share of characters outside ASCII that are in runs; None if the file cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    beyond = in_runs = 0
    try:
        while chunk := file.read(_CHUNK):
            text = decoder.decode(chunk)
            if "\0" in text:
                return None
            if not text.isascii():
                beyond += sum(not character.isascii() for character in text)
                in_runs += sum(map(len, _FOREIGN_RUN.findall(text)))
        decoder.decode(b"", final=True)
    except UnicodeError:
        return None
    return in_runs / max(beyond, 1)


def wide_encoding(start: bytes) -> str | None:
    """Return UTF-16's variant if every second byte is mostly zero, as in Latin text without a mark; else None."""
    for name, zeros, others in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.1 * len(others):
            return name
    return None
