"""Plan a search, run it, choose among its best over fresh seeds."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from kerascw.data.load import dataset_for
from kerascw.errors import CallError, KerascwError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Autoencoder, DataSpec, Experiment
from kerascw.lab.derive import of_sample, on_other_data, with_seed
from kerascw.lab.study import Budget as BudgetName
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import command_line
from kerascw.runs.many import StudyWatcher, open_trainers, run_many
from kerascw.runs.processes import Trainers
from kerascw.runs.store import Run, Store
from kerascw.training.devices import cores
from tuning.records import (
    FINALISTS,
    SEARCH,
    Finalist,
    SearchResult,
    SearchSpec,
    TrialRecord,
    difference,
    read_search,
    searches_folder,
    write_atomically,
)
from tuning.space import Budget, Oracle, Space, SpaceError, load_space

if TYPE_CHECKING:
    from tuning.tuner import SpaceTuner

FRESH_SEEDS = 3
"""Of each finalist."""

__all__ = ["Plan", "SearchWatcher", "planned_search", "read_search", "run_search"]


@dataclass(frozen=True)
class Plan:
    """A search before anything is run."""

    space: Space
    base: Experiment  # what the space derives from
    oracle: Oracle
    seed: int
    trials: int | None
    executions: int
    finalists: int
    budget_name: BudgetName
    budget: Budget
    sample: bool
    name: str | None = None

    @property
    def label(self) -> str:
        """What names the search and its folder."""
        sample = ["sample"] if self.sample else []
        parts = [self.space.name, self.oracle, self.budget_name, *sample, f"seed{self.seed}"]
        return self.name or "-".join(parts)

    def folder(self, store: Store) -> Path:
        """Return where the search is kept."""
        return searches_folder(store.folder) / self.label

    def experiment(self, hp: Any) -> Experiment:
        """Return the experiment of these hyperparameters at the budget.

        Raises
        ------
        SpaceError
            The space gives none, or one that has not the objective.
        """
        made = self._cut(self.space.experiment(hp, self.base))
        if self.oracle == "hyperband":
            made = _with_epochs(made, self.most_epochs())
        return made

    def most_epochs(self) -> int:
        """Return the epochs of the experiment of the default values."""
        import keras_tuner

        default = self.space.experiment(keras_tuner.HyperParameters(), self.base)
        return self._cut(default).training.epochs

    def _cut(self, experiment: Experiment) -> Experiment:
        objective = self.space.objective
        if experiment.data.holdout is None:
            raise SpaceError(f"{self.space.path}: data.holdout is none, so there is no {objective}")
        if isinstance(experiment.model, Autoencoder) and objective == "validation_accuracy":
            raise SpaceError(f"{self.space.path}: an autoencoder has no {objective}")
        if self.budget.epochs is None:
            return experiment
        return _with_epochs(experiment, min(self.budget.epochs, experiment.training.epochs))

    def spec(self, hyperparameters: Sequence[dict[str, Any]]) -> SearchSpec:
        """Return what search.json says of it."""
        return SearchSpec(
            space=self.space.name,
            question=self.space.question,
            objective=self.space.objective,
            direction=self.space.direction,
            oracle=self.oracle,
            seed=self.seed,
            executions=self.executions,
            budget=self.budget_name,
            budget_epochs=self.budget.epochs,
            sample=self.sample,
            base=self.base.model_dump(mode="json"),
            hyperparameters=tuple(hyperparameters),
            source_sha256=self.space.source_sha256,
            trials=self.trials,
            finalists=self.finalists,
            command=command_line(),
        )

    def refusal(self, what: str) -> str:
        """Return the line that ends a search which is not the kept one."""
        return (
            f"search {self.label} is kept, and another one now: {what}; start the new one with "
            f"--name NEW"
        )


def _with_epochs(experiment: Experiment, epochs: int) -> Experiment:
    training = experiment.training.model_copy(update={"epochs": epochs})
    return experiment.model_copy(update={"training": training})


def planned_search(
    space: str,
    *,
    oracle: Oracle | None = None,
    trials: int | None = None,
    executions: int = 1,
    seed: int = 0,
    finalists: int = 3,
    budget: BudgetName | None = None,
    name: str | None = None,
    sample: bool = False,
    data: DataSpec | None = None,
    data_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Return the search of a space, named or a file; what is not given is as the space has it.

    ``data`` is a dataset to take in place of the space's own; ``settings`` are fields of the
    experiment that the space derives from.

    Raises
    ------
    CallError
        There is no such space, its file is wrong, or a setting is.
    """
    chosen = load_space(space)
    budget_name = budget or chosen.default_budget
    cost = chosen.budgets[budget_name]
    if name is not None and (not name or "/" in name or name.startswith(".")):
        raise CallError(f"--name {name!r}: it names a folder; write letters, digits and -")
    if data is not None and sample:
        raise CallError("--sample: only the space's own dataset has one; leave --data out")
    base = chosen.base()
    if sample:
        base = of_sample(base)
    if data is not None:
        base = on_other_data(base, data, dataset_for(data, data_dir))
    base = override(base, dict(settings or {}))
    fraction = min(cost.fraction, base.data.fraction)
    base = base.model_copy(update={"data": base.data.model_copy(update={"fraction": fraction})})
    oracle = oracle or chosen.oracle
    if trials is None and oracle in ("random", "bayesian") and cost.trials is None:
        raise CallError(f"--trials: the oracle {oracle} needs a number; {chosen.name} names none")
    if trials is None and oracle not in ("hyperband",):
        trials = cost.trials
    return Plan(
        chosen, base, oracle, seed, trials, executions, finalists, budget_name, cost, sample, name
    )


