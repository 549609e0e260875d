"""Labelled sequences of unequal length, or pairs of them, as a few flat arrays in one file."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least
from nestree.data.files import replacing
from nestree.errors import UserError

FORMAT = "nestree-ragged-2"
"""Stored in every file; files of another format are refused."""

_TOKEN_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))
_ANSWERS = (np.dtype(np.uint8), np.dtype(np.float64))
_FILE_TYPES = {
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U64": np.uint64,
    "F64": np.float64,
}
_BLOCK = 2**24


@dataclass(frozen=True, eq=False)
class RaggedExamples:
    """A classification dataset: example i is ``tokens[offsets[i]:offsets[i + 1]]`` with label ``labels[i]``.

    Examples with two sides are classified as pairs: sequences ``2 i`` and ``2 i + 1`` are those of example i. Nothing
    is padded, so a dataset takes one, two or four bytes per token, depending on the size of the vocabulary, in memory
    and on disk. Arrays from [`load`][] are mapped from the file, read-only.

    Args:
        tokens: Token ids of all sequences, concatenated: shape (total,), uint8, uint16 or uint32.
        offsets: Where each sequence begins and the last one ends: shape (examples * sides + 1,), int64, 0 to total.
        labels: Shape (examples,), any integer type; 0 where the answers are not single labels.
        name: Name of the dataset, for example "listops/900-1000".
        seed: Seed that it was generated with; None for data that were read.
        source: Where else it comes from, as JSON values: a generator's parameters, a file.
        sides: Sequences per example.
        answers: Where the answers are not single labels: 1 for each label that an example has, shape (examples,
            labels), uint8; or its number, shape (examples, 1), float64.

    Raises:
        ValueError: The arrays do not fit each other; names the array.
    """

    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    labels: NDArray[np.integer]
    name: str
    seed: int | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    sides: int = 1
    answers: NDArray[np.uint8] | NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        tokens, offsets, labels = self.tokens, self.offsets, self.labels
        check_at_least("sides", self.sides, 1)
        if tokens.ndim != 1 or tokens.dtype not in _TOKEN_TYPES:
            raise ValueError(
                f"tokens must be a flat uint8, uint16 or uint32 array, not {tokens.dtype} of shape {tokens.shape}"
            )
        if offsets.ndim != 1 or offsets.dtype != np.int64 or len(offsets) == 0:
            raise ValueError(f"offsets must be a flat int64 array, not {offsets.dtype} of shape {offsets.shape}")
        if offsets[0] != 0 or offsets[-1] != len(tokens) or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of tokens, {len(tokens)}")
        examples, rest = divmod(len(offsets) - 1, self.sides)
        if rest:
            raise ValueError(f"offsets must have {self.sides} sequences per example, not {len(offsets) - 1} in all")
        if labels.shape != (examples,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels must be {examples} integers, not {labels.dtype} of shape {labels.shape}")
        answers = self.answers
        if answers is not None and (answers.ndim != 2 or len(answers) != examples or answers.dtype not in _ANSWERS):
            raise ValueError(
                f"answers must be {examples} rows of uint8 or float64, not {answers.dtype} of shape {answers.shape}"
            )

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[NDArray[np.unsignedinteger]],
        labels: Sequence[int] | NDArray[np.integer],
        *,
        name: str,
        seed: int | None = None,
        source: Mapping[str, Any] | None = None,
        dtype: type[np.unsignedinteger] = np.uint8,
        sides: int = 1,
    ) -> RaggedExamples:
        """Concatenate separate sequences of token ids, ordered by example; labels become int64.

        Raises:
            ValueError: a token id is too large for ``dtype``, or the arrays do not fit each other.
        """
        lengths = np.fromiter((len(sequence) for sequence in sequences), dtype=np.int64, count=len(sequences))
        tokens = _narrowed(np.concatenate([np.empty(0, dtype), *sequences]), np.dtype(dtype))
        return cls(tokens, offsets_of(lengths), np.asarray(labels, dtype=np.int64), name, seed, source or {}, sides)

    @classmethod
    def concatenate(cls, parts: Sequence[RaggedExamples]) -> RaggedExamples:
        """Concatenate datasets, with the name, seed and source of the first."""
        first = parts[0]
        return cls(
            np.concatenate([part.tokens for part in parts]),
            offsets_of(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.labels for part in parts]),
            first.name,
            first.seed,
            first.source,
            first.sides,
            None if first.answers is None else np.concatenate([_answers(part) for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[NDArray[np.unsignedinteger], int]:
        """Return the token ids of one example, its sides concatenated, as a view, and its label."""
        first = range(len(self))[index] * self.sides
        return self.tokens[self.offsets[first] : self.offsets[first + self.sides]], int(self.labels[index])

    def sequences(self, index: int) -> tuple[NDArray[np.unsignedinteger], ...]:
        """Return the token ids of each side of one example, each of shape (length,), as views."""
        first = range(len(self))[index] * self.sides
        ends = self.offsets[first : first + self.sides + 1]
        return tuple(self.tokens[start:end] for start, end in pairwise(ends))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each example's longest side, which decides the padding: shape (examples,)."""
        return np.diff(self.offsets).reshape(-1, self.sides).max(axis=1)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the types and bytes of the arrays, without name, seed and source."""
        digest = hashlib.sha256()
        for array in (self.tokens, self.offsets, *self._answer_arrays().values()):
            portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{portable.dtype.str}{portable.shape}".encode())
            digest.update(portable.data)
        return digest.hexdigest()

    def _answer_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the labels, and the answers if there are any, by name."""
        return {"labels": self.labels, **({} if self.answers is None else {"answers": self.answers})}

    def select(self, indices: Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]) -> RaggedExamples:
        """Return a copy of the examples at ``indices`` (or where a mask is true), in that order, with the same name."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        rows = (chosen[:, None] * self.sides + np.arange(self.sides)).ravel()
        lengths = np.diff(self.offsets)[rows]
        offsets = offsets_of(lengths)
        tokens = np.empty(offsets[-1], self.tokens.dtype)
        for start in range(0, len(rows), 10_000):  # in parts, as positions take eight bytes per token
            part = slice(start, start + 10_000)
            first, end = offsets[start], offsets[min(start + 10_000, len(rows))]
            shift = np.repeat(self.offsets[:-1][rows[part]] - offsets[:-1][part], lengths[part])
            tokens[first:end] = self.tokens[shift + np.arange(first, end)]
        kept = {name: array[chosen] for name, array in self._answer_arrays().items()}
        return replace(self, tokens=tokens, offsets=offsets, **kept)

    def head(self, count: int) -> RaggedExamples:
        """Return the first ``count`` examples (all if there are fewer) as views, with the same name."""
        count = min(count, len(self))
        offsets = self.offsets[: count * self.sides + 1]
        kept = {name: array[:count] for name, array in self._answer_arrays().items()}
        return replace(self, tokens=self.tokens[: offsets[-1]], offsets=offsets, **kept)

    def sample(self, count: int, *, seed: int) -> RaggedExamples:
        """Return ``count`` random examples (all if there are fewer), in their order, with the same name.

        The rows of a file are often sorted by label, so the first ones are not representative. With the same seed, a
        larger sample contains the smaller one.
        """
        if count >= len(self):
            return self
        chosen = np.random.default_rng([seed, len(self)]).permutation(len(self))[:count]
        return self.select(np.sort(chosen))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file atomically; its header has name, seed, source and checksums."""
        about = {
            "name": self.name,
            "seed": self.seed,
            "source": dict(self.source),
            "sides": self.sides,
            "checksum": self.checksum,
        }
        about["header"] = _header_checksum(about)
        # Arrays of wide elements come first, as each must begin at a multiple of their size.
        named = {"labels": self.labels, "offsets": self.offsets, "tokens": self.tokens}
        if self.answers is not None:
            named = (
                {"answers": self.answers, **named} if self.answers.itemsize > 1 else {**named, "answers": self.answers}
            )
        arrays = [np.ascontiguousarray(array) for array in named.values()]
        entries, start = {}, 0
        for name, array in zip(named, arrays, strict=True):
            kind = next(kind for kind, dtype in _FILE_TYPES.items() if array.dtype.newbyteorder("=") == dtype)
            entries[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (start, start + array.nbytes)}
            start += array.nbytes
        metadata = {"format": FORMAT, "about": json.dumps(about, sort_keys=True)}
        header = json.dumps({"__metadata__": metadata, **entries}).encode()
        header += b" " * (-len(header) % 8)
        # safetensors' own writer copies every array; this one reads arrays on disk block by block.
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for array in arrays:
                content = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
                for at in range(0, len(content), _BLOCK):
                    file.write(content[at : at + _BLOCK].data)

    @classmethod
    def load(cls, path: str | Path) -> RaggedExamples:
        """Map a file that [`save`][] wrote into memory, and verify its checksums.

        Raises:
            UserError: The file is missing, not in this format, or does not match its checksums.
        """
        try:
            content = np.memmap(path, dtype=np.uint8, mode="r")
            arrays, about = _parse(np.asarray(content))
            examples = cls(
                arrays["tokens"],
                arrays["offsets"],
                arrays["labels"],
                about["name"],
                about["seed"],
                about["source"],
                about.get("sides", 1),
                arrays.get("answers"),
            )
            whole = examples.checksum == about["checksum"] and _header_checksum(about) == about["header"]
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise UserError(
                f"{path}: not a data file of nestree, or truncated; delete it, and it is created again"
            ) from None
        if not whole:
            raise UserError(f"{path}: damaged (its checksum does not match); delete it, and it is created again")
        return examples


