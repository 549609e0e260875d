"""Whole trainings: exact resumption, limits, early stop, a loss that is not finite, two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nestree.errors import UserError
from nestree.runs import Run, load
from nestree.runs.history import read_history, series
from nestree.training.callbacks import Interrupted, InterruptedAtOnce, random_states, restore_random_states
from nestree.training.fit import Training
from nestree.training.module import NotFinite
from support.training import after_step, assert_same, config, everything, saved_run, training


def test_a_training_begins_with_the_best_weights_of_another_run(tmp_path: Path) -> None:
    first = training(tmp_path / "first")
    first.fit()
    made = config(trainer={"start": str(tmp_path / "first"), "max_steps": 2, "checkpoint_every": 1})
    second = training(tmp_path / "second", made)
    assert_same(dict(second.module.model.state_dict()), load_file(first.run.weights))
    second.fit()
    resumed = training(tmp_path / "second", made)  # the checkpoint counts, not the start
    (tmp_path / "first" / "weights.safetensors").unlink()
    resumed.fit()
    assert_same(load_file(resumed.run.weights), load_file(second.run.weights))


@pytest.mark.parametrize(
    ("start", "message"), [("nowhere", "nowhere is not a run folder"), ("other", r"embedding\.weight is \(16, 4\)")]
)
def test_a_training_cannot_begin_with_what_does_not_fit(tmp_path: Path, start: str, message: str) -> None:
    saved_run(tmp_path / "other", encoder={"dim": 4})
    with pytest.raises(UserError, match=rf"^trainer\.start cannot be used: .*{message}"):
        training(tmp_path / "run", config(trainer={"start": str(tmp_path / start)}))


def test_a_trained_encoder_is_given_an_s4d_layer(tmp_path: Path) -> None:
    saved_run(tmp_path / "first", encoder={"name": "ebt-grc", "dim": 8})
    with_layer = {"name": "rir-ebt-grc", "dim": 8, "beam_size": 5, "s4d_zero_init": True}
    second = training(tmp_path / "second", config(encoder=with_layer, trainer={"start": str(tmp_path / "first")}))
    model, first = second.module.model.eval(), load(tmp_path / "first").eval()
    tokens, lengths = torch.tensor([[13, 1, 2, 12, 15]]), torch.tensor([5])
    assert_same(model(tokens, lengths), first(tokens, lengths))
    saved_run(tmp_path / "with", encoder=with_layer)
    without = config(encoder={**with_layer, "s4d": False}, trainer={"start": str(tmp_path / "with")})
    with pytest.raises(UserError, match=r"encoder\.context\.\S+ is \(.*\), should be missing"):
        training(tmp_path / "third", without)


def test_where_nothing_is_long_enough_to_be_cut_an_outer_tree_trains_as_a_beam_tree(tmp_path: Path) -> None:
    """The models that ship are said to have been trained so."""
    encoders = {"ebt-grc": {}, "rir-ebt-grc": {"s4d": False, "arity": 100, "partial": 0.5}}
    weights = []
    for name, options in encoders.items():
        made = config(encoder={"name": name, "dim": 8, "beam_size": 3, **options}, trainer={"max_steps": 6})
        trained = training(tmp_path / name, made)
        trained.fit()
        weights.append(load_file(trained.run.weights))
    assert_same(*weights, "weights")


VALIDATIONS = {"accuracy": [0.25, 0.5, 0.375, 0.375, 0.375, 0.375], "loss": [2.0, 1.0, 0.5, 0.75, 0.75, 0.75]}
"""What the validations of a training find: accuracy is best at the second, loss at the third."""


@pytest.mark.parametrize(("select", "best", "stops"), [("accuracy", 2, 4), ("loss", 3, 5), ("last", 4, 4)])
def test_best_weights_patience_and_plateau_go_by_what_is_selected(
    tmp_path: Path, select: str, best: int, stops: int
) -> None:
    made = config(trainer={"select": select, "validate_every": 1, "patience": 1}, optimizer={"plateau_patience": 2})
    trained = training(tmp_path / "run", made)
    for name, values in VALIDATIONS.items():
        found = iter(torch.tensor(values))
        getattr(trained.module, {"accuracy": "measure"}.get(name, name)).compute = lambda found=found: next(found)
    facts = trained.fit()
    assert (facts["best_step"], facts["steps"], facts["select"]) == (best, stops, select)
    assert (facts["validation_accuracy"], facts["validation_loss"]) == tuple(
        VALIDATIONS[name][best - 1] for name in ("accuracy", "loss")
    )
    assert facts["why"] == f"2 validations without a {'lower loss' if select == 'loss' else 'better accuracy'}"
    assert trained.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(5e-4)
    with safe_open(trained.run.weights, "pt") as file:
        assert json.loads(file.metadata()["about"])["step"] == best
    resumed = training(tmp_path / "run", made)
    assert_nothing_more(resumed, facts)


def assert_nothing_more(resumed: Training, facts: dict[str, Any]) -> None:
    """Resuming a complete training makes no step, whatever ``run.json`` says: a kill may have come before its note."""
    weights, checkpoint = resumed.run.weights.read_bytes(), resumed.run.checkpoint.read_bytes()
    resumed.run.note(state="training", steps=0)
    again = resumed.fit()
    measured = {"ended", "minutes", "peak_memory_bytes"}
    assert {**facts, **dict.fromkeys(measured)} == {**again, **dict.fromkeys(measured)}
    assert resumed.was_over
    assert (weights, checkpoint) == (resumed.run.weights.read_bytes(), resumed.run.checkpoint.read_bytes())


def test_a_limit_of_sequences_is_kept_exactly(tmp_path: Path) -> None:
    made = config(trainer={"max_steps": None, "max_sequences": 101})
    whole = training(tmp_path / "whole", made)
    facts = whole.fit()
    assert (facts["sequences"], facts["steps"], facts["why"]) == (101, 14, "reached 101 sequences")  # 60 + 41
    assert_nothing_more(training(tmp_path / "whole", made), facts)
    stopped = training(tmp_path / "stopped", made)
    after_step(stopped, 9, lambda: setattr(stopped.keeper, "interrupted", True))
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = training(tmp_path / "stopped", made)
    assert resumed.fit()["sequences"] == 101
    assert_same(everything(whole), everything(resumed))


@pytest.mark.parametrize("encoder", ["rir-ebt-grc", "s4d"])
def test_bfloat16_products_train_float32_weights(tmp_path: Path, encoder: str) -> None:
    made = config(encoder, trainer={"precision": "bf16-mixed", "max_steps": 4})
    mixed = training(tmp_path / "mixed", made)
    mixed.fit()
    full = training(tmp_path / "full", config(encoder, trainer={"max_steps": 4}))
    full.fit()
    weights, others = load_file(mixed.run.weights), load_file(full.run.weights)
    floating = {name: weight for name, weight in weights.items() if weight.is_floating_point()}
    assert {weight.dtype for weight in floating.values()} == {torch.float32}
    assert all(bool(weight.isfinite().all()) for weight in floating.values())
    assert any(not torch.equal(weight, others[name]) for name, weight in floating.items())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("precision", "right"), [("tf32", "32 or bf16-mixed without a GPU"), ("16", "one of 32,")])
def test_a_precision_that_is_not_there_is_refused(tmp_path: Path, precision: str, right: str) -> None:
    with pytest.raises(UserError, match=rf"precision must be {right}"):
        training(tmp_path / "run", config(trainer={"precision": precision}))


def test_a_training_that_fails_says_so_in_its_folder(tmp_path: Path) -> None:
    trained = training(tmp_path / "run")

    def fail() -> None:
        raise RuntimeError("out of\nsomething")

    after_step(trained, 3, fail)
    with pytest.raises(RuntimeError, match="out of"):
        trained.fit()
    about = trained.run.about()
    assert (about["state"], about["error"]) == ("failed", "RuntimeError: out of something")


def test_peak_memory_is_that_of_all_processes_and_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(trainer={"max_steps": 6})
    for held, known in ((100, 100), (70, 100), (150, 150)):
        monkeypatch.setattr("nestree.training.callbacks.peak_memory", lambda held=held: held)
        made = replace(made, trainer=replace(made.trainer, max_steps=(made.trainer.max_steps or 0) + 6))
        assert training(tmp_path / "run", made).fit()["peak_memory_bytes"] == known


@pytest.mark.parametrize("encoder", ["grc", "rir-ebt-grc"])
@pytest.mark.parametrize("step", [1, 6, 9], ids=["first", "validation", "second-epoch"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, encoder: str, step: int) -> None:
    options = {"encoder": {"beam_size": 2, "arity": 4}} if encoder == "rir-ebt-grc" else {}
    made = config(encoder, **options, trainer={"max_steps": 12})
    whole = training(tmp_path / "whole", made)
    whole.fit()
    stopped = training(tmp_path / "stopped", made)
    after_step(stopped, step, lambda: setattr(stopped.keeper, "interrupted", True))
    with pytest.raises(Interrupted):
        stopped.fit()
    assert stopped.stream.position == step
    torch.rand(7)  # what another process would have drawn
    resumed = training(tmp_path / "stopped", made)
    resumed.fit()
    assert_same(everything(whole), everything(resumed))


@pytest.mark.parametrize("name", ["radam", "adamw"])
@pytest.mark.parametrize("step", [2, 7], ids=["warm-up", "cosine"])
def test_a_resumed_run_keeps_to_its_schedule(tmp_path: Path, name: str, step: int) -> None:
    optimizer = {"name": name, "schedule": "cosine", "warmup_steps": 4, "total_steps": 12, "clip": None}
    made = config("s4d", encoder={"layers": 2}, optimizer=optimizer, trainer={"max_steps": 12, "patience": None})
    whole = training(tmp_path / "whole", made)
    whole.fit()
    stopped = training(tmp_path / "stopped", made)
    after_step(stopped, step, lambda: setattr(stopped.keeper, "interrupted", True))
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = training(tmp_path / "stopped", made)
    resumed.fit()
    assert_same(everything(whole), everything(resumed))
    _, rates = series(read_history(whole.run), "learning_rate")
    assert rates[:5] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3], rel=1e-6)
    assert rates[8] == pytest.approx(1e-6 + (1e-3 - 1e-6) / 2, rel=1e-6)  # half of the way down
    assert resumed.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-6)


def test_a_cosine_keeps_its_length_when_limits_rise(tmp_path: Path) -> None:
    made = config(optimizer={"schedule": "cosine"}, trainer={"max_steps": 6})
    short = training(tmp_path / "run", made)
    short.run.write_config(short.config)
    short.fit()
    kept = short.run.config
    assert kept.optimizer.total_steps == 6
    longer = training(tmp_path / "run", replace(kept, trainer=replace(kept.trainer, max_steps=12)))
    assert longer.steps == 12
    longer.fit()
    assert longer.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-6)


def test_a_second_interruption_stops_at_once_and_resumes_from_the_checkpoint_before(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole")
    whole.fit()
    stopped = training(tmp_path / "stopped")

    def interrupt_twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    after_step(stopped, 11, interrupt_twice)
    with pytest.raises(InterruptedAtOnce):
        stopped.fit()
    assert torch.load(stopped.run.checkpoint, weights_only=True)["global_step"] == 8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = training(tmp_path / "stopped")
    resumed.fit()
    assert_same(everything(whole), everything(resumed))


def test_limits_may_rise_and_the_run_goes_on(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole")
    whole.fit()
    short = training(tmp_path / "longer", config(trainer={"max_steps": 12}))
    short.fit()
    longer = training(tmp_path / "longer", config())
    longer.fit()
    assert not longer.was_over
    assert_same(everything(whole), everything(longer))


def test_a_minute_limit_ends_with_a_validation(tmp_path: Path) -> None:
    trained = training(tmp_path / "run", config(trainer={"max_minutes": 1e-4, "validate_every": 20}))
    facts = trained.fit()
    assert facts["why"] == "reached 0.0001 minutes"
    assert 1 <= facts["steps"] < 20
    assert trained.run.weights.is_file()
    assert_nothing_more(training(tmp_path / "run", trained.config), facts)


def test_the_weights_at_the_end_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    """In the middle of an interval between validations, since time is over, and not better than those before."""
    made = config(trainer={"max_minutes": 5, "validate_every": 4, "select": "last"})
    trained = training(tmp_path / "run", made)
    trained.timer.time_elapsed = lambda *_: 60.0 * trained.stream.position  # type: ignore[method-assign]
    after = iter(torch.tensor([0.5, 0.25]))
    trained.module.measure.compute = lambda: next(after)  # type: ignore[method-assign]
    facts = trained.fit()
    assert (facts["steps"], facts["best_step"], facts["validation_accuracy"]) == (5, 5, 0.25)
    assert_same(load_file(trained.run.weights), dict(trained.module.model.state_dict()))


def test_an_epoch_is_validated_at_its_end(tmp_path: Path) -> None:
    trained = training(tmp_path / "run", config(trainer={"validate_every": None, "max_steps": None, "max_epochs": 2}))
    assert trained.fit()["steps"] == 16
    steps, _ = series(read_history(trained.run), "validation_accuracy")
    assert steps == [7, 15]  # Lightning counts steps from 0


def test_without_improvement_the_rate_falls_and_training_stops(tmp_path: Path) -> None:
    """The rate halves after 3 bad validations in a row, the training stops after patience + 1."""
    made = config(optimizer={"learning_rate": 1e-12}, trainer={"validate_every": 1, "max_steps": 100, "patience": 4})
    trained = training(tmp_path / "run", made)
    facts = trained.fit()
    assert facts["steps"] == 1 + 5
    assert facts["why"] == "5 validations without a better accuracy"
    assert facts["best_step"] == 1
    assert trained.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(5e-13)
    assert_nothing_more(training(tmp_path / "run", trained.config), facts)


def test_without_patience_training_goes_on(tmp_path: Path) -> None:
    made = config(optimizer={"learning_rate": 1e-12}, trainer={"validate_every": 1, "max_steps": 9, "patience": None})
    facts = training(tmp_path / "run", made).fit()
    assert (facts["steps"], facts["early"], facts["why"]) == (9, False, "reached 9 steps")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    trained = training(tmp_path / "run")

    def spoil() -> None:
        with torch.no_grad():
            trained.module.model.head.layers[-1].bias[0] = float("nan")

    after_step(trained, 9, spoil)
    with pytest.raises(
        NotFinite, match=r"step 10: the loss is no longer finite \(loss nan.*last good checkpoint is"
    ) as caught:
        trained.fit()
    assert "\n" not in str(caught.value)
    assert trained.run.about()["state"] == "not finite"
    checkpoint = torch.load(trained.run.checkpoint, weights_only=True)
    assert checkpoint["global_step"] == 8
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())
    training(tmp_path / "run").fit()
    assert trained.run.about()["state"] == "finished"


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    training(tmp_path / "run", config(trainer={"max_steps": 6})).fit()
    checkpoint = Run(tmp_path / "run").checkpoint
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt: damaged"):
        training(tmp_path / "run").fit()


def test_training_learns_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    trainer = {"max_steps": 150, "validate_every": 50, "checkpoint_every": 100}
    made = config(**LEARNING, trainer=trainer, data={"batch": 16})
    trained = training(tmp_path / "run", made, examples=300)
    facts = trained.fit()
    assert facts["validation_accuracy"] > 0.6
    model = load(trained.run)
    correct = sum(
        int((model(batch.tokens, batch.lengths).argmax(-1) == batch.labels).sum())
        for batch in trained.data.val_dataloader()
    )
    assert correct / 20 == pytest.approx(facts["validation_accuracy"])


def test_random_states_come_back() -> None:
    import random

    import numpy as np

    states = random_states()

    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    first = draw()
    restore_random_states(states)
    assert draw() == first


LEARNING = {
    "encoder": {"dim": 16, "dropout": 0.0},
    "model": {"input_dropout": 0.0, "head_dropout": 0.0, "head_hidden": 32},
    "optimizer": {"learning_rate": 1e-2},
}

SCRIPT = """
import sys
import time
from pathlib import Path
from typing import Any
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import nestree.training.callbacks
nestree.training.callbacks.peak_memory = lambda: 1000
from support.training import config, saved_run, training
trained = training(Path(sys.argv[1]), config(*{arguments}, **{options}))
if sys.argv[2] == "slowly":
    import time
    original = type(trained.stream).__iter__
    type(trained.stream).__iter__ = lambda self: (time.sleep(0.05) or batch for batch in original(self))
