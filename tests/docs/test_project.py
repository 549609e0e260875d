"""What stands at the top of the repository fits the package."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nestree

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "docs/versioning.md", "tests/fixtures/oracle/README.md")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))


def test_the_version_is_written_once_and_is_in_the_changelog() -> None:
    assert "version" in project()["project"]["dynamic"]
    assert f'__version__ = "{nestree.__version__}"' in text(project()["tool"]["hatch"]["version"]["path"])
    headings = re.findall(r"^## \[(.+?)\]", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == nestree.__version__


def test_the_citation_names_the_papers() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == project()["project"]["license"]
    papers = {paper["identifiers"][0]["value"] for paper in citation["references"]}
    assert papers == {"arXiv:2311.04449", "arXiv:2307.10779", "arXiv:2305.19999"}


def test_the_workflow_begins_with_the_oldest_python() -> None:
    workflow = yaml.safe_load(text(".github/workflows/test.yml"))
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert project()["project"]["requires-python"] == f">={versions[0]}"


def needed(requirement: str, found: set[tuple[str, str]], extra: str = "") -> set[str]:
    """Names of all installed packages that a requirement brings; of the project itself, as pyproject.toml says."""
    asked = Requirement(requirement)
    name = canonicalize_name(asked.name)
    if asked.marker is not None and not asked.marker.evaluate({"extra": extra}):
        return set()
    names = set() if name in ("nestree", "triton") or name.startswith(("nvidia-", "cuda-")) else {name}
    for one in {"", *asked.extras}:
        if (name, one) in found:
            continue
        found.add((name, one))
        if name == "nestree":
            about = project()["project"]
            below = about["optional-dependencies"][one] if one else about["dependencies"]
        else:
            try:
                below = requires(name) or []
            except PackageNotFoundError:
                return set()
        names = names.union(*(needed(each, found, one) for each in below))
    return names


def test_every_package_that_make_installs_is_pinned() -> None:
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    names = needed("nestree[dev]", set())
    assert {"torch", "scipy", "pandas"} <= names
    assert names - pinned == set()


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_are_there(page: str) -> None:
    linked = [(ROOT / page).parent / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", text(page))]
    named = [ROOT / path for path in re.findall(r"`((?:src|tests|docs|examples)/[\w./-]+)`", text(page))]
    assert linked + named
    for path in linked + named:
        assert path.exists(), path
