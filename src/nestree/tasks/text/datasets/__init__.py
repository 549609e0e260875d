"""Readers of official text datasets, one module each."""
