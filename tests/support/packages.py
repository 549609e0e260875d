"""Packages as they are after ``pip install --target``, from what a page of the documentation says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page of the documentation."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def install(page: str, target: Path) -> None:
    """Put the package of a page, its first Python file and its ``pyproject.toml``, into a folder for installed ones."""
    (named,) = re.findall(r"Put it at `(.*?)`", (DOCS / page).read_text(encoding="utf-8"))
    file = target / named
    file.parent.mkdir(parents=True)
    (file.parent / "__init__.py").touch()
    file.write_text(blocks(page, "python")[0], encoding="utf-8")
    project = tomllib.loads(blocks(page, "toml")[0])["project"]
    metadata = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
