"""A search: a study whose experiments are chosen as it goes.

KerasTuner's oracle is asked for a batch of trials, the engine trains them, and the oracle is told
the scores in the order in which it was asked. Going on after a stop is doing all of it again: runs
that are kept come back at once, so the oracle is asked and told the same. The size of a batch
belongs to the search, since it decides what an adaptive oracle knows when it is asked.
"""

import math
import re
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kerascw.errors import CallError, KerascwError
from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import with_seed
from kerascw.quiet import import_tensorflow
from kerascw.runs.many import StudyWatcher, open_trainers, prepare, run_many, train_all_until
from kerascw.runs.processes import Died
from kerascw.runs.run import history_so_far
from kerascw.runs.store import Run, Store, write_json
from kerascw.runs.summary import write_summary
from tuning import records
from tuning.plan import Plan
from tuning.text import summary_of_search

FAILURES = 5
"""So many trials in a row without a score, all for one cause, end a search."""

ORACLE = ".oracle"
"""Where KerasTuner writes in a search's folder while it goes on."""


class SearchWatcher(StudyWatcher):
    """Sees the trials of a search and then the finalists' runs; shows nothing by itself."""

    def searching(self, spec: records.SearchSpec, jobs: int) -> None:
        """The search begins, or goes on."""

    def ended(self, record: records.TrialRecord, recalled: bool) -> None:
        """A trial ended; ``recalled`` where it had ended in an earlier sitting."""


def run_search(
    plan: Plan,
    store: Store,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    data_dir: str | Path | None = None,
    watcher: SearchWatcher | None = None,
    trainers: Any = None,
) -> records.SearchResult:
    """Search, train the finalists over fresh seeds, and return the result.

    Called again after a stop or a kill, it goes on; no trial is trained twice, lost or doubled.
    ``jobs``, ``cluster`` and ``trainers`` are those of :func:`kerascw.runs.many.run_many`.

    Raises CallError: the space is wrong; KerascwError: FAILURES
    trials in a row failed for one cause; none was completed; a process died.
    """
    import_tensorflow()
    watcher = watcher or SearchWatcher()
    folder = records.searches_folder(store.folder) / plan.label
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise KerascwError(f"search {plan.label} is being run by another process") from None
    # processes that stay open from batch to batch, where nobody else keeps them open
    own = nullcontext(trainers) if trainers or cluster else open_trainers(jobs)
    with lock, own as trainers:
        where = {"jobs": jobs, "cluster": cluster, "trainers": trainers, "data_dir": data_dir}
        try:
            _Search(plan, store, where, folder, watcher).run()
        finally:
            shutil.rmtree(folder / ORACLE, ignore_errors=True)
        result = choose(plan, records.read_search(folder), store, where, watcher)
    write_summary(folder, summary_of_search(folder))
    return result


@dataclass
class _Trial:
    """A trial between the asking and the telling; it is "running" until it has ended."""

    asked: Any  # KerasTuner's own trial
    record: records.TrialRecord
    recalled: bool  # it ended in an earlier sitting


