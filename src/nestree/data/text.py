"""From text to token ids: bytes, characters or words, and the vocabulary of the last two."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = ("byte", "char", "word")
"""What a token can be."""

UNKNOWN = 1
"""Id of characters and words outside of the vocabulary, and of a text that has none; 0 is padding."""

UNKNOWN_WORD = "<unknown>"
"""What is shown for [`UNKNOWN`][]."""

FIRST_WORD = 2

BYTE_IDS = 256
"""Vocabulary size at byte level: padding, and a byte's value + 1 (255 is no byte of UTF-8)."""

# A clitic ('s, 'll), a word with what hyphens and apostrophes join, or a run of one punctuation mark.
_WORD = re.compile(r"['\u2019](?:s|re|ve|ll|d|m|t)\b|\w+(?:['\u2019-]\w+)*|([^\w\s])\1*")


def tokens_of(text: str, level: str) -> Iterable[str]:
    """Cut a text into characters, or, one after another, into lower-case words and runs of punctuation.

    White space ends a word and is no word; cutting again what was joined by spaces changes nothing.
    """
    return text if level == "char" else (match[0] for match in _WORD.finditer(text.lower()))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words (or characters) by id: the first has id 2, behind padding (0) and the unknown word (1)."""

    words: tuple[str, ...]

    @classmethod
    def count(cls, texts: Iterable[str], level: str, *, size: int | None = None, least: int = 1) -> Vocabulary:
        """Collect what stands in ``texts``: the ``size`` most frequent, each at least ``least`` times.

        They are in order of falling count, and of code points where counts are equal.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokens_of(text, level))
        kept = [word for word, count in counts.items() if count >= least]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(tuple(kept[:size]))

    def __len__(self) -> int:
        """Count the ids, padding and the unknown word among them."""
        return len(self.words) + FIRST_WORD

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each word."""
        return {word: number for number, word in enumerate(self.words, start=FIRST_WORD)}

    @cached_property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest type that holds every id."""
        return next(kind for kind in (np.uint8, np.uint16, np.uint32) if len(self) - 1 <= np.iinfo(kind).max)

    @cached_property
    def digest(self) -> str:
        """Tell vocabularies apart, in 16 characters."""
        return hashlib.sha256("\0".join(self.words).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def state(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"words": list(self.words)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """Return what [`state`][] made plain."""
        return cls(tuple(state["words"]))


def encode_text(
    text: str, level: str, vocabulary: Vocabulary | None = None, max_tokens: int | None = None
) -> NDArray[np.unsignedinteger]:
    """Turn a text into token ids, shape (tokens,); a text without any token becomes one unknown token.

    Args:
        text: anything.
        level: one of [`LEVELS`][].
        vocabulary: of the level; None for bytes, which need none.
        max_tokens: only the first so many.
    """
    if level == "byte":
        cut = text if max_tokens is None else text[:max_tokens]  # a character is a byte or more
        content = cut.encode("utf-8", "replace")[:max_tokens] or b" "
        return np.frombuffer(content, np.uint8) + np.uint8(1)
    if vocabulary is None:
        raise ValueError(f"level {level} needs a vocabulary")
    found = [vocabulary.ids.get(token, UNKNOWN) for token in islice(tokens_of(text, level), max_tokens)]
    return np.array(found or [UNKNOWN], vocabulary.dtype)


def words_of(tokens: NDArray[np.unsignedinteger], vocabulary: Vocabulary | None = None) -> list[str]:
    """Return what each id stands for: a word or a character, ``<unknown>``, or a byte, which beyond ASCII is ``\\xNN``.

    Args:
        tokens: ids of [`encode_text`][], shape (tokens,), without padding.
        vocabulary: that of the ids; None for bytes.
    """
    if vocabulary is None:
        return [chr(token - 1) if token <= 128 else f"\\x{token - 1:02x}" for token in tokens.tolist()]
    return [UNKNOWN_WORD if token == UNKNOWN else vocabulary.words[token - FIRST_WORD] for token in tokens.tolist()]
