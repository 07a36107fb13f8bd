"""What is kept of a search, and how it is read back. Needs neither TensorFlow nor KerasTuner.

A search's folder is ``runs/searches/<label>/``:

``search.json``
    what is searched (:class:`SearchSpec`)
``journal.jsonl``
    a line when a trial begins and when it ends: the order in which the oracle learnt of them
``trial_<id>/record.json``
    what came of a trial (:class:`TrialRecord`); the runs themselves are in the store
``finalists.json``
    the best trials over fresh seeds (:class:`Finalist`), once they have been run
``oracle.json``, ``tuner0.json``, ``trial_<id>/trial.json``
    KerasTuner's own files, for those who know them; nothing is read back from them
"""

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from kerascw.errors import CallError, choices

Status = Literal["running", "completed", "diverged", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its hyperparameters, and what came of them.

    ``values`` are the objective's, one an execution, in the order of ``seeds``; None where that run
    diverged. ``score`` is their mean, None unless the trial is completed. ``runs`` are names in the
    store, one an execution; below the full number of epochs (a rung of Hyperband) such a run is
    unfinished, and not to be had from the store.
    """

    trial_id: str  # KerasTuner's: "0000", "0001", ...
    number: int  # from 1, in the order in which they began
    hyperparameters: dict[str, Any]  # active ones only, by name
    status: Status
    reason: str | None = None  # why it is diverged or failed
    score: float | None = None
    values: tuple[float | None, ...] = ()
    seeds: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    duplicate_of: str | None = None  # the earlier trial that gave the same experiment
    epochs: int | None = None  # the most that it was trained
    rung: int | None = None  # of Hyperband, from 0
    bracket: int | None = None  # of Hyperband
    promoted_from: str | None = None  # of Hyperband: the trial that this one goes on from
    seconds: float = 0.0  # of the trial as it was run, all executions
    worker: str | None = None  # KerasTuner's tuner id: tuner0 where there is one process
    experiment: dict[str, Any] = field(default_factory=dict)  # of the first seed; {}: none came


@dataclass(frozen=True)
class Finalist:
    """One of the best trials over fresh seeds, which the search has not seen."""

    trial_id: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]  # names in the store, whole, one a seed
    values: tuple[float | None, ...]  # the objective of each; None: diverged

    @property
    def mean(self) -> float | None:
        """The mean of the values, None where any run diverged."""
        whole = [value for value in self.values if value is not None]
        return math.fsum(whole) / len(whole) if whole and len(whole) == len(self.values) else None


@dataclass(frozen=True)
class SearchSpec:
    """What is searched. Of these ``trials``, ``finalists`` and ``command`` may change later."""

    space: str  # name, or the file's name without .py
    question: str | None
    objective: str  # "validation_accuracy" or "validation_loss"
    direction: str  # "max" or "min"
    oracle: str  # "random", "grid", "bayesian" or "hyperband"
    seed: int  # of the oracle
    executions: int  # runs a trial, over seeds
    budget: str  # "quick" or "full"
    budget_epochs: int | None  # what the budget cuts the epochs to
    sample: bool  # on the bundled sample
    base: dict[str, Any]  # the experiment that the space derives from
    # of every hyperparameter known at the start: name, kind (Float, Int, Choice, Boolean, Fixed),
    # conditions, and as KerasTuner has them min_value, max_value, step, sampling, values, default
    hyperparameters: tuple[dict[str, Any], ...]
    source_sha256: str  # of the space's file
    trials: int | None  # asked for; None: all of a grid, or one round of Hyperband
    finalists: int
    command: str | None = None  # that ran it

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        return self.direction == "max"


@dataclass(frozen=True)
class SearchResult:
    """A search as far as it has come."""

    folder: Path
    spec: SearchSpec
    records: tuple[TrialRecord, ...]  # in the order in which they began
    finalists: tuple[Finalist, ...] = ()  # the best search score first; (): not run yet

    @property
    def label(self) -> str:
        return self.folder.name

    @property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """The completed trials, best first; of equal ones the earlier."""
        done = [r for r in self.records if r.status == "completed" and r.score is not None]
        return tuple(sorted(done, key=lambda r: _worse_last(r.score, self.spec)))

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial of the best score."""
        return next(iter(self.ranked), None)

    @property
    def winner(self) -> Finalist | None:
        """The finalist of the best mean over fresh seeds; None before they were run."""
        whole = [finalist for finalist in self.finalists if finalist.mean is not None]
        return min(whole, key=lambda f: _worse_last(f.mean, self.spec), default=None)

    @property
    def luck(self) -> float | None:
        """The winner's score in the search minus its mean over fresh seeds.

        Above 0 for an accuracy, and below 0 for a loss, the search has flattered it.
        """
        if self.winner is None or self.winner.mean is None:
            return None
        score = self.record(self.winner.trial_id).score
        return None if score is None else score - self.winner.mean

    def record(self, trial_id: str) -> TrialRecord:
        """Return the trial of this id."""
        return next(record for record in self.records if record.trial_id == trial_id)


def _worse_last(score: float | None, spec: SearchSpec) -> float:
    if score is None:
        return math.inf
    return -score if spec.maximizes else score


# --- files ----------------------------------------------------------------------------------

SEARCH = "search.json"
FINALISTS = "finalists.json"
RECORD = "record.json"


def searches_folder(runs: Path | str) -> Path:
    """Return where searches are kept beside the runs."""
    return Path(runs) / "searches"


def read_search(folder: Path | str) -> SearchResult:
    """Read a search back from its folder, whole or in its middle.

    Raises
    ------
    CallError
        There is no search, or its file is damaged.
    """
    folder = Path(folder)
    path = folder / SEARCH
    try:
        spec = _from_json(SearchSpec, json.loads(path.read_text()))
    except FileNotFoundError:
        there = sorted(p.parent.name for p in folder.parent.glob(f"*/{SEARCH}"))
        known = f"; there are {choices(there)}" if there else ""
        raise CallError(f"no search {folder.name!r} in {folder.parent}{known}") from None
    except (ValueError, TypeError) as error:
        raise CallError(f"{path}: damaged ({error})") from None
    records = [read_record(file) for file in folder.glob(f"trial_*/{RECORD}")]
    finalists: list[Finalist] = []
    if (folder / FINALISTS).is_file():
        finalists = [_from_json(Finalist, d) for d in json.loads((folder / FINALISTS).read_text())]
    return SearchResult(
        folder, spec, tuple(sorted(records, key=lambda r: r.number)), tuple(finalists)
    )


def read_record(path: Path) -> TrialRecord:
    """Read a trial's record."""
    record: TrialRecord = _from_json(TrialRecord, json.loads(path.read_text()))
    return record


def write_record(folder: Path, record: TrialRecord) -> None:
    """Write a trial's record into its search's folder."""
    write_atomically(folder / f"trial_{record.trial_id}" / RECORD, asdict(record))


def write_atomically(path: Path, content: Any) -> None:
    """Write JSON, all on disk, then renamed: whoever reads it reads the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    with temporary.open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _from_json(kind: Any, tree: dict[str, Any]) -> Any:
    names = {f.name for f in fields(kind)}
    known = {name: value for name, value in tree.items() if name in names}
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in known.items()})


def difference(one: Any, other: Any, path: str = "") -> str:
    """Return where two JSON trees differ first: ``training.epochs was 3, is 5``."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(n for n in other if n not in one)]:
            if one.get(name) != other.get(name):
                return difference(
                    one.get(name), other.get(name), f"{path}.{name}" if path else name
                )
    return f"{path} was {json.dumps(one):.60}, is {json.dumps(other):.60}"
