"""Packing a run for others: what a package or the Hub holds of a model, and nothing else of the run folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from nestree.data.files import write_json
from nestree.errors import UserError
from nestree.evaluation.record import as_configured
from nestree.reports.card import LICENSE, model_card
from nestree.runs import SHARED, Run, load
from nestree.runs.history import read_history, thinned


def pack(run: Run, folder: Path, *, name: str | None = None, license: str = LICENSE) -> Run:
    """Write a run's model into an empty folder, and return it.

    Options, weights, what the task found in the data, results of the present weights, the thinned log, and the card.
    No checkpoint, so no optimizer and nothing that would have to be unpickled.

    Args:
        run: with weights.
        folder: exists.
        name: what ``nestree.load`` will call the model, for the card; None: the folder's name.
        license: of the model, for the card, as the Hub spells it.

    Raises:
        UserError: there are no weights, or they do not fit the options; or a file cannot be written.
    """
    load(run)  # nobody should get a model that does not load
    packed = Run(folder)
    made = {packed.card, packed.thin_log, packed.evaluation_file}
    try:
        for path in run.shared_files():
            if (folder / path.name) not in made:
                shutil.copyfile(path, folder / path.name)
        if current := as_configured(run):
            write_json(packed.evaluation_file, {"results": current})
        if history := read_history(run):
            packed.thin_log.write_text(thinned(history), encoding="utf-8")
        packed.card.write_text(model_card(packed, name=name or run.title, license=license), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    assert {path.name for path in folder.iterdir()} <= set(SHARED)
    return packed
