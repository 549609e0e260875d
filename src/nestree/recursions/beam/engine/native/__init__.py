"""The beam tree's search and replay in C++, compiled at installation; without it, the PyTorch backend is used."""

from nestree.recursions.beam.engine.native.backend import NativeBackend as NativeBackend
from nestree.recursions.beam.engine.native.backend import serves as serves
