"""What a terminal shows of a search while it goes on."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from kerascw.runs.store import Run
from kerascw.training.watcher import Silent
from tuning.records import SearchSpec, TrialRecord

SHOWN = 60
"""Characters of a trial's hyperparameters on its line."""


class SearchProgress(Silent):
    """A line for every trial that ends; and, in a terminal, a bar over the whole search."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._spec: SearchSpec | None = None
        self._total: int | None = None
        self._workers = 1
        self._done = 0
        self._running: set[str] = set()
        self._best: TrialRecord | None = None
        self._earlier: list[TrialRecord] = []  # ended in earlier sittings
        self._began = time.monotonic()
        self._runs = self._of_runs = 0

    # --- the trials

    def began(self, record: TrialRecord) -> None:
        """Count a trial that begins, or is begun again."""
        self._running.add(record.trial_id)
        self._move()

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        """Print a trial's line; those of earlier sittings are counted only."""
        self._running.discard(record.trial_id)
        self._done += 1
        if recalled:  # before searching() is called
            self._earlier.append(record)
            return
        if self._is_best(record):
            self._best = record
        of = "" if self._total is None else f"/{self._total}"
        self._console.print(
            f"[{self._done}{of}] trial {record.trial_id}: {_outcome(record)}, "
            f"{record.seconds:.1f} s   {_values(record)}   best {self._best_said()}"
        )
        self._move()

    def searching(self, spec: SearchSpec, total: int | None, workers: int) -> None:
        """Say what there is to do; what earlier sittings did was told before."""
        self._spec, self._total, self._workers = spec, total, workers
        self._began = time.monotonic()
        for record in self._earlier:
            if self._is_best(record):
                self._best = record
        executions = "" if spec.executions == 1 else f" of {spec.executions} runs"
        kept = f", {self._done} kept already" if self._done else ""
        side_by_side = "" if workers == 1 else f", {workers} workers"
        self._console.print(
            f"{spec.space}: {spec.oracle} search, seed {spec.seed}, "
            f"{'all' if total is None else total} trials{executions}{kept}{side_by_side}; "
            f"{'highest' if spec.maximizes else 'lowest'} {spec.objective}"
        )
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.completed} trials"),
                BarColumn(),
                TextColumn("{task.fields[state]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total, completed=self._done, state="")
            self._bar.start()
            self._move()

    def _is_best(self, record: TrialRecord) -> bool:
        if record.score is None:
            return False
        if self._best is None or self._best.score is None or self._spec is None:
            return True
        if self._spec.maximizes:
            return record.score > self._best.score
        return record.score < self._best.score

    def _best_said(self) -> str:
        best = self._best
        return "none yet" if best is None or best.score is None else (
            f"{best.score:.4f} (trial {best.trial_id})"
        )  # fmt: skip

    def _state(self) -> str:
        parts = [f"{self._done} done", f"{len(self._running)} running"]
        if self._total is not None:
            left = max(0, self._total - self._done - len(self._running))
            parts.append(f"{left} left")
        parts.append(f"best {self._best_said()}")
        here = self._done - len(self._earlier)
        if self._total is not None and here:
            seconds = (time.monotonic() - self._began) / here * (self._total - self._done)
            parts.append(f"{_clock(seconds)} left")
        return ", ".join(parts)

    def _move(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, state=self._state())

    # --- the finalists' runs

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """Say how many runs over fresh seeds there are."""
        self.stop()
        self._runs, self._of_runs = kept, runs
        already = f", {kept} kept already" if kept else ""
        self._console.print(f"finalists over fresh seeds: {runs} runs{already}")

    def finished(self, run: Run) -> None:
        """Print a run's line: its validation figure, never its test figure."""
        self._runs += 1
        objective = "validation_loss" if self._spec is None else self._spec.objective
        kept = run.metrics["kept_epoch"]
        said = f"{objective} {run.history[kept - 1][objective]:.4f}" if kept else "diverged"
        seconds = run.environment["training_seconds"]
        self._console.print(
            f"[{self._runs}/{self._of_runs}] {run.name} seed {run.experiment.seed}: {said}, "
            f"{seconds:.1f} s"
        )

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _outcome(record: TrialRecord) -> str:
    if record.score is None:
        return f"{record.status} ({record.reason})"
    several = len(record.values) > 1
    spread = f" of {', '.join(f'{v:.4f}' for v in record.values if v is not None)}"
    same = f", as trial {record.duplicate_of}" if record.duplicate_of else ""
    rung = "" if record.rung is None else f", {record.epochs} epochs"
    return f"{record.score:.4f}{spread if several else ''}{rung}{same}"


def _values(record: TrialRecord) -> str:
    said = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in record.hyperparameters.items()
    )
    return said if len(said) <= SHOWN else said[: SHOWN - 1] + "…"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
