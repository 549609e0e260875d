"""Packing a run for others: the files of a model that belong in a package or on the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from nestree.errors import UserError
from nestree.evaluation.record import as_configured, write_entries
from nestree.reports.card import LICENSE, model_card
from nestree.runs import SHARED, Run, load
from nestree.runs.history import read_history, thinned


def pack(run: Run, folder: Path, *, name: str | None = None, license: str = LICENSE) -> Run:
    """Write a run's model into an empty folder, and return it.

    It gets options, weights, the task's state (vocabulary, labels), results of the current weights, a thinned log and
    the model card. It gets no checkpoint, so no optimizer state and nothing that must be unpickled.

    Args:
        run: a run with weights.
        folder: an empty folder.
        name: the model's name for ``nestree.load``, on the card; None for the last part of the run's name.
        license: license of the model, on the card, as the Hub spells it.

    Raises:
        UserError: there are no weights, they do not fit the options, or a file cannot be written.
    """
    load(run)  # fails if the model cannot be loaded
    packed = Run(folder)
    made = {packed.card, packed.thin_log, packed.evaluation_file}
    try:
        for path in run.shared_files():
            if (folder / path.name) not in made:
                shutil.copyfile(path, folder / path.name)
        if current := as_configured(run):
            write_entries(packed, current)
        if history := read_history(run):
            packed.thin_log.write_text(thinned(history), encoding="utf-8")
        packed.card.write_text(model_card(packed, name=name or run.title, license=license), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    assert {path.name for path in folder.iterdir()} <= set(SHARED)
    return packed
