"""Curricula: what is drawn, when a stage is left, resuming anywhere, and that results say so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from nestree.config.config import read_config
from nestree.data import RaggedExamples
from nestree.errors import UserError
from nestree.recursions import BeamTree
from nestree.recursions.base import Folded
from nestree.runs import Run
from nestree.runs.history import read_history, series
from nestree.tasks.listops import ListOps, depth, root_operator
from nestree.tasks.listops.curriculum import ListOpsStage
from nestree.tasks.logic.curriculum import LogicStage
from nestree.tasks.stages import Stage
from nestree.training import Config
from nestree.training.callbacks import Interrupted
from nestree.training.curriculum import ATTEMPTS, Curriculum, Limits, Spent
from nestree.training.fit import Training
from nestree.training.stream import POOL, TrainingStream
from support.training import after_step, assert_same, config, digits, everything, training

SUMS = {"operators": {"SM": 1}, "depth": 1, "shortest": 4, "longest_tokens": 7}
STAGES: list[dict[str, Any]] = [
    {"name": "sums", "mark": 1.0, "longest": 0.1, "otherwise": "again", "rate": 0.5, **SUMS},
    {"name": "mixed", "mark": 0.0, "batch": 12, "longest_tokens": 30, "also": {"sums": 0.25, "train": 0.5}},
    {"name": "train"},
]
"""Of 40 steps each of five attempts at the sums has 4; the second stage is left as soon as there is an accuracy."""
COURSE = [
    *[("sums", 4 * attempt, "again") for attempt in range(1, ATTEMPTS)],
    ("sums", 20, "time"),
    ("mixed", 23, "mark"),
]
"""When the stages are left."""


@pytest.fixture(autouse=True)
def _window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the accuracy over few batches."""
    monkeypatch.setattr("nestree.training.curriculum.WINDOW", 3)


def with_stages(stages: object = STAGES, **sections: dict[str, Any]) -> Config:
    """A configuration of 40 steps with a curriculum."""
    trainer = {"max_steps": 40, "validate_every": 10, "checkpoint_every": 5} | sections.pop("trainer", {})
    return config(**sections, data={"curriculum": stages}, trainer=trainer)


def course(run: Run) -> list[tuple[str, int, str]]:
    """When the stages of a run were left."""
    return [(left["stage"], left["step"], left["how"]) for left in run.about()["curriculum"]]


@pytest.mark.parametrize(
    ("step", "name"),
    [(2, "radam"), (4, "radam"), (4, "adamw"), (6, "muon"), (21, "adamw"), (23, "radam"), (30, "radam")],
)
def test_a_run_is_resumed_exactly_in_every_stage_and_where_one_ends(tmp_path: Path, step: int, name: str) -> None:
    made = with_stages(optimizer={"name": name, "schedule": "wsd", "warmup_steps": 3})
    whole = training(tmp_path / "whole", made)
    whole.fit()
    assert course(whole.run) == COURSE
    stopped = training(tmp_path / "stopped", made)
    after_step(stopped, step, lambda: setattr(stopped.keeper, "interrupted", True))
    with pytest.raises(Interrupted):
        stopped.fit()
    assert stopped.stream.position == step
    torch.rand(7)  # what another process would have drawn
    resumed = training(tmp_path / "stopped", made)
    resumed.fit()
    assert course(resumed.run) == COURSE
    states = [everything(one) for one in (whole, resumed)]
    for state in states:
        forget_times(state)
    assert_same(*states)


def forget_times(state: Any) -> None:
    """Leave out of a checkpoint's parts when stages were left, by the clock."""
    if isinstance(state, dict):
        state.pop("minutes", None)
        if "began" in state:
            state["began"] = state["began"][:2]
        state = list(state.values())
    for part in state if isinstance(state, list) else ():
        forget_times(part)


