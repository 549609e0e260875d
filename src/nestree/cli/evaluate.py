"""``nestree evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rich.console import Console

from nestree.checks import MOST, MOST_THREADS, check_at_least, check_one_of
from nestree.cli.arguments import RUN, command_parser, parse_command, shared_options
from nestree.config.overrides import configure
from nestree.consoles import output
from nestree.data.files import read_yaml
from nestree.encoders.rir import INFERENCES
from nestree.errors import OptionError
from nestree.evaluation.evaluate import Result
from nestree.evaluation.evaluate_run import BOTH, NotRecorded
from nestree.evaluation.mistakes import as_json
from nestree.reports.class_tables import FEW, answers_about, bag_about, label_count, show_classes, test_name
from nestree.reports.tables import show
from nestree.runs import Run


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    limit: int | None = None
    """Number of examples per test, a sample; null: all."""
    inference: str | None = None
    """For RIR: grouped, flat, or both, one after the other; null: as in the run's configuration."""
    tokens: int | None = None
    """Maximal number of tokens per batch, padding included; null: as in the run's configuration."""
    threads: int | None = None
    """Number of CPU threads; null: PyTorch's default."""

    def __post_init__(self) -> None:
        for name in ("limit", "tokens", "threads"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1, MOST_THREADS if name == "threads" else MOST)
        if self.inference is not None:
            check_one_of("inference", self.inference, (*INFERENCES, BOTH))


def main(arguments: Sequence[str]) -> int:
    """Evaluate, print tables, and write the results into the run folder."""
    arguments, changes = shared_options(arguments)
    parser = command_parser(
        "evaluate",
        "Measure the accuracy of a run's best weights, with 95 % intervals, in total and by length, root operator and "
        "depth; macro F1, calibration (ECE), and precision, recall and F1 of each label. Texts as words are also "
        "classified by a bag of words, if scikit-learn is installed. Answers of several labels are measured by F1 and "
        "exact matches, numbers by Pearson and Spearman correlation and errors. The results are also written to "
        "evaluation.json in the run folder (for a model of the package or the Hub, in a copy in runs/). "
        "--encoder.option, as for nestree train, changes an option for this evaluation only.",
    )
    parser.add_argument("run", help=f"{RUN}.")
    parser.add_argument(
        "--tests", nargs="+", type=str, help="Names of the tests (default: all; `nestree data list` shows them)."
    )
    parser.add_argument(
        "--trees",
        action="store_true",
        help="Also compare the trees found with the gold trees (ListOps, sst5, sst2): bracket F1, and recall of whole "
        "operators or phrases.",
    )
    parser.add_argument(
        "--nodes",
        action="store_true",
        help="Also measure the accuracy at all labelled nodes of the gold trees (sst5, sst2), folding along these.",
    )
    parser.add_argument(
        "--classes",
        action="store_true",
        help="Print the table of labels for generated tests and for any number of labels too; without it, those of at "
        f"most {FEW} labels of texts.",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="Print one JSON object per result instead of tables: all that is measured, with the confusion matrix, the "
        "bins of the calibration, and the most confident mistakes.",
    )
    parser.add_class_arguments(EvaluateOptions, None)
    parsed = parse_command(parser, arguments)
    options = EvaluateOptions(**{name: parsed[name] for name in EvaluateOptions.__dataclass_fields__})
    run = Run.open(parsed.run)
    changed = _changed(run, changes)
    run = run.to_write_in()
    if options.threads is not None:
        import torch

        torch.set_num_threads(options.threads)
    failed: NotRecorded | None = None
    try:
        results = run.evaluate(
            parsed.tests,
            limit=options.limit,
            inference=options.inference,
            encoder_options=changed,
            tokens=options.tokens,
            trees=parsed.trees,
            compare_bag=True,
            nodes=parsed.nodes,
        )
    except NotRecorded as error:  # shown first, as computing it may have taken hours
        failed, results = error, error.results
    if parsed.json:
        for result in results:
            print(json.dumps(as_json(run, result)))
    else:
        _print(run, results, changed, every=parsed.classes)
    if failed is not None:
        sys.stdout.flush()
        raise failed
    if not parsed.json:
        output().print(f"written to {run.evaluation_file}")
    return 0


def _print(run: Run, results: Sequence[Result], changed: Mapping[str, Any], *, every: bool) -> None:
    """Print the tables, and sentences about the nodes and the changed options."""
    console = output()
    _show(console, run, results, every=every)
    for result in results:
        if (score := result.nodes) is not None:
            console.print(
                f"{result.test}: accuracy at all {score.nodes:,} labelled nodes of the gold trees {score.all:.1%} "
                f"(always the most common label: {score.common / score.nodes:.1%}), "
                f"at their {score.roots:,} roots {score.root:.1%}"
            )
    if changed:
        console.print(f"with {', '.join(f'encoder.{name}={value}' for name, value in changed.items())}")


def _show(console: Console, run: Run, results: Sequence[Result], *, every: bool) -> None:
    """Print the tables; with ``every``, those of labels for all tests."""
    measured = [(result, count) for result in results if (count := label_count(result))]
    generated = run.task.protocol == "generated"
    shown = [result for result, count in measured if every or (not generated and count <= FEW)]
    show(console, results, without=("label",) if shown else ())  # the recall of a label is its accuracy
    show_classes(console, shown)
    for result in results:
        for sentence in bag_about(result, run.task):
            console.print(f"{test_name(result)}, {sentence}", soft_wrap=True)
        for sentence in answers_about(result):
            console.print(f"{test_name(result)}: {sentence}", soft_wrap=True)
    if measured and not shown and not generated:
        console.print(f"{measured[0][1]} labels: --classes shows precision, recall and F1 of each")


def _changed(run: Run, changes: Sequence[str]) -> dict[str, Any]:
    """Return the options of the encoder that ``changes``, such as ``--encoder.arity=9``, set to another value."""
    for change in changes:
        option = change.partition("=")[0].lstrip("-")
        if not option.startswith("encoder.") or option == "encoder.name":
            raise OptionError(option, "cannot be changed for an evaluation: only options of the run's encoder can")
    if not changes:
        return {}
    before = run.config.encoder
    after = configure(read_yaml(run.config_file), changes).encoder
    return {
        field.name: getattr(after, field.name)
        for field in fields(before)
        if getattr(after, field.name) != getattr(before, field.name)
    }
