"""Train a kept run anew from its own files, and say whether the same came out."""

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Dataset
from kerascw.engine.environment import describe
from kerascw.engine.run import run_experiment
from kerascw.engine.store import Run, Store
from kerascw.evaluation.statistics import prediction_reach
from kerascw.spec import override
from kerascw.training.watcher import Watcher


@dataclass(frozen=True)
class Verification:
    """What came of training again: ``identical``, ``within seed noise`` or ``different``."""

    outcome: str
    reason: str
    environment: tuple[str, ...]  # what differs, one line each


def verify(
    run: Run, dataset: Dataset, store: Store, watcher: Watcher | None = None
) -> Verification:
    """Train the run's experiment anew, in a store of its own that is thrown away.

    The new run is within seed noise if its test accuracy lies in the 95 % prediction interval of
    the kept runs of other seeds, where there are two or more; else if it lies in the kept run's
    own Wilson interval.
    """
    with tempfile.TemporaryDirectory() as folder:
        again = run_experiment(run.experiment, dataset, Store(folder), watcher, draw=False)
        outcome, reason = _compared(run, again, store)
    return Verification(outcome, reason, tuple(_differences(run.environment, describe(dataset))))


def _compared(run: Run, again: Run, store: Store) -> tuple[str, str]:
    if run.environment["data"]["fingerprint"] != again.environment["data"]["fingerprint"]:
        return "different", "the data is not the same"
    same_history = (run.folder / "history.csv").read_bytes() == (
        again.folder / "history.csv"
    ).read_bytes()
    if same_history and _same_weights(run, again):
        return "identical", "history and weights are the same, bit for bit"
    if "test" not in run.metrics or "test" not in again.metrics:
        return "different", f"{run.metrics['status']} then, {again.metrics['status']} now"
    then, now = (r.metrics["test"]["accuracy"] for r in (run, again))
    low, high, by = _noise(run, store)
    said = f"test accuracy {then:.4f} then, {now:.4f} now; {by} is {low:.4f} to {high:.4f}"
    return ("within seed noise" if low <= now <= high else "different"), said


def _same_weights(run: Run, again: Run) -> bool:
    pairs = zip(run.model().get_weights(), again.model().get_weights(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def _noise(run: Run, store: Store) -> tuple[float, float, str]:
    """Return the interval that another seed's test accuracy would lie in, and what it is."""
    seedless = override(run.experiment, {"seed": 0})
    others = [
        other.metrics["test"]["accuracy"]
        for other in store.all()
        if other.name != run.name
        and "test" in other.metrics
        and override(other.experiment, {"seed": 0}) == seedless
    ]
    values = [run.metrics["test"]["accuracy"], *others]
    if len(values) < 3:
        low, high = run.metrics["test"]["accuracy_interval_95"]
        return low, high, "the kept run's Wilson interval (fewer than 3 seeds are kept)"
    mean, reach = float(np.mean(values)), prediction_reach(values)
    return mean - reach, mean + reach, f"the prediction interval of {len(values)} kept seeds"


def _differences(then: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    said = []
    for name, value in now.items():
        where = f"{path}{name}"
        if where in ("command", "data.location"):
            continue
        if isinstance(value, dict):
            said += _differences(then.get(name) or {}, value, f"{where}.")
        elif then.get(name) != value:
            said.append(f"{where}: {then.get(name)} then, {value} now")
    return said
