"""A training of a second, that the attacks are about."""

from __future__ import annotations

import os
from pathlib import Path

import torch

RECIPE = """
recipe: attacked
seed: 3
data: {task: own, train: TRAIN, batch: 8, window: 2, min_count: 1, validation_share: 0.2}
encoder: {name: grc, dim: 8}
model: {head_hidden: 8}
trainer: {devices: 1, threads: 1, max_epochs: 3, max_steps: 18, validate_every: 5, checkpoint_every: 3, log_every: 1}
"""


def prepare(place: Path) -> Path:
    """Write a recipe and its table into a folder, and return the recipe; what children need is imported."""
    torch.set_num_threads(1)
    rows = [f"{'good' if number % 2 else 'bad'} film {number % 7},{number % 2}" for number in range(60)]
    (place / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    recipe = place / "recipe.yaml"
    recipe.write_text(RECIPE.replace("TRAIN", str(place / "train.csv")))
    os.environ["NESTREE_CACHE"] = str(place / "cache")
    import nestree.cli.evaluate
    import nestree.cli.predict
    import nestree.cli.report
    import nestree.cli.train
    import nestree.training.session  # noqa: F401

    return recipe
