"""Running the trials of a sweep, one after the other."""

from __future__ import annotations

from optuna.trial import Trial, TrialState
from rich.console import Console

from nestree.config.selection import measured
from nestree.errors import INTERRUPTED, UserError
from nestree.runs import Run, build_model
from nestree.runs.history import measure_of, read_history, series
from nestree.sweep.sweep import Sweep, Taken
from nestree.training.child_process import OVER, Train, note_end, train_in_child_process


def carry_out(sweep: Sweep, trials: int, *, console: Console, train: Train = train_in_child_process) -> None:
    """Train until there are ``trials`` trials, over all processes and sessions; unfinished trials are resumed.

    Raises:
        KeyboardInterrupt: Ctrl-C; the trial is resumed next time.
    """
    while (taken := sweep.take(trials)) is not None:
        with taken.held:
            console.print(f"\ntrial {taken.trial.number} of {trials}: {_shown(taken.trial)}")
            state, value = _try(sweep, taken, train)
            sweep.study.tell(taken.trial.number, value, state=state)
            said = f"validation {sweep.measure.name} {value:.4f}" if value is not None else state.name.lower()
            console.print(f"trial {taken.trial.number}: {said}")


def _try(sweep: Sweep, taken: Taken, train: Train) -> tuple[TrialState, float | None]:
    """Train a trial, and return its state and its validation measure if it finished."""
    trial, run = taken.trial, taken.run
    if not run.config_file.is_file():
        try:
            config = sweep.config(trial.params)
            task = config.data.open()
            build_model(config, task)
        except UserError as error:  # values that are valid individually may not fit together
            run.note(state="failed", error=str(error))
            return TrialState.FAIL, None
        run.begin(config, task, command=sweep.command(trial.params), held=True)
    watch = _Watch(trial, run)
    state = run.about().get("state")
    if state not in (*OVER, "pruned"):
        code = train(run, stop=watch.should_stop, keep=(taken.lock,))
        state = note_end(run, code)
        if code == INTERRUPTED and not watch.pruned:
            raise KeyboardInterrupt
        if watch.pruned and state == "interrupted":
            run.note(state="pruned")
            state = "pruned"
    watch.report()
    if state == "pruned":
        return TrialState.PRUNED, None
    _, value = measured(run.about())
    return (TrialState.COMPLETE, value) if state == "finished" and value is not None else (TrialState.FAIL, None)


class _Watch:
    """Reports a run's validations to its trial, and asks the pruner."""

    def __init__(self, trial: Trial, run: Run) -> None:
        self.trial, self.run = trial, run
        self.pruned = False
        self.seen = 0  # modification time of the checkpoint, which is written after each validation

    def should_stop(self) -> bool:
        """Whether the pruner stops this trial."""
        written = self.run.checkpoint.stat().st_mtime_ns if self.run.checkpoint.is_file() else 0
        if written == self.seen:
            return self.pruned
        self.seen = written
        if self.report():
            self.pruned = self.trial.should_prune()
        return self.pruned

    def report(self) -> bool:
        """Report new validations, numbered from 1, and return whether there were any."""
        reported = self.trial.study.get_trials(deepcopy=False)[self.trial.number].intermediate_values
        history = read_history(self.run)
        values = dict(enumerate(series(history, measure_of(history).key)[1], start=1))
        new = {step: value for step, value in values.items() if step not in reported}
        for step, value in new.items():
            self.trial.report(value, step)
        return bool(new)


def _shown(trial: Trial) -> str:
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in trial.params.items())  # fmt: skip
