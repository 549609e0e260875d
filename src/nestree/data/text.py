"""From text to token ids: bytes, or characters or words with a vocabulary."""

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

from nestree.data.language_model import ModelTokens

LEVELS = ("byte", "char", "word")
"""Kinds of tokens."""

UNKNOWN = 1
"""Id of characters and words outside the vocabulary, and of an empty text; 0 is padding."""

UNKNOWN_WORD = "<unknown>"
"""How [`UNKNOWN`][] is shown."""

FIRST_WORD = 2

BYTE_IDS = 256
"""Vocabulary size at byte level: padding, and each byte value + 1 (UTF-8 has no byte 255)."""

# A clitic ('s, 'll), a word (hyphens and apostrophes may join its parts), or repetitions of one punctuation mark.
_WORD = re.compile(r"['\u2019](?:s|re|ve|ll|d|m|t)\b|\w+(?:['\u2019-]\w+)*|([^\w\s])\1*")


def tokens_of(text: str, level: str) -> Iterable[str]:
    """Split a text into characters, or into lower-case words and repeated punctuation marks.

    White space separates words. Words joined by spaces split into the same words again.
    """
    return text if level == "char" else (match[0] for match in _WORD.finditer(text.lower()))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words (or characters) by id: the first has id 2, after padding (0) and the unknown word (1)."""

    words: tuple[str, ...]

    @classmethod
    def count(cls, texts: Iterable[str], level: str, *, size: int | None = None, least: int = 1) -> Vocabulary:
        """Return the ``size`` most frequent tokens that occur at least ``least`` times in ``texts``.

        They are sorted by decreasing count, and by code points where counts are equal.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokens_of(text, level))
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
    text: str, level: str, vocabulary: Vocabulary | ModelTokens | None = None, max_tokens: int | None = None
) -> NDArray[np.unsignedinteger]:
    """Return the token ids of a text, shape (tokens,). A text without tokens becomes one unknown token.

    Args:
        text: any text.
        level: one of [`LEVELS`][].
        vocabulary: the vocabulary of that level, or a language model's tokens; None for bytes.
        max_tokens: keep the first ``max_tokens`` tokens.

    Raises:
        ValueError: ``vocabulary`` is missing.
    """
    if isinstance(vocabulary, ModelTokens):
        return vocabulary.encode(text, max_tokens)
    if level == "byte":
        cut = text if max_tokens is None else text[:max_tokens]  # a character has at least one byte
        content = cut.encode("utf-8", "replace")[:max_tokens] or b" "
        return np.frombuffer(content, np.uint8) + np.uint8(1)
    if vocabulary is None:
        raise ValueError(f"level {level} needs a vocabulary")
    found = [vocabulary.ids.get(token, UNKNOWN) for token in islice(tokens_of(text, level), max_tokens)]
    return np.array(found or [UNKNOWN], vocabulary.dtype)


def words_of(tokens: NDArray[np.unsignedinteger], vocabulary: Vocabulary | ModelTokens | None = None) -> list[str]:
    """Return the word, character or byte of each id; ``<unknown>``, and ``\\xNN`` for bytes that are not ASCII.

    Args:
        tokens: ids from [`encode_text`][], shape (tokens,), without padding.
        vocabulary: the vocabulary of these ids; None for bytes.
    """
    if isinstance(vocabulary, ModelTokens):
        return vocabulary.words(tokens)
    if vocabulary is None:
        return [chr(token - 1) if token <= 128 else f"\\x{token - 1:02x}" for token in tokens.tolist()]
    return [UNKNOWN_WORD if token == UNKNOWN else vocabulary.words[token - FIRST_WORD] for token in tokens.tolist()]