def test_weights_that_begin_anew_are_others_and_the_optimizer_knows_nothing_of_the_old_ones(tmp_path: Path) -> None:
    made = with_stages(optimizer={"schedule": "wsd", "warmup_steps": 3, "stable": 0.9})
    trained = training(tmp_path / "run", made)
    begun = {name: value.clone() for name, value in trained.module.model.state_dict().items()}
    found: dict[str, Any] = {}

    def look() -> None:
        (optimizer,) = trained.trainer.optimizers
        found["states"] = [len(optimizer.optimizer.state), {group["counter"] for group in optimizer.param_groups}]  # pyright: ignore[reportAttributeAccessIssue]
        found["weights"] = {name: value.clone() for name, value in trained.module.model.state_dict().items()}
        slow = [
            optimizer.state[weight]["slow_params"] for group in optimizer.param_groups for weight in group["params"]
        ]
        assert_same(slow, [weight.detach() for group in optimizer.param_groups for weight in group["params"]])

    after_step(trained, 4, look)
    trained.fit()
    assert found["states"] == [0, {0}]
    assert_same(found["weights"], dict(trained._fresh(1).state_dict()))
    assert not torch.equal(found["weights"]["embedding.weight"], begun["embedding.weight"])
    _, rates = series(read_history(trained.run), "learning_rate")
    warm = [1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3]
    assert rates[:20] == pytest.approx([rate / 2 for rate in warm * ATTEMPTS])  # half the rate, as the stage says
    assert rates[20:22] == pytest.approx([1e-3, 1e-3])


def test_a_stage_searches_by_its_own_options_in_training_only(tmp_path: Path) -> None:
    stages = [{"name": "sums", "mark": 1.0, "longest": 0.2, "search": {"beam_size": 1, "noise": True}, **SUMS}]
    encoder = {"name": "ebt-grc", "beam_size": 3, "noise": False}
    trained = training(tmp_path / "run", with_stages([*stages, {"name": "train"}], encoder=encoder))
    tree = trained.module.model.encoder.inner
    assert isinstance(tree, BeamTree)
    seen: list[tuple[bool, int, bool]] = []
    original = tree.recurse

    def recurse(*arguments: Any, **options: Any) -> Folded:
        seen.append((tree.training, tree.search.beam_size, tree.search.noise))
        return original(*arguments, **options)

    tree.recurse = recurse  # type: ignore[method-assign]
    trained.fit()
    assert [course for course in seen if course[0]] == [(True, 1, True)] * 8 + [(True, 3, False)] * 32
    assert {course for course in seen if not course[0]} == {(False, 3, False)}


def test_encoders_without_a_search_pass_over_a_stages_options_of_it(tmp_path: Path) -> None:
    trained = training(tmp_path / "run", with_stages([STAGES[0] | {"search": {"beam_size": 1}}, STAGES[2]]))
    trained.fit()
    assert course(trained.run)[0] == ("sums", 4, "again")


