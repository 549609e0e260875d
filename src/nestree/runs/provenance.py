"""Provenance of a result: versions, platform and commit; and the peak memory of the process."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Return versions, platform and, in a checkout of nestree, the commit."""
    versions = {name: metadata.version(name) for name in ("torch", "lightning", "numpy")}
    return {
        "versions": {"python": platform.python_version(), "nestree": nestree_version(), **versions},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "commit": commit(),
    }


def nestree_version() -> str:
    """Return the version of this package."""
    from nestree import __version__

    return __version__


def commit() -> str | None:
    """Return the commit of the checkout that this package runs from, with ``+`` if files were changed, or None."""
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", here.parent, *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # If the package is installed inside another repository, git does not track this file.
    if git("ls-files", "--error-unmatch", here.name) is None:
        return None
    head = git("rev-parse", "HEAD")
    return f"{head}+" if head and git("status", "--porcelain", "--untracked-files=no") else head


def peak_memory() -> int | None:
    """Return the peak memory of this process, bytes; None if the system does not report it."""
    try:
        # On Linux getrusage also counts the parent process, which may have held more.
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE):
        return 1024 * int(found[1])
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
