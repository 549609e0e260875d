"""The benchmark: what it plans, counts, foresees, verifies and writes. How fast anything is, is never asserted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nestree.bench import BenchOptions, child_process, verify
from nestree.bench.child_process import OverBudget, measure_in_child_process
from nestree.bench.exponents import exponents, growth
from nestree.bench.meters import CellArithmetic, PeakMemory, matrix_rate, resident
from nestree.bench.plan import LISTOPS, ONE_BY_ONE, Job, engines, lengths, plan, spread, thinned
from nestree.bench.plot import plot
from nestree.bench.report import engines_table, figure, growth_table, speedup, table
from nestree.bench.rows import Measurement, Row
from nestree.bench.run_jobs import run
from nestree.cli.main import main
from nestree.data import RaggedExamples
from nestree.encoders.registry import ENCODERS, build
from nestree.models import Classifier
from nestree.native import library
from nestree.recursions.beam.engine.pair_scoring import FusedPairScoring
from nestree.recursions.beam.options import ENGINES
from nestree.tasks.listops import ListOps

CPU = torch.device("cpu")
TINY = BenchOptions(
    encoders=("ebt-grc",), lengths=(4, 6), dim=8, batch=3, listops_batches=0, one_by_one=False, least=0.01
)


def measured(seconds: float, memory: int | None = 0, *, cells: float = 8, operations: int = 6_000) -> Measurement:
    return Measurement(1, seconds, memory, cells, operations, 1e6)


def job(
    length: int | None = 4,
    *,
    encoder: str = "ebt-grc",
    engine: str | None = "fast",
    mode: str = "training",
    batch: int = 2,
) -> Job:
    return Job(encoder, engine, mode, f"{length} tokens" if length else LISTOPS, length, ((length or 3,) * batch,))


@pytest.fixture
def small_listops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training split of a few short examples."""
    sequences = [np.ones(length, np.uint8) for length in (3, 5, 1, 4, 7, 2, 6, 9)]
    examples = RaggedExamples.from_sequences(sequences, [0] * 8, name="listops/train")
    monkeypatch.setattr(ListOps, "load", lambda *_, **__: examples)


# --- what is planned


def test_every_encoder_is_measured_at_its_lengths() -> None:
    jobs = list(plan(BenchOptions(listops_batches=0)))
    for name in ENCODERS:
        for mode in ("inference", "training"):
            longest = max(job.length or 0 for job in jobs if (job.encoder, job.mode) == (name, mode))
            expected = 1_000 if not name.startswith("rir") else 100_000 if mode == "inference" else 4_000
            assert longest == expected
    compiled = {"fast", "torch", "naive"} if library.load() else {"fast", "naive"}
    reduced = {"bfloat16"} if library.multiplies_bfloat16() else set()
    assert {job.engine for job in jobs if job.encoder == "rir-ebt-grc"} == compiled | reduced
    without = plan(BenchOptions(listops_batches=0, pytorch=False, bfloat16=False))
    assert {job.engine for job in without if job.encoder == "rir-ebt-grc"} == {"fast", "naive"}
    assert {job.engine for job in jobs if job.encoder == "bbt-grc"} == {None}
    by_series: dict[tuple[str, str | None, str], list[int]] = {}
    for planned in jobs:
        by_series.setdefault((planned.encoder, planned.engine, planned.mode), []).append(planned.length or 0)
    assert all(of_one == sorted(of_one) for of_one in by_series.values())


def test_every_encoder_is_measured_one_by_one_in_the_published_ranges() -> None:
    jobs = [job for job in plan(BenchOptions(listops_batches=0)) if job.mode == ONE_BY_ONE]
    assert {job.encoder for job in jobs} == set(ENCODERS)
    for planned in jobs:
        shortest, longest = (int(text) for text in re.findall(r"\d+", planned.data.replace(",", "")))
        assert planned.batch == 1
        assert planned.sequences == 4
        assert all(shortest < length < longest for (length,) in planned.batches)
        assert planned.length == planned.tokens // 4
    assert [job.length for job in jobs if job.encoder == "grc"] == [225, 550, 950, 1750]
    assert not any(job.mode == ONE_BY_ONE for job in plan(BenchOptions(listops_batches=0, one_by_one=False)))