COUNTING = """
import nestree.training.curriculum
nestree.training.curriculum.WINDOW = 3
count = nestree.training.curriculum.Curriculum.count
def agreed(self, *figures):
    if not self.running:
        return count(self, *figures)
    everyone = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, figures)
    assert everyone == [figures] * len(everyone), everyone
    left = count(self, *figures)
    torch.distributed.all_gather_object(everyone, (left, self.state_dict()))
    assert everyone == everyone[:1] * len(everyone), everyone
    return left
nestree.training.curriculum.Curriculum.count = agreed
"""
SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
{counting}
from support.training import config, training
training(Path(sys.argv[1]), config(**{sections})).fit()
"""


def test_two_processes_decide_together(tmp_path: Path) -> None:
    script, made = tmp_path / "script.py", with_stages(trainer={"devices": 2, "accelerator": "cpu"})
    values = made.as_dict()
    sections = {name: values[name] for name in ("data", "trainer")}
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1]), counting=COUNTING, sections=sections))
    done = subprocess.run([sys.executable, script, tmp_path / "run"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(left["stage"], left["step"], left["how"]) for left in about["curriculum"]] == COURSE
    assert about["sequences"] == 20 * 8 + 3 * 12 + 2 * 60 + 8  # two epochs and a batch


def stages(*values: dict[str, Any]) -> tuple[ListOpsStage, ...]:
    return tuple(ListOpsStage(**value) for value in (*values, {"name": "train"}))


def test_a_stage_is_left_when_its_last_batches_are_right_often_enough() -> None:
    curriculum = Curriculum(stages({"name": "sums", "mark": 0.5}), Limits(steps=1000))
    for step, correct in enumerate((10, 10, 0, 0, 4), start=1):
        curriculum.count(correct, 10, Spent(step))
        assert curriculum.running == (step < 3)  # then 20 of 30 are right
    left = curriculum.left[0]
    assert (left.stage, left.step, left.accuracy, left.how) == ("sums", 3, pytest.approx(2 / 3), "mark")


def test_the_accuracy_is_that_of_the_last_batches_by_examples() -> None:
    curriculum = Curriculum(stages({"name": "sums", "mark": 0.9, "longest": 1.0}), Limits(steps=1000))
    for step, (correct, examples) in enumerate([(0, 50), (10, 10), (20, 20), (9, 10)], start=1):
        assert curriculum.running
        curriculum.count(correct, examples, Spent(step))
    assert curriculum.left[0].accuracy == pytest.approx(39 / 40)


@pytest.mark.parametrize(
    ("limits", "spent", "over"),
    [
        (Limits(steps=100), Spent(9, 10_000, 100.0), False),
        (Limits(steps=100), Spent(10), True),
        (Limits(minutes=10.0), Spent(10_000, 0, 0.99), False),
        (Limits(minutes=10.0), Spent(0, 0, 1.0), True),
        (Limits(steps=1000, minutes=10.0), Spent(9, 0, 1.0), True),
        (Limits(steps=100, minutes=10.0), Spent(10, 0, 0.5), True),
        (Limits(sequences=1000), Spent(0, 100), True),
    ],
)
def test_a_stage_is_left_after_its_share_of_the_limit(limits: Limits, spent: Spent, over: bool) -> None:
    curriculum = Curriculum(stages({"name": "sums", "mark": 1.0}, {"name": "more", "mark": 1.0}), limits)
    first = curriculum.count(0, 8, spent)
    assert (first is not None) == over
    if first is not None:
        assert first.how == "time"
        assert curriculum.count(0, 8, spent) is None  # the next stage's time begins here
        assert curriculum.count(0, 8, Spent(*(2 * part for part in spent))) is not None


def examples_of(stage: ListOpsStage, count: int = 2_000) -> RaggedExamples:
    return stage.sampler(ListOps(), digits(5))(count, np.random.default_rng(0))


def operators_of(examples: RaggedExamples) -> Counter[str]:
    words = ListOps().words(examples.tokens)
    return Counter(word for word in words if word.startswith("["))


def test_a_stage_draws_what_it_says() -> None:
    flat = examples_of(ListOpsStage("flat", mark=1.0, **SUMS))
    assert set(operators_of(flat)) == {"[SM"}
    assert {depth(flat[row][0]) for row in range(len(flat))} == {1}
    assert sorted(set(flat.lengths.tolist())) == [4, 5, 6, 7]
    weighed = operators_of(examples_of(ListOpsStage("weighed", operators={"SM": 3, "MIN": 1, "MED": 2}, **SHORT)))
    shares = {name: count / weighed.total() for name, count in weighed.items()}
    assert shares == pytest.approx({"[SM": 1 / 2, "[MIN": 1 / 6, "[MED": 1 / 3}, abs=0.03)
    nested = examples_of(ListOpsStage("nested", max_args=3, operator_probability=0.4, **SHORT))
    assert max(depth(nested[row][0]) for row in range(len(nested))) == 3
    assert (nested.lengths.min(), nested.lengths.max()) == (7, 20)
    assert set(operators_of(nested)) == {"[MIN", "[MAX", "[MED", "[SM"}


SHORT = {"depth": 3, "shortest": 7, "longest_tokens": 20}


def test_a_stage_draws_nothing_that_is_held_out() -> None:
    task = ListOps()
    held = {tokens.tobytes() for split in ("validation", "near-iid") for tokens in rows(task.load(split))}
    stage = ListOpsStage("pairs", mark=1.0, depth=1, shortest=4, longest_tokens=4)
    drawn = examples_of(stage, 5_000)
    assert len(drawn) == 5_000
    found = {tokens.tobytes() for tokens in rows(drawn)}
    possible = {
        bytes([operator, 6 + left, 6 + right, 5])
        for operator in range(1, 5)
        for left in range(10)
        for right in range(10)
    }
    assert 10 < len(possible & held) < 100
    assert found == possible - held
    with pytest.raises(UserError, match=r"^data\.curriculum stage 'pairs': nearly all of its expressions are held out"):
        stage.sampler(HoldingAllOut(possible), digits(5))(10, np.random.default_rng(0))


class HoldingAllOut(ListOps):
    """A task whose validation split has certain expressions."""

    def __init__(self, held: set[bytes]) -> None:
        super().__init__()
        self.held = [np.frombuffer(tokens, np.uint8) for tokens in held]

    def load(self, split: str, **_: object) -> RaggedExamples:
        return RaggedExamples.from_sequences(self.held, [0] * len(self.held), name=split)


def rows(examples: RaggedExamples) -> list[np.ndarray]:
    return [examples[row][0] for row in range(len(examples))]


def test_lengths_are_uniform_where_that_is_asked_for() -> None:
    drawn = examples_of(ListOpsStage("long", shortest=1, longest_tokens=100, uniform_lengths=True), 20_000)
    counts = np.bincount(drawn.lengths, minlength=101)
    assert counts[[0, 2, 3]].tolist() == [0, 0, 0]  # no expression has two or three tokens
    assert counts[[1, *range(4, 101)]].min() > 0.6 * 20_000 / 98
    assert counts.max() < 1.4 * 20_000 / 98


def stream(made: list[dict[str, Any]], *, train: RaggedExamples, seed: int = 0) -> TrainingStream:
    curriculum = Curriculum(stages(*made), Limits(steps=10**6))
    samplers = [stage.sampler(ListOps(), train) for stage in curriculum.stages[:-1]]
    return TrainingStream(train, batch=8, window=5, seed=seed, curriculum=curriculum, samplers=samplers)


def test_a_stage_rehearses_others_and_the_training_split_in_exact_shares() -> None:
    train = digits(60)  # never more than 9 digits, without an operator
    also = {"sums": 0.25, "train": 0.5}
    made = [{"name": "sums", **SUMS}, {"name": "least", "operators": {"MIN": 1}, **SHORT, "also": also}]
    drawing = stream([{**stage, "mark": 1.0} for stage in made], train=train)
    drawing.curriculum.number = 1
    pool = RaggedExamples.concatenate([drawing.take() for _ in range(POOL)])
    kinds = Counter(root_operator(pool[row][0]) for row in range(len(pool)))
    assert kinds == {"[SM": 2 * POOL, "[MIN": 2 * POOL, "digit": 4 * POOL}
    batches = [drawing.take() for _ in range(20)]
    assert len({root_operator(batch[row][0]) for batch in batches for row in range(len(batch))}) == 3


def test_what_is_drawn_follows_from_seed_stage_attempt_and_position() -> None:
    def drawn(*, seed: int = 0, number: int = 0, attempt: int = 0, skipped: int = 0) -> str:
        made = [{"name": "one", "mark": 1.0, **SHORT}, {"name": "two", "mark": 1.0, **SHORT}]
        drawing = stream(made, train=digits(60), seed=seed)
        drawing.curriculum.number, drawing.curriculum.attempt = number, attempt
        drawing.position = skipped
        return RaggedExamples.concatenate([drawing.take() for _ in range(3)]).checksum

    assert drawn() == drawn()
    assert drawn(skipped=POOL - 1) == drawn(skipped=POOL - 1)
    others = [drawn(seed=1), drawn(number=1), drawn(attempt=1), drawn(skipped=1), drawn(skipped=POOL)]
    assert len({drawn(), *others}) == 6


def test_the_last_stage_is_the_training_split_from_its_first_epoch_on(tmp_path: Path) -> None:
    trained = training(tmp_path / "run", with_stages())
    seen: list[RaggedExamples] = []
    take = trained.stream.take
    trained.stream.take = lambda: seen.append(take()) or seen[-1]  # type: ignore[method-assign]
    facts = trained.fit()
    plain = TrainingStream(digits(60), batch=8, window=2, seed=3)
    assert [batch.checksum for batch in seen[23:]] == [plain.take().checksum for _ in range(17)]
    assert [len(batch) for batch in seen[:24]] == [*[8] * 20, *[12] * 3, 8]
    assert facts["epochs"] == round(17 / 8, 3)
    assert series(read_history(trained.run), "epoch")[1][:24] == pytest.approx([*[0.0] * 23, 1 / 8])


@pytest.mark.parametrize("sequences", [161, 190, 250])
def test_a_limit_of_sequences_holds_with_a_curriculum(tmp_path: Path, sequences: int) -> None:
    made = with_stages(trainer={"max_steps": None, "max_sequences": sequences})
    trained = training(tmp_path / "run", made)
    facts = trained.fit()
    assert facts["sequences"] == sequences
    assert facts["why"] == f"reached {sequences} sequences"
    again = training(tmp_path / "run", made)
    again.fit()
    assert again.was_over


def test_epochs_limit_steps_those_of_the_stages_too(tmp_path: Path) -> None:
    facts = training(tmp_path / "run", with_stages(trainer={"max_steps": None, "max_epochs": 5})).fit()
    assert (facts["steps"], facts["epochs"]) == (40, round(17 / 8, 3))


def test_patience_and_plateaus_count_in_the_last_stage_only(tmp_path: Path) -> None:
    optimizer = {"learning_rate": 1e-12, "plateau_patience": 2}
    made = with_stages(optimizer=optimizer, trainer={"validate_every": 1, "patience": 3, "max_steps": 40})
    trained = training(tmp_path / "run", made)
    facts = trained.fit()
    assert facts["steps"] == 22 + 1 + 4  # the validation after step 23 is of the last stage, too
    assert facts["why"] == "4 validations without a better accuracy"
    assert trained.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25e-12)


def test_the_console_and_the_bar_name_the_stage(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=200)
    made = with_stages()
    run = Run(tmp_path / "run").begin(made, command="test")
    trained = Training(run, made, made.data.open(), digits(60), digits(20, seed=1), console=console)
    assert trained.progress._where() == "step 0, stage 1 of 3, sums"
    trained.fit()
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    said = [line for line in lines if "sums: starts again" in line]
    assert said[0].startswith("step      4  stage 1 of 3, sums: starts again (attempt 2), out of time; accuracy 0.")
    assert any("stage 1 of 3, sums: ended, out of time" in line for line in lines)
    assert any("stage 2 of 3, mixed: ended, reached its mark 0.0; accuracy" in line for line in lines)
    assert any(line.startswith("step     10  stage 1 of 3, sums  loss") for line in lines)
    assert any(line.startswith("step     40  stage 3 of 3, train  epoch   2.12  loss") for line in lines)


def test_without_a_curriculum_nothing_is_counted(tmp_path: Path) -> None:
    made = config(trainer={"max_steps": 3})
    trained = training(tmp_path / "run", made)
    assert trained.config.data.curriculum == "none"
    assert str(trained.curriculum) == ""
    assert trained.fit()["curriculum"] == []
    assert trained.run.protocol == "generated"


def test_a_checkpoint_from_before_there_were_curricula_is_gone_on_with() -> None:
    old, new = (TrainingStream(digits(60), batch=8, window=2, seed=3, sequences=100) for _ in range(2))
    taken = [old.take() for _ in range(9)]
    new.load_state_dict({"position": 9})
    assert new.sequences == sum(map(len, taken)) == 68
    assert new.take().checksum == old.take().checksum


def test_a_name_is_settled_into_the_stages_and_the_configuration_survives_being_written(tmp_path: Path) -> None:
    made = with_stages("sums-first")
    assert made.data.curriculum == "sums-first"
    trained = training(tmp_path / "run", made)
    settled = trained.config
    assert isinstance(settled.data.curriculum, dict)
    assert settled.data.curriculum["name"] == "sums-first"
    assert settled.data.stages == made.data.stages
    trained.run.write_config(settled)
    assert Run(tmp_path / "run").config == settled
    assert read_config(settled.as_dict(), source="again").data.settled() == settled.data
    own = with_stages().data.settled()
    assert isinstance(own.curriculum, dict)
    assert own.curriculum["name"] == "own"


@pytest.mark.parametrize(
    ("curriculum", "message"),
    [
        ("sums", "curriculum must be one of none, sums-first, not 'sums'"),
        (3, "curriculum must be text, not '3'"),
        ([], "curriculum must be one of none, sums-first, a list of stages, or their name and stages"),
        ({"name": "x"}, "curriculum must be one of none, sums-first, a list of stages, or their name and stages"),
        ({"name": "none", "stages": STAGES}, "curriculum must have another name than 'none'"),
        ([{"mark": 1.0}], "curriculum stage 1 must be a mapping with a name"),
        ([{"name": "flat", "mrk": 1.0}], "curriculum stage 'flat': there is no option 'mrk'; did you mean mark?"),
        ([{"name": "flat", "mark": 2}], "curriculum stage 'flat': mark must be a number from 0 to 1, not 2"),
        ([{"name": "flat"}, {"name": "train"}], "stage 'flat': mark must be set in all stages but the last"),
        ([{"name": "train", "mark": 0.5}], "stage 'train': mark must be left out in the last stage"),
        ([{"name": "train", "depth": 2}], "stage 'train': also and depth must be left out: the last stage draws the"),
        ([STAGES[1] | {"also": {}}, STAGES[1] | {"also": {}}, STAGES[2]], "stage 'mixed': its name must differ from"),
        ([{"name": "train", "mark": 0.5}, {"name": "end"}], "stage 'train': only the last stage may be called train"),
        ([STAGES[0] | {"longest": 0}, STAGES[2]], "stage 'sums': longest must be above 0"),
        ([STAGES[0] | {"otherwise": "stop"}, STAGES[2]], "stage 'sums': otherwise must be one of next, again"),
        ([STAGES[1] | {"also": {}}, STAGES[0], STAGES[2]], "stage 'sums': otherwise can be again only in the"),
        ([STAGES[0] | {"rate": 0}, STAGES[2]], "stage 'sums': rate must be a number above 0, not 0"),
        ([STAGES[0] | {"batch": 0}, STAGES[2]], "stage 'sums': batch must be an integer of at least 1"),
        ([STAGES[0] | {"also": {"summs": 0.1}}, STAGES[2]], "stage 'sums': there is no other stage 'summs'"),
        ([STAGES[0] | {"also": {"sums": 0.1}}, STAGES[2]], "stage 'sums': there is no other stage 'sums'"),
        ([STAGES[0], STAGES[1] | {"also": {"sums": 0.6, "train": 0.5}}, STAGES[2]], "also must be shares that add up"),
        ([STAGES[0] | {"search": "greedy"}, STAGES[2]], "stage 'sums': search must be options of a beam tree's search"),
        ([STAGES[0] | {"search": {"beams": 1}}, STAGES[2]], "'sums': search must be of beam_size, engine, merge"),
        ([STAGES[0] | {"search": {"beam_size": 0}}, STAGES[2]], "'sums': search.beam_size must be an integer of at"),
        ([STAGES[0] | {"operators": {"ADD": 1}}, STAGES[2]], "stage 'sums': operators must be of MIN, MAX, MED, SM"),
        ([STAGES[0] | {"operators": {"SM": -1}}, STAGES[2]], "stage 'sums': operators SM must be a number of"),
        ([STAGES[0] | {"operators": {"SM": 0}}, STAGES[2]], "stage 'sums': operators must have a weight above 0"),
        ([STAGES[0] | {"depth": 20}, STAGES[2]], "stage 'sums': depth must be at most 19, as in the training split"),
        ([STAGES[0] | {"max_args": 6}, STAGES[2]], "stage 'sums': max_args must be at most 5, as in"),
        ([STAGES[0] | {"longest_tokens": 101}, STAGES[2]], "stage 'sums': longest_tokens must be at most 100"),
        ([STAGES[0] | {"longest_tokens": 3}, STAGES[2]], "stage 'sums': longest_tokens must be an integer of at"),
        ([STAGES[0] | {"shortest": 2, "longest_tokens": 3}, STAGES[2]], "stage 'sums': shortest must allow an"),
        ([STAGES[0] | {"operator_probability": 1.0}, STAGES[2]], "stage 'sums': operator_probability must be between"),
    ],
)  # fmt: skip
def test_a_wrong_curriculum_is_one_line_that_names_option_and_stage(curriculum: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        with_stages(curriculum)
    assert "data.curriculum" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_tasks_know_none_but_take_stages_of_the_training_split() -> None:
    values = {"recipe": "r", "encoder": {"name": "grc"}}
    with pytest.raises(UserError, match=r"data\.curriculum must be one of none, not 'sums-first'"):
        read_config({**values, "data": {"task": "listops-lra", "curriculum": "sums-first"}}, source="x")
    warm = [{"name": "slow", "mark": 0.5, "rate": 0.1}, {"name": "train"}]
    made = read_config({**values, "data": {"task": "sst2", "curriculum": warm}}, source="x")
    assert made.data.stages[0] == Stage("slow", mark=0.5, rate=0.1)


def test_logic_begins_with_few_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    made = read_config(
        {"recipe": "r", "encoder": {"name": "grc"}, "data": {"task": "logic", "curriculum": "by-operators"}}, source="x"
    )
    task = made.data.open()
    texts = [("a", "( not a )"), ("( not ( not a ) )", "b"), ("( a ( or b ) )", "( not ( a ( or ( not b ) ) ) )")]
    sequences = [side for pair in texts for side in task.encode(*pair)]
    train = RaggedExamples.from_sequences(sequences, [0, 1, 2], name="logic", sides=2)
    stage = made.data.stages[0]
    assert isinstance(stage, LogicStage)
    assert stage.operators == 2
    drawn = stage.sampler(task, train)(100, np.random.default_rng(0))
    assert Counter(drawn.labels.tolist()).keys() == {0, 1}
    with pytest.raises(UserError, match=r"^data\.curriculum stage 'none': no training pair has at most 0 operators"):
        LogicStage("none", mark=0.5, operators=0).sampler(task, train.select([1, 2]))


def test_each_device_needs_an_example_of_every_batch_of_every_stage(tmp_path: Path) -> None:
    made = with_stages([STAGES[0] | {"batch": 1}, STAGES[2]], trainer={"devices": 2, "accelerator": "cpu"})
    with pytest.raises(UserError, match=r"each of 2 devices needs an example from each batch: .* in batches of 1"):
        training(tmp_path / "run", made)


def test_a_run_that_begins_with_one_that_had_a_curriculum_is_labelled_too(tmp_path: Path) -> None:
    first = training(tmp_path / "first", with_stages())
    facts = first.fit()
    assert facts["protocol"] == first.run.protocol == "generated, curriculum own"
    second = Run(tmp_path / "second").begin(config(), command="test")
    second.note(start=first.run.about())
    assert second.protocol == "generated, curriculum own"
    third = Run(tmp_path / "third").begin(with_stages("sums-first"), command="test")
    third.note(start={"protocol": second.protocol})
    assert third.protocol == "generated, curriculum own, curriculum sums-first"


def test_the_documentation_s_curriculum_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (shown,) = [part.partition("```")[0] for part in text.split("```yaml\n") if part.startswith("data:")]
    made = config(data={"curriculum": yaml.safe_load(shown)["data"]["curriculum"]})
    assert made.data.plan is not None
    assert [stage.name for stage in made.data.stages] == ["sums", "nested", "train"]
    assert made.data.stages[1].also == {"sums": 0.25}


def test_stages_are_plain_values() -> None:
    made = with_stages().data
    assert made.plan is not None
    assert made.plan.as_dict()["stages"][0] == {**asdict(made.stages[0])}
