"""What runs here: versions, the backend of beam trees, threads."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import torch

from nestree.recursions.beam.engine.native import library


@dataclass(frozen=True)
class Info:
    """What this installation runs with; printed as lines."""

    versions: dict[str, str]
    """Of nestree, Python and what matters for speed and results."""
    backend: str
    """What searches beam trees on the CPU: ``compiled`` or ``torch``; a GPU always takes the latter."""
    library: str | None
    """File name of the compiled library."""
    why_not_compiled: str | None
    """Why it is not used, and what would help."""
    threads: int
    """That PyTorch and the library use in this process."""
    cores: int | None
    """Of this machine."""
    devices: tuple[str, ...]
    """GPUs that PyTorch sees."""

    def __str__(self) -> str:
        """Return the lines."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        backend = f"compiled ({self.library})" if self.library else f"PyTorch: {self.why_not_compiled}"
        return "\n".join(
            [
                f"versions   {versions}",
                f"platform   {platform.platform()}",
                f"beam trees {backend}",
                f"threads    {self.threads} of {self.cores or '?'} cores",
                f"GPUs       {', '.join(self.devices) or 'none'}",
            ]
        )


def info() -> Info:
    """Return versions, the backend that searches beam trees and why it is that one, and threads.

    Examples:
        >>> nestree.info().backend in ("compiled", "torch")
        True
    """
    from nestree import __version__

    used, why = library.status()
    return Info(
        versions={
            "nestree": __version__,
            "Python": platform.python_version(),
            **{name: metadata.version(name) for name in ("torch", "lightning", "numpy")},
        },
        backend="torch" if used is None else "compiled",
        library=None if used is None else used.name,
        why_not_compiled=why,
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        devices=tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())),
    )
