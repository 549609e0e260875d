"""Writing the results of a comparison into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestree.comparison.plan import FORMAT, Comparison
from nestree.comparison.plot import plot
from nestree.comparison.references import reference_rows
from nestree.comparison.results_table import FIGURES, baseline_cells, cells, header
from nestree.comparison.rows import Row, rows
from nestree.data.files import replacing, write_json
from nestree.reports.markdown import protocol_about
from nestree.reports.tables import markdown_table


def write(comparison: Comparison) -> None:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.png`` with the results so far."""
    found = rows(comparison)
    about = comparison.run(comparison.plan.contenders[0]).about()
    drawn = plot(
        found,
        comparison.path / "comparison.png",
        title=f"{comparison.task.name}, each trained for {comparison.plan.budget}",
        baseline=comparison.task.baseline_about,
    )
    write_json(
        comparison.path / "comparison.json",
        {
            "format": FORMAT,
            **{name: about.get(name) for name in MACHINE},
            "task": comparison.task.name,
            "protocol": comparison.task.protocol,
            "baseline": comparison.task.baseline_about,
            "plan": comparison.plan.as_dict(),
            "tests": list(comparison.tests),
            "rows": [row.as_dict() for row in found],
            "references": [row.as_dict() for row in reference_rows(comparison)],
        },
    )
    with replacing(comparison.path / "comparison.md") as temporary:
        temporary.write_text("\n\n".join(_markdown(comparison, found, about, drawn)) + "\n")


MACHINE = ("versions", "platform", "processor", "cpus", "commit")


def notes(comparison: Comparison, found: Sequence[Row]) -> list[str]:
    """Return the notes below the table."""
    plan = comparison.plan
    inferred = {row.inference for row in found} - {None}
    taught = ", ".join(row.contender.label for row in _once(found) if row.run.curricula())
    examples = "all examples" if plan.limit is None else f"the first {plan.limit:,} examples"
    return [
        f"Each recipe was trained for {plan.budget}, validation included, and evaluated on {examples} of each test"
        + (f", RIR with {' and '.join(sorted(str(one) for one in inferred))} inference" if inferred else "")
        + ". Accuracy in per cent with its 95 % Wilson interval; peak memory of training, all processes together.",
        f"The baseline always answers {comparison.task.baseline_about}.",
        f"Data: {protocol_about(comparison.task.protocol)}.",
        *([f"Trained with a curriculum, not only on the published distribution: {taught}."] if taught else []),
        *(f"{row.contender.label}: {row.failed}" for row in _once(found) if row.failed is not None),
        *(row.note for row in reference_rows(comparison)),
    ]


def _once(found: Sequence[Row]) -> list[Row]:
    """Return the first row of each contender."""
    return list({row.contender.label: row for row in reversed(found)}.values())[::-1]


def _markdown(comparison: Comparison, found: Sequence[Row], about: dict[str, Any], drawn: Sequence[str]) -> list[str]:
    """Return the paragraphs; ``drawn`` is the caption of the plot, empty if there is none."""
    plan, tests = comparison.plan, comparison.tests
    listed = [*found, *reference_rows(comparison)]
    body = [cells(row, tests) for row in listed]
    versions = ", ".join(f"{name} {version}" for name, version in (about.get("versions") or {}).items())
    return [
        f"# {comparison.task.name}: {len(plan.contenders)} recipes, each trained for {plan.budget}",
        markdown_table(
            header(listed, tests), [*body, baseline_cells(listed, tests)], right=range(1, 1 + len(tests) + len(FIGURES))
        ),
        *(["![Accuracy](comparison.png)", " ".join(drawn)] if drawn else []),
        *notes(comparison, found),
        f"Machine: {about.get('platform')}, {about.get('cpus')} CPUs; {versions}; commit {about.get('commit')}.",
        "## How to reproduce it",
        f"```sh\n{plan.command}\n```",
        "Only one recipe:",
        "```sh\n" + "\n".join(comparison.command(contender) for contender in plan.contenders) + "\n```",
    ]
