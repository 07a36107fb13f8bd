"""What studies compute from their runs for their answers: the effects of a change."""

import math
from collections.abc import Mapping, Sequence

from kerascw.lab.repeats import difference_of, repeats_of
from kerascw.lab.study import Answer, Runs
from kerascw.lab.table import difference_text
from kerascw.lab.verdict import figure_in
from kerascw.runs.store import Run


def answers_to(texts: Mapping[str, str]) -> list[Answer]:
    """Return the answers to questions, without those whose answer is empty."""
    return [Answer(question, text) for question, text in texts.items() if text]


def listed(parts: Sequence[str], after: str = ".", between: str = "; ") -> str:
    """Return the parts in one sentence; empty without any, whatever comes after."""
    return between.join(parts) + after if parts else ""


def joined(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> joined(["dropout", "augmentation", "initial weights"])
    'dropout, augmentation and initial weights'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def yes_or_no(times: int, of: int) -> str:
    """Say whether something held as often as it could.

    >>> yes_or_no(3, 3), yes_or_no(0, 3), yes_or_no(1, 3)
    ('Yes', 'No', 'Not always')
    """
    return "Yes" if times == of else "Not always" if times else "No"


def effect_text(runs: Runs, variant: str, baseline: str, figure: str) -> str:
    """Return the difference ``variant`` minus ``baseline`` in words, with its 95 % CI.

    Empty where either is missing, diverged or has no such figure.
    """
    difference = difference_of(runs.get(variant, ()), runs.get(baseline, ()), figure)
    return "" if difference is None else difference_text(difference, repeats_of(runs[variant]).unit)


def with_weights(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that kept weights: those that did not diverge in the first epoch."""
    return [run for run in runs if run.metrics["kept_epoch"]]


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
