"""Telling what was measured: a page, Markdown, model cards, their tables and plots."""
