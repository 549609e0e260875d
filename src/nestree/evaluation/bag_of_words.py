"""A bag of words to compare a classifier of texts with: TF-IDF and logistic regression, trained in seconds."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from nestree.data.ragged import RaggedExamples
from nestree.evaluation.intervals import paired_difference
from nestree.tasks import Task
from nestree.tasks.text import TextTask

ROWS = 20_000
"""Maximal number of training examples, a random sample of the training split."""
TOKENS = 4_000_000
"""Maximal number of training tokens; of longer texts, fewer examples are taken."""
ITERATIONS = 200
"""Maximal number of iterations of the logistic regression."""
VERSION = 1
"""Changes with everything that changes its answers, so that earlier ones are not reused."""
EXTRA = "nestree[sklearn]"
"""What to install for it."""


@dataclass(frozen=True)
class BagOfWords:
    """Answers of a bag of words on the examples of a result."""

    correct: int
    examples: int
    right: str
    """One bit per example, whether its answer is correct, in hexadecimal digits."""
    trained_on: int
    """Number of training examples."""
    seconds: float
    """Time of training and answering."""
    source: str
    """Digest of everything that decides the answers."""

    @property
    def accuracy(self) -> float:
        """Share of correct answers."""
        return self.correct / self.examples

    def behind(self, right: str) -> tuple[float, float, float]:
        """Return how much more accurate answers on the same examples are, and the 95 % interval of this difference.

        Args:
            right: which of these answers are correct, as hexadecimal digits.
        """
        theirs, ours = (np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8)) for digits in (right, self.right))
        return paired_difference(int((theirs > ours).sum()), int((theirs < ours).sum()), self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BagOfWords:
        """Return the answers of values that [`as_dict`][] returned."""
        return cls(**values)


def fits_bag_of_words(task: Task) -> bool:
    """Whether a task is one of single labels of single texts, as words."""
    return isinstance(task, TextTask) and task.sides == 1 and task.level == "word" and task.target.kind == "class"


def is_installed() -> bool:
    """Whether scikit-learn can be imported."""
    return find_spec("sklearn") is not None


def training_part(train: RaggedExamples, *, size: int | None, seed: int) -> RaggedExamples:
    """Return the training examples to use, among those that a run with ``size`` training examples was trained on."""
    fitting = max(2, int(TOKENS * len(train) / max(1, len(train.tokens))))
    return train.sample(min(ROWS, fitting, size or ROWS), seed=seed)


def source_of(train: RaggedExamples, test: RaggedExamples) -> str:
    """Return the digest of everything that decides the answers."""
    return hashlib.sha256(f"{VERSION} {train.checksum} {test.checksum}".encode()).hexdigest()[:16]


def bag_of_words(train: RaggedExamples, test: RaggedExamples) -> BagOfWords | None:
    """Train a bag of words, and return its answers; None if the training examples have only one label.

    The words are those of the task's vocabulary. Needs scikit-learn; see [`is_installed`][].

    Args:
        train: training examples, with one sequence each; see [`training_part`][].
        test: the examples to answer.
    """
    from scipy.sparse import csr_matrix
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train.labels)) < 2:
        return None
    began = time.perf_counter()
    words = 1 + max(int(part.tokens.max(initial=0)) for part in (train, test))

    def counts(examples: RaggedExamples) -> Any:
        ones = np.ones(len(examples.tokens))
        matrix = csr_matrix((ones, examples.tokens.astype(np.int64), examples.offsets), (len(examples), words))
        matrix.sum_duplicates()
        return matrix

    weights = TfidfTransformer(sublinear_tf=True)
    model = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough to be compared with
        model.fit(weights.fit_transform(counts(train)), train.labels)
    right = np.asarray(model.predict(weights.transform(counts(test)))) == test.labels
    return BagOfWords(
        correct=int(right.sum()),
        examples=len(right),
        right=np.packbits(right).tobytes().hex(),
        trained_on=len(train),
        seconds=time.perf_counter() - began,
        source=source_of(train, test),
    )
