"""Where the figures of a training are logged: CSV files always, and other programs by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from nestree.errors import OptionError
from nestree.runs import Run

PROJECT = "nestree"
"""Project in Weights & Biases, and experiment in MLflow."""

_KINDS = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger, "mlflow": MLFlowLogger}
"""Lightning's loggers, by the name of the module that each needs, which is also that of our extra."""


def make_loggers(run: Run, names: tuple[str, ...]) -> list[Logger]:
    """Return the CSV logger, which reports are made from, and those named.

    Raises:
        UserError: a program is not installed, and names the extra that brings it; or it cannot be used.
    """
    for name in names:
        if find_spec(name) is None:
            raise OptionError("trainer.loggers", f"has {name}, which is not installed: pip install 'nestree[{name}]'")
    # One CSV file per session, as Lightning's logger overwrites its file.
    sessions = len(list((run.logs / "csv").glob("*"))) if run.logs.is_dir() else 0
    return [CSVLogger(run.logs, name="csv", version=f"{sessions:03d}"), *(_logger(run, name) for name in names)]


def connect(loggers: Sequence[Logger]) -> None:
    """Connect to what the loggers write to, before anything is trained.

    Raises:
        UserError: a program cannot be used, for want of a server, an account or a database.
    """
    for logger in loggers:
        with _using(next(name for name, kind in _KINDS.items() if isinstance(logger, kind))):
            logger.experiment  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def _using(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # theirs, of many types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise OptionError("trainer.loggers", f"has {name}, which cannot be used ({reason[:300]})") from None


def _logger(run: Run, name: str) -> Logger:
    if name == "tensorboard":
        return TensorBoardLogger(run.logs, name=name, version="", default_hp_metric=False)
    if name == "wandb":  # the name identifies the run, so that a resumed one continues the same curves
        return WandbLogger(project=PROJECT, name=run.title, version=run.title, save_dir=run.logs, resume="allow")
    with _using(name):
        return MLFlowLogger(PROJECT, run_name=run.title, tags={"run": str(run.path)})
