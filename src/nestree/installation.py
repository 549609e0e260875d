"""Facts about this installation: versions, the backend of beam trees, threads."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import torch

from nestree.native import library


@dataclass(frozen=True)
class Info:
    """Versions, backend and hardware of this installation; ``print`` shows one line for each."""

    versions: dict[str, str]
    """Versions of nestree, Python and the packages that matter for speed and results."""
    backend: str
    """Backend of beam trees on the CPU: ``compiled`` or ``torch``; on a GPU it is always ``torch``."""
    library: str | None
    """File name of the compiled library; None if it is not used."""
    bfloat16: bool
    """Whether its products are faster with ``--trainer.precision bf16-mixed``, as this processor multiplies bfloat16
    numbers."""
    why_not_compiled: str | None
    """Reason why the compiled library is not used, and what would help; None if it is."""
    threads: int
    """Number of threads of PyTorch and the library in this process."""
    cores: int | None
    """Number of cores of this machine."""
    devices: tuple[str, ...]
    """GPUs that PyTorch sees."""

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        products = "float32 or bfloat16" if self.bfloat16 else "float32"
        compiled = f"compiled ({self.library}; products of {products})"
        backend = compiled if self.library else f"PyTorch: {self.why_not_compiled}"
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
    """Return versions, the backend of beam trees and the reason for it, and threads.

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
        bfloat16=library.multiplies_bfloat16(),
        why_not_compiled=why,
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        devices=tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())),
    )
