"""Regular expressions of Python in the syntax of Oniguruma, which the tokenizers library uses."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

import regex

_SURROGATES = range(0xD800, 0xE000)

_ALL = "".join(chr(code) for code in range(sys.maxunicode + 1) if code not in _SURROGATES)
"""Every code point that a text may have, in order."""

_PIECE = re.compile(
    r"""
    (?P<property>\\[pP]\{[^}]*\}|\\[wWsSdD])    # a class by name
    | (?P<boundary>\\b)
    | \\u(?P<code>[0-9a-fA-F]{4})
    | (?P<other>\\.|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def oniguruma(pattern: re.Pattern[str] | regex.Pattern[str]) -> str:
    """Return an expression that matches what ``pattern`` matches.

    Classes of characters are written as ranges of code points: the engines differ in what their names mean and in the
    version of Unicode.

    Args:
        pattern: an expression of classes, groups, repetitions, lookarounds and back references.
    """
    engine: Any = re if isinstance(pattern, re.Pattern) else regex
    text, flags, at, found = pattern.pattern, pattern.flags, 0, []
    while at < len(text):
        verbose = flags & engine.VERBOSE
        if verbose and text[at].isspace():
            at += 1
            continue
        if verbose and text[at] == "#":
            at = (text + "\n").index("\n", at)
            continue
        if text[at] == "[":
            end = _end_of_set(text, at)
            found.append(ranges(text[at:end], engine, flags))
            at = end
            continue
        match = _PIECE.match(text, at)
        assert match is not None
        at = match.end()
        found.append(_translated(match, engine, flags))
    return "".join(found)


def _translated(match: re.Match[str], engine: Any, flags: int) -> str:
    if match["property"]:
        return ranges(match["property"], engine, flags)
    if match["boundary"]:
        word = ranges(r"\w", engine, flags)
        return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
    return f"\\x{{{match['code']}}}" if match["code"] else match["other"]


def _end_of_set(text: str, start: int) -> int:
    """Return where the set of characters that begins at ``start`` ends; sets may contain sets."""
    depth, at = 0, start
    while True:
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            depth += 1
        elif text[at] == "]":
            depth -= 1
        at += 1
        if depth == 0:
            return at


@cache
def ranges(named: str, engine: Any = regex, flags: int = regex.V1) -> str:
    """Return a set of characters as ranges of code points: ``[0-2]`` as ``[\\x{30}-\\x{32}]``."""
    runs = engine.compile(f"(?:{named})+", flags & ~engine.VERBOSE).finditer(_ALL)
    pairs = [pair for run in runs for pair in _without_surrogates(ord(run[0][0]), ord(run[0][-1]))]
    return "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in pairs) + "]"


def _without_surrogates(low: int, high: int) -> list[tuple[int, int]]:
    if low < _SURROGATES.start and high >= _SURROGATES.stop:
        return [(low, _SURROGATES.start - 1), (_SURROGATES.stop, high)]
    return [(low, high)]
