"""scikit-learn's bag of words, on the token ids that the other contenders read too."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nestree.data import RaggedExamples
from nestree.errors import UserError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Values of C, the inverse of the regularization, to choose from on validation."""


def check_installed(name: str) -> None:
    """Check that scikit-learn is there.

    Raises:
        UserError: it is not; says how to install it for ``name``.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(f"{name} needs scikit-learn: pip install 'nestree[sklearn]'")


class TfidfBagOfWords:
    """TF-IDF of tokens and of pairs of neighbours, and a logistic regression on it.

    The two sides of a pair have separate vocabularies.

    Attributes:
        strength: C of the logistic regression.
        validation_accuracy: accuracy on the validation examples, by which C was chosen.
        seconds: time of the fit, for all values of C together.
    """

    def __init__(
        self,
        vectorizer: TfidfVectorizer,
        regression: LogisticRegression,
        strength: float,
        accuracy: float,
        seconds: float,
    ) -> None:
        self._vectorizer = vectorizer
        self._regression = regression
        self.strength = strength
        self.validation_accuracy = accuracy
        self.seconds = seconds

    @classmethod
    def fit(cls, train: RaggedExamples, validation: RaggedExamples) -> Self:
        """Fit one regression per value of C and keep the best on validation, the most regularized of equals.

        Raises:
            ValueError: the training examples all have the same label.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        began = time.perf_counter()  # sklearn is imported by then
        vectorizer = TfidfVectorizer(analyzer=features, sublinear_tf=True)  # pyright: ignore[reportArgumentType]
        inputs = vectorizer.fit_transform(documents(train))
        held_out = vectorizer.transform(documents(validation))
        best: tuple[float, float, Any] | None = None
        for strength in STRENGTHS:
            regression = LogisticRegression(C=strength, max_iter=1000).fit(inputs, train.labels)
            accuracy = float((regression.predict(held_out) == validation.labels).mean())
            if best is None or accuracy > best[1]:
                best = (strength, accuracy, regression)
        assert best is not None
        strength, accuracy, regression = best
        return cls(vectorizer, regression, strength, accuracy, time.perf_counter() - began)

    def answers(self, examples: RaggedExamples) -> NDArray[np.integer]:
        """Return the label of each example."""
        return np.asarray(self._regression.predict(self._vectorizer.transform(documents(examples))))

    @property
    def parameters(self) -> int:
        """Number of coefficients and intercepts."""
        return int(np.size(self._regression.coef_) + np.size(self._regression.intercept_))


def documents(examples: RaggedExamples) -> Iterable[Sequence[NDArray[np.unsignedinteger]]]:
    """Yield the sides of each example."""
    return (examples.sequences(row) for row in range(len(examples)))


def features(sides: Sequence[NDArray[np.unsignedinteger]]) -> list[str]:
    """Return the tokens and pairs of neighbours of an example, each with its side."""
    found = []
    for side, sequence in enumerate(sides):
        tokens = sequence.tolist()
        found += [f"{side}:{token}" for token in tokens]
        found += [f"{side}:{left} {right}" for left, right in pairwise(tokens)]
    return found
