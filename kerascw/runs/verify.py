"""Train a kept run anew from its own files, and compare the two."""

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Dataset
from kerascw.errors import KerascwError
from kerascw.evaluation.statistics import difference_reach, over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.runs.environment import describe, processor
from kerascw.runs.many import source_run
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store, write_json
from kerascw.runs.summary import read_json
from kerascw.training.watcher import Watcher


@dataclass(frozen=True)
class Verification:
    """Outcome of training again, and why."""

    outcome: str  # identical, within seed noise, different or undecided
    reason: str
    environment: tuple[str, ...]  # what differs, one line each


VERIFIED = "verification.json"
"""In a run's folder, beside what its manifest lists: the outcome of the last verification."""

SELF_REPORTED, HERE, ELSEWHERE, FAILED = BADGES = (
    "self-reported", "verified here", "verified elsewhere", "did not come out again",
)  # fmt: skip


def keep_verification(run: Run, verification: Verification) -> str:
    """Keep the outcome with the run, and return the badge that it earns.

    Elsewhere is on another processor than the run was trained on.
    """
    here = processor()
    badge = HERE if here == run.environment.get("processor") else ELSEWHERE
    badge = {"different": FAILED, "undecided": SELF_REPORTED}.get(verification.outcome, badge)
    told = {"outcome": verification.outcome, "reason": verification.reason, "processor": here}
    write_json(run.folder / VERIFIED, {"badge": badge} | told)
    return badge


def badge_of(run: Run) -> str:
    """Return how well a run is confirmed: one of :data:`BADGES`."""
    try:
        badge = read_json(run.folder / VERIFIED).get("badge")
    except KerascwError:  # not verified, or the file is damaged and says nothing
        return SELF_REPORTED
    return badge if badge in BADGES else SELF_REPORTED


def verify(
    run: Run, dataset: Dataset, store: Store, watcher: Watcher | None = None
) -> Verification:
    """Train the run's experiment anew, in a store of its own that is thrown away.

    The new run is within seed noise if its test accuracy (an autoencoder's test loss) is in the
    95 % prediction interval for one more seed, computed from the kept runs of other seeds if there
    are two or more; else if it is in the kept run's own 95 % CI: Wilson's interval of the accuracy,
    the t-interval of the loss over the test images. Without a test figure only an identical run
    confirms it: the outcome of another one is ``undecided``.
    """
    source = None if run.source is None else source_run(run.source, store)
    with tempfile.TemporaryDirectory() as folder:
        again = run_experiment(run.experiment, dataset, Store(folder), watcher, source=source)
        outcome, reason = _compared(run, again, store)
    return Verification(outcome, reason, tuple(_differences(run.environment, describe(dataset))))


def _compared(run: Run, again: Run, store: Store) -> tuple[str, str]:
    if run.environment["data"]["fingerprint"] != again.environment["data"]["fingerprint"]:
        return "different", "the data is not the same"
    histories = {(r.folder / "history.csv").read_bytes() for r in (run, again)}
    if len(histories) == 1 and _same_weights(run, again):
        return "identical", "history and weights are the same, bit for bit"
    if "test" not in run.metrics or "test" not in again.metrics:
        then, now = (r.metrics["status"] for r in (run, again))
        if then != now:
            return "different", f"{then} then, {now} now"
        return "undecided", f"{now} again, not identical, and there is no test figure to compare"
    figure = "loss" if run.experiment.reconstructs else "accuracy"
    then, now = (r.metrics["test"][figure] for r in (run, again))
    low, high, by = _noise(run, figure, store)
    digits = 5 if run.experiment.reconstructs else 4
    then_now = f"test {figure} {then:.{digits}f} then, {now:.{digits}f} now"
    reason = f"{then_now}; {by}: {low:.{digits}f} to {high:.{digits}f}"
    return ("within seed noise" if low <= now <= high else "different"), reason


def _same_weights(run: Run, again: Run) -> bool:
    pairs = zip(run.model().get_weights(), again.model().get_weights(), strict=True)
    return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


def _noise(run: Run, figure: str, store: Store) -> tuple[float, float, str]:
    """Return the interval for another seed's test figure, and how it was found."""
    others = [
        other.metrics["test"][figure]
        for other in store.all()
        if other.name != run.name and _repeats(other, run)
    ]
    if len(others) < 2:
        few = "(fewer than 2 other seeds are kept)"
        if run.experiment.reconstructs:
            with np.load(run.folder / "predictions.npz") as file:
                errors = file["test_errors"].astype(np.float64)
            low, high = over_seeds(errors.tolist()).interval or (-np.inf, np.inf)
            return low, high, f"the kept run's t-interval over the test images {few}"
        low, high = run.metrics["test"]["accuracy_interval_95"]
        return low, high, f"the kept run's Wilson interval {few}"
    kept, reach = run.metrics["test"][figure], difference_reach(others)
    by = f"95 % prediction interval from {len(others)} other seeds"
    return kept - reach, kept + reach, by


def _repeats(other: Run, run: Run) -> bool:
    """Return whether another kept run is the same experiment on the same data with another seed."""
    try:
        return (
            "test" in other.metrics
            and other.environment["data"]["fingerprint"] == run.environment["data"]["fingerprint"]
            and _without_seeds(other.experiment) == _without_seeds(run.experiment)
        )
    except (KerascwError, KeyError, TypeError):  # a damaged run is no evidence
        return False


def _without_seeds(experiment: Experiment) -> Experiment:
    """Return the experiment with seed 0 wherever a repetition has a seed of its own."""
    changes: dict[str, Any] = {"seed": 0}
    data, start = experiment.data, experiment.start
    if experiment.seeds.split and data.holdout is not None:
        holdout = data.holdout.model_copy(update={"seed": 0})
        changes["data"] = data.model_copy(update={"holdout": holdout})
    if start is not None:
        changes["start"] = start.model_copy(update={"source": _without_seeds(start.source)})
    return experiment.model_copy(update=changes)


def _differences(then: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    lines = []
    for name, value in now.items():
        where = f"{path}{name}"
        if where in ("command", "data.location"):
            continue
        if isinstance(value, dict):
            lines += _differences(then.get(name) or {}, value, f"{where}.")
        elif then.get(name) != value:
            lines.append(f"{where}: {then.get(name)} then, {value} now")
    return lines
