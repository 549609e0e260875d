"""From text to token ids: bytes, or characters or words with a vocabulary."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

LEVELS = ("byte", "char", "word")
"""Kinds of tokens."""

UNKNOWN = 1
"""Id of characters and words outside the vocabulary, and of an empty text; 0 is padding."""

UNKNOWN_WORD = "<unknown>"
"""How [`UNKNOWN`][] is shown."""

FIRST_WORD = 2

BYTE_IDS = 256
"""Vocabulary size at byte level: padding, and each byte value + 1 (UTF-8 has no byte 255)."""

SPLITTER = 2
"""Current version of the rules that split a text into words or characters; a run keeps the version that it was trained
with."""

FIRST_SPLITTER = 1
"""The version of official datasets, whose results are published, and of runs whose state names none: code points and
Python's ``\\w``, without normalisation."""

SPLITTERS = (FIRST_SPLITTER, SPLITTER)

# A clitic ('s, 'll), a word (hyphens and apostrophes may join its parts), or repetitions of one punctuation mark.
_FIRST_WORD = re.compile(r"['\u2019](?:s|re|ve|ll|d|m|t)\b|\w+(?:['\u2019-]\w+)*|([^\w\s])\1*")

# Word boundaries of UAX 29. Where it has none between words (Han, Hiragana, South-East Asian scripts), each character
# is a token; where it keeps a full stop or a colon within a word (example.com), only those of numbers are kept.
_BASE = r"[[\p{L}\p{N}_]--[\p{Han}\p{Hiragana}\p{WB=Katakana}\p{LB=SA}]]"
_EXTEND = r"[\p{M}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]"
_JOIN = (
    r"""(?:['\u2019\u2010\u2011\u00b7\u05f3\u05f4-]"""
    r"""|(?<=\p{Nd})[.,\u066b\u066c](?=\p{Nd})|(?<=\p{Hebrew})"(?=\p{Hebrew}))"""
)
_WORD = regex.compile(
    rf"""
    ['\u2019](?:s|re|ve|ll|d|m|t)(?!{_BASE}|{_EXTEND})                    # a clitic
    | {_BASE}(?:{_BASE}|{_EXTEND})*(?:{_JOIN}{_BASE}(?:{_BASE}|{_EXTEND})*)*  # a word or a number
    | \p{{WB=Katakana}}(?:\p{{WB=Katakana}}|{_EXTEND})*
    | (?=[\p{{Han}}\p{{Hiragana}}\p{{LB=SA}}\p{{Extended_Pictographic}}\p{{Regional_Indicator}}])\X{_EXTEND}*
    | ([^\s\x1c-\x1f\p{{Cf}}]{_EXTEND}*)(?:\1(?!{_EXTEND}))*              # repetitions of one punctuation mark
    """,
    regex.V1 | regex.VERBOSE,
)

# Python's own expressions are faster, and the same on ASCII.
_ASCII_WORD = re.compile(r"'(?:s|re|ve|ll|d|m|t)\b|\w+(?:(?:['-]|(?<=[0-9])[.,](?=[0-9]))\w+)*|([^\w\s])\1*")

_SPACELESS = regex.compile(
    r"[\p{L}&&[\p{Han}\p{Hiragana}\p{WB=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]", regex.V1
)
_LETTER = regex.compile(r"\p{L}")


