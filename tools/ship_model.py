"""Replace a model of the package by a run's, and update all cards and tables.

python tools/ship_model.py runs/listops-rir-20260101-120000 listops-rir

Evaluate the run first: the published figures are the results of its current weights. The model's ``about.md`` is kept,
unless the run has its own.
"""

from __future__ import annotations

import shutil
import sys

import write_results

from nestree.data.files import replacing_folder
from nestree.errors import UserError
from nestree.evaluation.record import entries
from nestree.reports.packing import pack
from nestree.runs import Run


def ship(run: Run, name: str) -> Run:
    """Pack a run as the model ``name``.

    Raises:
        UserError: the run cannot be packed, or one of its results cannot be reproduced example by example.
    """
    old = Run.of_package(name)
    with replacing_folder(old.path) as folder:
        packed = pack(run, folder, name=name)
        bare = [entry["test"] for entry in entries(packed) if "right" not in entry]
        if bare:
            raise UserError(f"{run.name}: evaluate it again on {', '.join(bare)}, so that answers can be compared")
        if not packed.written_about.exists() and old.written_about.exists():
            shutil.copyfile(old.written_about, packed.written_about)
        shutil.rmtree(old.path, ignore_errors=True)
    return old


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/ship_model.py RUN NAME")
    print(ship(Run.open(sys.argv[1]), sys.argv[2]).path)
    write_results.write()
