"""Run folders: what a training run leaves behind, enough to use, resume, judge and repeat it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import safetensors.torch
import yaml
from safetensors import SafetensorError

from nestree.config.config import Config, read_config
from nestree.consoles import messages
from nestree.data.files import read_json, read_yaml, replacing, replacing_folder, write_json
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.pretrained import FOLDER, pretrained_names
from nestree.runs.hub import PREFIX, download
from nestree.runs.provenance import provenance
from nestree.tasks import Task
from nestree.tasks.stages import LABEL

if TYPE_CHECKING:
    from nestree.evaluation import Prediction, Reading, Result
    from nestree.trees import ParsedTree

RUNS = Path("runs")
"""Where runs go that are not told otherwise."""

SHARED = (
    *("config.yaml", "run.json", "task.json", "weights.safetensors", "evaluation.json"),
    *("log.csv", "about.md", "README.md"),
)
"""The files of a run that go where others see them, and come from there."""


class Run:
    """A run folder, and what its model makes of tests and texts.

    [`open`][] one that exists; `nestree.train` makes one. [`evaluate`][], [`predict`][], [`read`][] and [`parse`][] use
    its best weights, which are loaded once.

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

    Examples:
        >>> run = Run.open("listops-rir")
        >>> run.predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])[0].label
        '9'
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
        self._model: tuple[tuple[str | None, int | None], Classifier] | None = None

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

    def model(self, inference: str | None = None) -> Classifier:
        """Return the model that the methods below use, loaded once; [`nestree.load`][] gives one of your own.

        Args:
            inference: for RIR: grouped or flat; None as in the run's configuration.

        Raises:
            UserError: see [`nestree.runs.loading.load`][].
        """
        from nestree.runs.loading import load

        key = (inference, self.weights.stat().st_mtime_ns if self.weights.is_file() else None)
        if self._model is None or self._model[0] != key:
            self._model = key, load(self, **({} if inference is None else {"inference": inference}))
        return self._model[1]

    def evaluate(
        self,
        tests: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        inference: str | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        tokens: int | None = None,
        trees: bool = False,
        write: bool = True,
        progress: bool = True,
    ) -> list[Result]:
        """Return the accuracy of the best weights on tests of the run's task, with 95 % intervals, and record it.

        Args:
            tests: by name, see ``run.task.splits``; None: every test whose files are there.
            limit: so many examples of each, a sample; None takes all.
            inference: for RIR: grouped, flat, or both one after the other; None as in the run's configuration.
            encoder_options: options of the encoder to change for this evaluation.
            tokens: tokens, padding included, that a batch holds at most; None as in the run's configuration.
            trees: also score the trees found against the gold ones.
            write: record the results in ``evaluation.json``; for a model of the package or the Hub in that of a copy in
                ``runs/``, which is made unless it is there.
            progress: show a bar on standard error.

        Raises:
            UserError: no such test, or files are missing.
            ValueError: names the argument that is out of range.

        Examples:
            >>> (result,) = Run.open("listops-rir").evaluate(["near-iid"], limit=100, write=False)
            >>> result.total.accuracy, result.total.interval
            (1.0, (0.963..., 1.0))
        """
        from nestree.evaluation.evaluate_run import evaluate_run

        return evaluate_run(
            self.to_write_in() if write else self,
            tests,
            limit=limit,
            inference=inference,
            encoder_options=encoder_options,
            tokens=tokens,
            trees=trees,
            write=write,
            console=messages(shown=progress),
        )

    def predict(
        self,
        texts: Sequence[str | Sequence[str]],
        *,
        inference: str | None = None,
        where: Sequence[str] | None = None,
        progress: bool = False,
    ) -> list[Prediction]:
        """Return label and probabilities of every text, in their order.

        Args:
            texts: for a task of pairs two texts each, or one in which a tab separates the two.
            inference: for RIR: grouped or flat; None as in the run's configuration.
            where: what errors call each text; None: "input 1" and so on.
            progress: show a bar on standard error.

        Raises:
            UserError: a text is no input of the task; says which and why.

        Examples:
            >>> (found,) = Run.open("listops-rir").predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])
            >>> found.label, round(found.probability, 2), len(found.probabilities)
            ('9', 1.0, 10)
        """
        from nestree.evaluation.predictions import encode_all, predict
        from nestree.evaluation.progress import progress_bars

        inputs = encode_all(self.task, texts, where=where)
        with progress_bars(messages(shown=progress)) as bars:
            bar = bars.add_task("predicting", total=len(inputs))
            return predict(
                self.model(inference),
                self.task,
                inputs,
                tokens=self.config.data.evaluation_tokens,
                advance=lambda count: bars.advance(bar, count),
            )

    def read(
        self,
        texts: Sequence[str | Sequence[str]],
        *,
        beams: int | None = None,
        inference: str | None = None,
        where: Sequence[str] | None = None,
    ) -> list[Reading]:
        """Return how the model reads every text: its answer, and the trees that it found, most probable first.

        Args:
            texts: see [`predict`][].
            beams: trees of each text, the most probable so many; None: all.
            inference: for RIR: grouped or flat; None as in the run's configuration.
            where: what errors call each text; None: "input 1" and so on.

        Raises:
            UserError: a text is no input of the task, or the encoder has no trees.
            ValueError: ``beams`` is below 1.
        """
        from nestree.checks import check_at_least
        from nestree.evaluation.predictions import encode_all
        from nestree.evaluation.readings import read

        if beams is not None:
            check_at_least("beams", beams, 1)
        inputs = encode_all(self.task, texts, where=where)
        tokens = self.config.data.evaluation_tokens
        found = read(self.model(inference), self.task, inputs, beams=beams, tokens=tokens)
        if not all(all(reading.sides) for reading in found):
            raise UserError(
                f"encoder {self.config.encoder_name} has no trees: `nestree predict {self.name}` gives its labels"
            )
        return found

    @overload
    def parse(
        self, text: str, second: None = None, *, beams: int | None = None, inference: str | None = None
    ) -> list[ParsedTree]: ...

    @overload
    def parse(
        self, text: str, second: str, *, beams: int | None = None, inference: str | None = None
    ) -> tuple[list[ParsedTree], list[ParsedTree]]: ...

    def parse(
        self, text: str, second: str | None = None, *, beams: int | None = None, inference: str | None = None
    ) -> list[ParsedTree] | tuple[list[ParsedTree], list[ParsedTree]]:
        """Return the trees that the model found for a text, most probable first; of a pair those of both texts.

        A notebook draws a tree that is the last line of a cell; see [`nestree.trees.parsed.ParsedTree`][] for the rest.

        Args:
            text: an input of the task.
            second: for a task of pairs, the second text.
            beams: the most probable so many trees; None: all.
            inference: for RIR: grouped or flat; None as in the run's configuration.

        Raises:
            UserError: the text is no input of the task, or the encoder has no trees.

        Examples:
            >>> trees = Run.open("listops-rir").parse("[MAX 2 9 [MIN 4 7 ] 0 ]")
            >>> print(trees[0].brackets())
            ((((([MAX 2) 9) ((([MIN 4) 7) ])) 0) ])
        """
        (reading,) = self.read([text if second is None else (text, second)], beams=beams, inference=inference)
        found = [list(trees) for trees in reading.sides]
        return found[0] if len(found) == 1 else (found[0], found[1])

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