def normal(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), in which equal texts have equal code points."""
    return unicodedata.normalize("NFC", text)


def tokens_of(text: str, level: str, splitter: int = SPLITTER) -> Iterable[str]:
    """Split a text into code points, or into lower-case words, numbers and repeated punctuation marks.

    White space separates words. Words joined by spaces split into the same words again.

    Args:
        text: any text; except by the first splitter, it is normalised ([`normal`][]).
        level: char or word.
        splitter: one of [`SPLITTERS`][].
    """
    if splitter == FIRST_SPLITTER:
        return text if level == "char" else _groups(_FIRST_WORD.finditer, text.lower())
    if level == "char":
        return normal(text)
    # Lower case of a composed text need not be composed.
    text = normal(normal(text).lower())
    return _groups(_ASCII_WORD.finditer if text.isascii() else _WORD.finditer, text)


def _groups(find: Callable[[str], Iterable[Any]], text: str) -> Iterable[str]:
    return (match[0] for match in find(text))


def spaceless_share(counts: Mapping[str, int]) -> float:
    """Return the share of letters that are of scripts without spaces between words, such as Chinese and Thai.

    Args:
        counts: how often each word occurs.
    """
    letters = sum(len(_LETTER.findall(word)) * count for word, count in counts.items())
    return sum(len(_SPACELESS.findall(word)) * count for word, count in counts.items()) / max(letters, 1)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words (or characters) by id: the first has id 2, after padding (0) and the unknown word (1)."""

    words: tuple[str, ...]

    @classmethod
    def count(
        cls,
        texts: Iterable[str],
        level: str,
        *,
        size: int | None = None,
        least: int = 1,
        splitter: int = SPLITTER,
    ) -> Vocabulary:
        """Return the ``size`` most frequent tokens that occur at least ``least`` times in ``texts``.

        They are sorted by decreasing count, and by code points where counts are equal.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokens_of(text, level, splitter))
        kept = [word for word, count in counts.items() if count >= least]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(tuple(kept[:size]))

    def __len__(self) -> int:
        """Return the number of ids, with padding and the unknown word."""
        return len(self.words) + FIRST_WORD

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """Id of each word."""
        return {word: number for number, word in enumerate(self.words, start=FIRST_WORD)}

    @cached_property
    def dtype(self) -> type[np.unsignedinteger]:
        """Smallest type that fits every id."""
        return next(kind for kind in (np.uint8, np.uint16, np.uint32) if len(self) - 1 <= np.iinfo(kind).max)

    @cached_property
    def digest(self) -> str:
        """Digest of the words, 16 characters."""
        return hashlib.sha256("\0".join(self.words).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def state(self) -> dict[str, Any]:
        """Return the vocabulary as JSON values."""
        return {"words": list(self.words)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary of values that [`state`][] returned."""
        return cls(tuple(state["words"]))


def encode_text(
    text: str,
    level: str,
    vocabulary: Vocabulary | None = None,
    max_tokens: int | None = None,
    splitter: int = SPLITTER,
) -> NDArray[np.unsignedinteger]:
    """Return the token ids of a text, shape (tokens,). A text without tokens becomes one unknown token.

    Args:
        text: any text.
        level: one of [`LEVELS`][].
        vocabulary: the vocabulary of that level; None for bytes.
        max_tokens: keep the first ``max_tokens`` tokens.
        splitter: the vocabulary's, see [`tokens_of`][]; bytes are those of the text as it is written.

    Raises:
        ValueError: ``vocabulary`` is missing.
    """
    if level == "byte":
        cut = text if max_tokens is None else text[:max_tokens]  # a character has at least one byte
        content = cut.encode("utf-8", "replace")[:max_tokens] or b" "
        return np.frombuffer(content, np.uint8) + np.uint8(1)
    if vocabulary is None:
        raise ValueError(f"level {level} needs a vocabulary")
    found = [vocabulary.ids.get(token, UNKNOWN) for token in islice(tokens_of(text, level, splitter), max_tokens)]
    return np.array(found or [UNKNOWN], vocabulary.dtype)


def words_of(tokens: NDArray[np.unsignedinteger], vocabulary: Vocabulary | None = None) -> list[str]:
    """Return the word, character or byte of each id; ``<unknown>``, and ``\\xNN`` for bytes that are not ASCII.

    Args:
        tokens: ids from [`encode_text`][], shape (tokens,), without padding.
        vocabulary: the vocabulary of these ids; None for bytes.
    """
    if vocabulary is None:
        return [chr(token - 1) if token <= 128 else f"\\x{token - 1:02x}" for token in tokens.tolist()]
    return [UNKNOWN_WORD if token == UNKNOWN else vocabulary.words[token - FIRST_WORD] for token in tokens.tolist()]
