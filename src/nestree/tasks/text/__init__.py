"""Texts and pairs of texts: official datasets, one module each, and the user's own files."""

from nestree.tasks.text.official import DATASETS, OfficialOptions
from nestree.tasks.text.own import OwnOptions
from nestree.tasks.text.task import TextOptions, TextTask

__all__ = ["DATASETS", "OfficialOptions", "OwnOptions", "TextOptions", "TextTask"]
