"""What is kept of a search, and how it is read back. Needs neither TensorFlow nor KerasTuner.

A search's folder is ``runs/searches/<label>/``: ``search.json`` (:class:`SearchSpec`), a
``trial_<id>/record.json`` for each trial (:class:`TrialRecord`), ``finalists.json``
(:class:`Finalist`) and ``summary.json``. The runs are in the store; the records say what came of
each trial, also of those that gave no run.
"""

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from kerascw.errors import CallError, choices
from kerascw.experiment.settings import one_line
from kerascw.runs.store import Run, Store, write_json

Status = Literal["running", "completed", "diverged", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its hyperparameters, and what came of them.

    ``run`` is a name in the store; below the full number of epochs (a rung of Hyperband) it is
    unfinished, and the store does not list it.
    """

    trial_id: str  # KerasTuner's: "0000", "0001", ...
    number: int  # from 1, in the order in which the oracle gave them
    hyperparameters: dict[str, Any]  # active ones only, by name
    status: Status
    reason: str | None = None  # why it is diverged or failed
    score: float | None = None  # the objective; None unless it is completed
    run: str = ""
    duplicate_of: str | None = None  # the earlier trial that gave the same experiment
    epochs: int | None = None  # the most that it is trained
    rung: int | None = None  # of Hyperband, from 0
    bracket: int | None = None  # of Hyperband
    promoted_from: str | None = None  # of Hyperband: the trial that this one goes on from
    seconds: float | None = None  # of training; None below the full epochs
    experiment: dict[str, Any] = field(default_factory=dict)  # {}: none came


@dataclass(frozen=True)
class Finalist:
    """One of the best trials over fresh seeds, which the search has not used."""

    trial_id: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]  # names in the store, one a seed
    values: tuple[float | None, ...]  # the objective of each; None: diverged

    @property
    def scores(self) -> tuple[float, ...]:
        """The values, none at all where any run diverged."""
        scored = tuple(value for value in self.values if value is not None)
        return scored if len(scored) == len(self.values) else ()

    @property
    def mean(self) -> float | None:
        """The mean of the values, None where any run diverged."""
        return statistics.fmean(self.scores) if self.scores else None


@dataclass(frozen=True)
class SearchSpec:
    """What is searched. Of these ``trials``, ``finalists``, ``seeds`` and ``command`` may
    change later.
    """

    space: str  # name, or the file's name without .py
    question: str | None
    objective: str  # "validation_accuracy" or "validation_loss"
    direction: str  # "max" or "min"
    oracle: str  # "random", "grid", "bayesian" or "hyperband"
    seed: int  # of the oracle
    budget: str  # "quick" or "full"
    budget_epochs: int | None  # what the budget cuts the epochs to
    sample: bool  # on the bundled sample
    base: dict[str, Any]  # the experiment that the space derives from
    # of every hyperparameter that trials have so far: name, kind (Float, Int, Choice, Boolean,
    # Fixed), conditions, and as KerasTuner has them min_value, max_value, step, sampling, values,
    # default
    hyperparameters: tuple[dict[str, Any], ...]
    source_sha256: str  # of the space's file
    trials: int | None  # asked for; None: all of a grid, or one round of Hyperband
    finalists: int
    command: str | None = None  # that ran it
    seeds: int = 3  # fresh ones, with which each finalist is trained
    batch: int = 1  # trials that are asked before the results of any of them are told

    @property
    def maximizes(self) -> bool:
        return self.direction == "max"

    def rank(self, score: float | None) -> float:
        """Return what sorts scores, the best first and None last."""
        if score is None:
            return math.inf
        return -score if self.maximizes else score


@dataclass(frozen=True)
class SearchResult:
    """A search as far as it has come."""

    folder: Path
    spec: SearchSpec
    records: tuple[TrialRecord, ...]  # in the order in which the oracle gave them
    finalists: tuple[Finalist, ...] = ()  # the best search score first; (): not trained yet

    @property
    def label(self) -> str:
        return self.folder.name

    @property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """The completed trials, best first; of equal ones the earlier."""
        done = [record for record in self.records if record.status == "completed"]
        return tuple(sorted(done, key=lambda record: self.spec.rank(record.score)))

    @property
    def best(self) -> TrialRecord | None:
        return next(iter(self.ranked), None)

    @property
    def winner(self) -> Finalist | None:
        """The finalist of the best mean over fresh seeds; None before they were trained."""
        whole = [finalist for finalist in self.finalists if finalist.mean is not None]
        return min(whole, key=lambda finalist: self.spec.rank(finalist.mean), default=None)

    def record(self, trial_id: str) -> TrialRecord:
        return next(record for record in self.records if record.trial_id == trial_id)

    def kept(self, names: Iterable[str]) -> Iterator[Run]:
        """Yield those of the search's runs that are in the store."""
        store = Store(self.folder.parent.parent)
        return (run for name in names if (run := store.get(name)) is not None)


# --- files ----------------------------------------------------------------------------------

SEARCH, FINALISTS, RECORD = "search.json", "finalists.json", "record.json"


def searches_folder(runs: Path | str) -> Path:
    """Return where searches are kept beside the runs."""
    return Path(runs) / "searches"


def find_search(runs: Path | str, name: str) -> Path | None:
    """Return the folder of a search by its path, its name or the one that begins so, or None."""
    within = searches_folder(runs)
    for folder in (Path(name), within / name):
        if (folder / SEARCH).is_file():
            return folder
    there = [file.parent for file in within.glob(f"*/{SEARCH}")]
    fit = [folder for folder in there if name and folder.name.startswith(name)]
    return fit[0] if len(fit) == 1 else None


def read_search(folder: Path | str) -> SearchResult:
    """Read a search back from its folder, finished or not.

    Raises CallError: there is no search, or one of its files is damaged.
    """
    folder = Path(folder)
    if not (folder / SEARCH).is_file():
        there = sorted(p.parent.name for p in folder.parent.glob(f"*/{SEARCH}"))
        known = f"; there are {choices(there)}" if there else ""
        raise CallError(f"no search {folder.name!r} in {folder.parent}{known}")
    records = [_read(file, TrialRecord) for file in folder.glob(f"trial_*/{RECORD}")]
    finalists = folder / FINALISTS
    return SearchResult(
        folder,
        _read(folder / SEARCH, SearchSpec),
        tuple(sorted(records, key=lambda record: record.number)),
        _read(finalists, tuple[Finalist, ...]) if finalists.is_file() else (),
    )


def read_record(folder: Path, trial_id: str) -> TrialRecord | None:
    """Read the record of a trial; None where there is none."""
    path = folder / f"trial_{trial_id}" / RECORD
    return _read(path, TrialRecord) if path.is_file() else None


def _read(path: Path, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        raise CallError(f"{path}: damaged ({one_line(error)})") from None


def write_record(folder: Path, record: TrialRecord) -> None:
    own = folder / f"trial_{record.trial_id}"
    own.mkdir(parents=True, exist_ok=True)
    write_json(own / RECORD, asdict(record))
