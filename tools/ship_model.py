"""Put a run's model into the package, in place of the one of that name, and write all cards and tables again.

python tools/ship_model.py runs/listops-rir-20260101-120000 listops-rir

Evaluate the run first: the figures that are published are the run's results of its present weights. What ``about.md``
says of the model stays, unless the run has one of its own.
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
    """Pack a run and put it in the place of the model ``name``.

    Raises:
        UserError: the run cannot be packed, or a result of it cannot be made again example by example.
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
