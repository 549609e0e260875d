"""Binary parses in brackets, as SICK and SNLI have them."""

from __future__ import annotations

import re

_BRACKET = re.compile(r"-(LRB|RRB|LSB|RSB|LCB|RCB)-")
_BRACKETS = {"LRB": "(", "RRB": ")", "LSB": "[", "RSB": "]", "LCB": "{", "RCB": "}"}


def unescape(word: str) -> str:
    """Return a word as it was written, where the Penn Treebank's conventions wrote ``-LRB-``, ``\\/`` or ``\\*``."""
    if "\\" not in word and "-" not in word:  # nearly always, and a corpus has millions of words
        return word
    return _BRACKET.sub(lambda found: _BRACKETS[found[1]], word.replace("\\/", "/").replace("\\*", "*"))


def words_of(parse: str) -> str:
    """Return the words of a binary parse like ``( ( The cat ) sleeps )``, spaces between.

    A sentence of one word may come with brackets or without.

    Raises:
        ValueError: the brackets do not match, one is stuck to a word, or a node holds more than two parts; says at
            which token.
    """
    parts: list[int] = []
    words: list[str] = []
    # Words end at an ASCII space only: "1 1/2" is one, with a no-break space inside.
    for number, piece in enumerate(filter(None, parse.split(" ")), start=1):
        if words and not parts:
            raise ValueError(f"token {number} of the parse, {piece[:20]!r}, stands behind its end")
        if piece == "(":
            parts.append(0)
            continue
        if piece == ")":
            if not parts or not 1 <= parts.pop() <= 2:
                raise ValueError(f"token {number} of the parse, ')', does not close a node of one or two parts")
        elif "(" in piece or ")" in piece:
            raise ValueError(f"token {number} of the parse, {piece[:20]!r}, has a parenthesis stuck to it")
        else:
            words.append(unescape(piece))
        if parts:
            parts[-1] += 1
    if parts or not words:
        raise ValueError(
            f"the parse is cut short: {len(parts)} parentheses are open" if parts else "the parse is empty"
        )
    return " ".join(words)
