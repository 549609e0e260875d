"""Models of runs and of configurations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nestree.config.config import Config
from nestree.data.language_model import ModelTokens
from nestree.encoders.registry import check_known
from nestree.errors import OptionError, UserError, is_out_of_memory, within
from nestree.layers.language_model import LanguageModel
from nestree.models import Classifier
from nestree.runs.run import Run
from nestree.tasks import Task
from nestree.tasks.text import TextTask


def load(run: str | Path | Run, **encoder_options: object) -> Classifier:
    """Return a run's model with its best weights, in evaluation mode, on the CPU.

    Args:
        run: its folder; or the name of a model that ships with the package, as ``"listops-rir"``; or
            ``"hf:OWNER/NAME"`` for a model on the Hugging Face Hub.
        encoder_options: options of the encoder to change, for example ``inference="flat"``.

    Raises:
        UserError: no such run, no weights yet, no such option, or weights that do not fit the configuration.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    model = build_model(run.config, run.task, **encoder_options)
    run.read_weights(model)
    return model.eval()


def build_model(config: Config, task: Task, **encoder_options: object) -> Classifier:
    """Return a freshly initialized model of a configuration for a task; see [`load`][] for ``encoder_options``.

    Raises:
        UserError: an option is invalid; names it.
    """
    try:
        check_known(config.encoder_name, encoder_options)
    except ValueError as error:
        raise UserError(str(error)) from None
    try:
        with within("encoder"):
            encoder = dataclasses.replace(config.encoder, **encoder_options).build()
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"encoder: {error}") from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        dim = f"must be lower, not {config.encoder.dim:,}"
        raise OptionError("encoder.dim", dim, problem="the encoder's weights do not fit into memory") from None
    tokens = task.vocabulary if isinstance(task, TextTask) else None
    trained = config.model.train_embedding is True
    features = LanguageModel(tokens, trained=trained) if isinstance(tokens, ModelTokens) else None
    return Classifier(
        encoder,
        vocabulary_size=task.vocabulary_size,
        classes=len(task.label_names),
        sides=task.sides,
        options=config.model,
        features=features,
    )
