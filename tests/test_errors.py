"""One wrong value, said by its right name wherever it was given."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nestree import build
from nestree.cli.errors import error_line
from nestree.cli.main import main
from nestree.encoders.registry import ENCODERS
from nestree.errors import NoSuchOption, OptionError, UserError, located, within, without
from nestree.layers import GatedRecursiveCell
from nestree.recipes import load_recipe
from nestree.tasks import TASKS

WRONG = "must be an integer of at least 1, not 0"
RECIPE = "listops-grc-quick"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of a command that fails for the user's mistake."""
    assert main(arguments) == 2
    return capsys.readouterr().err.removesuffix("\n")


def recipe_file(**changed: dict[str, object]) -> str:
    values = dict(load_recipe(RECIPE).values)
    for section, options in changed.items():
        values[section] = {**values[section], **options}
    Path("my.yaml").write_text(yaml.safe_dump(values))
    return "my.yaml"


@pytest.mark.parametrize(
    "give",
    [lambda: build("grc", dim=0), lambda: ENCODERS["grc"](dim=0), lambda: GatedRecursiveCell(0)],
    ids=["build", "options", "layer"],
)
def test_python_names_the_argument(give: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"^dim must be") as caught:
        give()
    assert isinstance(caught.value, OptionError)
    assert (caught.value.option, caught.value.reason) == ("dim", WRONG)
    assert str(caught.value) == f"dim {WRONG}"


def test_the_command_line_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["train", RECIPE, "--encoder.dim", "0"], capsys) == f"nestree: --encoder.dim {WRONG}"


@pytest.mark.parametrize("command", [["train"], ["compare", "--budget", "1m"]], ids=["train", "compare"])
def test_a_recipe_file_is_named_with_its_option(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe_file(encoder={"dim": 0})
    assert said([command[0], path, *command[1:]], capsys) == f"nestree: my.yaml: encoder.dim {WRONG}"
    assert said(["train", recipe_file(), "--encoder.dim=0"], capsys) == f"nestree: --encoder.dim {WRONG}"


def test_a_sweep_names_the_space_and_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    Path("space.yaml").write_text("encoder.dim: [8, 0]")
    command = ["sweep", RECIPE, "--space", "space.yaml", "--trials", "1", "--storage", "study.log"]
    assert said(command, capsys) == f"nestree: space.yaml: encoder.dim {WRONG}"
    assert said([*command, "--encoder.dim", "0"], capsys) == f"nestree: --encoder.dim {WRONG}"


def test_a_comparison_names_the_recipe_and_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", RECIPE, f"none={RECIPE}:encoder.dim=0", "--budget", "1m"]
    assert said(command, capsys) == f"nestree: none: encoder.dim {WRONG}"


STAGES = [{"name": "short", "mark": 0.9, "batch": 0}, {"name": "train"}]


def test_a_stage_of_a_curriculum_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = f"curriculum stage 'short': batch {WRONG}"
    with pytest.raises(OptionError) as caught:
        TASKS["listops"](curriculum=tuple(STAGES))
    assert (caught.value.option, str(caught.value)) == ("curriculum", wrong)
    assert said(["train", recipe_file(data={"curriculum": STAGES})], capsys) == f"nestree: my.yaml: data.{wrong}"


def test_an_option_is_called_as_the_command_calls_it(capsys: pytest.CaptureFixture[str]) -> None:
    missing = "must be a folder with the official files train6 or test6, or above it, not nowhere"
    assert (
        said(["data", "make", "train", "--task", "logic", "--path", "nowhere"], capsys) == f"nestree: --path {missing}"
    )
    command = ["train", "logic-s4d", "--data.path", "nowhere"]
    assert said(command, capsys) == f"nestree: --data.path {missing}"


def test_an_option_that_may_help_follows_what_went_wrong() -> None:
    def read() -> None:
        raise OptionError("encoding", "names another", problem="x.csv:3: not UTF-8")

    with pytest.raises(UserError) as caught, within("data"):
        read()
    assert error_line(caught.value) == "nestree: x.csv:3: not UTF-8; --data.encoding names another"
    with pytest.raises(UserError) as caught, located("mine"), without("data"), within("data"):
        read()
    assert error_line(caught.value) == "nestree: mine: x.csv:3: not UTF-8; encoding names another"


def test_options_that_do_not_exist_bring_those_that_do() -> None:
    error = NoSuchOption("dim", ["encoder.dim"])
    assert str(error) == "there is no option 'dim'; did you mean encoder.dim?"
    error.add_note("see nestree train --help")
    assert error_line(error) == (
        "nestree: there is no option '--dim'; did you mean --encoder.dim? (see nestree train --help)"
    )


@pytest.mark.parametrize("error", [OptionError("dim", WRONG), NoSuchOption("dimm", ["dim"])], ids=["wrong", "unknown"])
def test_an_error_can_be_sent_between_processes(error: OptionError) -> None:
    with pytest.raises(OptionError) as caught, located("my.yaml"), within("encoder"):
        raise error
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert str(caught.value).startswith("my.yaml: ")
