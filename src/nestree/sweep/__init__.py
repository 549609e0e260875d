"""Sweeps: searching for better options of a recipe with Optuna (install ``nestree[sweep]``)."""
