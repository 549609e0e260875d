"""Datasets as flat arrays on disk, their cache folder, and tokenization."""

from nestree.data.cache import cache_dir, load_or_count, load_or_make, load_or_write
from nestree.data.files import replacing
from nestree.data.ragged import RaggedExamples, RaggedWriter, offsets_of

__all__ = [
    "RaggedExamples",
    "RaggedWriter",
    "cache_dir",
    "load_or_count",
    "load_or_make",
    "load_or_write",
    "offsets_of",
    "replacing",
]
