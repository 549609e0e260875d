"""Compiles the beam tree's library where there is a compiler; the package works without it, only slower."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/nestree/native")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
)
LEVELS = ("x86-64-v3", "x86-64-v4")
"""Of Intel's and AMD's processors; which of them runs is decided when the library is loaded."""


class NativeBuildHook(BuildHookInterface):
    """Adds what was compiled to the wheel; for an editable installation it lies beside its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is to hold none (``NESTREE_BUILD=torch``)."""
        if self.target_name != "wheel" or os.environ.get("NESTREE_BUILD") == "torch":
            return
        built = build(Path(self.root))
        if not built:
            self.app.display_warning(
                "nestree: no C++17 compiler (g++, clang++) built its library; beam trees use the slower PyTorch engine"
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["artifacts"].extend(path.relative_to(self.root).as_posix() for path in built)


def build(root: Path) -> list[Path]:
    """Compile a library for each level of processor, and return those that worked."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++", "c++"))), None)
    if compiler is None or os.name == "nt":
        return []
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda level: _compile(compiler, root / FOLDER, level), LEVELS if x86 else (None,))
    return [path for path in found if path is not None]


def _compile(compiler: str, folder: Path, level: str | None) -> Path | None:
    """Compile for one level of processor, None for any; return the library, or None after printing why not."""
    target = folder / f"nestree-{level or 'any'}.so"
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    options = [*FLAGS, *([f"-march={level}"] if level else [])]
    for openmp in (["-fopenmp"], []):  # PyTorch's threads; Apple's clang has none
        command = [compiler, *options, *openmp, str(folder / "api.cpp"), "-o", str(unfinished)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            break
    else:
        print(done.stderr, file=sys.stderr)
        unfinished.unlink(missing_ok=True)
        return None
    unfinished.replace(target)
    return target
