"""Labels, texts, paths and column names are printed as they are: never markup, never raw control characters."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from nestree.cli.main import main
from nestree.consoles import one_line, output

LABELS = ("[/a]", "[red]x", "\x1b[2J", "\N{GRINNING FACE}")
PRINTED = ("[/a]", "[red]x", r"\x1b[2J", r"\U0001f600")
"""The labels in a terminal whose encoding has no emoji."""
RUN = "r [a] 'q'"
OPTIONS = "--data.text 'a [text]' --data.label '[label]' --encoder.name ebt-grc --encoder.dim 8 --model.head_hidden 8 "
OPTIONS += "--data.batch 8 --data.min_count 1 --trainer.max_steps 4 --trainer.devices 1 --trainer.threads 1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table; in it, [`trained`][] makes the run."""
    place = tmp_path_factory.mktemp("[b] 'texts'")
    rows = [
        f'"{one} film [/i] :smile: {number}","{label}"'
        for number in range(20)
        for one, label in enumerate((LABELS[0], *LABELS))
    ]
    (place / "t [c].csv").write_text("\n".join(["a [text],[label]", *rows, ""]), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def trained(place: Path) -> str:
    """The output of a training in a terminal that knows only the characters of Western Europe."""
    command = [sys.executable, "-m", "nestree", "train", "classify", "--data.train", "t [c].csv", *shlex.split(OPTIONS)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "NESTREE_CACHE": str(place / "cache")}
    done = subprocess.run(
        [*command, "--run", RUN], cwd=place, env=environment, capture_output=True, check=False, timeout=240
    )
    said = (done.stdout + done.stderr).decode("cp1252")
    assert done.returncode == 0, said
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        printed("evaluate", RUN, "--tests", "validation")  # as reports show
    return said


class Stream(io.TextIOWrapper):
    """A standard stream."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="cp1252", write_through=True)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


def printed(*arguments: str, to_terminal: bool = False) -> str:
    """Return what a command prints to both streams, of which the first may be a terminal."""
    streams = [Stream(is_terminal=to_terminal), Stream(is_terminal=False)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = main(list(arguments))
    said = "".join(stream.buffer.getvalue().decode("cp1252") for stream in streams)  # type: ignore[attr-defined]
    assert code == 0, said
    return said


def test_a_training_begins_and_names_a_command_that_works(place: Path, trained: str) -> None:
    assert "\x1b" not in trained
    assert "from '[/a]', " in trained
    (command,) = re.findall(r"next: (nestree evaluate .*)", trained)
    assert (place / shlex.split(command)[-1] / "config.yaml").is_file()


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("command", "labels"),
    [
        (["evaluate", "RUN", "--tests", "validation"], PRINTED),
        (["evaluate", "RUN", "--tests", "validation", "--classes"], PRINTED),
        (["predict", "RUN", "film [/i]", "--probabilities"], PRINTED),
        (["predict", "RUN", "t [c].csv"], PRINTED),
        (["predict", "RUN", "film [/i]", "--json"], ()),
        (["parse", "RUN", "film [/i] \x1b[2J"], ()),
        (["parse", "RUN", "film [/i] \x1b[2J", "--format", "brackets"], ()),
        (["explain", "RUN", "film [/i] \x1b[2J"], PRINTED[:3]),
        (["data", "check", "t [c].csv"], ()),
        (["report", "RUN"], ()),
        (["report", "RUN", "--markdown"], ()),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_what_is_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], labels: tuple[str, ...]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("NESTREE_CACHE", str(place / "cache"))
    # A table's own bytes would go into a pipe.
    to_terminal = command[0] == "predict" and command[-1].endswith(".csv")
    said = printed(*(RUN if word == "RUN" else word for word in command), to_terminal=to_terminal)
    assert "\x1b" not in said
    assert [label for label in labels if label not in said] == []


def test_tables_and_messages_show_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="[bold]a[/bold]")
    table.add_column("[/b]")
    table.add_row("[red]c")
    table.add_row(":smile:\x1b[0m\N{RIGHT-TO-LEFT OVERRIDE}")
    output().print(table)
    output().print("[/d]\n[link=x]e\x07")
    said = capsys.readouterr().out
    for shown in ("[bold]a[/bold]", "[/b]", "[red]c", r":smile:\x1b[0m\u202e", "[/d]\n[link=x]e\\x07\n"):
        assert shown in said


def test_errors_are_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "no [/run]\x1b[2J\n"]) == 2
    said = capsys.readouterr().err
    assert r"no [/run]\x1b[2J" in said
    assert said.count("\n") == 1


def test_languages_keep_their_characters() -> None:
    persian = "می\N{ZERO WIDTH NON-JOINER}خواهم\N{NO-BREAK SPACE}é \N{GRINNING FACE}"
    assert one_line(persian) == persian


def test_no_other_console_is_made() -> None:
    """Rich's own would take a user's text for markup."""
    source = Path(main.__code__.co_filename).parents[1]
    made = [path for path in source.rglob("*.py") if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))]
    assert made == []
