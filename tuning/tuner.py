"""The tuner that joins KerasTuner to the engine."""

import contextlib
import io
import math
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError

from kerascw.errors import CallError
from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import with_seed
from kerascw.runs.many import Task, run_many, train_all_until
from kerascw.runs.processes import Died, Trainers
from kerascw.runs.store import Store
from tuning.oracles import Changed, TrialWatcher, make_oracle, own_values
from tuning.records import RECORD, SearchSpec, TrialRecord, read_record, write_record
from tuning.space import SpaceError

if TYPE_CHECKING:
    from tuning.search import Plan

FAILURES = 5
"""So many failed trials in a row, all for one cause, end a search."""

BUILDS = 1000
"""How often a space is asked for a combination that activates a conditional hyperparameter; then
there is none."""

BEAT = 5
"""Seconds between the signs of life that a worker gives."""


class SpaceModel(keras_tuner.HyperModel):
    """The space, as KerasTuner knows it: ``build(hp)`` gives an experiment in place of a model."""

    def __init__(self, plan: "Plan") -> None:
        super().__init__(name=plan.space.name)
        self._plan = plan
        self._explored: int | None = None  # how many combinations were; None when that is over

    def build(self, hp: keras_tuner.HyperParameters) -> Experiment | None:
        """Return the experiment; None where there is none while the space is being explored."""
        if self._explored is None:
            return self._plan.experiment(hp)
        self._explored += 1
        if self._explored > BUILDS:
            raise SpaceError(
                f"{self._plan.space.path}: no combination makes every conditional_scope active"
            )
        try:
            return self._plan.experiment(hp)
        except SpaceError:
            if self._explored == 1:  # the default values
                raise
            return None

    @contextlib.contextmanager
    def exploring(self) -> Any:
        """Have KerasTuner ask for every combination that activates a hyperparameter."""
        self._explored = 0
        try:
            yield
        finally:
            self._explored = None


