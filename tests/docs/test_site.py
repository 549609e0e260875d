"""The documentation site, as ``make docs`` built it: it needs nothing from elsewhere, and its reference is complete."""

from __future__ import annotations

import importlib
import pkgutil
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
TEXTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(),
    reason="the site is not built; `make docs` does it, and `make test` first of all",
)


class Fetched(HTMLParser):
    """Collects what a browser fetches for a page by itself; not what a reader may click on."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.found += [values[name] for name in ("src", "srcset", "data", "poster") if name in values]
        if tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(values.get("href", ""))
        self.found += re.findall(r"url\(\s*['\"]?([^'\")]+)", values.get("style", ""))
        if "mermaid" in values.get("class", "").split():
            self.found.append("https: the theme's script fetches mermaid where a page has a diagram")


def outside(address: str) -> bool:
    return bool(re.match(r"\s*(?:https?:|//)", address))


def test_no_page_fetches_anything_from_elsewhere() -> None:
    pages = list(SITE.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.found
        assert [address for address in fetched.found if outside(address)] == [], page
    for sheet in SITE.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        addresses = [one[0] or one[1] for one in re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text)]
        assert [address for address in addresses if outside(address)] == [], sheet


def anchors() -> set[str]:
    """The names in the reference, as its inventory has them."""
    _, _, packed = (SITE / "objects.inv").read_bytes().partition(b"zlib.\n")
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


def named() -> list[str]:
    """Every name of the package that README and documentation import or write as code."""
    found = set()
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        for module, names in re.findall(r"^from (nestree[\w.]*) import ([\w, ]+)", text, flags=re.MULTILINE):
            found |= {f"{module}.{name.strip()}" for name in names.split(",")}
        found |= set(re.findall(r"(?<![\w/.-])(nestree(?:\.[A-Za-z_]\w*)+)\(", text))
        found |= set(re.findall(r"`(nestree(?:\.[A-Za-z_]\w*)+)`", text))
    return sorted(found)


@pytest.mark.parametrize("name", named())
def test_what_the_documentation_names_is_in_the_reference(name: str) -> None:
    attribute = name.rpartition(".")[2]
    found = anchors()
    value = pkgutil.resolve_name(name)
    if name in found or f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}" in found:
        return
    places = [other for other in found if other.endswith(f".{attribute}") and other.count(".") > 1]
    documented = []
    for other in places:
        home, _, last = other.rpartition(".")
        try:
            documented.append(getattr(importlib.import_module(home), last) is value)
        except ImportError:  # a member of a class
            continue
    assert any(documented), f"{name} is in none of docs/reference"


def test_cross_references_are_links() -> None:
    for page in (SITE / "reference").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r":(?:func|class|meth|data|mod|attr|exc):", text), (
            f"{page}: write [`name`][] in docstrings"
        )
        assert not re.search(r"</code>\]\[", text), page
