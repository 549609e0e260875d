"""Recursive neural networks that induce their own trees and scale to long inputs.

An encoder for your own model, by name: padded states and their lengths in, one vector per sequence out.

    >>> import nestree, torch
    >>> encoder = nestree.build("rir-ebt-grc", dim=64, beam_size=5)
    >>> encoder(torch.randn(2, 500, 64), torch.tensor([500, 120])).root.shape
    torch.Size([2, 64])

Train a recipe; options have the same names as on the command line.

    >>> run = nestree.train("listops-rir-quick", {"encoder.dim": 64, "trainer.max_minutes": 1}, out="runs/x", seed=1)
    >>> run.evaluate(["near-iid"], limit=200)[0].total.accuracy

Apply a run, or a model that ships with the package, to your own texts.

    >>> run = nestree.Run.open("listops-rir")
    >>> run.predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])[0].label
    '9'
    >>> print(run.parse("[MAX 2 9 [MIN 4 7 ] 0 ]")[0].text())

Load its model as a PyTorch module.

    >>> model = nestree.load("listops-rir", inference="flat")

An invalid argument raises `nestree.UserError`, a ValueError with a message of one line. To add your own encoders and
tasks, see `nestree.encoders.register` and `nestree.tasks.register`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestree.encoders import ENCODERS, RIR, Contextualizer, Encoder, Encoding, RvNN, build
    from nestree.errors import UserError
    from nestree.evaluation import Prediction, Reading, Result
    from nestree.installation import Info, info
    from nestree.models import Classifier, ClassifierOptions
    from nestree.runs import Run, load
    from nestree.tagger import Tagger
    from nestree.training.train import train
    from nestree.trees import ParsedTree, Tree

__version__ = "0.1.0"

__all__ = [
    "ENCODERS",
    "RIR",
    "Classifier",
    "ClassifierOptions",
    "Contextualizer",
    "Encoder",
    "Encoding",
    "Info",
    "ParsedTree",
    "Prediction",
    "Reading",
    "Result",
    "Run",
    "RvNN",
    "Tagger",
    "Tree",
    "UserError",
    "build",
    "info",
    "load",
    "train",
]

_MODULES = {
    "nestree.encoders": ("ENCODERS", "RIR", "Contextualizer", "Encoder", "Encoding", "RvNN", "build"),
    "nestree.errors": ("UserError",),
    "nestree.evaluation": ("Prediction", "Reading", "Result"),
    "nestree.installation": ("Info", "info"),
    "nestree.models": ("Classifier", "ClassifierOptions"),
    "nestree.runs": ("Run", "load"),
    "nestree.tagger": ("Tagger",),
    "nestree.training.train": ("train",),
    "nestree.trees": ("ParsedTree", "Tree"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: PyTorch takes seconds, and the command line must answer before."""
    if name in _PLACES:
        found = getattr(importlib.import_module(_PLACES[name]), name)
    else:
        try:
            found = importlib.import_module(f"nestree.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"nestree.{name}":
                raise
            raise AttributeError(f"module 'nestree' has no attribute {name!r}") from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
