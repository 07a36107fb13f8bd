"""What one change does: a variant's figures less those of the variant it was derived from."""

import math
from collections.abc import Sequence
from statistics import fmean

from kerascw.lab.repeats import difference_of, repeats_of
from kerascw.lab.study import Runs
from kerascw.lab.table import difference_text
from kerascw.lab.verdict import figure_in
from kerascw.runs.store import Run


def effect_text(runs: Runs, variant: str, baseline: str, figure: str) -> str:
    """Return the difference ``variant`` less ``baseline`` in words, with its 95 % CI.

    Empty where either is missing, diverged or has no such figure.
    """
    difference = difference_of(runs.get(variant, ()), runs.get(baseline, ()), figure)
    if difference is None:
        return ""
    return difference_text(difference, repeats_of(runs[variant]).unit)


def column(run: Run, figure: str) -> list[float]:
    """Return a figure of every epoch, such as ``validation_loss``; ``_error`` is 1 - accuracy."""
    return [value for row in run.history if (value := figure_in(row, figure)) is not None]


WITHIN = 0.05


def epochs_to_best(run: Run, figure: str) -> int | None:
    """Return the first epoch whose figure is at most ``1 + WITHIN`` times the lowest.

    None where the history has no such figure, or one that is not finite.
    """
    values = column(run, figure)
    if not values or not all(map(math.isfinite, values)):
        return None
    bound = min(values) * (1 + WITHIN)
    return next(epoch for epoch, value in enumerate(values, start=1) if value <= bound)


def mean_epochs(runs: Sequence[Run], figure: str) -> float | None:
    """Return the mean over the runs of :func:`epochs_to_best`, None where no run has any."""
    found = [epochs_to_best(run, figure) for run in runs]
    known = [epochs for epochs in found if epochs is not None]
    return fmean(known) if known else None
