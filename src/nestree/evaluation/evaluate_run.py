"""Evaluating a run on its task's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from nestree.checks import check_at_least
from nestree.data.cache import check_token_ids
from nestree.data.ragged import RaggedExamples
from nestree.encoders.rir import INFERENCES
from nestree.errors import OptionError, UserError
from nestree.evaluation.bag_of_words import (
    BagOfWords,
    bag_of_words,
    fits_bag_of_words,
    is_installed,
    source_of,
    training_part,
)
from nestree.evaluation.evaluate import Result, answers, evaluate
from nestree.evaluation.node_accuracy import node_accuracy
from nestree.evaluation.progress import progress_bars
from nestree.evaluation.record import known_bag_of_words, record
from nestree.models import Classifier
from nestree.runs import Run, load
from nestree.suggest import unknown
from nestree.tasks import Task
from nestree.tasks.target import target_of
from nestree.tasks.text import TextTask

BOTH = "both"
"""In place of an inference: every one, after the other."""


class NotRecorded(UserError):
    """The results could not be written into the run folder; they are in ``results``."""

    def __init__(self, run: Run, error: OSError, results: Sequence[Result]) -> None:
        super().__init__(f"{run.evaluation_file}: cannot be written ({error.strerror or error})")
        self.results = list(results)


def evaluate_run(
    run: Run,
    tests: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    inference: str | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    tokens: int | None = None,
    trees: bool = False,
    compare_bag: bool = False,
    nodes: bool = False,
    write: bool = True,
    console: Console,
) -> list[Result]:
    """Evaluate a run's best weights on tests, one after the other, and record each result immediately.

    Args:
        run: the run.
        tests: splits of its task; None: every test whose files are there.
        limit: number of examples per test, a sample; None for all.
        inference: grouped, flat or both; None for the run's own.
        encoder_options: encoder options to change; results with changed options are recorded as such and do not count
            as results of the run's configuration.
        tokens: maximal number of tokens per batch, padding included; None for the run's own.
        trees: also score the most probable trees against the task's gold trees.
        compare_bag: also answer the tests of a task of words with a bag of words, if scikit-learn is installed; what an
            earlier result recorded is not computed again.
        nodes: also measure the accuracy at the labelled nodes of the gold trees.
        write: record the results in the run's ``evaluation.json``.
        console: for progress.

    Raises:
        NotRecorded: ``evaluation.json`` could not be written; has the results.
        UserError: a test does not exist, or there are no trees to score; or as for [`nestree.runs.loading.load`][].
        ValueError: ``limit`` or ``tokens`` is below 1.
    """
    task = run.task
    for name, value in {"limit": limit, "tokens": tokens}.items():
        if value is not None:
            check_at_least(name, value, 1)
    if tests is None:
        tests = present_tests(task, [name for name in task.splits if name not in ("train", "validation")], console)
    for test in tests:
        if test not in task.splits:
            raise UserError(unknown(f"test of {run.config.data.task}", test, task.splits))
    failures: list[OSError] = []
    results = [
        result
        for number, one in enumerate(INFERENCES if inference == BOTH else (inference,))
        for result in _evaluate(
            run,
            tests,
            limit,
            one,
            dict(encoder_options or {}),
            tokens,
            trees=trees,
            compare_bag=compare_bag,
            nodes=nodes,
            write=write,
            remarks=number == 0,
            failures=failures,
            console=console,
        )
    ]
    if failures:
        raise NotRecorded(run, failures[0], results)
    return results


def _evaluate(
    run: Run,
    tests: Sequence[str],
    limit: int | None,
    inference: str | None,
    changed: Mapping[str, Any],
    tokens: int | None,
    *,
    trees: bool,
    compare_bag: bool,
    nodes: bool,
    write: bool,
    remarks: bool,
    failures: list[OSError],
    console: Console,
) -> list[Result]:
    """Evaluate under one inference, with ``remarks`` about how much of the tests is known and read.

    What keeps a result from being recorded is added to ``failures``.
    """
    task, target = run.task, target_of(run.task)
    model = load(run, **changed, **({} if inference is None else {"inference": inference}))
    if trees:
        _check_trees(run, model, tests)
    if nodes:
        _check_nodes(run, model, tests)
    results = []
    train: RaggedExamples | None = None
    with progress_bars(console) as progress:
        for test in tests:
            bar = progress.add_task(f"{test}, preparing", total=None)
            examples = task.load(test, size=limit)
            check_token_ids(examples, task.vocabulary_size)
            if isinstance(task, TextTask) and remarks:
                for line in task.remarks(test, examples):
                    console.print(line)
            train = task.load("train") if train is None else train
            progress.update(bar, description=test, total=len(examples))
            result = evaluate(
                model,
                examples,
                test=test,
                labels=task.label_names,
                target=target,
                train=train,
                strata=task.strata(examples),
                baseline=None if target.kind == "number" else task.baseline(train, examples),
                protocol=run.protocol,
                gold=task.gold if trees else None,
                tokens=tokens or run.config.data.evaluation_tokens,
                advance=lambda count, bar=bar: progress.advance(bar, count),
            )
            if compare_bag and fits_bag_of_words(task) and is_installed():
                progress.update(bar, description=f"{test}, bag of words")
                result = replace(result, bag_of_words=_bag_of_words(run, train, examples))
            if nodes:
                most = tokens or run.config.data.evaluation_tokens
                result = replace(result, nodes=node_accuracy(model, examples, task.gold, tokens=most))
            results.append(result)
            if write:
                try:
                    record(run, results[-1], seed=run.config.data.seed, encoder_options=changed)
                except OSError as error:
                    failures.append(error)
            progress.remove_task(bar)
    return results


def _bag_of_words(run: Run, train: RaggedExamples, examples: RaggedExamples) -> BagOfWords | None:
    """Return the answers of a bag of words, from an earlier result if it has the same source."""
    part = training_part(train, size=run.config.data.train_size, seed=run.config.data.seed)
    return known_bag_of_words(run, source_of(part, examples)) or bag_of_words(part, examples)


def _check_trees(run: Run, model: Classifier, tests: Sequence[str]) -> None:
    """Check, before minutes are spent, that the encoder has trees and the task has gold trees."""
    example = run.task.load(tests[0], size=1)
    if all(run.task.gold(sequence) is None for sequence in example.sequences(0)):
        raise OptionError("trees", f"needs gold trees, and task {run.config.data.task} has none")
    if answers(model, example, beams=1)[1] is None:
        raise OptionError("trees", f"needs trees, and encoder {run.config.encoder_name} has none")


def _check_nodes(run: Run, model: Classifier, tests: Sequence[str]) -> None:
    """Check, before minutes are spent, that gold trees have labelled nodes and the encoder folds along given trees."""
    golds = [run.task.gold(run.task.load(test, size=1).sequences(0)[0]) for test in tests]
    if run.task.sides > 1 or not all(gold is not None and gold.labels for gold in golds):
        raise OptionError("nodes", f"needs gold trees with labelled nodes, and task {run.config.data.task} has none")
    if not model.folds_along():
        raise OptionError(
            "nodes", f"needs an encoder that folds along given trees, and {run.config.encoder_name} does not"
        )


def present_tests(task: Task, tests: Sequence[str], console: Console) -> list[str]:
    """Return the tests whose files exist, and print which do not; "validation" if there are none.

    This is for tests that the user did not name. If no files exist at all, all tests are returned; loading them then
    raises an error that says what is missing.
    """
    there = [test for test in tests if task.is_there(test)]
    if not there and not task.is_there("validation"):
        return list(tests)
    left_out = [test for test in tests if test not in there]
    if left_out:
        console.print(f"skipped, as the files are missing: {', '.join(left_out)}")
    if not there:
        console.print("no test available: evaluating on validation, which the weights were selected by")
    return there or ["validation"]
