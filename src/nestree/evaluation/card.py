"""Model cards: what a trained model is, what it can do, and how it was made, from its run folder."""

from __future__ import annotations

import yaml

from nestree.evaluation.evaluate import Result
from nestree.evaluation.report import current_results, protocol_about, training_facts
from nestree.evaluation.tables import interval, markdown_table, percent
from nestree.runs import Run

HEADER = {"license": "apache-2.0", "library_name": "nestree", "tags": ["recursive-neural-network", "beam-tree"]}
"""What a model hub reads."""


def model_card(run: Run) -> str:
    """Return a run's card as Markdown.

    What only a person knows, purpose and limits, is taken from ``about.md`` in the folder, where there is one.
    """
    about, name = run.about(), run.path.name
    written = run.path / "about.md"
    parts = [
        f"---\n{yaml.safe_dump(HEADER, sort_keys=False)}---",
        f"# {name}",
        *([written.read_text(encoding="utf-8").strip()] if written.is_file() else []),
        "## Use",
        f"```python\nimport nestree\n\nmodel = nestree.load({name!r})\n```",
        f"```sh\nnestree evaluate {name}\nnestree reproduce {name}\n```",
        "## Accuracy",
        f"Data: {protocol_about(str(about.get('protocol')))}, seed {run.config.data.seed}. Intervals are 95 % Wilson "
        f"intervals; the baseline always answers {run.task.baseline_about}.",
        figures_table(current_results(run)),
        "## Training",
        f"{about.get('train_examples', 0):,} examples of at most {about.get('train_longest')} tokens, seed "
        f"{run.config.seed}; {about.get('parameters', 0):,} parameters; validation accuracy "
        f"{percent(about.get('validation_accuracy'))} % on {about.get('validation_examples', 0):,} examples. The last "
        "command's run:",
        markdown_table(["", ""], training_facts(about)),
        "```sh\n" + "\n".join(run.commands()) + "\n```",
        f"Every option, resolved:\n\n```yaml\n{yaml.safe_dump(run.config.as_dict(), sort_keys=False)}```",
    ]
    return "\n\n".join(parts) + "\n"


def figures_table(results: list[Result], *, command: str | None = None) -> str:
    """Return results as a table of Markdown; with the ``command`` before its name, what makes each again."""
    header = ["test", "inference", "tokens, mean", "examples", "accuracy %", "95 % interval", "baseline %"]
    rows = [
        [
            result.test,
            result.inference or "",
            f"{result.mean_length:,.0f}",
            f"{result.total.examples:,}",
            percent(result.total.accuracy),
            interval(result.total),
            percent(result.baseline),
            *([f"`{command}/{result.test}{f'/{result.inference}' if result.inference else ''}`"] if command else []),
        ]
        for result in results
    ]
    if not any(result.inference for result in results):
        header, rows = _without(header), [_without(row) for row in rows]
    return markdown_table([*header, *(["made again by"] if command else [])], rows, right=range(1, 7))


def _without(cells: list[str]) -> list[str]:
    """Leave out the column of inferences."""
    return cells[:1] + cells[2:]
