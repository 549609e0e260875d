"""Classification of texts or pairs of texts, from official files or the user's own."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least, check_one_of
from nestree.data import RaggedExamples, RaggedWriter, cache_dir, load_or_count, load_or_write
from nestree.data.cache import check_token_ids, source_digest
from nestree.data.language_model import STATE, ModelTokens
from nestree.data.shapes import COUNT, TEXT, check_shape
from nestree.data.text import (
    BYTE_IDS,
    FIRST_SPLITTER,
    FIRST_WORD,
    LEVELS,
    SPLITTERS,
    UNKNOWN,
    Vocabulary,
    encode_text,
    normal,
    spaceless_share,
    tokens_of,
    words_of,
)
from nestree.data.vectors import Vectors, read_vectors
from nestree.errors import OptionError, UserError
from nestree.tasks.base import SECTION, DataOptions, Progress, Row, SplitAbout
from nestree.tasks.official_files import READER_VERSION
from nestree.tasks.target import Target
from nestree.tasks.text.coverage import LEAST_KNOWN, Coverage, known_line
from nestree.tasks.treebank import GoldTrees, LabelledTree
from nestree.trees.scores import GoldTree

SPACELESS = 0.3
"""With a larger share of letters of scripts without spaces between words, character level is suggested."""

STATE_SHAPE = {
    "labels?": [TEXT],
    "words?": [TEXT],
    "splitter?": COUNT,
    "files?": {str: TEXT},
    f"{STATE}?": {"tokens": TEXT, "weights": TEXT},
}
"""Shape of a [`TextTask.state`][], see ``nestree.data.shapes``."""

MODEL = "model"
"""Level of the tokens of a language model."""


@dataclass(frozen=True)
class TextOptions(DataOptions):
    """Options of every task on texts.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    level: str | None = None
    """Kind of tokens: byte, char or word; null: the task's default."""
    max_tokens: int | None = None
    """Maximal number of tokens per text; longer texts are cut; null: the task's default."""
    vocabulary_size: int = 100_000
    """Number of words (or characters) in the vocabulary, the most frequent ones of the training split."""
    min_count: int = 1
    """Minimal number of occurrences in the training split for a word to be in the vocabulary."""
    vectors: str | None = None
    """File of word vectors in GloVe's text format, to initialise the embedding (see model.embedding_dim); null:
    none."""

    features: str | None = None
    """Folder of a pretrained language model (Hugging Face or sentence-transformers, in safetensors), whose token states
    the encoder reads; level, vocabulary_size and min_count are then ignored; null: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features is not None:
            if self.vectors is not None:
                raise OptionError("vectors", "must be left out where features is set")
            object.__setattr__(self, "features", os.path.abspath(os.path.expanduser(self.features)))
        if self.level is not None:
            check_one_of("level", self.level, LEVELS)
        if self.max_tokens is not None:
            check_at_least("max_tokens", self.max_tokens, 1)
        check_at_least("vocabulary_size", self.vocabulary_size, 1)
        check_at_least("min_count", self.min_count, 1)


class Texts(ABC):
    """Source of a task's rows: official files, or the user's own."""

    name: str
    """Name of the task."""
    sides: int
    level: str
    max_tokens: int | None
    protocol: str
    splitter: int = FIRST_SPLITTER
    """Version of the rules that split texts, see [`nestree.data.text.tokens_of`][]."""

    @property
    @abstractmethod
    def splits(self) -> Mapping[str, SplitAbout]:
        """Splits by name: "train", "validation" and the tests."""

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in order of their numbers."""

    @property
    def target(self) -> Target:
        """What the answers are."""
        return Target(names=self.label_names)

    @abstractmethod
    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split, always in the same order."""

    def is_there(self, split: str) -> bool:
        """Whether the files of a split exist."""
        return split in self.splits

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that change when a file changes."""

    def trees(self) -> Iterator[LabelledTree]:
        """Yield the gold trees of all splits whose files exist, if the texts are those of a treebank."""
        return iter(())

    def state(self) -> dict[str, Any]:
        """Return what else a run must keep about the files, as JSON values."""
        return {}


