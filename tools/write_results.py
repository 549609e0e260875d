"""Write the cards of the shipped models, and the tables of README.md and docs/results.md that show their figures.

python tools/write_results.py
"""

from __future__ import annotations

import re
from pathlib import Path

from nestree.data.files import replacing
from nestree.evaluation.evaluate import Result
from nestree.pretrained import pretrained_names
from nestree.reports.card import figures_table, model_card, training_line
from nestree.reports.markdown import current_results
from nestree.runs import Run

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/results.md")
SHORT = ("near-iid", "200-300", "500-600", "900-1000", "10000", "args-10", "args-15", "lra")
"""Tests in the README's table, which shows grouped inference only."""


def short(result: Result) -> bool:
    """Say whether a result is in the README's table."""
    return result.test in SHORT and result.inference == "grouped"


def written() -> dict[Path, str]:
    """Return what each file should hold.

    In a page, the text between ``<!-- figures NAME -->`` and ``<!-- end -->`` is replaced by the model's figures.
    """
    files = {run.path / "README.md": model_card(run) for run in map(Run.of_package, pretrained_names())}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")

        def table(found: re.Match[str], page: str = page) -> str:
            run = Run.of_package(found[2])
            results = current_results(run)
            command = None if page == "README.md" else f"nestree reproduce {found[2]}"
            chosen = results if command else [result for result in results if short(result)]
            made = f"{training_line(run)}\n\n" if command else ""
            return f"{found[1]}\n\n{made}{figures_table(chosen, command=command)}\n\n{found[3]}"

        blocks = r"(<!-- figures ([\w-]+) -->).*?(<!-- end -->)"
        files[ROOT / page] = re.sub(blocks, table, text, flags=re.DOTALL)
    return files


def write() -> None:
    """Write the files, and print their names."""
    for path, text in written().items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    write()
