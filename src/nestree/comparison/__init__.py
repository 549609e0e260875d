"""Comparing recipes: each trained for the same budget and judged on the same tests; one table, one plot."""
