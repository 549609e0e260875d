from __future__ import annotations

import re
from typing import Any

import pytest

import nestree
from nestree.config.config import config_from, config_parser, parse, read_config
from nestree.config.options import TrainerOptions
from nestree.errors import UserError
from nestree.native import library
from support.training import config


def test_a_configuration_survives_being_written() -> None:
    made = config("rir-ebt-grc", encoder={"beam_size": 3}, trainer={"max_minutes": 2})
    assert read_config(made.as_dict(), source="again") == made


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": "x"}, "seed must be an integer, not 'x'"),
        ({"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ({"encoder": {"name": "grcc"}}, "there is no encoder 'grcc'; did you mean grc"),
        ({"encoder": {"name": "grc", "dimm": 3}}, "there is no option 'encoder.dimm'; did you mean encoder.dim"),
        ({"encoder": 3}, "encoder is a section: set its options, not 3"),
        ({"foo": 1}, "there is no option 'foo'"),
        (
            {"encoder": {"name": "rir-grc", "training_arities": [40]}},
            "encoder.training_arities must be a list of 2 numbers ([20, 200]) or null, not",
        ),
        ({"data": {"batch": 0}}, "data.batch must be an integer of at least 1, not 0"),
        ({"data": {"batch": None}}, "data.batch must be an integer of at least 1, not None"),
        ({"data": {"task": "listop"}}, "there is no task 'listop'; did you mean listops"),
        ({"model": {"head_dropout": 1.0}}, "model.head_dropout must be"),
        ({"optimizer": {"clip": -1}}, "optimizer.clip must be a number above 0"),
        ({"optimizer": {"weight_decay": -1}}, "optimizer.weight_decay must be a number of at least 0"),
        ({"optimizer": {"lookahead_alpha": 0}}, "optimizer.lookahead_alpha must be above 0 and at most 1"),
        ({"optimizer": {"plateau_factor": 1}}, "optimizer.plateau_factor must be between 0 and 1"),
        (
            {"optimizer": {"name": "adam"}},
            "optimizer.name must be one of radam, radam-lookahead, adamw, muon, not 'adam'",
        ),
        (
            {"optimizer": {"name": "radam-lookahead", "lookahead_steps": None}},
            "optimizer.lookahead_steps must be set",
        ),
        ({"optimizer": {"beta2": 1.0}}, "optimizer.beta2 must be a number of at least 0 and below 1, not 1.0"),
        ({"optimizer": {"muon_learning_rate": 0}}, "optimizer.muon_learning_rate must be a number above 0"),
        (
            {"optimizer": {"schedule": "wsd", "stable": 1}},
            "optimizer.stable must be a number of at least 0 and below",
        ),
        (
            {"optimizer": {"total_minutes": 5}},
            "optimizer.total_minutes must be left out unless schedule is cosine or wsd",
        ),
        ({"optimizer": {"schedule": "linear"}}, "optimizer.schedule must be one of plateau, cosine"),
        ({"optimizer": {"lookahead_steps": 0}}, "optimizer.lookahead_steps must be an integer of at least 1"),
        ({"optimizer": {"warmup_steps": 5}}, "optimizer.warmup_steps must be left out unless schedule is cosine"),
        ({"optimizer": {"total_steps": 5}}, "optimizer.total_steps must be left out unless schedule is cosine"),
        ({"optimizer": {"schedule": "cosine", "warmup_steps": -1}}, "optimizer.warmup_steps must be an integer of"),
        ({"optimizer": {"schedule": "cosine", "total_steps": 0}}, "optimizer.total_steps must be an integer of at"),
        (
            {"optimizer": {"schedule": "cosine", "total_steps": 9, "warmup_steps": 9}},
            "optimizer.warmup_steps must be below the total_steps 9, not 9",
        ),
        (
            {"optimizer": {"schedule": "cosine", "minimum_learning_rate": 1}},
            "optimizer.minimum_learning_rate must be at most the learning_rate 0.001, not 1",
        ),
        ({"optimizer": {"minimum_learning_rate": -1}}, "optimizer.minimum_learning_rate must be a number of at"),
        ({"trainer": {"max_minutes": "soon"}}, "trainer.max_minutes must be a number or null, not 'soon'"),
        ({"trainer": {"max_epochs": 1.5}}, "trainer.max_epochs must be an integer, not '1.5'"),
        ({"trainer": {"accelerator": "tpu"}}, "trainer.accelerator must be one of auto, cpu, gpu"),
        ({"trainer": {"select": "speed"}}, "trainer.select must be one of accuracy, loss, last, not 'speed'"),
        ({"trainer": {"max_sequences": 0}}, "trainer.max_sequences must be an integer of at least 1"),
        ({"trainer": {"patience": -1}}, "trainer.patience must be an integer of at least 0"),
    ],
)
def test_a_bad_value_is_one_line_that_names_file_and_option(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_config({"encoder": {"name": "grc"}, **values}, source="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dim", "3"], "there is no option 'dim'; did you mean encoder.dim?"),
        (["--model.dim=3"], "did you mean encoder.dim?"),
        (["--zzz", "1"], "there is no option 'zzz'"),
        (["--encoder.dim"], "encoder.dim needs a value"),
        (["--encoder", "x"], "encoder is a section: set its options one by one"),
        (["x"], "'x' is an unexpected argument"),
    ],
)
def test_a_bad_argument_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        parse(config_parser("grc", "listops"), arguments=arguments)
    assert "\n" not in str(caught.value)


def test_arguments_override_defaults() -> None:
    parser = config_parser(
        "grc", "listops", defaults={"seed": 5, "encoder": {"name": "grc", "dim": 16}, "trainer": {"max_epochs": 7}}
    )
    made = config_from("r", parse(parser, arguments=["--encoder.dim", "32", "--optimizer.clip", "null"]))
    assert (made.seed, made.encoder.dim, made.trainer.max_epochs, made.optimizer.clip) == (5, 32, 7, None)


@pytest.mark.parametrize(("cores", "devices", "threads"), [(1, 1, None), (2, 2, 1), (16, 2, 1)])
def test_devices_that_are_left_to_the_machine_are_two_processes_of_one_thread(
    cores: int, devices: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nestree.config.options.CORES", cores)
    settled = TrainerOptions(devices=None, accelerator="cpu").settled()
    assert (settled.devices, settled.threads, settled.accelerator) == (devices, threads, "cpu")
    assert settled.settled() == settled


def test_an_encoder_that_the_library_serves_is_trained_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestree.config.options.CORES", 4)
    settled = TrainerOptions(devices=None, accelerator="cpu").settled(compiled=True)
    assert (settled.devices, settled.threads) == (1, None)


@pytest.mark.parametrize("present", [True, False])
def test_an_encoder_says_whether_the_library_serves_it(present: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", lambda: {} if present else None)
    assert nestree.ENCODERS["rir-ebt-grc"]().compiled == present
    assert nestree.ENCODERS["ebt-grc"]().compiled == present
    for name, options in [("ebt-grc", {"merge_equal": True}), ("ebt-grc", {"engine": "torch"}), ("bt-grc", {})]:
        assert not nestree.ENCODERS[name](**options).compiled
    assert not nestree.ENCODERS["om"]().compiled


def test_given_devices_are_not_changed() -> None:
    options = TrainerOptions(devices=3, threads=5)
    assert options.settled() is options
