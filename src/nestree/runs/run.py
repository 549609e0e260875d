"""Run folders: what a training run writes, enough to use, resume, judge and repeat it."""

from __future__ import annotations

import errno
import hashlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import safetensors.torch
import yaml
from safetensors import SafetensorError
from torch import Tensor

from nestree.config.config import Config, read_config
from nestree.consoles import messages, quoted
from nestree.data.files import locked, read_json, read_yaml, replacing, replacing_folder, write_json
from nestree.data.shapes import COUNT, INTEGER, LOSS, NUMBER, TEXT, TRUTH, check_shape
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.pretrained import FOLDER, pretrained_names
from nestree.runs.hub import PREFIX, download
from nestree.runs.provenance import provenance
from nestree.tasks import Task
from nestree.tasks.stages import LABEL

if TYPE_CHECKING:
    from nestree.evaluation import Prediction, Reading, Result
    from nestree.evaluation.predictions import Text
    from nestree.explanations import Explanation
    from nestree.trees import ParsedTree

RUNS = Path("runs")
"""Default folder of new runs."""

CHECKSUMS = "checksums"
"""Key in ``run.json``: the SHA-256 of the weights, the checkpoint and the task, and the previous one of each."""

_COUNTS = (
    *("steps", "sequences", "best_step", "train_examples", "train_longest", "validation_examples"),
    *("parameters", "peak_memory_bytes", "threads"),
)
_LEFT = {"stage": TEXT, "attempt": COUNT, "step": COUNT, "minutes": NUMBER, "accuracy": NUMBER, "how": TEXT}
ABOUT = {
    **{f"{name}?": TEXT for name in ("created", "command", "platform", "commit", "state", "why", "error", "ended")},
    **{f"{name}?": TEXT for name in ("select", "protocol", "processor", "evaluation_error")},
    **{f"{name}?": COUNT for name in _COUNTS},
    **{f"{name}?": NUMBER for name in ("epochs", "minutes", "sequences_per_second")},
    "validation_accuracy?": NUMBER,
    "validation_loss?": LOSS,
    "seed?": INTEGER,
    "early?": TRUTH,
    "versions?": {str: TEXT},
    "curriculum?": [_LEFT],
    f"{CHECKSUMS}?": {str: [TEXT]},
}
"""Shape of ``run.json``, see ``nestree.data.shapes``; with that of the run whose weights this one started from."""
ABOUT["start?"] = ABOUT

SHARED = (
    *("config.yaml", "run.json", "task.json", "weights.safetensors", "evaluation.json"),
    *("log.csv", "about.md", "README.md"),
)
"""Files of a run that are uploaded to the Hub and downloaded from it."""