class TextTask:
    """A [`nestree.tasks.Task`][] on [`Texts`][], as bytes, characters or words. Files are read when first needed.

    Args:
        texts: source of the rows.
        options: options of the tokens.
        state: labels and words from an earlier [`TextTask.state`][].
    """

    def __init__(self, texts: Texts, options: TextOptions, state: Mapping[str, Any] | None = None) -> None:
        self.texts = texts
        self.options = options
        self.level = MODEL if options.features is not None else options.level or texts.level
        self.max_tokens = options.max_tokens or texts.max_tokens
        self._state = dict(state or {})
        check_shape(self._state, STATE_SHAPE, "task.json")
        self.splitter = _splitter(self._state) if "labels" in self._state else texts.splitter
        self.encoded = Coverage()
        """Counts of the texts that [`encode`][] was called with."""

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.texts.name

    @property
    def sides(self) -> int:
        """Number of texts per example."""
        return self.texts.sides

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """The splits by name."""
        return self.texts.splits

    @property
    def protocol(self) -> str:
        """Origin of the splits."""
        return self.texts.protocol

    @property
    def first_tests(self) -> tuple[str, ...]:
        """Tests to evaluate by default."""
        return tuple(name for name in self.splits if name not in ("train", "validation"))[:4] or ("validation",)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in order of their numbers."""
        return tuple(self._state["labels"]) if "labels" in self._state else self.texts.label_names

    @property
    def target(self) -> Target:
        """What the answers are."""
        if "target" in self._state:
            return Target.from_dict(self._state["target"])
        return Target(names=self.label_names) if "labels" in self._state else self.texts.target

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return BYTE_IDS if self.vocabulary is None else len(self.vocabulary)

    @cached_property
    def vocabulary(self) -> Vocabulary | ModelTokens | None:
        """Words (or characters) of the training split, or a language model's tokens; None at byte level."""
        if self.options.features is not None:
            return ModelTokens.open(self.options.features, self._state.get(STATE))
        if self.level == "byte":
            return None
        if "words" in self._state:
            return Vocabulary.from_state(self._state)
        source = {**self._source("train"), "size": self.options.vocabulary_size, "least": self.options.min_count}
        path = self._path("words", source, "json")
        return Vocabulary.from_state(load_or_count(path, lambda: self._count_words().state()))

    @property
    def _words(self) -> Vocabulary | None:
        """The vocabulary, outside of which words or characters are unknown; None for bytes and language models."""
        return self.vocabulary if isinstance(self.vocabulary, Vocabulary) else None

    def _count_words(self) -> Vocabulary:
        """Count the words (or characters) of the training split.

        Raises:
            UserError: no word is frequent enough.
        """
        size, least = self.options.vocabulary_size, self.options.min_count
        texts = (text for row in self.texts.rows("train") for text in row.texts)
        found = Vocabulary.count(texts, self.level, size=size, least=least, splitter=self.splitter)
        if found.words:
            return found
        self.label_names  # noqa: B018 (if there are no rows at all, this says so)
        what = {"word": "word", "char": "character"}[self.level]
        if least == 1:
            raise UserError(f"{self.name}: no training text has a {what}")
        problem = f"{self.name}: the vocabulary is empty, as no {what} occurs {least:,} times in the training texts"
        raise OptionError(f"{SECTION}.min_count", "must be smaller (1 keeps everything)", problem=problem)

    def is_there(self, split: str) -> bool:
        """Whether the files of a split exist."""
        return self.texts.is_there(split)

    def is_cached(self, split: str) -> bool:
        """Whether the split is in the cache."""
        try:
            return self._data_path(split).is_file()
        except UserError:
            return False

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split; see [`nestree.tasks.base.Task.load`][]."""
        if split not in self.splits:
            raise OptionError("split", f"must be one of {', '.join(self.splits)}, not {split!r}")
        path = self._data_path(split)
        load_or_write(path, lambda temporary: self._write(split, temporary, progress))
        examples = RaggedExamples.load(path)
        if len(examples) == 0:
            raise UserError(f"{self.name}: split {split} has no rows")
        check_token_ids(examples, self.vocabulary_size, path)
        return examples if size is None else examples.sample(check_at_least("size", size, 1), seed=self.options.seed)

    def _write(self, split: str, path: Path, progress: Progress | None) -> None:
        """Write the token ids of a split to a file."""
        answers = self._answers()
        dtype = np.uint8 if self.vocabulary is None else self.vocabulary.dtype
        total = self.splits[split].size or 0
        coverage = Coverage()
        with RaggedWriter(path, name=f"{self.name}/{split}", dtype=dtype, sides=self.sides) as writer:
            for done, row in enumerate(self.texts.rows(split)):
                ids = [coverage.add(self._ids(text), self.max_tokens) for text in row.texts]
                writer.add(ids, **answers(row))
                if progress is not None and done % 1000 == 0:
                    progress(done, max(total, done))
            writer.finish(seed=self.options.seed, source={**self._source(split), "coverage": coverage.as_dict()})

    def _answers(self) -> Callable[[Row], dict[str, Any]]:
        """Return a function that returns a row's answer, as arguments of [`nestree.data.RaggedWriter.add`][]."""
        target = self.target
        # Runs of earlier versions have labels as they were written.
        numbers = {form: number for number, name in enumerate(self.label_names) for form in (name, normal(name))}

        def answer(row: Row) -> dict[str, Any]:
            several = row.answer if isinstance(row.answer, tuple) else ()
            for label in several if target.kind != "class" else (row.label,):
                if label not in numbers:
                    raise UserError(f"{row.where}: there is no label {label!r}; {_known(self.label_names)}")
            if target.kind == "class":
                return {"label": numbers[row.label]}
            assert row.answer is not None
            return {"answers": target.answers(row.answer)}

        return answer

    def encode(self, *texts: str) -> tuple[NDArray[np.unsignedinteger], ...]:
        """Return the token ids of a text, or of two texts for pairs.

        Raises:
            ValueError: the number of texts is wrong.
        """
        if len(texts) != self.sides:
            wanted = "two texts, separated by a tab" if self.sides == 2 else "one text"
            raise ValueError(f"an input of {self.name} is {wanted}, not {len(texts)}")
        return tuple(self.encoded.add(self._ids(text), self.max_tokens) for text in texts)

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the words (characters, bytes) of these ids; unknown words are ``<unknown>``."""
        return words_of(tokens, self.vocabulary)

    def known_share(self, tokens: NDArray[np.unsignedinteger]) -> float | None:
        """Return the share of token ids that are in the vocabulary; None for bytes and language models."""
        if self._words is None:
            return None
        return 1 - np.count_nonzero(tokens == UNKNOWN) / max(len(tokens), 1)

    def remarks(self, split: str, examples: RaggedExamples) -> list[str]:
        """Return lines about how much of a split is known and read, given examples that [`load`][] returned."""
        kept = examples.source.get("coverage")
        cut = None if kept is None else Coverage.from_dict(kept).cut_line(split, self.max_tokens)
        share = self.known_share(examples.tokens)
        known = None if share is None else known_line(split, share, self._help())
        return [line for line in (known, cut) if line is not None]

    def encoded_remarks(self, what: str, *, only_low: bool = False) -> list[str]:
        """Return such lines about the texts that [`encode`][] was called with.

        Args:
            what: what to call these texts.
            only_low: leave out the share of known tokens unless it is low.
        """
        counts, lines = self.encoded, []
        share = 1 - counts.unknown / max(counts.tokens, 1)
        if self._words is not None and counts.tokens and not (only_low and share >= LEAST_KNOWN):
            lines.append(known_line(what, share, self._help()))
        cut = counts.cut_line(what, self.max_tokens)
        return [*lines, *([] if cut is None else [cut])]

    def spaceless_remark(self, train: RaggedExamples) -> str | None:
        """Return a suggestion if many training texts are in a script without spaces between words."""
        if self.level != "word" or self._words is None:
            return None
        counts = np.bincount(train.tokens, minlength=len(self._words))[FIRST_WORD:].tolist()
        share = spaceless_share(dict(zip(self._words.words, counts, strict=True)))
        if share <= SPACELESS:
            return None
        return f"{share:.0%} of the letters are of a script without spaces between words: try --data.level char"

    def _help(self) -> str:
        """Return the options of training that would leave fewer tokens unknown."""
        options = ["--data.min_count 1"] if self.options.min_count > 1 else []
        if self._words is not None and len(self._words.words) >= self.options.vocabulary_size:
            options.append("a larger --data.vocabulary_size")
        return " or ".join([*options, f"--data.level {'char' if self.level == 'word' else 'byte'}"])

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> GoldTree | None:
        """Return the gold tree of a text of a treebank, with the labels of its nodes; None for all other texts."""
        return self._gold_trees.find(tokens)

    @cached_property
    def _gold_trees(self) -> GoldTrees:
        numbers = {name: number for number, name in enumerate(self.label_names)}

        def ids(text: str) -> NDArray[np.unsignedinteger]:
            # Text without tokens is encoded as one unknown token, but a word without tokens is none.
            if self._words is not None and not any(True for _ in tokens_of(text, self.level, self.splitter)):
                return np.empty(0, np.uint8)
            return self._ids(text)

        return GoldTrees(self.texts.trees(), numbers, ids)

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[Any]]:
        """Return properties to break accuracy down by: "length" (of the longer side, tokens) and "label"."""
        if examples.answers is not None:
            return {"length": examples.lengths}
        return {"length": examples.lengths, "label": np.array(self.label_names)[examples.labels]}

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Return the accuracy of always giving the most common training label, or combination of labels.

        Raises:
            ValueError: the answers are numbers, of which none is right or wrong.
        """
        if train.answers is None or test.answers is None:
            return float((test.labels == np.bincount(train.labels).argmax()).mean())
        if self.target.kind == "number":
            raise ValueError("numbers have no accuracy")
        combinations, counts = np.unique(train.answers, axis=0, return_counts=True)
        return float((test.answers == combinations[counts.argmax()]).all(axis=1).mean())

    @property
    def baseline_about(self) -> str:
        """The baseline's answer."""
        return {
            "class": "the most common training label",
            "labels": "the most common combination of labels",
            "number": "the mean of the training numbers",
        }[self.target.kind]

    def state(self) -> dict[str, Any]:
        """Return labels and words as JSON values."""
        words = {} if self.vocabulary is None else self.vocabulary.state()
        if self._words is not None and self.splitter != FIRST_SPLITTER:
            words["splitter"] = self.splitter
        target = {} if self.target.kind == "class" else {"target": self.target.as_dict()}
        return {"labels": list(self.label_names), **target, **words, **self.texts.state()}

    def pretrained(self) -> Vectors | None:
        """Return the vectors of the vocabulary's words, if the options have a file of vectors.

        Raises:
            UserError: the file cannot be read, or tokens are bytes.
        """
        if self.options.vectors is None:
            return None
        if self._words is None:
            raise OptionError(f"{SECTION}.vectors", f"needs words: {SECTION}.level must be word, not {self.level}")
        return read_vectors(self.options.vectors, self._words.words)

    def _ids(self, text: str) -> NDArray[np.unsignedinteger]:
        """Return all token ids of a text, also those beyond the limit."""
        return encode_text(text, self.level, self.vocabulary, splitter=self.splitter)

    def _source(self, split: str) -> dict[str, Any]:
        """Return what a split is made from, for the name of its cache file."""
        return {
            "reader": READER_VERSION,
            "split": split,
            "protocol": self.protocol,
            "level": self.level,
            "max_tokens": self.max_tokens,
            "seed": self.options.seed,
            "files": self.texts.fingerprint(),
            **({"splitter": self.splitter} if self.splitter != FIRST_SPLITTER and self.level != "byte" else {}),
        }

    def _data_path(self, split: str) -> Path:
        words = "" if self.vocabulary is None else self.vocabulary.digest
        # What is cut is counted since this version; where nothing is, caches of earlier ones remain valid.
        counted = {} if self.max_tokens is None else {"counted": 1}
        source = {**self._source(split), "words": words, "labels": self.label_names, **counted}
        return self._path(split, source, "safetensors")

    def _path(self, what: str, source: Mapping[str, Any], suffix: str) -> Path:
        return cache_dir() / self.name / f"{what}-{source_digest(source)}.{suffix}"


def _splitter(state: Mapping[str, Any]) -> int:
    """Return the version of the rules that a run's texts were split by.

    Raises:
        UserError: this version of nestree does not know them.
    """
    splitter = state.get("splitter", FIRST_SPLITTER)
    if splitter not in SPLITTERS:
        raise UserError(
            f"the run splits texts by rules {splitter!r}, which a later version of nestree knows: update it"
        )
    return splitter


def held_out(labels: Sequence[str] | NDArray[np.int64], count: int, seed: int) -> set[int]:
    """Return the indices of ``count`` random rows, stratified by label (to within one row), decided by ``seed``."""
    rng = np.random.default_rng([seed, len(labels)])
    order = rng.permutation(len(labels))
    by_label = np.array(labels)[order]
    # Spread each label's rows evenly over the unit interval, and take the first rows of all labels.
    place = np.empty(len(labels))
    for label in np.unique(by_label):
        rows = np.flatnonzero(by_label == label)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return set(order[np.argsort(place, kind="stable")[:count]].tolist())


def _known(names: Sequence[str]) -> str:
    """Return a list of labels for a message, at most twelve."""
    shown = ", ".join(names[:12])
    return f"there are {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")
