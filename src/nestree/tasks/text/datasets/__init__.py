"""Readers of official datasets of texts, each in a module of its own."""
