"""Tokens of a pretrained language model in a local folder, in place of words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.errors import OptionError, UserError

OPTION = "data.features"

STATE = "features"
"""Key of a task's state."""

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""Files of tokenizers."""

TEXT = "a"
"""Any text with a token, to see which special tokens come before and behind."""


@dataclass(frozen=True, eq=False)
class ModelTokens:
    """The tokens of a language model: id 0 is padding, and its own ids follow, each plus 1.

    Its special tokens, such as [CLS] and [SEP], are not among the tokens of a text.
    """

    folder: Path
    """Folder with ``config.json``."""
    tokenizer: Any
    """A tokenizer of Hugging Face transformers."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Digests of the model that a run was trained on."""

    @classmethod
    def open(cls, path: str, known: Mapping[str, str] | None = None) -> ModelTokens:
        """Return the tokens of the model in a folder of Hugging Face or sentence-transformers.

        Args:
            path: the folder.
            known: digests from an earlier [`state`][], which must still be right.

        Raises:
            UserError: there is no such folder, it has no tokenizer, it is another model than that of ``known``, or
                transformers is not installed.
        """
        folder = model_folder(path)
        if not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):
            # transformers would silently make a tokenizer to which every word is unknown.
            raise OptionError(OPTION, f"must be a folder with a model and its tokenizer, and {folder} has no tokenizer")
        try:
            from transformers import AutoTokenizer
        except ImportError:
            raise OptionError(OPTION, "needs Hugging Face transformers: pip install 'nestree[transformers]'") from None
        try:
            with silent_transformers():
                tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # tokenizers raises nothing narrower
            raise OptionError(OPTION, f"has no tokenizer that can be read: {folder} ({_line(error)})") from None
        tokens = cls(folder, tokenizer, known or {})
        if tokens.known.get("tokens", tokens.digest) != tokens.digest:
            raise _another(folder)
        return tokens

    def __len__(self) -> int:
        """Return the number of ids, with padding."""
        return len(self.tokenizer) + 1

    @cached_property
    def dtype(self) -> type[np.unsignedinteger]:
        """Smallest type that fits every id."""
        return next(kind for kind in (np.uint8, np.uint16, np.uint32) if len(self) - 1 <= np.iinfo(kind).max)

    @cached_property
    def digest(self) -> str:
        """Digest of the tokenizer, 16 characters."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        content = json.dumps(sorted(self.tokenizer.get_vocab().items())) if backend is None else backend.to_str()
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @cached_property
    def weights_digest(self) -> str:
        """Digest of the configuration and the weights, 16 characters."""
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for path in sorted(self.folder.glob("*.safetensors")):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def check_weights(self) -> None:
        """Check that the weights are those that a run was trained on.

        Raises:
            UserError: they are not.
        """
        if self.known.get("weights", self.weights_digest) != self.weights_digest:
            raise _another(self.folder)

    def state(self) -> dict[str, Any]:
        """Return what a run must keep of them, as JSON values."""
        return {STATE: {"tokens": self.digest, "weights": self.weights_digest}}

    def encode(self, text: str, max_tokens: int | None = None) -> NDArray[np.unsignedinteger]:
        """Return the ids of a text's first tokens, shape (tokens,); one unknown token if it has none."""
        whole = text.encode("utf-8", "replace").decode()  # lone surrogates are refused by tokenizers
        ids = self.tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"][:max_tokens]
        return np.array([number + 1 for number in ids or [self._unknown]], self.dtype)

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the text of each id; parts of words as the tokenizer writes them."""
        names = self.tokenizer.convert_ids_to_tokens([token - 1 for token in tokens.tolist()])
        return [name if name.startswith("##") else self._text(name) for name in names]

    def frame(self) -> tuple[list[int], list[int]]:
        """Return the model's ids of the special tokens before and behind a text."""
        plain, framed = (
            list(self.tokenizer(TEXT, add_special_tokens=special)["input_ids"]) for special in (False, True)
        )
        for start in range(len(framed) - len(plain) + 1):
            if framed[start : start + len(plain)] == plain:
                return framed[:start], framed[start + len(plain) :]
        return [], []

    def _text(self, name: str) -> str:
        """Return a token without its mark for a space, such as Ġ or ▁."""
        return self.tokenizer.convert_tokens_to_string([name]).strip() or name

    @property
    def _unknown(self) -> int:
        ids = (getattr(self.tokenizer, f"{name}_token_id") for name in ("unk", "eos", "pad"))
        return next((number for number in ids if number is not None), 0)


def model_folder(path: str) -> Path:
    """Return the folder of the Transformer: the path itself, or a part of a sentence-transformers folder.

    Raises:
        UserError: there is no such folder, or it holds no model; says what would be right.
    """
    root = Path(path)
    if not root.is_dir():
        raise OptionError(
            OPTION,
            f"must be a folder with a language model, and {path} is none; if it was moved, change the path in the "
            "run's config.yaml",
        )
    folder = root / _part(root)
    if not (folder / "config.json").is_file():
        raise OptionError(OPTION, f"must be a folder with a language model, and {folder} has no config.json")
    if not list(folder.glob("*.safetensors")):
        raise OptionError(OPTION, f"must be a model in safetensors, and {folder} has no file .safetensors")
    return folder


def _part(root: Path) -> str:
    """Return the sub-folder of the Transformer that ``modules.json`` of sentence-transformers names."""
    try:
        modules = json.loads((root / "modules.json").read_text(encoding="utf-8"))
        parts = [module["path"] for module in modules if module["type"].rpartition(".")[2] == "Transformer"]
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        raise OptionError(OPTION, f"cannot be used: {root / 'modules.json'} is damaged") from None
    if not parts or Path(parts[0]).is_absolute() or ".." in Path(parts[0]).parts:
        raise OptionError(OPTION, f"cannot be used: {root / 'modules.json'} names no Transformer in the folder")
    return parts[0]


@contextmanager
def silent_transformers() -> Iterator[None]:
    """Suppress progress bars and hints of transformers."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _another(folder: Path) -> UserError:
    return OptionError(OPTION, f"names another language model than the run was trained on: {folder} has changed")


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
