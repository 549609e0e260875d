"""What stands at the top of the repository fits the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_are_there(page: str) -> None:
    linked = [(ROOT / page).parent / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", text(page))]
    named = [ROOT / path for path in re.findall(r"`((?:src|tests|docs|examples)/[\w./-]+)`", text(page))]
    assert linked + named
    for path in linked + named:
        assert path.exists(), path