class Run:
    """A run folder; its model can be evaluated on tests, and applied to texts.

    [`open`][] opens an existing one; `nestree.train` creates one. [`evaluate`][], [`predict`][], [`read`][] and
    [`parse`][] use its best weights, which are loaded once.

    ========================= =============================================================================
    ``config.yaml``           every option, resolved
    ``run.json``              command, seed, versions, commit, and how far it got
    ``task.json``             labels and words found in the data, unless the task defines them
    ``weights.safetensors``   the best weights by validation accuracy (or loss: ``trainer.select``)
    ``last.ckpt``             checkpoint to resume from; tensors and plain values only
    ``logs/``                 CSV, and TensorBoard's if that was asked for
    ``evaluation.json``       results by test
    ``report.md``             the report, with pictures next to it
    ``README.md``             the model card
    ``about.md``              what you write about the model yourself, for its card
    ``log.csv``               in a packed model, instead of ``logs/``: the thinned training log
    ========================= =============================================================================

    Examples:
        >>> run = Run.open("listops-rir")
        >>> run.predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])[0].label
        '9'
    """

    def __init__(self, path: str | Path, *, address: str | None = None) -> None:
        """Set the paths; nothing is read yet.

        Args:
            path: the folder.
            address: the address of a model on the Hub, ``hf:OWNER/NAME``; None for others.
        """
        self.address = address
        self.automatic = False
        """Whether the name was chosen by [`new`][], so that another one is as good."""
        self._model: tuple[tuple[str | None, int | None], Classifier] | None = None
        self._place(Path(path))

    def _place(self, path: Path) -> None:
        self.path = path
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
        """Return a new run, whose folder [`begin`][] creates.

        Args:
            recipe: name of its recipe.
            path: a folder that is empty or does not exist; None for ``runs/RECIPE-TIME``.

        Raises:
            UserError: the folder is not empty.
        """
        run = cls(RUNS / f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}" if path is None else path)
        if path is None:
            run.automatic = True
            if run.path.exists():
                run.take_next_name()
        if run.path.exists() and not run.path.is_dir():
            raise UserError(f"{run.path} is a file: name another folder")
        if run.config_file.exists():
            problem = f"{run.path} is a run already: name another folder"
            raise OptionError("resume", f"{run.path} continues it", problem=problem)
        if run.path.exists() and any(run.path.iterdir()):
            raise UserError(f"{run.path} is not empty: name another folder")
        return run

    def take_next_name(self) -> None:
        """Append -2, -3 ... to an automatic name until there is no such folder."""
        name = self.path.name
        number = 2
        while (path := self.path.with_name(f"{name}-{number}")).exists():
            number += 1
        self._place(path)

    def begin(
        self,
        config: Config,
        task: Task | None = None,
        *,
        command: str | None = None,
        start: Mapping[str, Any] | None = None,
        held: bool = False,
    ) -> Run:
        """Create the folder in one step, with the configuration, what the task found in the data, and the provenance.

        Args:
            config: the configuration.
            task: the configuration's task, whose labels and words are kept for [`task`][]; None if it has none.
            command: command that repeats the run; None for the command line of this process.
            start: ``run.json`` of the run whose weights this one starts from.
            held: the caller has locked the folder.

        Raises:
            FileExistsError: another run took the folder in the meantime.
            UserError: the folder cannot be written.
        """
        about = {
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": command or shlex.join(sys.argv),
            "seed": config.seed,
            **provenance(),
            **({} if start is None else {"start": start}),
        }
        self.__dict__.pop("config", None)
        self.__dict__.pop("task", None)
        try:
            if self.path.exists():  # the configuration last: without it a folder is no run
                with nullcontext(True) if held else locked(self.path) as lock:
                    if not lock or self.config_file.exists():
                        raise FileExistsError(self.path)
                    self._write_all(self.path, config, task, about)
            else:
                with replacing_folder(self.path) as temporary:
                    self._write_all(temporary, config, task, about)
        except OSError as error:
            if isinstance(error, FileExistsError) or error.errno == errno.ENOTEMPTY:
                raise FileExistsError(f"{self.path} is a run already: name another folder") from None
            raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from None
        return self

    def _write_all(self, folder: Path, config: Config, task: Task | None, about: Mapping[str, Any]) -> None:
        about = dict(about)
        if task is not None and (state := task.state()):
            kept = folder / self.task_file.name
            write_json(kept, state)
            about[CHECKSUMS] = {kept.name: [_checksum(kept)]}
        write_json(folder / self.about_file.name, about)
        _write_config(folder / self.config_file.name, config)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run for this process, and for child processes that inherit the lock.

        Raises:
            UserError: another process trains the run.
        """
        with locked(self.path) as lock:
            if lock is None:
                raise UserError(f"{self.path} is in use: another process trains this run")
            yield

    def write_config(self, config: Config) -> None:
        """Write the configuration, replacing the previous one."""
        self.__dict__.pop("config", None)
        _write_config(self.config_file, config)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Return a run that exists.

        Args:
            path: its folder; if there is no such folder, the name of a model that ships with the package, or
                ``hf:OWNER/NAME`` (or ``hf:OWNER/NAME@REVISION``) for a model on the Hugging Face Hub.

        Raises:
            UserError: there is no run at ``path``; or see [`nestree.runs.hub.download`][].
        """
        run, names = cls(path), pretrained_names()
        if not run.path.exists() and str(path) in names:
            return cls.of_package(str(path))
        if not run.path.exists() and str(path).startswith(PREFIX):
            run = cls(download(str(path), SHARED), address=str(path))
            if not run.config_file.is_file():
                raise UserError(f"{path}: the repository contains no model of nestree (it has no config.yaml)")
            return run
        if not run.config_file.is_file():
            what = "contains no run (it has no config.yaml)" if run.path.is_dir() else "is not a run folder"
            raise UserError(
                f"{run.path} {what}; `nestree train` creates runs, in {RUNS}/ by default, and these ship with "
                f"the package: {', '.join(names)}"
            )
        return run

    @classmethod
    def of_package(cls, name: str) -> Run:
        """Return the model of that name that ships with the package, even if a folder has the same name."""
        return cls(FOLDER / name)

    @property
    def shipped(self) -> bool:
        """Whether it is a model of the package or the Hub, which is never modified."""
        return self.address is not None or self.path.parent == FOLDER

    @property
    def name(self) -> str:
        """Name that commands accept: its folder, or name or address of a model of the package or the Hub."""
        return self.address or (self.path.name if self.shipped else str(self.path))

    @property
    def title(self) -> str:
        """Short name, without its location: the last part of its name."""
        if self.address is not None:
            return self.address.removeprefix(PREFIX).partition("@")[0].rpartition("/")[2]
        return self.path.resolve().name

    def to_write_in(self) -> Run:
        """Return the run itself; for a model of the package or the Hub a copy in ``runs/``, created if it is missing.

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
                raise UserError(
                    f"{copy.path} is in the way: it is another run, and the results of {self.name} belong there"
                )
        except OSError as error:
            raise UserError(f"{copy.path}: cannot be written ({error.strerror or error})") from None
        return copy

    def model(self, inference: str | None = None) -> Classifier:
        """Return the model that the methods below use, loaded once; [`nestree.load`][] returns a new one.

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
        compare_bag: bool = False,
        nodes: bool = False,
        write: bool = True,
        progress: bool = True,
    ) -> list[Result]:
        """Return the accuracy of the best weights on tests of the run's task, with 95 % intervals, and record it.

        Args:
            tests: by name, see ``run.task.splits``; None: every test whose files are there.
            limit: number of examples per test, a sample; None for all.
            inference: for RIR: grouped, flat, or both one after the other; None as in the run's configuration.
            encoder_options: options of the encoder to change for this evaluation.
            tokens: maximal number of tokens per batch, padding included; None as in the run's configuration.
            trees: also compare the trees found with the gold trees.
            compare_bag: also compare with a bag of words, on a task of single texts as words, if scikit-learn is
                installed (``nestree[sklearn]``).
            nodes: also measure the accuracy at all labelled nodes of the gold trees, folding along these.
            write: record the results in ``evaluation.json``; for a model of the package or the Hub, in a copy in
                ``runs/``.
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
            compare_bag=compare_bag,
            nodes=nodes,
            write=write,
            console=messages(shown=progress),
        )

    def predict(
        self,
        texts: Sequence[Text],
        *,
        threshold: float | None = None,
        abstain: str | None = None,
        inference: str | None = None,
        where: Sequence[str] | None = None,
        progress: bool = False,
    ) -> list[Prediction]:
        """Return label and probabilities of every text: one prediction per text, in their order.

        An empty text, or a pair of which one text is empty, has no label and no probabilities, but a ``reason``.

        Args:
            texts: for a task of pairs, two texts each, or one with a tab between the two; None and NaN, as in a
                column of pandas, are empty.
            threshold: a label that is less probable is not given; None: the most probable label always is. Where there
                may be several labels, those more probable than this are given; None: than 0.5.
            abstain: what stands in its place.
            inference: for RIR: grouped or flat; None as in the run's configuration.
            where: what errors call each text; None: "input 1" and so on.
            progress: show a bar on standard error.

        Raises:
            UserError: a text is not a valid input of the task; says which and why.
            ValueError: ``threshold`` is out of range, or ``abstain`` is given without it.

        Examples:
            >>> (found,) = Run.open("listops-rir").predict(["[MAX 2 9 [MIN 4 7 ] 0 ]"])
            >>> found.label, round(found.probability, 2), len(found.probabilities)
            ('9', 1.0, 10)
            >>> [label for label, _ in found.top(1)]
            ['9']
        """
        from nestree.evaluation.predictions import Threshold, encode_all, predict
        from nestree.evaluation.progress import progress_bars

        least = Threshold(threshold, abstain)
        inputs = encode_all(self.task, texts, where=where)
        with progress_bars(messages(shown=progress)) as bars:
            bar = bars.add_task("predicting", total=len(inputs))
            return predict(
                self.model(inference),
                self.task,
                inputs,
                threshold=least,
                tokens=self.config.data.evaluation_tokens,
                advance=lambda count: bars.advance(bar, count),
            )

    def read(
        self,
        texts: Sequence[Text],
        *,
        beams: int | None = None,
        inference: str | None = None,
        where: Sequence[str] | None = None,
    ) -> list[Reading]:
        """Return the model's answer to every text, and the trees that it found, most probable first.

        An empty text has neither, but a ``reason``.

        Args:
            texts: see [`predict`][].
            beams: number of trees per text, the most probable ones; None for all.
            inference: for RIR: grouped or flat; None as in the run's configuration.
            where: what errors call each text; None: "input 1" and so on.

        Raises:
            UserError: a text is not a valid input of the task, or the encoder has no trees.
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
        if not all(all(reading.sides) for reading in found if reading.reason is None):
            raise UserError(
                f"encoder {self.config.encoder_name} has no trees: "
                f"`nestree predict {quoted(self.name)}` prints its labels"
            )
        return found

    def explain(
        self,
        texts: Sequence[str | Sequence[str]],
        *,
        inference: str | None = None,
        where: Sequence[str] | None = None,
    ) -> list[Explanation]:
        """Return the model's answer to every text, and at every node of its most probable tree.

        Args:
            texts: see [`predict`][].
            inference: for RIR: grouped or flat; None as in the run's configuration.
            where: what errors call each text; None: "input 1" and so on.

        Raises:
            UserError: a text is empty or not a valid input of the task, the encoder has no trees, or answers are not
                single labels.

        Examples:
            >>> (explanation,) = Run.open("listops-rir").explain(["[MAX 2 9 [MIN 4 7 ] 0 ]"])
            >>> (side,) = explanation.sides
            >>> [(side.text(node), node.label) for node in side.nodes if node.span == (3, 7)]
            [('[MIN 4 7 ]', '4')]
        """
        from nestree.evaluation.predictions import EMPTY, encode_all
        from nestree.explanations.explain import UNTRAINED, NoTrees, explain
        from nestree.tasks.target import need_classes

        need_classes(self.task, "explain")
        names = where or [f"input {number}" for number in range(1, len(texts) + 1)]
        inputs = []
        for name, one in zip(names, encode_all(self.task, texts, where=names), strict=True):
            if one is None:
                raise UserError(f"{name}: {EMPTY}, in which there is nothing to explain")
            inputs.append(one)
        notes = () if self.config.optimizer.node_supervision else (UNTRAINED,)
        try:
            tokens = self.config.data.evaluation_tokens
            return explain(self.model(inference), self.task, inputs, notes=notes, tokens=tokens)
        except NoTrees:
            raise UserError(
                f"encoder {self.config.encoder_name} has no trees: "
                f"`nestree predict {quoted(self.name)}` prints its labels"
            ) from None

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
        """Return the trees that the model found for a text, most probable first; for a pair, those of both texts.

        As the last line of a notebook cell, a tree draws itself; see [`nestree.trees.parsed.ParsedTree`][] for more.

        Args:
            text: an input of the task.
            second: for a task of pairs, the second text.
            beams: number of trees, the most probable ones; None for all.
            inference: for RIR: grouped or flat; None as in the run's configuration.

        Raises:
            UserError: the text is empty or not a valid input of the task, or the encoder has no trees.

        Examples:
            >>> trees = Run.open("listops-rir").parse("[MAX 2 9 [MIN 4 7 ] 0 ]")
            >>> print(trees[0].brackets())
            ((((([MAX 2) 9) ((([MIN 4) 7) ])) 0) ])
        """
        (reading,) = self.read([text if second is None else (text, second)], beams=beams, inference=inference)
        if reading.reason is not None:
            raise UserError(f"there is no tree: {reading.reason}")
        found = [list(trees) for trees in reading.sides]
        return found[0] if len(found) == 1 else (found[0], found[1])

    def shared_files(self) -> list[Path]:
        """Return the existing files among ``SHARED``."""
        return [path for name in SHARED if (path := self.path / name).is_file()]

    @cached_property
    def config(self) -> Config:
        """The run's configuration.

        Raises:
            UserError: the file is damaged; names the option.
        """
        return read_config(read_yaml(self.config_file), source=str(self.config_file))

    def about(self) -> dict[str, Any]:
        """Return the contents of ``run.json``.

        Raises:
            UserError: the file is damaged; names what is wrong.
        """
        values = read_json(self.about_file)
        check_shape(values, ABOUT, str(self.about_file))
        return values

    def note(self, **facts: Any) -> None:
        """Add facts to ``run.json``, replacing those of the same name."""
        write_json(self.about_file, {**self.about(), **facts})

    @cached_property
    def task(self) -> Task:
        """The run's task, as it was in training.

        Raises:
            UserError: files that it needs are missing.
        """
        self.check(self.task_file)
        return self.config.data.open(read_json(self.task_file) or None)

    @property
    def protocol(self) -> str:
        """Label of every result: where the task's splits come from, and the curricula of the run."""
        return self.labelled(self.task.protocol)

    def labelled(self, protocol: str) -> str:
        """Return ``protocol`` followed by the curricula of the run, as ``generated, curriculum sums-first``."""
        return LABEL.join([protocol, *self.curricula()])

    def curricula(self) -> list[str]:
        """Return the names of the curricula of the run, and of the runs that its weights started from."""
        earlier = str((self.about().get("start") or {}).get("protocol", "")).split(LABEL)[1:]
        own = self.config.data.plan
        return list(dict.fromkeys([*earlier, *([own.name] if own is not None else [])]))

    def trainings(self) -> list[dict[str, Any]]:
        """Return ``run.json`` of each training run in the chain of ``trainer.start``, the earliest first."""
        about, found = self.about(), []
        while about:
            found.append(about)
            about = about.get("start") or {}
        return found[::-1]

    def commands(self) -> list[str]:
        """Return the commands that train the model from random weights, in order."""
        return [str(about.get("command", "")) for about in self.trainings()]

    def remove_temporary_files(self) -> None:
        """Remove unfinished files that a killed training run left behind."""
        for left in self.path.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def save_weights(self, model: Classifier, **facts: float) -> None:
        """Write a model's weights; ``facts`` go into the file's header."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        content = safetensors.torch.save(tensors, metadata={"about": json.dumps(facts, sort_keys=True)})
        with self.replacing(self.weights) as temporary:
            temporary.write_bytes(content)  # with the umask's permissions; save_file's are the owner's alone

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """Replace a file of the run as `nestree.data.files.replacing` does, and keep its checksum."""
        with replacing(path) as temporary:
            yield temporary
            # Whether or not the rename below still happens, one of the last two checksums is right.
            known = self.about().get(CHECKSUMS) or {}
            kept = [*known.get(path.name, [])[-1:], _checksum(temporary)]
            self.note(**{CHECKSUMS: {**known, path.name: kept}})

    def check(self, path: Path) -> None:
        """Check that a file of the run is as it was written; the files of older runs have no checksums.

        Raises:
            UserError: the file is damaged or missing.
        """
        known = (self.about().get(CHECKSUMS) or {}).get(path.name)
        if known and not path.is_file():
            raise UserError(f"{path}: is missing, although it was written")
        if known and _checksum(path) not in known:
            raise UserError(f"{path}: damaged, its content is not what was written (its checksum differs)")

    def read_weights(
        self,
        model: Classifier,
        *,
        whole: bool = True,
        changed: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    ) -> list[str]:
        """Load the run's best weights into ``model``.

        Args:
            model: the model, of the same architecture.
            whole: if false, its encoder may have parts that the run's encoder lacks; they keep their values.
            changed: returns the weights to load, given those of the run; None: these.

        Returns:
            The names of those parts, such as ``encoder.context``.

        Raises:
            UserError: there are no weights yet, or they are damaged or do not fit the model.
        """
        if not self.weights.is_file():
            raise UserError(f"{self.name} has no weights yet: training ended before the first validation")
        self.check(self.weights)
        try:
            state = safetensors.torch.load_file(self.weights)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.weights}: cannot be read ({error})") from None
        state = state if changed is None else changed(state)
        wanted = model.state_dict()
        kept: set[str] = set()
        if not whole:
            kept = {_part(name) for name in wanted if name.startswith("encoder.")} - {_part(name) for name in state}
        wanted = {name: value for name, value in wanted.items() if _part(name) not in kept}
        for name in sorted(wanted.keys() | state.keys()):
            have, want = (str(tuple(part[name].shape)) if name in part else "missing" for part in (state, wanted))
            if have != want:
                raise UserError(f"{self.weights} does not fit the model: {name} is {have}, should be {want}")
            if name in state and name in wanted and state[name].dtype != wanted[name].dtype:
                kinds = f"{name} is {state[name].dtype}, should be {wanted[name].dtype}"
                raise UserError(f"{self.weights} does not fit the model: {kinds}")
            if name in state and not state[name].isfinite().all():
                raise UserError(f"{self.weights}: damaged, {name} has values that are not finite")
        model.load_state_dict(state, strict=not kept)
        return sorted(kept)


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_config(path: Path, config: Config) -> None:
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False))


def _part(name: str) -> str:
    """Return the part of the model that a weight belongs to: ``encoder.context`` for ``encoder.context.mix.bias``."""
    return ".".join(name.split(".")[:2])