def test_the_naive_implementation_can_be_left_out() -> None:
    every = list(plan(BenchOptions(listops_batches=0)))
    assert list(plan(BenchOptions(listops_batches=0, naive=False))) == [job for job in every if job.engine != "naive"]


@given(batch=st.integers(1, 40), tokens=st.integers(1, 5_000), naive_batch=st.integers(1, 9))
def test_batches_keep_to_their_limits(batch: int, tokens: int, naive_batch: int) -> None:
    options = BenchOptions(
        batch=batch, tokens=tokens, naive_batch=naive_batch, listops_batches=0, lengths=(7, 300), one_by_one=False
    )
    for planned in plan(options):
        assert planned.batch <= (min(batch, naive_batch) if planned.engine == "naive" else batch)
        assert planned.tokens <= tokens or planned.batch == 1
        assert planned.sequences == planned.batch >= 1


def test_listops_takes_the_lengths_of_the_training_split(small_listops: None) -> None:
    options = replace(TINY, listops_batches=2, listops_batch=2, naive_batch=1)
    rows = {
        planned.engine: planned for planned in plan(options) if planned.data == LISTOPS and planned.mode == "training"
    }
    assert len(rows["fast"].batches) == len(rows["naive"].batches) == 2
    assert all(len(batch) == 2 for batch in rows["fast"].batches)
    assert all(len(batch) == 1 for batch in rows["naive"].batches)
    assert rows["fast"].batches[0] < rows["fast"].batches[1]


@given(
    of_examples=st.lists(st.integers(1, 90), min_size=1, max_size=60),
    batch=st.integers(1, 7),
    count=st.integers(1, 20),
)
def test_batches_are_spread_from_short_to_long(of_examples: list[int], batch: int, count: int) -> None:
    found = spread(np.array(of_examples), batch=batch, count=count)
    totals = [sum(lengths) for lengths in found]
    assert totals == sorted(totals)
    assert len(found) == min(count, math.ceil(len(of_examples) / batch))
    if count >= math.ceil(len(of_examples) / batch):
        assert sorted(length for lengths in found for length in lengths) == sorted(of_examples)


