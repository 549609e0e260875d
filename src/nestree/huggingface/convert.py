"""From a run to a folder that transformers reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from nestree.data.files import replacing_folder
from nestree.errors import UserError
from nestree.huggingface.configuration import NestreeConfig
from nestree.huggingface.model import NestreeForSequenceClassification
from nestree.huggingface.tokenizer import empty_id, fast_tokenizer
from nestree.runs import Run
from nestree.tasks.target import Target
from nestree.tasks.text import TextTask

PROBLEMS = {"class": None, "labels": "multi_label_classification", "number": "regression"}
"""transformers' name of each kind of answers; of single labels, it finds out by itself."""

REMOTE = "modeling_nestree.py"
"""File of a saved model that tells transformers where its classes are."""


def from_run(run: str | Path | Run) -> tuple[NestreeForSequenceClassification, PreTrainedTokenizerFast]:
    """Return a run's model in evaluation mode, and its tokenizer.

    Its ``problem_type`` is that of the run's answers. The logit of a model of numbers is the number itself.

    Args:
        run: its folder, or ``"hf:OWNER/NAME"`` for one on the Hugging Face Hub.

    Raises:
        UserError: there is no such run, it has no weights, or its task is not one on texts.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    task = run.task
    tokenizer = fast_tokenizer(task)
    assert isinstance(task, TextTask)
    config = NestreeConfig(
        encoder={"name": run.config.encoder_name, **dataclasses.asdict(run.config.encoder)},
        classifier=dataclasses.asdict(run.config.model),
        vocab_size=task.vocabulary_size,
        sides=task.sides,
        max_tokens=task.max_tokens,
        empty_token_id=empty_id(task),
        problem_type=PROBLEMS[task.target.kind],
        id2label=dict(enumerate(task.label_names)),
        label2id={name: number for number, name in enumerate(task.label_names)},
    )
    model = NestreeForSequenceClassification(config)
    run.read_weights(model.model)
    if task.target.kind == "number":
        _unscale(model, task.target)
    return model.eval(), tokenizer


@torch.no_grad()
def _unscale(model: NestreeForSequenceClassification, target: Target) -> None:
    """Make the model's output the number itself, not its distance from the mean in standard deviations."""
    last = model.model.head.layers[-1]
    assert isinstance(last, nn.Linear)
    last.weight.mul_(target.deviation)
    last.bias.mul_(target.deviation).add_(target.mean)


def save(run: str | Path | Run, folder: str | Path) -> Path:
    """Write a run's model and tokenizer into a new folder, for ``from_pretrained``.

    Weights are safetensors. After ``import nestree.huggingface`` the folder is read without further options, and
    without that import with ``trust_remote_code=True``: its one file of code imports nestree.

    Raises:
        UserError: see [`from_run`][]; or the folder exists or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already: name a new folder")
    model, tokenizer = from_run(run)
    model.config.auto_map = {
        "AutoConfig": f"{Path(REMOTE).stem}.{NestreeConfig.__name__}",
        "AutoModelForSequenceClassification": f"{Path(REMOTE).stem}.{NestreeForSequenceClassification.__name__}",
    }
    try:
        with replacing_folder(folder) as temporary, _without_bars():
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            names = f"{NestreeConfig.__name__}, {NestreeForSequenceClassification.__name__}"
            lines = ['"""Needs the package nestree."""', f"from nestree.huggingface import {names}", ""]
            (temporary / REMOTE).write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return folder


@contextmanager
def _without_bars() -> Iterator[None]:
    """Show no progress bar for a file that is written in no time."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
