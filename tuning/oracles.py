"""KerasTuner's oracles, made to remember.

Written against keras-tuner 1.4.8, whose oracles reload from ``oracle.json``. That file lacks the
grid's order and the Bayesian search's random state, is not replaced atomically, and is written
after the trials' own files, so that a kill in between loses a trial or gives it twice. Here nothing
is read back from it. An oracle's state is a function of its seed and of the order in which trials
began and ended, with their results: that order is in the journal, the results in the records, and
the oracle that goes on is a new one that was told them again.
"""

import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import keras_tuner
import numpy as np
from keras_tuner import oracles
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src.engine import conditions

from kerascw.experiment.spec import Experiment
from tuning.journal import Journal
from tuning.records import (
    RECORD,
    TrialRecord,
    difference,
    read_record,
    write_atomically,
    write_record,
)
from tuning.space import Oracle, SpaceError

# 1.4.8 prints a condition's value whenever it goes to another process, for its own debugging
conditions.print = lambda *_: None

FACTOR = 3
"""Of Hyperband: a rung trains so many times as long as the one before, and a part as many."""

COLLISIONS = 1000
"""How often the same values may be drawn before a space is held to be exhausted. KerasTuner's 20
end a search of twelve combinations after ten."""


class TrialWatcher(Protocol):
    """Whoever wants to see a search go on."""

    def began(self, record: TrialRecord) -> None:
        """A trial begins, or is begun again after its worker was lost."""

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        """A trial ended; ``recalled`` where that was in an earlier sitting."""


class Changed(Exception):
    """What was kept does not come out again: the space, or KerasTuner, has changed."""


