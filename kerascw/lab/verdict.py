"""Figures of a run by name, and what they say of a published figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerascw.evaluation.significance import joint_reach
from kerascw.evaluation.statistics import FEWEST, UNBOUNDED, prediction_reach
from kerascw.lab.published import Published
from kerascw.runs.store import Run


def figure_of(run: Run, name: str) -> float | None:
    """Return one figure of a run; None of a diverged run, and where there was no such epoch.

    ``test.accuracy`` is that of the kept weights, ``aux1.test.accuracy`` that of an auxiliary head.
    Of the history, ``epoch_5.train_accuracy`` is that of an epoch (0: of the initial weights, where
    they were scored), ``last_epoch.`` and ``kept_epoch.`` begin those of these epochs, ``lowest.``
    the lowest of all epochs, and ``lowest_validation_loss.`` those of the epoch that has it.
    """
    if run.metrics["status"] == "diverged":  # what it had before is no result of its settings
        return None
    *head, part, figure = name.split(".")
    if part == "lowest":
        return min((row[figure] for row in run.history if figure in row), default=None)
    if part.startswith(("epoch_", "last_epoch", "kept_epoch", "lowest_")):
        value = figure_in(_row_of(run, part), figure)
        return value if value is not None and math.isfinite(value) else None
    scores = run.metrics.get("heads", {}).get(head[0], {}) if head else run.metrics
    value = scores.get(part, {}).get(figure)
    return None if value is None else float(value)


def _row_of(run: Run, which: str) -> dict[str, float]:
    """Return the row of the history that a figure's name begins with, empty if there is none."""
    if which == "lowest_validation_loss":
        return min(run.history, key=lambda row: row.get("validation_loss", math.inf))
    epoch = {"last_epoch": len(run.history), "kept_epoch": run.metrics["kept_epoch"]}.get(which)
    if which.startswith("epoch_"):
        epoch = int(which.removeprefix("epoch_"))
    if epoch is None or epoch > len(run.history):
        return {}
    return run.history[epoch - 1] if epoch else run.untrained or {}


def figure_in(row: dict[str, float], figure: str) -> float | None:
    """Return a figure of one epoch, such as ``validation_loss``; ``_error`` is 1 - accuracy."""
    if figure.endswith("_error"):
        accuracy = row.get(figure.removesuffix("error") + "accuracy")
        return None if accuracy is None else 1 - accuracy
    return row.get(figure)


def bounds_of(name: str) -> tuple[float, float]:
    """Return the least and the greatest value that a figure can have, by its name.

    >>> bounds_of("test.accuracy"), bounds_of("test.loss")
    ((0.0, 1.0), (0.0, inf))
    """
    if name.endswith(("accuracy", "error")) or _AGREEMENT in name:
        return 0.0, 1.0
    return (0.0, math.inf) if name.endswith("loss") else UNBOUNDED


_AGREEMENT = "agreement"
"""What the names of shares have that are neither good nor bad: how often heads agree."""


def higher_is_better(figure: str) -> bool:
    """Return whether a larger value is better: true for accuracies, not for losses and errors."""
    return figure.endswith("accuracy")


@dataclass(frozen=True)
class Verdict:
    """How a measured figure stands to the published one, and why."""

    word: str  # agrees, better, worse (of what is neither: higher, lower), not comparable
    reason: str


def verdict(
    values: Sequence[float],
    published: Published,
    name: str,
    obstacles: Sequence[str] = (),
    unit: str = "seed",
    hits: np.ndarray | None = None,
) -> Verdict:
    """Judge whether the published run could be one more of our seeds (or folds: ``unit``).

    It agrees if it lies in the 95 % prediction interval for one more seed (mean plus or minus
    t s sqrt(1 + 1/n)), or for the mean of as many runs as were published, widened by half a unit of
    its last printed decimal. With ``hits``, bool ``[seeds, images]``, the interval is for a test
    set drawn anew as well (:func:`kerascw.evaluation.significance.joint_reach`). Anything in
    ``obstacles`` makes the figures not comparable.
    """
    if obstacles:
        return Verdict("not comparable", "; ".join(obstacles))
    n = len(values)
    if n < FEWEST:
        count = f"{n or 'no'} {unit}{'s' if n > 1 else ''}"
        return Verdict("not comparable", f"{count}: too few to estimate the spread")
    over = f" over {n} {unit}s"
    if hits is None:
        reach = prediction_reach(values, published.mean_of)
    else:
        reach = joint_reach(hits, published.mean_of)
        over += f" and {hits.shape[1]:,} {name.partition('.')[0]} images"
    if published.mean_of > 1:
        over += f", for a mean of {published.mean_of}"
    gap = float(np.mean(values)) - published.best_reading
    if abs(gap) <= reach + 0.5 * 10**-published.digits:
        return Verdict("agrees", f"within the prediction interval{over}, ±{reach:.4f}")
    if _AGREEMENT in name:
        word = "higher" if gap > 0 else "lower"
    else:
        word = "better" if (gap > 0) == higher_is_better(name) else "worse"
    return Verdict(word, f"by {abs(gap):.4f}, outside the prediction interval{over}, ±{reach:.4f}")
