"""One training run, from its configuration to its weights."""

from __future__ import annotations

import errno
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pickle import UnpicklingError
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer
from rich.console import Console

from nestree.config.config import Config
from nestree.config.options import TrainerOptions
from nestree.config.selection import SELECTIONS
from nestree.consoles import messages
from nestree.data.batches import EvaluationBatches
from nestree.data.cache import check_token_ids
from nestree.data.ragged import RaggedExamples
from nestree.errors import OptionError, UserError, is_unwritable, within
from nestree.models import Classifier
from nestree.native import library
from nestree.recursions.beam.beam_tree import BeamTree
from nestree.runs import Run, build_model
from nestree.tasks import DataOptions, Task
from nestree.tasks.target import target_of
from nestree.training.callbacks import (
    Interrupted,
    InterruptedAtOnce,
    KeepBest,
    Keeper,
    KeepRandomStates,
    Patience,
    PeakMemory,
    Stages,
    seed_everything,
)
from nestree.training.curriculum import Curriculum, Limits
from nestree.training.loggers import connect, make_loggers
from nestree.training.module import ClassifierModule, NotFinite
from nestree.training.parallel import signals_wait
from nestree.training.progress import TrainingProgress
from nestree.training.start import start_from
from nestree.training.stream import TrainingStream

RESUMABLE = ("max_epochs", "max_steps", "max_minutes", "checkpoint_every", "loggers")
"""Trainer options that may change when a run is resumed, as none changes a step (max_sequences would cut a batch)."""

ATTEMPT_SEED = 7_919
"""Added to the seed of the weights for each further attempt at a stage."""


class TrainingData(pl.LightningDataModule):
    """One process's share of the training stream and of the validation batches."""

    def __init__(self, stream: TrainingStream, validation: RaggedExamples, *, evaluation_tokens: int) -> None:
        super().__init__()
        self.stream = stream
        self.validation = validation
        self.evaluation_tokens = evaluation_tokens

    def train_dataloader(self) -> TrainingStream:
        """Return the stream, set to this process's share."""
        assert self.trainer is not None
        self.stream.share = self.trainer.global_rank
        return self.stream

    def val_dataloader(self) -> EvaluationBatches:
        """Return this process's validation batches."""
        assert self.trainer is not None
        share, shares = self.trainer.global_rank, self.trainer.world_size
        return EvaluationBatches(self.validation, tokens=self.evaluation_tokens, share=share, shares=shares)


