"""Sequences of unequal length with a label each, as three flat arrays in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nestree.data.files import replacing
from nestree.errors import UserError

FORMAT = "nestree-ragged-1"
"""Written into every file; a file of another format is not read."""

_TOKEN_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
_FILE_TYPES = {"U8": np.uint8, "U16": np.uint16, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64}


@dataclass(frozen=True, eq=False)
class RaggedExamples:
    """A classification dataset: example i is ``tokens[offsets[i]:offsets[i + 1]]`` with label ``labels[i]``.

    Nothing is padded, so a dataset takes a byte or two per token, in memory and on disk. Arrays from :meth:`load` are
    mapped from the file, read-only.

    Args:
        tokens: All token ids behind one another, shape (total,), uint8 or uint16.
        offsets: Where each example begins and the last one ends, shape (examples + 1,), int64, from 0 to total.
        labels: Shape (examples,), any signed or unsigned integer type.
        name: What the dataset is called, for example "listops/900-1000".
        seed: The seed it was generated with; None for data that was read.
        source: What else there is to know of where it came from, as JSON can hold it: a generator's parameters, a file.

    Raises:
        ValueError: The arrays do not fit one another; the message names the array.
    """

    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    labels: NDArray[np.integer]
    name: str
    seed: int | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the arrays against one another."""
        tokens, offsets, labels = self.tokens, self.offsets, self.labels
        if tokens.ndim != 1 or tokens.dtype not in _TOKEN_TYPES:
            raise ValueError(f"tokens must be a flat uint8 or uint16 array, not {tokens.dtype} of shape {tokens.shape}")
        if offsets.ndim != 1 or offsets.dtype != np.int64 or len(offsets) == 0:
            raise ValueError(f"offsets must be a flat int64 array, not {offsets.dtype} of shape {offsets.shape}")
        if offsets[0] != 0 or offsets[-1] != len(tokens) or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of tokens, {len(tokens)}")
        if labels.shape != (len(offsets) - 1,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels must be {len(offsets) - 1} integers, not {labels.dtype} of shape {labels.shape}")

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[NDArray[np.unsignedinteger]],
        labels: Sequence[int] | NDArray[np.integer],
        *,
        name: str,
        seed: int | None = None,
        source: Mapping[str, Any] | None = None,
        dtype: type[np.uint8] | type[np.uint16] = np.uint8,
    ) -> RaggedExamples:
        """Lay separate sequences of token ids behind one another; labels become int64."""
        lengths = np.fromiter((len(sequence) for sequence in sequences), dtype=np.int64, count=len(sequences))
        tokens = np.concatenate([np.empty(0, dtype), *sequences]).astype(dtype, casting="same_kind", copy=False)
        return cls(tokens, offsets_of(lengths), np.asarray(labels, dtype=np.int64), name, seed, source or {})

    @classmethod
    def concatenate(cls, parts: Sequence[RaggedExamples]) -> RaggedExamples:
        """Lay datasets behind one another, under the name, seed and source of the first."""
        first = parts[0]
        return cls(
            np.concatenate([part.tokens for part in parts]),
            offsets_of(np.concatenate([part.lengths for part in parts])),
            np.concatenate([part.labels for part in parts]),
            first.name,
            first.seed,
            first.source,
        )

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[NDArray[np.unsignedinteger], int]:
        """Return the token ids of one example, shape (its length,), as a view, and its label."""
        index = range(len(self))[index]
        return self.tokens[self.offsets[index] : self.offsets[index + 1]], int(self.labels[index])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, shape (examples,)."""
        return np.diff(self.offsets)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over types and bytes of the three arrays; name, seed and source do not count."""
        digest = hashlib.sha256()
        for array in (self.tokens, self.offsets, self.labels):
            portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{portable.dtype.str}{portable.shape}".encode())
            digest.update(portable.data)
        return digest.hexdigest()

    def select(self, indices: Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]) -> RaggedExamples:
        """Copy the examples at ``indices`` (or where a boolean mask is true), in that order, under the same name."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        lengths = self.lengths[chosen]
        offsets = offsets_of(lengths)
        where = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return RaggedExamples(self.tokens[where], offsets, self.labels[chosen], self.name, self.seed, self.source)

    def head(self, count: int) -> RaggedExamples:
        """Return the first ``count`` examples as views (all of them if there are fewer), under the same name."""
        count = min(count, len(self))
        offsets = self.offsets[: count + 1]
        return RaggedExamples(
            self.tokens[: offsets[-1]], offsets, self.labels[:count], self.name, self.seed, self.source
        )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file whose header holds name, seed, source and checksum, all at once or not at all."""
        arrays = {"tokens": self.tokens, "offsets": self.offsets, "labels": self.labels}
        about = {"name": self.name, "seed": self.seed, "source": dict(self.source), "checksum": self.checksum}
        content = save(
            {key: np.ascontiguousarray(array) for key, array in arrays.items()},
            metadata={"format": FORMAT, "about": json.dumps(about, sort_keys=True)},
        )
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path) -> RaggedExamples:
        """Map a file that :meth:`save` wrote; its bytes are read once, to verify the checksum.

        Raises:
            UserError: The file is missing, is not in this format, or does not match its checksum.
        """
        try:
            content = np.memmap(path, dtype=np.uint8, mode="r")
            arrays, about = _parse(np.asarray(content))
            examples = cls(
                arrays["tokens"], arrays["offsets"], arrays["labels"], about["name"], about["seed"], about["source"]
            )
            whole = examples.checksum == about["checksum"]
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise UserError(
                f"{path}: not a data file of nestree's, or cut short; delete it and make it again"
            ) from None
        if not whole:
            raise UserError(f"{path}: damaged (its checksum does not match); delete it and make it again")
        return examples


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where sequences of these lengths begin when laid behind one another, and the end: shape (len(lengths) + 1,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _parse(content: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Split a safetensors file into views of its arrays and what its header says about them.

    safetensors' own reader copies every array into memory; these views stay on disk until they are touched.
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