trained.fit()
"""


def start(folder: Path, *arguments: str, slowly: bool = False, **options: object) -> subprocess.Popen[str]:
    """Start a training in a process of its own; its configuration is ``config(*arguments, **options)``."""
    script = folder.with_suffix(".py")
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1]), arguments=arguments, options=options))
    return subprocess.Popen(
        [sys.executable, script, folder, "slowly" if slowly else "fast"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], *, code: int) -> None:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    killed = start(tmp_path / "killed", "ebt-grc", slowly=True)
    checkpoint = tmp_path / "killed" / "last.ckpt"
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    finish(killed, code=-signal.SIGKILL)
    whole = training(tmp_path / "whole", config("ebt-grc"))
    whole.fit()
    resumed = training(tmp_path / "killed", config("ebt-grc"))
    resumed.fit()
    assert_same(everything(whole)["weights"], everything(resumed)["weights"])
    assert_same(everything(whole)["best weights"], everything(resumed)["best weights"])


def test_two_processes_learn_one_model(tmp_path: Path) -> None:
    trainer = {"devices": 2, "accelerator": "cpu", "max_steps": 112, "validate_every": 56}
    finish(start(tmp_path / "run", **LEARNING, trainer=trainer), code=0)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["state"] == "finished"
    assert about["peak_memory_bytes"] == 2 * 1000
    assert about["sequences"] == 14 * 60  # the global batch is that of one process: 14 epochs of 8 batches
    losses = series(read_history(Run(tmp_path / "run")), "loss")[1]
    assert sum(losses[-16:]) < 0.7 * sum(losses[:16])
