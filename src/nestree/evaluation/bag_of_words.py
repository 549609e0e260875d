"""scikit-learn's bag of words, to compare classifiers with: TF-IDF and logistic regression on the task's token ids."""

from __future__ import annotations

import hashlib
import importlib.util
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nestree.data.ragged import RaggedExamples
from nestree.data.shapes import COUNT, COUNTED, HEX, NUMBER, TEXT, Ruled
from nestree.errors import UserError
from nestree.evaluation.intervals import paired_difference
from nestree.tasks import Task
from nestree.tasks.text import TextTask

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Values of C, the inverse of the regularization, to choose from on validation."""
STRENGTH = 1.0
"""C where there are no validation examples to choose it by: scikit-learn's default."""
ITERATIONS = 1000
"""Maximal number of iterations of the logistic regression."""
ROWS = 20_000
"""Maximal number of training examples of [`bag_of_words`][], a random sample of the training split."""
TOKENS = 4_000_000
"""Maximal number of its training tokens; of longer texts, fewer examples are taken."""
VERSION = 2
"""Changes with everything that changes its answers, so that earlier ones are not reused."""
EXTRA = "nestree[sklearn]"
"""What to install for it."""

BAG = Ruled(
    {**COUNTED.shape, "right": HEX, "trained_on": COUNT, "seconds": NUMBER, "source": TEXT},
    lambda values: "has no examples" if values["examples"] == 0 else COUNTED.rule(values),
)
"""Shape of its answers in ``evaluation.json``."""


def is_installed() -> bool:
    """Whether scikit-learn can be imported."""
    return importlib.util.find_spec("sklearn") is not None


def check_installed(name: str) -> None:
    """Check that scikit-learn is there.

    Raises:
        UserError: it is not; says how to install it for ``name``.
    """
    if not is_installed():
        raise UserError(f"{name} needs scikit-learn: pip install '{EXTRA}'")


class Counts:
    """Counts of tokens, and of bigrams on request, one column for each that occurs in the training examples.

    The two sides of a pair have columns of their own. What does not occur in training is not counted.

    Args:
        train: the training examples.
        bigrams: also count pairs of neighbouring tokens.
    """

    def __init__(self, train: RaggedExamples, *, bigrams: bool) -> None:
        self.bigrams = bigrams
        self.words = 1 + int(train.tokens.max(initial=0))
        self.columns = np.unique(self._keys(train)[0])

    def matrix(self, examples: RaggedExamples) -> csr_matrix:
        """Return the counts, of shape (examples, columns)."""
        from scipy.sparse import csr_matrix

        keys, rows = self._keys(examples)
        columns = np.searchsorted(self.columns, keys)
        seen = self.columns.take(columns, mode="clip") == keys if len(self.columns) else np.zeros(len(keys), bool)
        shape = (len(examples), len(self.columns))
        return csr_matrix((np.ones(int(seen.sum())), (rows[seen], columns[seen])), shape)  # sums equal positions

    def _keys(self, examples: RaggedExamples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a number for each token, and bigram, that consists of words of training, and the example it is in."""
        tokens = examples.tokens.astype(np.int64)
        sequences = np.repeat(np.arange(len(examples.offsets) - 1), np.diff(examples.offsets))
        rows, sides = np.divmod(sequences, examples.sides)
        known = tokens < self.words
        # Digits of a key: its side, the right token + 1 (0: none), the left token.
        first = sides * (self.words + 1) * self.words
        if not self.bigrams:
            return (first + tokens)[known], rows[known]
        pairs = (sequences[:-1] == sequences[1:]) & known[:-1] & known[1:]
        of_pairs = (first + tokens)[:-1] + (tokens[1:] + 1) * self.words
        return np.concatenate([(first + tokens)[known], of_pairs[pairs]]), np.concatenate(
            [rows[known], rows[:-1][pairs]]
        )


class TfidfBagOfWords:
    """TF-IDF of tokens (and bigrams), and a logistic regression on it.

    Attributes:
        strength: C of the logistic regression.
        validation_accuracy: accuracy on the validation examples, by which C was chosen; None without them.
        seconds: time of the fit, for all values of C together.
    """

    def __init__(
        self,
        counts: Counts,
        weights: TfidfTransformer,
        regression: LogisticRegression,
        accuracy: float | None,
        seconds: float,
    ) -> None:
        self._counts = counts
        self._weights = weights
        self._regression = regression
        self.strength = float(regression.C)
        self.validation_accuracy = accuracy
        self.seconds = seconds

    @classmethod
    def fit(cls, train: RaggedExamples, validation: RaggedExamples | None = None, *, bigrams: bool = False) -> Self:
        """Fit a regression; needs scikit-learn, see [`check_installed`][].

        Args:
            train: training examples, single sequences or pairs.
            validation: examples to choose C by, the smallest of equally good values; None: C is 1.
            bigrams: also use pairs of neighbouring tokens.

        Raises:
            ValueError: the training examples all have the same label.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import LogisticRegression

        began = time.perf_counter()  # sklearn is imported by then
        counts, weights = Counts(train, bigrams=bigrams), TfidfTransformer(sublinear_tf=True)
        inputs = weights.fit_transform(counts.matrix(train))
        held_out = None if validation is None else weights.transform(counts.matrix(validation))
        best: tuple[LogisticRegression, float | None] | None = None
        for strength in (STRENGTH,) if validation is None else STRENGTHS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # good enough to be compared with
                regression = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(inputs, train.labels)
            accuracy = None if validation is None else float((regression.predict(held_out) == validation.labels).mean())
            if best is None or (accuracy or 0) > (best[1] or 0):
                best = (regression, accuracy)
        assert best is not None
        return cls(counts, weights, *best, time.perf_counter() - began)

    def answers(self, examples: RaggedExamples) -> NDArray[np.integer]:
        """Return the label of each example."""
        return np.asarray(self._regression.predict(self._weights.transform(self._counts.matrix(examples))))

    @property
    def parameters(self) -> int:
        """Number of coefficients and intercepts."""
        return int(np.size(self._regression.coef_) + np.size(self._regression.intercept_))


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
        return cls(**{name: values[name] for name in BAG.shape})


def fits_bag_of_words(task: Task) -> bool:
    """Whether a task is one of single labels of single texts, as words."""
    return isinstance(task, TextTask) and task.sides == 1 and task.level == "word" and task.target.kind == "class"


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
    if len(np.unique(train.labels)) < 2:
        return None
    began = time.perf_counter()
    right = np.asarray(TfidfBagOfWords.fit(train).answers(test) == test.labels)
    return BagOfWords(
        correct=int(right.sum()),
        examples=len(right),
        right=np.packbits(right).tobytes().hex(),
        trained_on=len(train),
        seconds=time.perf_counter() - began,
        source=source_of(train, test),
    )
