"""Comparing recipes, all trained for the same budget and evaluated on the same tests, in one table and one plot."""
