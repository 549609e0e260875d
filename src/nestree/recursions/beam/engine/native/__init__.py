"""The beam tree's search and replay in C++, compiled when the package is installed; PyTorch does it where it is not."""

from nestree.recursions.beam.engine.native.backend import NativeBackend as NativeBackend
from nestree.recursions.beam.engine.native.backend import serves as serves