class Training:
    """Everything that training a run needs; [`fit`][] trains.

    Raises:
        UserError: options do not fit the data or the machine.
    """

    def __init__(
        self,
        run: Run,
        config: Config,
        task: Task,
        train: RaggedExamples,
        validation: RaggedExamples,
        *,
        console: Console,
    ) -> None:
        trainer = config.trainer.settled(compiled=config.encoder.compiled)
        config = replace(config, trainer=trainer, data=config.data.settled())
        data, options, devices = config.data, config.trainer, config.trainer.devices or 1
        if len(validation) < devices:
            raise UserError(f"{len(validation)} validation examples are too few for {devices} devices")
        self.run, self.config, self.task, self.console = run, config, task, console
        if options.precision == "tf32":
            if options.accelerator == "cpu" or not torch.cuda.is_available():
                raise OptionError("trainer.precision", "must be 32 or bf16-mixed without a GPU, not 'tf32'")
            torch.set_float32_matmul_precision("high")
        if config.trainer.threads is not None:
            torch.set_num_threads(config.trainer.threads)
        if config.optimizer.tree_supervision:
            _check_supervision(task, train, config)
        model = self._model(config.seed, begins=not run.checkpoint.is_file(), console=console)
        if config.optimizer.node_supervision:
            _check_node_supervision(task, train, model, config)
        if target_of(task).kind == "number" and any(stage.mark is not None for stage in data.stages):
            raise OptionError("data.curriculum", "must have no mark, which is an accuracy: the answers are numbers")
        self.curriculum = Curriculum(data.stages)
        self.stream = TrainingStream(
            train,
            batch=data.batch,
            window=data.window,
            seed=config.seed,
            shares=devices,
            sequences=options.max_sequences,
            curriculum=self.curriculum,
            samplers=[stage.sampler(task, train) for stage in data.stages[:-1]],
        )
        self.data = TrainingData(self.stream, validation, evaluation_tokens=data.evaluation_tokens)
        self.most_steps = min(options.max_epochs * self.stream.batches_per_epoch, options.max_steps or sys.maxsize)
        self.steps = min(self.most_steps, self.stream.steps)
        self.curriculum.limits = Limits(self.most_steps, options.max_sequences, options.max_minutes)
        self.config = replace(config, optimizer=config.optimizer.settled(self.steps, options.max_minutes))
        target = target_of(task)
        selection = SELECTIONS[options.select].by(target.kind)
        limit = None if options.max_minutes is None else timedelta(minutes=options.max_minutes)
        self.timer = Timer(limit, verbose=False)
        self.module = ClassifierModule(
            model,
            classes=len(task.label_names),
            target=target,
            options=self.config.optimizer,
            micro_batch=data.micro_batch,
            selection=selection,
            curriculum=self.curriculum,
            clock=lambda: self.timer.time_elapsed() / 60,
            gold=task.gold,
        )
        self.validate_every = options.validate_every or self.stream.batches_per_epoch
        self.best = KeepBest(run, selection)
        self.patience = Patience(
            self.curriculum,
            selection,
            patience=sys.maxsize if options.patience is None else options.patience + 1,
        )
        self.memory = PeakMemory()
        self.progress = TrainingProgress(
            console, self.stream, self.timer, self.best, steps=self.steps, log_every=options.log_every
        )
        self.stages = Stages(self.curriculum, self.stream, console, self._fresh)
        self.keeper = Keeper(
            run,
            self.stream,
            steps=self.most_steps,
            validate_every=self.validate_every,
            checkpoint_every=options.checkpoint_every,
            over=self._over,
            note=lambda: self._note("training"),
        )
        with quiet_lightning():
            self.trainer = self._trainer(options, devices)

    def _model(self, seed: int, *, begins: bool, console: Console) -> Classifier:
        """Return a new model; if training ``begins``, with pretrained word vectors and weights if there are any.

        Raises:
            UserError: the vectors or the weights do not fit the model.
        """
        seed_everything(seed)
        model, start = build_model(self.config, self.task), self.config.trainer.start
        if begins and (vectors := self.task.pretrained()) is not None:
            with within("model"):
                model.set_embedding(vectors.matrix, vectors.known)
            console.print(f"vectors     for {vectors.known.mean():.1%} of {len(vectors.known):,} words")
        if begins and start is not None:
            console.print(f"start       {start_from(start, model, self.task)}")
        return model

    def _fresh(self, attempt: int) -> Classifier:
        """Return a new model for a further attempt, with another seed."""
        return self._model(self.config.seed + attempt * ATTEMPT_SEED, begins=True, console=messages(shown=False))

    def missing_library(self) -> str | None:
        """Say why the compiled library is missing, where it would serve this training; None where it would not."""
        served = any(isinstance(part, BeamTree) and part.compilable for part in self.module.model.modules())
        if not served or self.trainer.strategy.root_device.type != "cpu" or library.switched_off():
            return None
        return library.status()[1]

    def fit(self) -> dict[str, Any]:
        """Train from the beginning or from the run's checkpoint, and return the facts written to ``run.json``.

        On the same machine, with the same threads and versions, the same configuration gives bitwise equal weights, no
        matter how often the run is stopped and resumed.

        Raises:
            NotFinite: the loss became infinite or NaN; says where the last good checkpoint is.
            Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
            InterruptedAtOnce: a second Ctrl-C or SIGTERM; no further checkpoint was written.
            UserError: the checkpoint is damaged; ``run.json`` is unchanged.
        """
        if self.trainer.is_global_zero:
            connect(self.trainer.loggers[1:])
        try:
            with quiet_lightning(), self.keeper.watching_signals():
                self._fit()
        except NotFinite as error:
            said = f"step {self.stream.position}: {error}; {self._advice()}"
            self._note("not finite", error=said)
            raise NotFinite(said) from None
        except (Interrupted, InterruptedAtOnce):
            if self.keeper.started:
                self._note("interrupted")
            raise
        except OSError as error:
            if not is_unwritable(error):
                raise
            raise self._unwritable(error) from None
        except Exception as error:
            if self.keeper.started:  # else nothing has changed since the last note
                self._note("failed", error=" ".join(f"{type(error).__name__}: {error}".split()))
            raise
        try:
            return self._note("finished")
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UserError:
        """Return the error for a file that cannot be written; ``run.json`` says so too, if there is room for that."""
        checkpoint = self.run.checkpoint
        saved = f"the last good checkpoint is {checkpoint}" if checkpoint.is_file() else "nothing is saved"
        said = f"{error.filename or self.run.path}: cannot be written ({error.strerror or error}); {saved}"
        with suppress(OSError):
            self._note("failed", error=said)
        return UserError(said)

    @property
    def was_over(self) -> bool:
        """Whether the checkpoint that [`fit`][] resumed from was of a complete training, so that nothing was trained.

        Lightning does not even start if the time is over.
        """
        return self.keeper.already_over or not self.keeper.started

    def _fit(self) -> None:
        checkpoint = self.run.checkpoint if self.run.checkpoint.is_file() else None
        if checkpoint is not None:
            self.run.check(checkpoint)
        try:
            self.trainer.fit(self.module, datamodule=self.data, ckpt_path=checkpoint, weights_only=True)
        except (UnpicklingError, EOFError, KeyError, RuntimeError) as error:
            if checkpoint is None or self.keeper.started:
                raise
            raise UserError(f"{checkpoint}: cannot be read ({str(error).splitlines()[0]})") from None

    def _note(self, state: str, *, error: str | None = None) -> dict[str, Any]:
        facts = {**self.facts(state), "error": error}
        if self.trainer.is_global_zero:
            self.run.note(**facts)
        return facts

    def _trainer(self, options: TrainerOptions, devices: int) -> pl.Trainer:
        # For Lightning, training is one endless epoch: it resumes exactly only in the middle of an epoch.
        try:
            trainer = pl.Trainer(
                accelerator=options.accelerator,
                devices=devices,
                precision="bf16-mixed" if options.precision == "bf16-mixed" else "32-true",
                strategy="ddp" if devices > 1 else "auto",
                max_epochs=1,
                val_check_interval=self.validate_every,
                check_val_every_n_epoch=None,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                log_every_n_steps=options.log_every,
                logger=make_loggers(self.run, tuple(options.loggers)),
                callbacks=self._callbacks(),
                enable_checkpointing=False,
                plugins=[CheckpointFile()],
                enable_model_summary=False,
                default_root_dir=self.run.path,
            )
        except MisconfigurationException as error:
            reason = f"{options.accelerator} cannot be used with {devices} devices: {error}"
            raise OptionError("trainer.accelerator", reason) from None
        # The keeper handles signals. Lightning's handler of SIGTERM broadcasts, and hangs unless all processes get one.
        trainer._signal_connector.register_signal_handlers = lambda: None
        if (start := getattr(trainer.strategy.launcher, "_call_children_scripts", None)) is not None:
            # A signal would end a process that cannot handle it yet, and then Lightning would kill this one.
            trainer.strategy.launcher._call_children_scripts = signals_wait()(start)  # type: ignore[union-attr]
        return trainer

    def _callbacks(self) -> list[pl.Callback]:
        # The order matters: random states are restored first, and the keeper depends on all other decisions.
        return [
            KeepRandomStates(self.config.seed),
            self.timer,
            self.best,
            self.patience,
            self.progress,
            self.stages,
            self.memory,
            self.keeper,
        ]

    def facts(self, state: str) -> dict[str, Any]:
        """Return the state and results of the training for ``run.json``."""
        return {
            "state": state,
            "why": (self._over() or state) if state == "finished" else state,
            "early": self.patience.wait_count >= self.patience.patience,
            "steps": self.stream.position,
            "epochs": round(self.stream.epoch, 3),
            "sequences": self.progress.sequences,
            "minutes": round(self.timer.time_elapsed() / 60, 6),
            "sequences_per_second": round(self.progress.sequences_per_second, 2),
            "select": self.best.selection.name,
            "measure": self.best.selection.measure.name,
            self.best.selection.measure.key: self.best.measured if self.best.step else None,
            "validation_loss": self.best.loss if self.best.step else None,
            "best_step": self.best.step,
            "train_examples": len(self.stream.examples),
            "train_longest": self.stream.longest,
            "validation_examples": len(self.data.validation),
            "protocol": self.run.labelled(self.task.protocol),
            "parameters": self.module.model.parameter_count(),
            "curriculum": [asdict(left) for left in self.curriculum.left],
            "peak_memory_bytes": self.memory.peak,
            "threads": torch.get_num_threads(),
            "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def _over(self) -> str | None:
        """Return why training is complete; None if it is not."""
        if self.stream.ended:
            return f"reached {self.config.trainer.max_sequences} sequences"
        if self.stream.position >= self.most_steps:
            return f"reached {self.most_steps} steps"
        if self.patience.wait_count >= self.patience.patience:
            return f"{self.patience.wait_count} validations without a {self.best.selection.comparative}"
        remaining = self.timer.time_remaining()
        return None if remaining is None or remaining > 0 else f"reached {self.config.trainer.max_minutes:g} minutes"

    def _advice(self) -> str:
        """Return what to do after a loss that is not finite."""
        saved = (
            f"the last good checkpoint is {self.run.checkpoint}" if self.run.checkpoint.is_file() else "nothing saved"
        )
        return f"{saved}; try a lower optimizer.learning_rate or optimizer.clip"


def load_examples(task: Task, options: DataOptions, console: Console) -> tuple[RaggedExamples, RaggedExamples]:
    """Return training and validation examples, which are prepared on first use."""
    with console.status(f"preparing {options.task} (on first use only)"):
        train = task.load("train")
        validation = task.load("validation")
    for examples in (train, validation):
        check_token_ids(examples, task.vocabulary_size)
    if options.validation_longest is not None:
        validation = validation.select(validation.lengths <= options.validation_longest)
    if options.train_size is not None:
        train = train.sample(options.train_size, seed=options.seed)
    if options.validation_size is not None:
        validation = validation.sample(options.validation_size, seed=options.seed)
    return train, validation


class CheckpointFile(TorchCheckpointIO):
    """Writes checkpoints directly to their file; Lightning would write them to the system's temporary folder first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        try:
            torch.save(checkpoint, path)
        except RuntimeError as error:  # PyTorch's writer does not say why it could not write
            if not any(words in str(error) for words in ("unexpected pos", "failed writing", "cannot be opened")):
                raise
            raise OSError(errno.ENOSPC, "no room, or no permission", str(path)) from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's warnings and hints, which the user cannot act on; errors are still raised."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _check_supervision(task: Task, train: RaggedExamples, config: Config) -> None:
    """Make sure that there are gold trees, and a scorer that can be told of them."""
    if len(train) and task.gold(train.sequences(0)[0]) is None:
        raise OptionError("optimizer.tree_supervision", f"must be 0: task {task.name} knows no gold trees")
    if not hasattr(config.encoder, "scorer_width"):
        raise OptionError(
            "optimizer.tree_supervision", f"must be 0: encoder {config.encoder_name} has no scorer of pairs"
        )


def _check_node_supervision(task: Task, train: RaggedExamples, model: Classifier, config: Config) -> None:
    """Make sure that there are gold trees with labelled nodes, and an encoder that can fold along them."""
    name = "optimizer.node_supervision"
    first = [task.gold(train.sequences(row)[0]) for row in range(min(len(train), 20))]
    if task.sides > 1 or not any(gold is not None and gold.labels for gold in first):
        raise OptionError(name, f"must be 0: task {task.name} knows no labels of the nodes of trees (sst5 and sst2 do)")
    if not model.folds_along():
        raise OptionError(name, f"must be 0: encoder {config.encoder_name} does not fold along given trees")