@given(batch=st.lists(st.integers(1, 9), min_size=1, max_size=9), count=st.integers(1, 12))
def test_a_thinned_batch_keeps_its_middle(batch: list[int], count: int) -> None:
    found = thinned(tuple(batch), count)
    assert len(found) == min(count, len(batch))
    assert list(found) == sorted(found)
    if count == 1:
        assert found == (sorted(batch)[len(batch) // 2],)


def test_options_go_to_the_encoders_that_have_them() -> None:
    options = BenchOptions(dim=16, beam_size=3, arity=4, partial=0.5)
    assert options.of_encoder("rir-ebt-grc", "fast")["partial"] == 0.5
    for name in ENCODERS:
        for engine in engines(name):
            assert build(name, **options.of_encoder(name, engine)).dim == 16
    assert lengths(replace(options, lengths=(9, 3, 9)), "grc", "training") == [3, 9]


# --- what is read off


def of_cells(name: str, sequences: list[int], *, training: bool, engine: str | None = None) -> CellArithmetic:
    torch.manual_seed(0)
    options = BenchOptions(dim=4, beam_size=3, arity=3, dropout=0.0).of_encoder(name, engine)
    model = Classifier(build(name, **options), vocabulary_size=9, classes=2).train(training)
    tokens = torch.randint(1, 9, (len(sequences), max(sequences)))
    with CellArithmetic(model) as counted:
        logits = model(tokens, torch.tensor(sequences))
        counted.turn_back(True)
        logits.sum().backward()
    return counted


@pytest.mark.parametrize(("name", "evaluations"), [("grc", 12), ("bbt-grc", 9)])
def test_cell_evaluations_are_counted(name: str, evaluations: int) -> None:
    counted = of_cells(name, [4, 4, 4], training=False)
    assert counted.evaluations == evaluations
    forwards = evaluations * 48 * 4**2  # 24 D^2 multiply-adds
    assert counted.operations == 3 * forwards  # a product gives a gradient of its input and one of its weight


def test_only_what_is_inside_is_counted() -> None:
    counted = of_cells("ebt-grc", [7, 5, 2], training=True)
    evaluations, operations = counted.evaluations, counted.operations
    of_cells("ebt-grc", [9, 9], training=True)
    assert (counted.evaluations, counted.operations) == (evaluations, operations)


@pytest.mark.parametrize("name", ["ebt-grc", "rir-ebt-grc"])
def test_both_engines_count_the_same_cells(name: str) -> None:
    *engines, naive = (of_cells(name, [7, 5, 2], training=False, engine=engine) for engine in ENGINES)
    for engine in engines:
        assert engine.evaluations == naive.evaluations
        assert engine.operations <= naive.operations  # the replay leaves out what was dropped


def test_the_matrix_rate_is_a_rate() -> None:
    assert 0 < matrix_rate(CPU, seconds=0.001) < 1e16


@pytest.mark.skipif(resident(0) is None and not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_is_that_of_the_time_between() -> None:
    before = torch.zeros(12_000_000)  # 48 MB that are gone when it starts
    del before
    memory = PeakMemory(CPU)
    held = torch.zeros(8_000_000).add_(1)
    del held
    peak = memory.over_base()
    assert peak is not None
    assert 28e6 < peak < 45e6


# --- measuring in a process of its own


def test_a_measurement_comes_back_from_its_process() -> None:
    found = measure_in_child_process(job(), TINY, CPU)
    assert found.passes >= 1
    assert found.seconds > 0
    assert found.matrix_rate > 0
    assert found.cell_evaluations >= 2 * 3
    assert found.cell_operations > 0


def test_too_much_memory_ends_a_measurement() -> None:
    with pytest.raises(OverBudget, match=r"over 1e-05 GB"):
        measure_in_child_process(job(200), replace(TINY, memory=1e-5, least=30.0), CPU)


def test_too_much_time_ends_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "ALLOWANCE", -60.0)
    with pytest.raises(OverBudget, match=r"over 1 s per pass"):
        measure_in_child_process(job(), replace(TINY, seconds=1.0, least=30.0), CPU)


def test_a_failure_in_the_process_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)^nothing-grc.* failed:.*KeyError"):
        measure_in_child_process(job(encoder="nothing-grc"), TINY, CPU)


# --- what is foreseen


def rows_of(times: Callable[[Job], Measurement | OverBudget], jobs: list[Job], **options: float) -> list[Row]:
    def measure(job: Job, *_: object) -> Measurement:
        found = times(job)
        if isinstance(found, OverBudget):
            raise found
        return found

    return list(run(jobs, replace(TINY, **options), CPU, measure=measure))


def quadratic(job: Job) -> Measurement:
    assert job.length is not None
    return measured(job.sequences * job.length**2 * 1e-4, job.sequences * job.length**2 * 100)


def test_what_would_take_too_long_is_skipped() -> None:
    rows = rows_of(quadratic, [job(length) for length in (10, 100, 300, 1_000, 2_000)], seconds=20.0)
    assert [row.measured is not None for row in rows] == [True, True, True, False, False]
    assert rows[3].skipped == "would take about 200 s per pass"
    assert rows[4].skipped == "1000 tokens exceeded the limits"


def test_what_would_take_too_much_memory_is_skipped() -> None:
    rows = rows_of(quadratic, [job(length) for length in (100, 1_000, 10_000)], seconds=1e9, memory=1.0)
    assert [row.skipped for row in rows] == [None, None, "would take about 20 GB"]


def test_what_went_over_its_budget_is_not_tried_again_at_a_greater_length() -> None:
    rows = rows_of(lambda _: OverBudget("over 6 GB"), [job(10), job(20), job(10, mode="inference"), job(None)])
    assert [row.skipped for row in rows] == ["over 6 GB", "10 tokens exceeded the limits", "over 6 GB", "over 6 GB"]


# --- what is shown


@given(power=st.floats(-1, 3), scale=st.floats(1e-6, 1e3))
def test_growth_is_the_slope_on_logarithmic_axes(power: float, scale: float) -> None:
    assert growth([(x, scale * x**power) for x in (3, 20, 500)]) == pytest.approx(power, abs=1e-6)


def test_exponents_come_from_long_inputs_where_there_are_some() -> None:
    rows = rows_of(quadratic, [job(length) for length in (10, 100, 200, 1_000)], seconds=1e9)
    rows[0] = replace(rows[0], measured=measured(1e6))
    (found,) = exponents(rows)
    assert found.time == pytest.approx(2)
    assert found.memory == pytest.approx(2)
    assert exponents(rows[:1]) == []


def test_rows_say_what_they_mean() -> None:
    row = Row(job(4, batch=2), measured(0.5, 2_000_000))
    assert row.sequences_per_second == 4
    assert row.memory_per_sequence == 1_000_000
    assert row.cells_per_token == 1
    assert row.matrix_share == pytest.approx(6_000 / 0.5 / 1e6)
    assert row.sequences_per_gflop == pytest.approx(4 / 1e-3)
    skipped = Row(job(), skipped="over 6 GB").as_dict()
    assert skipped["skipped"] == "over 6 GB"
    assert [skipped[key] for key in ("sequences_per_second", "peak_memory_bytes", "matrix_share")] == [None] * 3


def test_a_fast_row_knows_the_naive_one() -> None:
    rows = [Row(job(), measured(1)), Row(job(engine="naive", batch=1), measured(2)), Row(job(9), measured(1))]
    assert [speedup(row, rows) for row in rows] == [4, None, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0.00"),
        (0.01234, "0.0123"),
        (1.5, "1.50"),
        (23.0, "23.0"),
        (99.96, "100"),
        (12345.6, "12,346"),
    ],
    ids=str,
)
def test_figures_are_short(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_tables_show_measured_and_skipped_rows() -> None:
    rows = [
        Row(job(), measured(1, None)),
        Row(job(9), skipped="over 6 GB"),
        Row(job(None, engine="naive"), measured(2)),
    ]
    console = Console(width=200, record=True, quiet=False, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(table(rows))
    console.print(growth_table(exponents(rows_of(quadratic, [job(10), job(20)]))))
    text = console.export_text()
    console.file.close()
    assert "skipped" in text
    assert "n^2.00" in text
    assert LISTOPS in text


def test_engines_are_compared_in_columns() -> None:
    rows = [
        Row(job(engine="fast"), measured(0.5)),
        Row(job(engine="bfloat16"), measured(0.25)),
        Row(job(engine="naive"), measured(2)),
        Row(job(9, engine="fast"), measured(1)),
        Row(job(engine=None, encoder="grc"), measured(1)),
    ]
    shown = engines_table(rows)
    assert shown is not None
    assert [column.header for column in shown.columns[4:]] == ["naive", "fast", "bfloat16"]
    assert [list(column.cells) for column in shown.columns[4:]] == [["1.00"], ["4.00 (4.00)"], ["8.00 (8.00)"]]
    assert engines_table(rows[3:]) is None


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    rows = rows_of(quadratic, [job(length, engine=engine) for engine in ("fast", "naive") for length in (10, 100)])
    plot([*rows, Row(job(7), skipped="over 6 GB")], tmp_path / "bench.png", title="a machine")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["bench.png"]


# --- verification


def test_engines_that_agree_pass() -> None:
    options = replace(TINY, encoders=("ebt-grc", "bbt-grc", "rir-ebt-grc"), dropout=0.5)
    found = verify.verify(options, CPU)
    assert [(agreement.encoder, agreement.mode) for agreement in found] == [
        (name, mode) for name in ("ebt-grc", "rir-ebt-grc") for mode in ("inference", "training")
    ]
    assert all(agreement.holds for agreement in found)


@pytest.mark.parametrize(("output", "gradient"), [(1e-9, 0.0), (0.0, 1e-9), (math.nan, 0.0), (0.0, math.nan)])
def test_an_agreement_needs_both(output: float, gradient: float) -> None:
    assert verify.Agreement("ebt-grc", "training", 1e-11, 1e-11).holds
    assert not verify.Agreement("ebt-grc", "training", output, gradient).holds


def test_a_fast_path_that_disagrees_fails(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "load", lambda: None)
    right = FusedPairScoring.logits
    monkeypatch.setattr(FusedPairScoring, "logits", lambda *arguments: right(*arguments) * (1 + 1e-6))
    monkeypatch.setattr("nestree.cli.bench.run", lambda *_: pytest.fail("nothing is to be measured"))
    assert main(["bench", "--quick", "--encoders", "ebt-grc", "--dim", "8", "--json", str(tmp_path / "b.json")]) == 1
    shown = capsys.readouterr()
    assert "DISAGREES" in shown.err
    assert shown.out == ""
    assert not list(tmp_path.iterdir())


# --- the command


def test_a_quick_run(small_listops: None, tmp_path: Path, capsys) -> None:
    arguments = "--quick --encoders ebt-grc grc --lengths 4 6 --dim 8 --batch 3 --least 0.01 --listops_batch 2"
    files = ["--json", str(tmp_path / "bench.json"), "--plot", str(tmp_path / "bench.png")]
    assert main(["bench", *arguments.split(), *files]) == 0
    shown = capsys.readouterr()
    for text in ("device", "threads 1", "torch", "commit", "sequences/s", "growth"):
        assert text in shown.out
    assert "agrees with" in shown.err
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["format"] == "nestree-bench-1"
    assert report["threads"] == 1
    assert {"python", "nestree", "torch"} <= report["versions"].keys()
    assert {"device", "commit", "platform", "options", "exponents"} <= report.keys()
    assert all(agreement["holds"] for agreement in report["verification"])
    found = {(row["encoder"], row["engine"], row["mode"], row["data"]) for row in report["rows"]}
    compiled = [("ebt-grc", "torch")] if library.load() is not None else []
    compiled += [("ebt-grc", "bfloat16")] if library.multiplies_bfloat16() else []
    series = [("ebt-grc", "fast"), *compiled, ("ebt-grc", "naive"), ("grc", None)]
    inputs = ["4 tokens", "6 tokens", LISTOPS]
    assert found == {(*one, mode, data) for one in series for mode in ("inference", "training") for data in inputs}
    for row in report["rows"]:
        assert row["skipped"] is None
        assert row["sequences_per_second"] > 0
        assert row["cell_evaluations_per_token"] > 0
        assert 0 < row["matrix_share"] < (4 if row["engine"] == "bfloat16" else 1)  # of the float32 rate
        assert row["sequences_per_gflop"] > 0
        assert (row["speedup"] is not None) == (row["engine"] not in ("naive", None))
    assert (tmp_path / "bench.png").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.glob("bench*")) == ["bench.json", "bench.png"]


def test_what_is_measured_before_ctrl_c_is_kept(
    small_listops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(jobs: Iterable[Job], *_: object) -> Iterator[Row]:
        yield Row(next(iter(jobs)), skipped="for the test")
        raise KeyboardInterrupt

    monkeypatch.setattr("nestree.cli.bench.run", stopped)
    (tmp_path / "b.json").write_text("an older one")
    command = "bench --quick --encoders grc --lengths 4 --dim 8 --listops_batch 2 --json"
    assert main([*command.split(), str(tmp_path / "b.json")]) == 130
    assert (tmp_path / "b.json").read_text() == "an older one"
    (row,) = json.loads((tmp_path / "b.json.part").read_text())["rows"]
    assert row["skipped"] == "for the test"


def test_options_of_version_0_1_are_still_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []

    def stop(options: BenchOptions) -> None:
        planned.append((options.naive, options.naive_batch, options.naive_tokens))
        raise KeyboardInterrupt

    monkeypatch.setattr("nestree.cli.bench.verify", lambda *_: [])
    monkeypatch.setattr("nestree.cli.bench.plan", stop)
    for naive in ("twin", "naive"):
        flag = "--twins=false" if naive == "twin" else "--naive=false"
        assert main(["bench", flag, f"--{naive}_batch", "3", f"--{naive}_tokens=9"]) == 130
    assert planned == [(False, 3, 9)] * 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--encoders", "ebt"], "encoders"),
        (["--lengths", "0"], "lengths"),
        (["--lengths", "many"], "lengths"),
        (["--dim", "0"], "dim"),
        (["--partial", "0.7"], "partial"),
        (["--threads", "0"], "threads"),
        (["--seconds", "-1"], "seconds"),
        (["--device", "tpu"], "device"),
        (["--json", "no/such/folder/bench.json"], "json"),
        (["--plot", "."], "plot"),
        (["--sizes", "3"], "sizes"),
        (["something"], "something"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(arguments: list[str], named: str, capsys) -> None:
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert named in error
    assert error.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_told(capsys) -> None:
    assert main(["bench", "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