class _Search(SearchWatcher):
    """Asks, trains and tells until the search is over; watches the runs of a batch itself."""

    def __init__(
        self, plan: Plan, store: Store, where: dict[str, Any], folder: Path, watcher: SearchWatcher
    ) -> None:
        from tuning.oracles import Asker  # imports KerasTuner

        self._plan, self._store, self._where = plan, store, where
        self._folder, self._watcher = folder, watcher
        self._asker = Asker(plan, folder / ORACLE)
        self._write_spec()
        self._records: dict[str, records.TrialRecord] = {}  # of this sitting, in the order asked
        self._batch: list[_Trial] = []

    def run(self) -> None:
        self._watcher.searching(self._spec, self._where["jobs"])
        while self._ask():
            self._write_spec()
            self._train(self._batch)
            for trial in self._batch:
                self._asker.tell(trial.asked, trial.record.score)
            self._check_causes()

    def _write_spec(self) -> None:
        """Write search.json, with the hyperparameters that trials have turned out to have."""
        self._spec = replace(self._plan.spec, hyperparameters=self._asker.described)
        write_json(self._folder / records.SEARCH, asdict(self._spec))

    # --- ask

    def _ask(self) -> bool:
        """Fill the batch; return False where the search is over."""
        asked, limit = len(self._records), self._spec.trials
        # random values need no results: the start of a Bayesian search is one batch
        room = max(self._spec.batch, self._asker.random_start - asked)
        if limit is not None:
            room = min(room, limit - asked)
        self._batch = []
        while len(self._batch) < room and (trial := self._asker.ask()) is not None:
            self._batch.append(self._begun(trial))
        return bool(self._batch)

    def _begun(self, asked: Any) -> _Trial:
        """Return a trial, checked; one that cannot be trained has failed."""
        record = self._made(asked)
        self._asker.begun(asked)
        kept = records.read_record(self._folder, record.trial_id)
        if kept is None:
            records.write_record(self._folder, record)
        elif kept.status == "failed":  # and is not tried again: its process may have died
            record = kept
        self._records[record.trial_id] = record
        trial = _Trial(asked, record, recalled=kept is not None and kept.status != "running")
        if record.status == "failed":
            self._end(trial)
        return trial

    def _made(self, asked: Any) -> records.TrialRecord:
        """Return the record of a trial with its experiment, or why it has none."""
        values = asked.hyperparameters.values
        source = values.get("tuner/trial_id")
        record = records.TrialRecord(
            asked.trial_id,
            len(self._records) + 1,
            own_values(values),
            "running",
            epochs=values.get("tuner/epochs"),
            rung=values.get("tuner/round"),
            # KerasTuner gives a promoted trial the number of the bracket that was begun last
            bracket=self._records[source].bracket if source else values.get("tuner/bracket"),
            promoted_from=source,
        )
        try:
            experiment = self._plan.experiment(asked.hyperparameters)
            run = prepare(experiment, self._store, self._where["data_dir"]).name
        except CallError as error:
            return replace(record, status="failed", reason=str(error))
        epochs = record.epochs or experiment.training.epochs
        same = (r.trial_id for r in self._records.values() if (r.run, r.epochs) == (run, epochs))
        return replace(
            record,
            hyperparameters=own_values(values),  # with those that the space has added
            experiment=experiment.model_dump(mode="json"),
            run=run,
            epochs=epochs,
            duplicate_of=next(same, None),
        )

    # --- train

    def _train(self, batch: Sequence[_Trial]) -> None:
        """Train what is missing of a batch, and end its trials."""
        alive = [trial for trial in batch if trial.record.status == "running"]
        for trial in alive:  # those of earlier sittings are counted before any that ends now
            if trial.recalled and self._store.get(trial.record.run) is not None:
                self._end(trial)
        wanted = [
            (Experiment.model_validate(trial.record.experiment), trial.record.epochs or 0)
            for trial in alive
        ]
        rungs = [(e, epochs) for e, epochs in wanted if epochs < e.training.epochs]
        whole = [e for e, epochs in wanted if epochs == e.training.epochs]
        try:
            train_all_until(rungs, self._store, **self._where)
            run_many(whole, self._store, watcher=self, **self._where)
        except Died as error:  # of which trial is known where it is alone
            if len(alive) > 1:
                for trial in alive:
                    self._train([trial])
                return
            (trial,) = alive
            trial.record = replace(trial.record, status="failed", reason=str(error))
        for trial in alive:
            if self._records[trial.record.trial_id].status == "running":
                self._end(trial)

    def finished(self, run: Run) -> None:
        """End the trials that waited for this run."""
        for trial in self._batch:
            if run.name == trial.record.run:
                self._end(trial)

    def _end(self, trial: _Trial) -> None:
        """Write what came of a trial, and tell the watcher."""
        if trial.record.status == "running":
            trial.record = self._scored(trial.record)
        self._records[trial.record.trial_id] = trial.record
        records.write_record(self._folder, trial.record)
        self._watcher.ended(trial.record, trial.recalled)

    def _scored(self, record: records.TrialRecord) -> records.TrialRecord:
        """Return the record with the objective at the epoch whose weights are kept."""
        training = record.experiment["training"]
        history = history_so_far(record.run, self._store)[: record.epochs]
        score = kept_figure(history, training["keep"], self._spec.objective)
        if record.epochs == training["epochs"]:
            run = Run(self._store.folder / record.run)
            record = replace(record, seconds=run.environment["training_seconds"])
        if score is None:
            reason = f"a figure of epoch {len(history)} is not finite"
            return replace(record, status="diverged", reason=reason)
        return replace(record, status="completed", score=score)

    def _check_causes(self) -> None:
        """End the search where so many trials in a row failed for one cause."""
        last = list(self._records.values())[-FAILURES:]
        # "epoch 3 is not finite" and "epoch 5 is not finite" are one cause
        causes = {re.sub(r"[\d.]+", "#", record.reason or "") for record in last}
        if len(last) == FAILURES and len(causes) == 1 and all(r.score is None for r in last):
            raise KerascwError(
                f"search {self._plan.label} ended: {FAILURES} trials in a row failed, all for one "
                f"cause: {last[-1].reason}"
            )


