"""Run folders: what a training run leaves behind, enough to use, resume, judge and repeat it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from safetensors import SafetensorError

from nestree.config.config import Config, read_config
from nestree.data.files import read_json, read_yaml, replacing, replacing_folder, write_json
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.pretrained import FOLDER, pretrained_names
from nestree.runs.hub import PREFIX, download
from nestree.runs.provenance import provenance
from nestree.tasks import Task
from nestree.tasks.stages import LABEL

RUNS = Path("runs")
"""Where runs go that are not told otherwise."""

SHARED = (
    *("config.yaml", "run.json", "task.json", "weights.safetensors", "evaluation.json"),
    *("log.csv", "about.md", "README.md"),
)
"""The files of a run that go where others see them, and come from there."""


class Run:
    """A run folder.

    ========================= =============================================================================
    ``config.yaml``           every option, resolved
    ``run.json``              command, seed, versions, commit, and how far it got
    ``task.json``             labels and words that were found in the data, where the task does not fix them
    ``weights.safetensors``   the best weights by validation accuracy (or loss: ``trainer.select``)
    ``last.ckpt``             what resuming needs; tensors and plain values only
    ``logs/``                 CSV and TensorBoard
    ``evaluation.json``       results by test
    ``report.md``             the report and its pictures
    ``README.md``             the model card
    ``about.md``              what only a person knows of the model, for its card; nothing writes it
    ``log.csv``               in place of ``logs/`` in a model that was packed: the course of the training, thinned
    ========================= =============================================================================
    """

    def __init__(self, path: str | Path, *, address: str | None = None) -> None:
        """Name a folder; nothing is read yet.

        Args:
            path: the folder.
            address: of a model of the Hub, where it is from.
        """
        self.path = Path(path)
        self.address = address
        self.config_file = self.path / "config.yaml"
        self.about_file = self.path / "run.json"
        self.task_file = self.path / "task.json"
        self.weights = self.path / "weights.safetensors"
        self.checkpoint = self.path / "last.ckpt"
        self.logs = self.path / "logs"
        self.evaluation_file = self.path / "evaluation.json"
        self.report = self.path / "report.md"
        self.card = self.path / "README.md"
        self.written_about = self.path / "about.md"
        self.thin_log = self.path / "log.csv"

    @classmethod
    def new(cls, recipe: str, path: str | Path | None = None) -> Run:
        """Return a run that is yet to [`begin`][].

        Args:
            recipe: its recipe.
            path: must be empty or not there yet; None takes ``runs/RECIPE-TIME``.

        Raises:
            UserError: the folder is in use.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        run = cls(RUNS / f"{recipe}-{stamp}" if path is None else path)
        number = 2
        while path is None and run.path.exists():
            run = cls(RUNS / f"{recipe}-{stamp}-{number}")
            number += 1
        if run.path.exists() and not run.path.is_dir():
            raise UserError(f"{run.path} is a file: name another folder")
        if run.config_file.exists():
            problem = f"{run.path} is a run already: name another folder"
            raise OptionError("resume", f"{run.path} goes on with it", problem=problem)
        if run.path.exists() and any(run.path.iterdir()):
            raise UserError(f"{run.path} is not empty: name another folder")
        return run

    def begin(self, config: Config, *, command: str | None = None) -> Run:
        """Make the folder, with the configuration and where everything is from.

        Args:
            config: written into it.
            command: that makes the run again; None takes this process's arguments.

        Raises:
            UserError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_config(config)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from None
        self.note(
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=command or shlex.join(sys.argv),
            seed=config.seed,
            **provenance(),
        )
        return self

    def write_config(self, config: Config) -> None:
        """Write the configuration, in place of the one before."""
        self.__dict__.pop("config", None)
        with replacing(self.config_file) as temporary:
            temporary.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False))

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Return a run that exists.

        Args:
            path: its folder; or where there is no such folder the name of a model that ships with the package, or
                ``hf:OWNER/NAME`` (or ``hf:OWNER/NAME@REVISION``) for a model of the Hugging Face Hub.

        Raises:
            UserError: there is none at ``path``; or see [`nestree.runs.hub.download`][].
        """
        run, names = cls(path), pretrained_names()
        if not run.path.exists() and str(path) in names:
            return cls.of_package(str(path))
        if not run.path.exists() and str(path).startswith(PREFIX):
            run = cls(download(str(path), SHARED), address=str(path))
            if not run.config_file.is_file():
                raise UserError(f"{path}: the repository holds no model of nestree (it has no config.yaml)")
            return run
        if not run.config_file.is_file():
            what = "holds no run (it has no config.yaml)" if run.path.is_dir() else "is not a run folder"
            raise UserError(
                f"{run.path} {what}; `nestree train` makes runs, in {RUNS}/ by default, and the package brings "
                f"{', '.join(names)}"
            )
        return run

    @classmethod
    def of_package(cls, name: str) -> Run:
        """Return the model of the package of that name, one of ``pretrained_names()``, whatever folders there are."""
        return cls(FOLDER / name)

    @property
    def shipped(self) -> bool:
        """Whether it is a model of the package or of the Hub, which nothing is written into."""
        return self.address is not None or self.path.parent == FOLDER

    @property
    def name(self) -> str:
        """What a command calls it: its folder, the name of a model of the package, or the address of one of the Hub."""
        return self.address or (self.path.name if self.shipped else str(self.path))

    @property
    def title(self) -> str:
        """What it is called where its place does not matter: the last part of its name."""
        if self.address is not None:
            return self.address.removeprefix(PREFIX).partition("@")[0].rpartition("/")[2]
        return self.path.resolve().name

    def to_write_in(self) -> Run:
        """Return the run itself, or of a model of the package or the Hub a copy in ``runs/``, made unless it is there.

        Raises:
            UserError: the copy cannot be written, or another run has its name.
        """
        if not self.shipped:
            return self
        copy = Run(RUNS / self.title)
        try:
            if not copy.path.exists():
                with replacing_folder(copy.path) as temporary:
                    for path in self.shared_files():
                        shutil.copyfile(path, temporary / path.name)
                    if self.logs.is_dir():
                        shutil.copytree(self.logs, temporary / self.logs.name)
            elif not copy.weights.is_file() or copy.weights.read_bytes() != self.weights.read_bytes():
                raise UserError(f"{copy.path} is in the way: results of {self.name} go there, and it is another run")
        except OSError as error:
            raise UserError(f"{copy.path}: cannot be written ({error.strerror or error})") from None
        return copy

    def shared_files(self) -> list[Path]:
        """Return those of its files that go where others see them: those of ``SHARED`` that are there."""
        return [path for name in SHARED if (path := self.path / name).is_file()]

    @cached_property
    def config(self) -> Config:
        """The run's configuration.

        Raises:
            UserError: the file is damaged; names the option.
        """
        return read_config(read_yaml(self.config_file), source=str(self.config_file))

    def about(self) -> dict[str, Any]:
        """Return what ``run.json`` says."""
        return read_json(self.about_file)

    def note(self, **facts: Any) -> None:
        """Add facts to ``run.json``; a fact of the same name is replaced."""
        write_json(self.about_file, {**self.about(), **facts})

    def keep_task(self, task: Task) -> None:
        """Write what the task found in the data and the model depends on, if there is anything."""
        if state := task.state():
            write_json(self.task_file, state)

    @cached_property
    def task(self) -> Task:
        """The run's task, as it was in training.

        Raises:
            UserError: files that it needs are missing.
        """
        return self.config.data.open(read_json(self.task_file) or None)

    @property
    def protocol(self) -> str:
        """How the task's splits came about, and the curricula of the trainings that made the run: what a result is
        labelled with."""
        return self.labelled(self.task.protocol)

    def labelled(self, protocol: str) -> str:
        """Return the protocol of the task with the curricula, if any, as ``generated, curriculum sums-first``."""
        return LABEL.join([protocol, *self.curricula()])

    def curricula(self) -> list[str]:
        """Return the names of the curricula of the run, and of those that it began with."""
        earlier = str((self.about().get("start") or {}).get("protocol", "")).split(LABEL)[1:]
        own = self.config.data.plan
        return list(dict.fromkeys([*earlier, *([own.name] if own is not None else [])]))

    def trainings(self) -> list[dict[str, Any]]:
        """Return what is noted of the trainings that made it, that of the run it began with first."""
        about, found = self.about(), []
        while about:
            found.append(about)
            about = about.get("start") or {}
        return found[::-1]

    def commands(self) -> list[str]:
        """Return the commands that made it, that of the run it began with first."""
        return [str(about.get("command", "")) for about in self.trainings()]

    def remove_temporary_files(self) -> None:
        """Remove half-written files that a killed training left behind."""
        for left in self.path.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def save_weights(self, model: Classifier, **facts: float) -> None:
        """Write a model's weights; ``facts`` go into the file's header."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        with replacing(self.weights) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata={"about": json.dumps(facts, sort_keys=True)})

    def read_weights(self, model: Classifier, *, whole: bool = True) -> list[str]:
        """Give ``model`` the run's best weights.

        Args:
            model: the model, of the same architecture.
            whole: otherwise its encoder may have parts that the run's has nothing of; they stay as they are.

        Returns:
            Those parts, as ``encoder.context``.

        Raises:
            UserError: there are none yet, or they are damaged or another model's.
        """
        if not self.weights.is_file():
            raise UserError(f"{self.name} has no weights yet: its training ended before the first validation")
        try:
            state = safetensors.torch.load_file(self.weights)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.weights}: cannot be read ({error})") from None
        wanted = model.state_dict()
        kept: set[str] = set()
        if not whole:
            kept = {_part(name) for name in wanted if name.startswith("encoder.")} - {_part(name) for name in state}
        wanted = {name: value for name, value in wanted.items() if _part(name) not in kept}
        for name in sorted(wanted.keys() | state.keys()):
            have, want = (str(tuple(part[name].shape)) if name in part else "missing" for part in (state, wanted))
            if have != want:
                raise UserError(f"{self.weights} does not fit the model: {name} is {have}, should be {want}")
        model.load_state_dict(state, strict=not kept)
        return sorted(kept)


def _part(name: str) -> str:
    """Return the part of the model that a weight belongs to, as ``encoder.context`` of ``encoder.context.mix.bias``."""
    return ".".join(name.split(".")[:2])