# --- the same search, or another ------------------------------------------------------------


def agree(spec: SearchSpec, folder: Path, plan: Plan, *, write: bool = True) -> None:
    """Write what is searched, unless the folder has trials of another search.

    Raises
    ------
    CallError
        It has: the line says what differs.
    """
    begun = (folder / "journal.jsonl").is_file()
    if (folder / SEARCH).is_file() and (begun or not write):
        changed = what_changed(read_search(folder).spec, spec)
        if changed is not None:
            raise CallError(plan.refusal(changed))
    if write:
        write_atomically(folder / SEARCH, asdict(spec))


def what_changed(kept: SearchSpec, now: SearchSpec) -> str | None:
    """Return in what two searches differ, of all that decides their trials; None for nothing."""
    one, other = (json.loads(json.dumps(asdict(spec))) for spec in (kept, now))
    for name in ("space", "oracle", "seed", "objective", "executions", "budget", "sample"):
        if one[name] != other[name]:
            return f"{name} was {one[name]}, is {other[name]}"
    known, new = ({_name_of(hp): hp for hp in tree["hyperparameters"]} for tree in (one, other))
    for name in [*known, *(n for n in new if n not in known)]:
        if name not in new:
            return f"hyperparameter {name} is gone"
        if name not in known:
            return f"hyperparameter {name} is new"
        if known[name] != new[name]:
            return f"hyperparameter {name}: {difference(known[name], new[name])}"
    if list(known) != list(new):
        return f"the hyperparameters' order was {', '.join(known)}, is {', '.join(new)}"
    if one["base"] != other["base"]:
        return f"base: {difference(one['base'], other['base'])}"
    if one["budget_epochs"] != other["budget_epochs"]:
        return f"the budget's epochs were {one['budget_epochs']}, are {other['budget_epochs']}"
    return None


def _name_of(hp: dict[str, Any]) -> str:
    """Return a hyperparameter's name, with its conditions: one name may stand under several."""
    conditions = [f"{c['name']} in {c['values']}" for c in hp["conditions"]]
    return " if ".join([hp["name"], *conditions[:1]]) + "".join(f" and {c}" for c in conditions[1:])


# --- run it ---------------------------------------------------------------------------------


class SearchWatcher(StudyWatcher):
    """Whoever wants to see a search go on: its trials, then the finalists' runs."""

    def searching(self, spec: SearchSpec, total: int | None, workers: int) -> None:
        """So many trials are wanted in all; None where the oracle does not know."""

    def began(self, record: TrialRecord) -> None:
        """A trial begins, or is begun again after its worker was lost."""

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        """A trial ended; ``recalled`` where that was in an earlier sitting."""