def own_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without those that Hyperband adds (``tuner/epochs`` and the like)."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def kept_figure(history: list[dict[str, float]], keep: str, objective: str) -> float | None:
    """Return the objective at the epoch whose weights are kept; None where training diverged.

    >>> kept_figure([{"validation_loss": 2.0}, {"validation_loss": 3.0}], "validation_loss",
    ...             "validation_loss")
    2.0
    """
    if not history or not all(math.isfinite(value) for value in history[-1].values()):
        return None
    if keep == "last":
        return history[-1][objective]
    pick = max if keep == "validation_accuracy" else min
    return pick(history, key=lambda row: row[keep])[objective]


# --- finalists ------------------------------------------------------------------------------


def choose(
    plan: Plan,
    result: records.SearchResult,
    store: Store,
    where: dict[str, Any],
    watcher: SearchWatcher,
) -> records.SearchResult:
    """Train the best trials over seeds that the search has not used; return them with the result.

    Raises KerascwError: no trial was completed, or every finalist diverged.
    """
    best: dict[str, records.TrialRecord] = {}
    for record in result.ranked:
        best.setdefault(record.run, record)  # one trial for each experiment
    if not best:
        reasons = [record.reason for record in result.records if record.reason]
        raise KerascwError(
            f"search {plan.label}: none of {len(result.records)} trials was completed"
            + (f"; the last: {reasons[-1]}" if reasons else "")
        )
    chosen = list(best.values())[: plan.spec.finalists]
    wanted = []
    for record in chosen:
        experiment = Experiment.model_validate(record.experiment)
        wanted += [with_seed(experiment, experiment.seed + 1 + at) for at in range(plan.spec.seeds)]
    runs = iter(run_many(wanted, store, watcher=watcher, **where))
    finalists = []
    for record in chosen:
        own = list(islice(runs, plan.spec.seeds))
        finalists.append(
            records.Finalist(
                record.trial_id,
                seeds=tuple(run.experiment.seed for run in own),
                runs=tuple(run.name for run in own),
                values=tuple(
                    kept_figure(run.history, run.experiment.training.keep, plan.space.objective)
                    for run in own
                ),
            )
        )
    write_json(result.folder / records.FINALISTS, [asdict(finalist) for finalist in finalists])
    result = replace(result, finalists=tuple(finalists))
    if result.winner is None:
        raise KerascwError(f"search {plan.label}: every finalist diverged over fresh seeds")
    return result


def winning_run(result: records.SearchResult, store: Store) -> Run:
    """Return the winner's best run over fresh seeds, by its validation figure."""
    winner = result.winner
    assert winner is not None, "a search without a winner has ended with an error"
    pairs = zip(winner.scores, winner.runs, strict=True)
    _, name = min(pairs, key=lambda pair: result.spec.rank(pair[0]))
    run = store.get(name)
    if run is None:
        raise CallError(f"search {result.label}: run {name} of its winner is gone; run it again")
    return run