class Memory:
    """What all our oracles add to KerasTuner's: mixed in before it."""

    given_up: str | None = None
    """The cause for which so many trials failed in a row that the search ends."""

    _folder: Path
    _journal: Journal
    _build: Callable[[keras_tuner.HyperParameters], Experiment]
    _watcher: TrialWatcher
    _recalling: dict[str, Any] | None = None  # the event that is being told again
    max_trials: int | None

    def remember(
        self,
        folder: Path,
        build: Callable[[keras_tuner.HyperParameters], Experiment],
        watcher: TrialWatcher,
        failures: int,
    ) -> None:
        """Go on from what ``folder`` has, if it has anything.

        Parameters
        ----------
        build : gives the experiment of hyperparameters, registering those it asks for.
        failures : so many failed trials in a row, all for one cause, end the search.

        Raises
        ------
        Changed
            The same seed and results do not give the kept trials any more.
        """
        self._folder, self._build, self._watcher = folder, build, watcher
        self.failures = failures
        self._journal = Journal(folder / "journal.jsonl")
        self._records: dict[str, TrialRecord] = {}
        self._max_collisions = COLLISIONS
        self.verbose = 0
        for event in self._journal.read():
            self._recalling = event
            if "begin" in event:
                self._begin_again(event)
            else:
                self._end_again(event["end"])
        self._recalling = None
        unfinished = [trial_id for trial_id in self.start_order if trial_id not in self.end_order]
        self._retry_queue = unfinished[::-1]  # KerasTuner takes the last
        self.ongoing_trials.clear()
        self.tuner_ids.clear()
        self.save()

    def _begin_again(self, event: dict[str, Any]) -> None:
        # an id of its own for each: the tuner that had it may have been lost, and have come back
        trial = self.create_trial(f"recalled {event['begin']}")
        values = json.loads(json.dumps(trial.hyperparameters.values))
        if (trial.trial_id, values) != (event["begin"], event["values"]):
            was, now = _differing(event["values"], values if trial.trial_id else {})
            raise Changed(f"trial {event['begin']} had {was}, and would have {now} now")

    def _end_again(self, trial_id: str) -> None:
        record = read_record(self._folder / f"trial_{trial_id}" / RECORD)
        trial = self.trials[trial_id]
        try:
            made = self._build(trial.hyperparameters).model_dump(mode="json")
        except SpaceError as error:
            made, said = {}, str(error)
        else:
            said = ""
        if record.experiment and made != record.experiment:
            what = difference(record.experiment, made) if made else f"an error now ({said})"
            raise Changed(f"trial {trial_id} gave another experiment: {what}")
        completed = record.status == "completed"
        trial.status = TrialStatus.COMPLETED if completed else TrialStatus.FAILED
        self.end_trial(trial)

    # --- as KerasTuner calls them

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Give a tuner its next trial, and keep that it began."""
        before, limit = len(self.trials), self.max_trials
        if self._recalling is not None:
            self.max_trials = None
        elif self.given_up is not None:
            self._retry_queue.clear()
            self.max_trials = before
        elif limit is None or before < limit:
            self.max_trials = None  # or the ids' zeros depend on it: four, for None
        try:
            trial = super().create_trial(tuner_id)  # type: ignore[misc]
        finally:
            self.max_trials = limit
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials and not self.given_up:
            # another worker may be lost in its trial, and then this one is needed
            trial.status = TrialStatus.IDLE
            self.tuner_ids.add(tuner_id)
        if self._recalling is not None or trial.status != TrialStatus.RUNNING:
            return trial
        if len(self.trials) > before:
            values = trial.hyperparameters.values
            record = _of_new_trial(trial.trial_id, values)
            write_record(self._folder, record)
            self._journal.append(
                {"begin": trial.trial_id, "values": values, "seed_state": self._seed_state}
            )
        else:
            record = read_record(self._folder / f"trial_{trial.trial_id}" / RECORD)
        self._watcher.began(record)
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """Take a trial's result from its record, and keep that it ended; once, not twice."""
        trial_id = trial.trial_id
        if trial_id in self.end_order:
            return  # it was given to another worker, and both came to its end
        if trial_id in self._retry_queue:
            self._retry_queue.remove(trial_id)
        record = read_record(self._folder / f"trial_{trial_id}" / RECORD)
        if self._recalling is None:
            earlier = self._same_before(record)
            if earlier != record.duplicate_of:
                record = replace(record, duplicate_of=earlier)
                write_record(self._folder, record)
        self._records[trial_id] = record
        trial.message = record.reason
        super().end_trial(trial)  # type: ignore[misc]
        if self._recalling is None:
            self._journal.append({"end": trial_id})
        self.given_up = self._one_cause()
        self._watcher.ended(record, self._recalling is not None)

    def score_trial(self, trial: Any) -> None:
        """Score it with the record's mean, to the last bit."""
        trial.score, trial.best_step = self._records[trial.trial_id].score, 0

    def populate_space(self, trial_id: str) -> Any:
        """Choose a trial's values; those of a kept trial must come out again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the Gaussian process' fit
            return self._populate(trial_id)

    def _populate(self, trial_id: str) -> Any:
        return super().populate_space(trial_id)  # type: ignore[misc]

    def _check_consecutive_failures(self) -> None:
        """Do nothing: KerasTuner would raise here, with its lock held, whatever the causes."""

    def save(self) -> None:
        """Write KerasTuner's own file, whole."""
        if self._recalling is None:
            write_atomically(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        if self._recalling is None:
            name = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
            write_atomically(name, trial.get_state())

    # --- ours

    @property
    def records(self) -> list[TrialRecord]:
        """The ended trials, in the order in which they ended."""
        return list(self._records.values())

    @property
    def waits(self) -> bool:
        """Whether a tuner has a trial, or is to have one, or was not told yet that it may end."""
        return bool(self.ongoing_trials or self._retry_queue or self.tuner_ids)

    @keras_tuner.synchronized
    def give_back(self, tuner_id: str) -> str | None:
        """Take a lost tuner's trial from it, for the next that asks; return its id."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is None:
            return None
        self._retry_queue.append(trial.trial_id)
        trial_id: str = trial.trial_id
        return trial_id

    @keras_tuner.synchronized
    def fail(self, trial_id: str, reason: str) -> None:
        """End a trial that no worker can end."""
        path = self._folder / f"trial_{trial_id}" / RECORD
        write_record(self._folder, replace(read_record(path), status="failed", reason=reason))
        trial = self.trials[trial_id]
        trial.status = TrialStatus.FAILED
        self.end_trial(trial)

    def has_more(self) -> bool:
        """Tell whether there is another trial to run; then the next tuner that asks has it."""
        trial = self.create_trial("asked")
        if trial.status == TrialStatus.STOPPED:
            return False
        self.give_back("asked")
        return True

    def _same_before(self, record: TrialRecord) -> str | None:
        """Return the trial that ended with the same experiment, at as many epochs."""
        if not record.experiment:
            return None
        for trial_id, other in self._records.items():
            if (other.experiment, other.epochs) == (record.experiment, record.epochs):
                return other.duplicate_of or trial_id
        return None

    def _one_cause(self) -> str | None:
        last = [self._records[trial_id] for trial_id in self.end_order[-self.failures :]]
        failed = len(last) == self.failures and all(r.status != "completed" for r in last)
        # "epoch 3 is not finite" and "epoch 5 is not finite" are one cause
        causes = {re.sub(r"[\d.]+", "#", record.reason or "") for record in last}
        return last[-1].reason if failed and len(causes) == 1 else None

    @contextmanager
    def _failed_count_as(self, score: float) -> Iterator[None]:
        """Have failed trials looked at as completed ones of this score."""
        failed = [t for t in self.trials.values() if t.status == TrialStatus.FAILED]
        for trial in failed:
            trial.status, trial.score = TrialStatus.COMPLETED, score
        try:
            yield
        finally:
            for trial in failed:
                trial.status, trial.score = TrialStatus.FAILED, None

    if TYPE_CHECKING:  # KerasTuner's attributes, which the classes below have

        def __getattr__(self, name: str) -> Any: ...


class RandomOracle(Memory, oracles.RandomSearchOracle):
    """Random search."""


class GridOracle(Memory, oracles.GridSearchOracle):
    """Every combination, in KerasTuner's order."""


class BayesianOracle(Memory, oracles.BayesianOptimizationOracle):
    """A Gaussian process with an upper confidence bound.

    Its random points are as many as the space has dimensions, and one more, at least five:
    KerasTuner's three times as many leave nothing to most searches of this size.
    """

    def _populate(self, trial_id: str) -> Any:
        if self._recalling is not None:  # a fit takes a second; what it gave is known
            self._seed_state = self._recalling["seed_state"]
            return {"status": TrialStatus.RUNNING, "values": self._recalling["values"]}
        self.num_initial_points = max(5, len(self._nonfixed_space()) + 1)
        # KerasTuner's is not kept; so it is a function of the seed and the trial
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        scores = [t.score for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        worst = {"max": min, "min": max}[self.objective.direction](scores, default=0.0)
        with self._failed_count_as(worst):
            chosen = super()._populate(trial_id)
            if chosen["values"] is not None and self._duplicate(chosen["values"]):
                return self._random_populate_space()
            return chosen


class HyperbandOracle(Memory, oracles.HyperbandOracle):
    """Successive halving in several brackets; failed trials are the first that are left out."""

    def _populate(self, trial_id: str) -> Any:
        with self._failed_count_as(-math.inf if self.objective.direction == "max" else math.inf):
            return super()._populate(trial_id)

    def trials_of_a_round(self) -> int:
        """Return how many trials one round of all brackets has, promoted ones included."""
        return sum(
            self._get_size(bracket, rung)
            for bracket in range(self._get_num_brackets())
            for rung in range(self._get_num_rounds(bracket))
        )


def make_oracle(
    kind: Oracle, objective: keras_tuner.Objective, seed: int, trials: int | None, max_epochs: int
) -> Memory:
    """Return a fresh oracle.

    ``seed`` 0 is one like any other. KerasTuner takes ``seed or random``, and trial i of seed 1 for
    trial i - 1 of seed 2 where there is one hyperparameter; so it gets a hash.
    """
    hashed = 1 + int(hashlib.sha256(f"search {seed}".encode()).hexdigest(), 16) % (2**31 - 1)
    common = {"objective": objective, "seed": hashed}
    match kind:
        case "random":
            return RandomOracle(max_trials=trials, **common)
        case "grid":
            return GridOracle(max_trials=trials, **common)
        case "bayesian":
            return BayesianOracle(max_trials=trials, **common)
        case "hyperband":
            oracle = HyperbandOracle(
                max_epochs=max_epochs,
                factor=FACTOR,
                hyperband_iterations=1 if trials is None else None,  # None: as many as it takes
                **common,
            )
            oracle.max_trials = trials
            return oracle


def _of_new_trial(trial_id: str, values: dict[str, Any]) -> TrialRecord:
    return TrialRecord(
        trial_id=trial_id,
        number=int(trial_id) + 1,
        hyperparameters=own_values(values),
        status="running",
        epochs=values.get("tuner/epochs"),
        rung=values.get("tuner/round"),
        bracket=values.get("tuner/bracket"),
        promoted_from=values.get("tuner/trial_id"),
    )


def own_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without those that Hyperband adds."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def _differing(was: dict[str, Any], now: dict[str, Any]) -> tuple[str, str]:
    names = [name for name in [*was, *now] if was.get(name) != now.get(name)][:1]
    return tuple(  # type: ignore[return-value]
        ", ".join(f"{name} {values[name]!r}" for name in names if name in values) or "none"
        for values in (was, now)
    )
