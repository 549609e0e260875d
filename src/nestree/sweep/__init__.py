"""Sweeps: looking for better options of a recipe with Optuna, an extra (``nestree[sweep]``)."""
