"""Where a result is from: versions, platform and commit; and how much memory its process held."""

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
    """Return the commit of the checkout this package runs from, with ``+`` if files were changed; None outside one."""
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", here.parent, *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # Installed inside somebody else's repository, this file is not one of those that git tracks.
    if git("ls-files", "--error-unmatch", here.name) is None:
        return None
    head = git("rev-parse", "HEAD")
    return f"{head}+" if head and git("status", "--porcelain", "--untracked-files=no") else head


def peak_memory() -> int | None:
    """Return the most memory that this process has held, bytes; None where the system does not say."""
    try:
        # On Linux getrusage begins with what the process held that started this one, which may be more.
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
