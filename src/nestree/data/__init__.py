"""Datasets as flat arrays on disk, and the folder that caches them."""

from nestree.data.cache import cache_dir, load_or_make
from nestree.data.files import replacing
from nestree.data.ragged import RaggedExamples, offsets_of

__all__ = ["RaggedExamples", "cache_dir", "load_or_make", "offsets_of", "replacing"]
