"""Panels of a report's plots: one per family of tests, with all series tested on the same examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share, group_order
from nestree.evaluation.same_examples import on_same_examples
from nestree.runs import Run
from nestree.tasks.base import SplitAbout
from nestree.tasks.families import TESTS, Family


@dataclass(frozen=True, eq=False)
class Series:
    """Results of one run with one inference, drawn with one colour and marker."""

    name: str
    run: Run
    results: Sequence[Result]
    """At most one per test."""
    look: int
    """Index of the colour and the marker."""
    dashed: bool = False
    """Whether the line is dashed."""


@dataclass(frozen=True)
class Panel:
    """Tests of one family."""

    family: Family
    name: str
    """Name to begin a sentence with."""
    title: str
    """Title above the panel."""
    tests: tuple[str, ...]
    """Tests in drawing order."""
    places: Mapping[str, float]
    """Position of each test on the horizontal axis."""
    series: tuple[Series, ...]
    """Series with results of ``tests``; all results of a test are on the same examples."""
    trained: float | None
    """Largest position on the axis with training examples; None if it differs between series."""
    counted: Mapping[str, int]
    """Number of examples per test."""
    recounted: frozenset[str] = frozenset()
    """Tests for which a series has results on more examples than are drawn."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Tests with results of every series."""
        tests = [{result.test for result in one.results} for one in self.series]
        return tuple(test for test in self.tests if all(test in answered for answered in tests))

    def baselines(self) -> dict[str, float]:
        """Return the baseline accuracy of each test where it is the same for all series."""
        found: dict[str, set[float]] = {}
        for one in self.series:
            for result in one.results:
                if result.baseline is not None:
                    found.setdefault(result.test, set()).add(result.baseline)
        return {test: found[test].pop() for test in self.tests if len(found.get(test, ())) == 1}

    def pooled(self, stratum: str) -> Pool:
        """Combine the shared tests, by group of a stratum."""
        tests = [test for test in self.shared if all(stratum in _of(one, test).strata for one in self.series)]
        shares = {}
        for one in self.series:
            parts = [share for test in tests for share in _of(one, test).strata[stratum]]
            shares[one.name] = {
                group: Share(
                    group,
                    sum(part.correct for part in parts if part.group == group),
                    sum(part.examples for part in parts if part.group == group),
                )
                for group in sorted({part.group for part in parts}, key=group_order)
            }
        return Pool(self, tuple(tests), shares)

    @property
    def about(self) -> str:
        """Sentences about the tests and the number of examples."""
        sentences = [f"{self.name}: {_counts(self, self.tests)}."]
        for one in self.series:
            answered = {result.test for result in one.results}
            if answered < set(self.tests):
                sentences.append(f"{one.name}: {', '.join(test for test in self.tests if test in answered)} only.")
        return " ".join(sentences)


@dataclass(frozen=True)
class Pool:
    """Combined results of a panel's tests, by group of a stratum."""

    panel: Panel
    tests: tuple[str, ...]
    shares: Mapping[str, Mapping[str, Share]]
    """By name of the series, then by group; all series have the same groups and numbers of examples."""

    @property
    def about(self) -> str:
        """Sentence about the tests and the number of examples."""
        return f"{self.panel.name}: {_counts(self.panel, self.tests)}."


@dataclass
class _Gathered:
    """Results of a family, by test."""

    family: Family
    rank: tuple[int, int]
    """Sort key: index of the task, then of the family."""
    trained: set[float | None] = field(default_factory=set)
    places: dict[str, float | None] = field(default_factory=dict)
    results: dict[str, list[tuple[Series, Result]]] = field(default_factory=dict)


def panels(series: Sequence[Series], *, advance: Callable[[str], None] = lambda _: None) -> list[Panel]:
    """Group results into panels, by the families of tests that the runs' tasks define.

    Args:
        series: series of one or several runs.
        advance: called with a description before each step that may take seconds.
    """
    several = len({_task(one) for one in series}) > 1
    made = [_panel(gathered, advance) for gathered in _gather(series)]
    return [_with_task(panel) if several else panel for panel in made if panel.series]


def left_out(series: Sequence[Series], drawn: Iterable[Panel]) -> list[str]:
    """Return the tests that no panel shows."""
    shown = {(_task(one), test) for panel in drawn for one in panel.series for test in panel.tests}
    every = dict.fromkeys((_task(one), result.test) for one in series for result in one.results)
    return list(dict.fromkeys(test for task, test in every if (task, test) not in shown))