class RaggedWriter:
    """Collects examples in a temporary file, in the folder of ``path``, so that tokens take no memory.

    The data file is written to ``path`` when [`finish`][] is called.

    Examples:
        >>> with RaggedWriter(path, name="reviews", dtype=np.uint8) as writer:
        ...     writer.add([np.array([5, 3], np.uint8)], label=1)
        ...     writer.finish(source={"file": "reviews.csv"})
    """

    def __init__(self, path: str | Path, *, name: str, dtype: type[np.unsignedinteger], sides: int = 1) -> None:
        self.path = Path(path)
        self.name = name
        self.dtype = np.dtype(dtype)
        self.sides = sides
        self.lengths: list[int] = []
        self.labels: list[int] = []
        self.answers: list[NDArray[np.uint8] | NDArray[np.float64]] = []
        self._tokens = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115 (closed on leaving)

    def __enter__(self) -> RaggedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._tokens.close()

    def add(
        self,
        sequences: Sequence[NDArray[np.unsignedinteger]],
        *,
        label: int = 0,
        answers: NDArray[np.uint8] | NDArray[np.float64] | None = None,
    ) -> None:
        """Add an example, one sequence of token ids per side, with its label or its answers.

        Raises:
            ValueError: the number of sequences is wrong, or a token id is too large for the writer's type.
        """
        if len(sequences) != self.sides:
            raise ValueError(f"sequences must be {self.sides}, one per side, not {len(sequences)}")
        for tokens in [np.ascontiguousarray(_narrowed(sequence, self.dtype)) for sequence in sequences]:
            self._tokens.write(tokens.data)
            self.lengths.append(len(tokens))
        self.labels.append(label)
        if answers is not None:
            self.answers.append(answers)

    def finish(self, *, seed: int | None = None, source: Mapping[str, Any] | None = None) -> None:
        """Write the data file atomically."""
        self._tokens.flush()
        offsets = offsets_of(np.array(self.lengths, dtype=np.int64))
        tokens = np.memmap(self._tokens, dtype=self.dtype, mode="r") if offsets[-1] else np.empty(0, self.dtype)
        labels = np.array(self.labels, dtype=np.int64)
        answers: NDArray[Any] | None = np.stack(self.answers) if self.answers else None
        examples = RaggedExamples(
            np.asarray(tokens), offsets, labels, self.name, seed, source or {}, self.sides, answers
        )
        examples.save(self.path)


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where concatenated sequences of these lengths begin, and where the last ends: (len(lengths) + 1,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _header_checksum(about: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a file's description, without this checksum itself."""
    described = {name: value for name, value in about.items() if name != "header"}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _narrowed(tokens: NDArray[np.unsignedinteger], dtype: np.dtype[Any]) -> NDArray[np.unsignedinteger]:
    if tokens.size and tokens.dtype.itemsize > dtype.itemsize and int(tokens.max()) > np.iinfo(dtype).max:
        raise ValueError(f"tokens must be at most {np.iinfo(dtype).max}, to fit into {dtype}, not {tokens.max()}")
    return tokens.astype(dtype, casting="same_kind", copy=False)


def _answers(examples: RaggedExamples) -> NDArray[Any]:
    if examples.answers is None:
        raise ValueError(f"answers must be in all parts, and {examples.name} has none")
    return examples.answers


def _parse(content: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return views of the arrays of a safetensors file, and the header's description of them.

    safetensors' own reader copies every array into memory; views are read from disk when they are used.
    """
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8:start].tobytes())
    metadata = header.pop("__metadata__")
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']}")
    arrays = {}
    for key, entry in header.items():
        first, last = entry["data_offsets"]
        dtype = np.dtype(_FILE_TYPES[entry["dtype"]]).newbyteorder("<")
        arrays[key] = content[start + first : start + last].view(dtype).reshape(entry["shape"])
    return arrays, json.loads(metadata["about"])