def run_search(
    plan: Plan,
    store: Store,
    *,
    workers: int = 1,
    data_dir: str | Path | None = None,
    watcher: Any,
    arguments: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Search, run the finalists over fresh seeds, and return all of it.

    Where it was stopped or killed it goes on: no trial is repeated, lost or doubled.

    Parameters
    ----------
    workers : processes that train trials side by side, with the cores divided among them; none of
        them are started where KerasTuner's variables make this process the chief.
    arguments : of :func:`planned_search`, from which workers make the same plan.

    Raises
    ------
    CallError
        The space is wrong, or the folder keeps another search.
    KerascwError
        So many trials failed in a row for one cause; none was completed; a worker failed.
    """
    import_tensorflow()
    from tuning.tuner import SpaceTuner
    from tuning.workers import Crew, address, is_chief, serve

    folder = plan.folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise KerascwError(f"search {plan.label} is being run by another process") from None
    try:
        threads = max(1, cores() // workers)
        with closing(open_trainers(1, threads)) as trainers:
            tuner = SpaceTuner(plan, store, trainers, data_dir=data_dir, watcher=watcher)
            watcher.searching(tuner.spec(), total_trials(plan, tuner), workers)
            if tuner.memory.has_more():
                if workers > 1 or is_chief():
                    here = 0 if is_chief() else workers
                    with closing(Crew(here, dict(arguments or {}), store, threads)) as crew:
                        serve(tuner, address(), crew)
                else:
                    tuner.search()
            if tuner.memory.given_up is not None:
                raise KerascwError(
                    f"search {plan.label} ended: {tuner.memory.failures} trials in a row failed, "
                    f"all for one cause: {tuner.memory.given_up}"
                )
            if workers == 1:
                return choose(plan, read_search(folder), store, trainers, data_dir, watcher)
        with closing(open_trainers(workers)) as trainers:
            return choose(plan, read_search(folder), store, trainers, data_dir, watcher)
    finally:
        lock.release()


def total_trials(plan: Plan, tuner: "SpaceTuner") -> int | None:
    """Return how many trials there will be; None for a grid, which ends when it ends."""
    if plan.trials is None and plan.oracle == "hyperband":
        count: int = tuner.memory.trials_of_a_round()
        return count
    return plan.trials


def choose(
    plan: Plan,
    result: SearchResult,
    store: Store,
    trainers: Trainers[Any],
    data_dir: str | Path | None,
    watcher: StudyWatcher,
) -> SearchResult:
    """Return the result with its finalists, each run over seeds that the search has not seen."""
    best: dict[str, TrialRecord] = {}
    for record in result.ranked:
        best.setdefault(json.dumps(record.experiment, sort_keys=True), record)
    if not best:
        reasons = [record.reason for record in result.records if record.reason]
        raise KerascwError(
            f"search {plan.label}: none of {len(result.records)} trials was completed"
            + (f"; the last: {reasons[-1]}" if reasons else "")
        )
    chosen = list(best.values())[: plan.finalists]
    experiments = [
        [with_seed(experiment, experiment.seed + plan.executions + i) for i in range(FRESH_SEEDS)]
        for experiment in (Experiment.model_validate(record.experiment) for record in chosen)
    ]
    flat = [experiment for several in experiments for experiment in several]
    runs = run_many(flat, store, data_dir=data_dir, watcher=watcher, trainers=trainers)
    finalists = tuple(
        _finalist(record, runs[at * FRESH_SEEDS : (at + 1) * FRESH_SEEDS], plan)
        for at, record in enumerate(chosen)
    )
    write_atomically(result.folder / FINALISTS, [asdict(finalist) for finalist in finalists])
    result = replace(result, finalists=finalists)
    if result.winner is None:
        raise KerascwError(f"search {plan.label}: every finalist diverged over fresh seeds")
    return result


def _finalist(record: TrialRecord, runs: Sequence[Run], plan: Plan) -> Finalist:
    from tuning.tuner import kept_figure

    return Finalist(
        trial_id=record.trial_id,
        seeds=tuple(run.experiment.seed for run in runs),
        runs=tuple(run.name for run in runs),
        values=tuple(
            kept_figure(run.history, run.experiment.training.keep, plan.space.objective)
            for run in runs
        ),
    )


def winning_runs(result: SearchResult, store: Store) -> list[Run]:
    """Return the winner's runs over fresh seeds, the best of them by validation first."""
    winner = result.winner
    if winner is None:
        raise CallError(f"search {result.label} has no winner yet")
    # a winner has no run that diverged
    values = [value for value in winner.values if value is not None]
    order = sorted(
        zip(values, winner.runs, strict=True),
        key=lambda pair: pair[0],
        reverse=result.spec.maximizes,
    )
    runs = [store.get(name) for _, name in order]
    if not all(runs):
        raise CallError(f"search {result.label}: runs of its winner are gone; run it again")
    return [run for run in runs if run is not None]