class SpaceTuner(keras_tuner.Tuner):
    """A KerasTuner tuner whose trials are runs of the engine.

    ``search()``, ``results_summary()``, ``get_best_hyperparameters()`` and ``get_best_models()``
    are as they are known; ``hypermodel.build(hp)`` gives an experiment. With KerasTuner's
    environment variables set it is a chief's or a worker's tuner.

    Raises
    ------
    SpaceError
        The space gives no experiment for its default values.
    CallError
        What its folder has kept is another search.
    """

    def __init__(
        self,
        plan: "Plan",
        store: Store,
        trainers: Trainers[Task],
        *,
        data_dir: str | Path | None = None,
        watcher: TrialWatcher | None = None,
    ) -> None:
        self.plan, self.store = plan, store
        self._trainers, self._data_dir = trainers, data_dir
        objective = keras_tuner.Objective(plan.space.objective, plan.space.direction)
        self.memory = make_oracle(
            plan.oracle, objective, plan.seed, plan.trials, plan.most_epochs()
        )
        folder = plan.folder(store)
        with contextlib.redirect_stdout(io.StringIO()):  # "Reloading Tuner from ..."
            super().__init__(
                self.memory,
                hypermodel=SpaceModel(plan),
                directory=str(folder.parent),
                project_name=folder.name,
            )
        self.folder = folder
        if not self._is_worker():
            from tuning.search import agree

            agree(self.spec(), folder, plan)
            try:
                self.memory.remember(folder, self.plan.experiment, watcher or Unseen(), FAILURES)
            except Changed as change:
                raise CallError(plan.refusal(str(change))) from None

    def spec(self) -> SearchSpec:
        """Return what is searched, with the hyperparameters that this process knows."""
        return self.plan.spec([_described(hp) for hp in self.memory.get_space().space])

    def reload(self) -> None:
        """Explore the space: nothing is read from KerasTuner's own files."""
        self._populate_initial_space()

    def _populate_initial_space(self) -> None:
        with self.hypermodel.exploring():
            super()._populate_initial_space()

    def pre_create_trial(self) -> None:
        """Rest while the chief has no trial to give; KerasTuner asks without a pause."""
        if self._is_worker():
            time.sleep(0.2)

    def on_search_begin(self) -> None:
        """See that a worker has the same space as its chief."""
        if self._is_worker():
            self.oracle.get_space()  # waits until the chief is there
            from tuning.search import agree

            agree(self.spec(), self.folder, self.plan, write=False)

    def _try_run_and_update_trial(self, trial: Any, *arguments: Any, **named: Any) -> None:
        """Run a trial; KerasTuner takes every exception, also a mistake of ours, for a failure."""
        try:
            self._run_and_update_trial(trial, *arguments, **named)
        except FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)
        else:
            trial.status = TrialStatus.COMPLETED

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Train a trial's experiment over its seeds, by the engine; return the objective's mean.

        Of a run only the validation figure is looked at. What comes is in the trial's record, also
        where it is a failure: then that is raised too.
        """
        path = self.folder / f"trial_{trial.trial_id}" / RECORD
        record = read_record(path)
        if record.status == "running":  # else it ended, and the oracle was not told before a kill
            record = self._ended(record, trial.hyperparameters)
            write_record(self.folder, record)
        if record.score is None:
            raise FailedTrialError(record.reason)
        return {self.plan.space.objective: record.score}

    def _ended(self, record: TrialRecord, hp: keras_tuner.HyperParameters) -> TrialRecord:
        began = time.monotonic()
        record = replace(record, worker=self.tuner_id)
        try:
            experiment = self.plan.experiment(hp)
            seeds = [experiment.seed + i for i in range(self.plan.executions)]
            record = replace(
                record,
                hyperparameters=own_values(hp.values),
                experiment=experiment.model_dump(mode="json"),
                seeds=tuple(seeds),
                epochs=record.epochs or experiment.training.epochs,
            )
            runs, values, reason = self._train(experiment, seeds, record.epochs)
        except (CallError, Died) as error:
            seconds = round(time.monotonic() - began, 3)
            return replace(record, status="failed", reason=str(error), seconds=seconds)
        whole = [value for value in values if value is not None]
        completed = len(whole) == len(values)
        return replace(
            record,
            status="completed" if completed else "diverged",
            reason=reason,
            score=statistics.fmean(whole) if completed else None,
            values=tuple(values),
            runs=tuple(runs),
            seconds=round(time.monotonic() - began, 3),
        )

    def _train(
        self, experiment: Experiment, seeds: Sequence[int], epochs: int | None
    ) -> tuple[list[str], list[float | None], str | None]:
        """Return the runs' names, the objective of each, and why one has none."""
        experiments = [with_seed(experiment, seed) for seed in seeds]
        objective, keep = self.plan.space.objective, experiment.training.keep
        if epochs is not None and epochs < experiment.training.epochs:
            paused = train_all_until(
                experiments, epochs, self.store, self._trainers, data_dir=self._data_dir
            )
            names = [name for name, _ in paused]
            histories = [history for _, history in paused]
        else:
            runs = run_many(
                experiments, self.store, data_dir=self._data_dir, trainers=self._trainers
            )
            names, histories = [run.name for run in runs], [run.history for run in runs]
        values, reason = [], None
        for history in histories:
            value = kept_figure(history, keep, objective)
            if value is None:
                reason = f"a figure of epoch {len(history)} is not finite"
            values.append(value)
        return names, values, reason

    def load_model(self, trial: Any) -> Any:
        """Return a trial's model of its first seed, with the kept weights."""
        record = read_record(self.folder / f"trial_{trial.trial_id}" / RECORD)
        run = self.store.get(record.runs[0]) if record.runs else None
        if run is None:
            raise CallError(f"trial {trial.trial_id} has no whole run, so no model")
        return run.model()


def kept_figure(history: list[dict[str, float]], keep: str, objective: str) -> float | None:
    """Return the objective at the epoch whose weights are kept; None where training diverged.

    >>> kept_figure([{"validation_loss": 2.0}, {"validation_loss": 3.0}], "validation_loss",
    ...             "validation_loss")
    2.0
    """
    if not history or not all(math.isfinite(value) for value in history[-1].values()):
        return None
    match keep:
        case "validation_accuracy":
            row = max(history, key=lambda row: row[keep])
        case "validation_loss":
            row = min(history, key=lambda row: row[keep])
        case _:
            row = history[-1]
    return row[objective]


class Unseen:
    """A watcher that shows nothing."""

    def began(self, record: TrialRecord) -> None: ...
    def ended(self, record: TrialRecord, recalled: bool) -> None: ...


def _described(hp: Any) -> dict[str, Any]:
    config = {"kind": type(hp).__name__} | hp.get_config()
    config["conditions"] = [
        {"name": c["config"]["name"], "values": list(c["config"]["values"])}
        for c in config.get("conditions", [])
    ]
    return config


@contextlib.contextmanager
def signs_of_life(folder: Path, tuner_id: str) -> Any:
    """Touch a file every few seconds, by which the chief knows that this worker lives."""
    path, over = folder / "workers" / tuner_id, threading.Event()
    path.parent.mkdir(parents=True, exist_ok=True)

    def beat() -> None:
        while not over.is_set():
            path.touch()
            over.wait(BEAT)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()
