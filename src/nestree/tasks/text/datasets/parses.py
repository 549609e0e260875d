"""Binary parses in brackets, as in SICK and SNLI."""

from __future__ import annotations

import re

_BRACKET = re.compile(r"-(LRB|RRB|LSB|RSB|LCB|RCB)-")
_BRACKETS = {"LRB": "(", "RRB": ")", "LSB": "[", "RSB": "]", "LCB": "{", "RCB": "}"}


def unescape(word: str) -> str:
    """Return the original form of a word, undoing the Penn Treebank's ``-LRB-``, ``\\/`` and ``\\*``."""
    if "\\" not in word and "-" not in word:  # a shortcut for most of the millions of words
        return word
    return _BRACKET.sub(lambda found: _BRACKETS[found[1]], word.replace("\\/", "/").replace("\\*", "*"))


def words_of(parse: str) -> str:
    """Return the words of a binary parse like ``( ( The cat ) sleeps )``, separated by spaces.

    Brackets are optional for a single word.

    Raises:
        ValueError: brackets do not match, one is not separated from a word, or a node has more than two parts; says at
            which token.
    """
    parts: list[int] = []
    words: list[str] = []
    # Split only at ASCII spaces: "1 1/2" is one word with a no-break space.
    for number, piece in enumerate(filter(None, parse.split(" ")), start=1):
        if words and not parts:
            raise ValueError(f"token {number} of the parse, {piece[:20]!r}, is after its end")
        if piece == "(":
            parts.append(0)
            continue
        if piece == ")":
            if not parts or not 1 <= parts.pop() <= 2:
                raise ValueError(f"token {number} of the parse, ')', does not close a node of one or two parts")
        elif "(" in piece or ")" in piece:
            raise ValueError(f"token {number} of the parse, {piece[:20]!r}, has a parenthesis attached to it")
        else:
            words.append(unescape(piece))
        if parts:
            parts[-1] += 1
    if parts or not words:
        raise ValueError(
            f"the parse is incomplete: {len(parts)} parentheses are open" if parts else "the parse is empty"
        )
    return " ".join(words)