def _task(one: Series) -> str:
    return one.run.config.data.task


def _with_task(panel: Panel) -> Panel:
    """Return the panel with its task in name and title."""
    task = _task(panel.series[0])
    return replace(panel, name=f"{task}, {panel.family.name}", title=f"{task}: {panel.title}")


def _gather(series: Sequence[Series]) -> list[_Gathered]:
    """Return the families in the order of the tasks' splits."""
    found: dict[tuple[str, str], _Gathered] = {}
    tasks = list(dict.fromkeys(map(_task, series)))
    for one in series:
        task, splits = _task(one), _splits(one.run)
        order = list(splits)
        results = sorted(one.results, key=lambda r: order.index(r.test) if r.test in splits else len(order))
        for result in results:
            about = splits.get(result.test)
            family = TESTS if about is None else about.family
            rank = next((n for n, split in enumerate(splits.values()) if split.family.name == family.name), len(order))
            gathered = found.setdefault((task, family.name), _Gathered(family, (tasks.index(task), rank)))
            gathered.trained.add(one.run.about().get("train_longest") if family.by_length else family.trained)
            gathered.places.setdefault(result.test, None if about is None else about.place)
            gathered.results.setdefault(result.test, []).append((one, result))
    return sorted(found.values(), key=lambda gathered: gathered.rank)


def _splits(run: Run) -> Mapping[str, SplitAbout]:
    """Return the splits of a run's task; none if its files are missing."""
    try:
        return run.task.splits
    except UserError:
        return {}


def _panel(gathered: _Gathered, advance: Callable[[str], None]) -> Panel:
    """Reduce the results of each test to the examples that all series share."""
    kept: dict[str, list[tuple[Series, Result]]] = {}
    recounted = set()
    for test, found in gathered.results.items():
        sizes = {result.total.examples for _, result in found}
        if len(sizes) > 1:
            advance(f"recounting {test} on the {min(sizes):,} examples that all runs were tested on")
            recounted.add(test)
        counted = on_same_examples([(one.run, result) for one, result in found])
        if counted is not None:
            kept[test] = [(one, result) for (one, _), result in zip(found, counted, strict=True)]
    places = _places(gathered, kept)
    tests = tuple(sorted(kept, key=lambda test: places[test]))
    every = list(dict.fromkeys(one for test in gathered.results.values() for one, _ in test))
    drawn = [
        replace(one, results=[result for test in tests for other, result in kept[test] if other is one])
        for one in every
    ]
    series = tuple(one for one in drawn if one.results)
    return Panel(
        family=gathered.family,
        name=gathered.family.name[:1].upper() + gathered.family.name[1:],
        title=gathered.family.title,
        tests=tests,
        places=places,
        series=series,
        trained=next(iter(gathered.trained)) if len(gathered.trained) == 1 else None,
        counted={test: kept[test][0][1].total.examples for test in tests},
        recounted=frozenset(recounted & kept.keys()),
    )


def _places(gathered: _Gathered, kept: Mapping[str, list[tuple[Series, Result]]]) -> dict[str, float]:
    """Return the position of each test on the axis."""
    if gathered.family.by_length:
        return {test: found[0][1].mean_length for test, found in kept.items()}
    return {
        test: float(number) if (place := gathered.places[test]) is None else place for number, test in enumerate(kept)
    }


def _of(series: Series, test: str) -> Result:
    return next(result for result in series.results if result.test == test)


def _counts(panel: Panel, tests: Iterable[str]) -> str:
    """Return the number of examples of each test as text, combining tests with the same number."""
    by_count: dict[tuple[int, bool], list[str]] = {}
    for test in tests:
        by_count.setdefault((panel.counted[test], test in panel.recounted), []).append(test)
    return "; ".join(_count_of(count, same, part=part) for (count, part), same in by_count.items())


def _count_of(count: int, tests: Sequence[str], *, part: bool) -> str:
    """Return the number of examples of these tests as text; ``part`` if some runs were tested on more."""
    said = f"{count:,} examples {'each ' if len(tests) > 1 else ''}of {', '.join(tests)}"
    return f"the {said} that all runs were tested on" if part else said
