"""Trained models that ship with the package, one run folder each, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FOLDER = Path(str(resources.files(__name__)))


def pretrained_names() -> list[str]:
    """Return the names of the models in the package."""
    # Without hidden folders, which are being written.
    return sorted(path.parent.name for path in FOLDER.glob("[!.]*/config.yaml"))
