"""The scikit-learn classifier."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise ImportError("nestree.sklearn needs scikit-learn: pip install 'nestree[sklearn]'") from None

from nestree.config.config import Config
from nestree.config.overrides import as_arguments, configure
from nestree.consoles import messages
from nestree.data.files import replacing_folder
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.recipes import load_recipe
from nestree.runs import Run
from nestree.sklearn.rows import Rows, rows_of
from nestree.sklearn.trained import Trained, train_on_rows
from nestree.tasks.target import need_classes
from nestree.tasks.text.own import NAME

ABOUT = "sklearn.json"
"""File of a saved classifier with its parameters and classes, next to the files of a run."""

DEVICES = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "gpu": "gpu"}
"""Values of ``device``, and of the option ``trainer.accelerator`` that it sets."""

OPTIONS = {
    "encoder": "encoder.name",
    "dim": "encoder.dim",
    "beam_size": "encoder.beam_size",
    "level": "data.level",
    "max_tokens": "data.max_tokens",
    "vocabulary_size": "data.vocabulary_size",
    "min_count": "data.min_count",
    "batch": "data.batch",
    "validation_share": "data.validation_share",
    "epochs": "trainer.max_epochs",
    "patience": "trainer.patience",
    "learning_rate": "optimizer.learning_rate",
}
"""The option of a configuration that a parameter sets, unless it is None."""


class TreeClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of texts, or of pairs of texts, with an encoder of nestree.

    It trains as ``nestree train classify`` does. Where a parameter is None, the recipe's value is used. The same
    ``random_state`` gives the same model, as long as ``max_minutes`` is None.

    Args:
        encoder: name of an encoder, a key of ``nestree.ENCODERS``.
        dim: width of the encoder.
        beam_size: beam width of the tree search.
        encoder_options: other options of the encoder, ``{"arity": 20}``.
        level: kind of tokens: word, char or byte.
        max_tokens: longer texts are cut.
        vocabulary_size: maximal number of words (or characters).
        min_count: number of occurrences from which a word is in the vocabulary.
        epochs: maximal number of passes over the training rows.
        max_minutes: maximal duration of the training; None for no limit.
        learning_rate: learning rate of the optimizer.
        batch: rows per step.
        validation_share: share of the rows that decide when to stop and which weights to keep.
        patience: number of validations without an improvement that are tolerated.
        options: any other options of the recipe, by their names on the command line, ``{"optimizer.name": "adamw"}``.
        recipe: recipe to start from, by name or path.
        device: auto, cpu or cuda.
        random_state: seed, or generator of one, of weights, dropout, order and held-out rows; None for a random one.
        verbose: show messages and a progress bar on standard error.

    Attributes:
        classes_: the labels, sorted.
        epochs_: passes over the training rows, until the training ended.
        validation_accuracy_: best accuracy on the rows that were held out.

    Examples:
        >>> model = TreeClassifier(epochs=3, random_state=0).fit(["good", "bad"] * 50, [1, 0] * 50)
        >>> model.predict(["good"])
        array([1])
    """

    def __init__(
        self,
        encoder: str | None = None,
        *,
        dim: int | None = None,
        beam_size: int | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        level: str | None = None,
        max_tokens: int | None = None,
        vocabulary_size: int | None = None,
        min_count: int | None = None,
        epochs: int | None = None,
        max_minutes: float | None = None,
        learning_rate: float | None = None,
        batch: int | None = None,
        validation_share: float | None = None,
        patience: int | None = None,
        options: Mapping[str, Any] | None = None,
        recipe: str = "classify",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.dim = dim
        self.beam_size = beam_size
        self.encoder_options = encoder_options
        self.level = level
        self.max_tokens = max_tokens
        self.vocabulary_size = vocabulary_size
        self.min_count = min_count
        self.epochs = epochs
        self.max_minutes = max_minutes
        self.learning_rate = learning_rate
        self.batch = batch
        self.validation_share = validation_share
        self.patience = patience
        self.options = options
        self.recipe = recipe
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Train on texts and their labels.

        Args:
            X: a list, array or Series of texts; or of pairs of texts, also as an array or DataFrame with two columns.
            y: the labels: any values that can be sorted.

        Raises:
            ValueError: a row is no text, there are fewer than two labels or rows, or a parameter is invalid.
            KeyboardInterrupt: Ctrl-C or SIGTERM; nothing of the training is kept.
        """
        if y is None:
            raise ValueError("TreeClassifier requires y to be passed, but the target y is None")
        rows = rows_of(X)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(rows, labels)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y must have at least two classes, not one class: {str(classes[0])!r}")
        config = self._config(sides=len(rows[0]))
        console = messages(shown=bool(self.verbose))
        names = [str(name) for name in classes]
        self._trained, facts = train_on_rows(config, rows, numbers, names, console=console)
        self.classes_ = classes
        self.epochs_ = facts.epochs
        self.validation_accuracy_ = facts.validation_accuracy
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, (rows, classes), in the order of ``classes_``."""
        check_is_fitted(self)
        return self._trained.probabilities(self._rows(X), self._device())

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row."""
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]

    @property
    def model_(self) -> Classifier:
        """The trained PyTorch module."""
        check_is_fitted(self)
        return self._trained.model

    def save(self, folder: str | Path) -> Path:
        """Write the classifier into a new folder, without pickle.

        It is a run folder, which every command accepts (``nestree predict FOLDER``), with one more file: parameters and
        classes. The weights are safetensors.

        Raises:
            UserError: the folder exists, or cannot be written.
        """
        check_is_fitted(self)
        folder = Path(folder)
        if folder.exists():
            raise UserError(f"{folder} exists already: name a new folder")
        try:
            with replacing_folder(folder) as temporary:
                self._trained.write(temporary)
                (temporary / ABOUT).write_text(json.dumps(self._about(), indent=1), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the classifier that [`save`][] wrote; or that of any run on texts, whose classes are then strings.

        Raises:
            UserError: there is no run of that name, its weights are damaged, or its answers are not single labels.
        """
        run = Run.open(folder)
        need_classes(run.task, "TreeClassifier")
        path = run.path / ABOUT
        about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found = cls(**about.get("parameters", {}))
        found._trained = Trained.of(run)
        found.classes_ = np.array(about.get("classes", run.task.label_names), about.get("dtype"))
        facts = run.about()
        found.epochs_ = facts.get("epochs", 0.0)
        found.validation_accuracy_ = facts.get("validation_accuracy", float("nan"))
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.non_deterministic = self.random_state is None or self.max_minutes is not None
        return tags

    def _rows(self, X: Any) -> Rows:
        return rows_of(X, self._trained.task.sides)

    def _device(self) -> torch.device:
        cuda = DEVICES.get(self.device) != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if cuda else "cpu")

    def _config(self, *, sides: int) -> Config:
        """Return the configuration that the parameters describe."""
        if self.device not in DEVICES:
            raise OptionError("device", f"must be auto, cpu or cuda, not {self.device!r}")
        values = dict(load_recipe(self.recipe).values)
        values["optimizer"] = {**values.get("optimizer", {}), "total_minutes": None}
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        given = {option: value for name, option in OPTIONS.items() if (value := getattr(self, name)) is not None}
        always = {
            "seed": int(seed),
            "data.seed": int(seed),
            "data.task": NAME,
            "trainer.devices": 1,
            "trainer.accelerator": DEVICES[self.device],
            "trainer.max_minutes": self.max_minutes,
            **({"data.text2": "text2"} if sides == 2 else {}),
        }
        others = {"encoder": dict(self.encoder_options or {}), **(self.options or {})}
        return configure(values, as_arguments({**always, **given, **others}))

    def _about(self) -> dict[str, Any]:
        """Return parameters and classes as JSON values; a generator as ``random_state`` is left out."""
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, int | None):
            parameters["random_state"] = None
        return {"parameters": parameters, "classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}
