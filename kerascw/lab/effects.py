"""What one change does: a variant's figures less those of the variant it was derived from."""

import math
from collections.abc import Sequence
from statistics import fmean

from kerascw.evaluation.statistics import Spread, paired_difference
from kerascw.lab.repeats import paired_values, repeats_of
from kerascw.lab.study import Runs
from kerascw.lab.table import difference_text
from kerascw.runs.store import Run


def effect(runs: Runs, variant: str, baseline: str, figure: str) -> Spread | None:
    """Return the difference ``variant`` less ``baseline`` over the seeds or folds that both have.

    None where either is missing, diverged or has no such figure.
    """
    pairs = paired_values(runs.get(variant, ()), runs.get(baseline, ()), figure)
    return paired_difference(*zip(*pairs, strict=True)) if pairs else None


def effect_text(runs: Runs, variant: str, baseline: str, figure: str) -> str:
    """Return the difference in words, with its 95 % CI; nothing where there is none."""
    difference = effect(runs, variant, baseline, figure)
    if difference is None:
        return ""
    return difference_text(difference, repeats_of(runs[variant]).unit)


def column(run: Run, figure: str) -> list[float]:
    """Return a figure of every epoch, such as ``validation_loss``; ``_error`` is 1 - accuracy."""
    if figure.endswith("_error"):
        accuracies = column(run, figure.removesuffix("error") + "accuracy")
        return [1 - accuracy for accuracy in accuracies]
    return [row[figure] for row in run.history if figure in row]


def epochs_to_best(run: Run, figure: str, within: float = 0.05) -> int | None:
    """Return the first epoch whose figure is at most ``1 + within`` times the lowest.

    None where the history has no such figure, or one that is not finite.
    """
    values = column(run, figure)
    if not values or not all(map(math.isfinite, values)):
        return None
    bound = min(values) * (1 + within)
    return next(epoch for epoch, value in enumerate(values, start=1) if value <= bound)


def mean_epochs(runs: Sequence[Run], figure: str, within: float = 0.05) -> float | None:
    """Return the mean over the runs of :func:`epochs_to_best`, None where no run has any."""
    found = [epochs_to_best(run, figure, within) for run in runs]
    known = [epochs for epochs in found if epochs is not None]
    return fmean(known) if known else None
