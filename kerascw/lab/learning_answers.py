"""What learning curves answer, in sentences."""

from collections.abc import Mapping

from kerascw.lab.curves import (
    Comparison,
    Curve,
    CurveRuns,
    capital,
    curves_of,
    percent,
)
from kerascw.lab.power_law import fit_power_law
from kerascw.lab.study import Answer


def learning_curve_answers(
    runs: CurveRuns,
    figure: str = "validation.loss",
    *,
    baseline: str | None = None,
    accuracy: str | None = "test.accuracy",
) -> list[Answer]:
    """Return what the curves answer: each initialisation against the baseline, and the power law.

    Parameters
    ----------
    baseline : an initialisation; the first if not given.
    accuracy : the figure that the power law is fitted to; None for no power law.
    """
    curves = curves_of(runs, figure)
    if not curves:
        return []
    first = curves[baseline or next(iter(curves))]
    said = [
        answer
        for curve in curves.values()
        if curve is not first
        for answer in Comparison(curve, first).answers()
    ]
    for curve in curves_of(runs, accuracy).values() if accuracy else ():
        law = fit_power_law(curve)
        if law is not None:
            said.append(law.answer())
    diverged = diverged_text(curves)
    if diverged:
        said.append(Answer("Which runs diverged and are left out?", diverged))
    return said


def diverged_text(curves: Mapping[str, Curve]) -> str:
    """Return which runs are left out of the curves, or nothing."""
    places = [
        f"{name} at {percent(point.fraction)}: {len(point.diverged)} of "
        f"{len(point.diverged) + len(point.seeds)}"
        for name, curve in curves.items()
        for point in curve.points
        if point.diverged
    ]
    return f"{capital('; '.join(places))}." if places else ""
