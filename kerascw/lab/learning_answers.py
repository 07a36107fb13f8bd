"""What learning curves answer, in sentences; the statistics are in curves and power_law."""

import math
from collections.abc import Mapping, Sequence

from kerascw.evaluation.statistics import FEWEST
from kerascw.lab.curves import (
    Comparison,
    Curve,
    CurveFigures,
    CurveRuns,
    Difference,
    comparisons,
    curves_of,
    percent,
)
from kerascw.lab.power_law import FARTHEST, LARGEST_EXPONENT, Interval, PowerLaw, fit_power_law
from kerascw.lab.study import Answer

FEWEST_POINTS = 4
"""Three parameters fit any three points exactly: fewer points than this cannot test the law."""

LOWEST_R_SQUARED = 0.9
"""Below, the fit is called poor. Of simulated power laws (benchmarks/power_law.py: 5 fractions, 2
to 5 seeds of 3 % relative deviation, also with as much scatter shared by all seeds) 95 % had 0.98
or more; what is below 0.9 has another shape, or more noise than signal."""

WIDEST_EXPONENT = 1.0
"""A wider interval of b than the range of all exponents to be expected says nothing."""

WIDEST_FLOOR = 0.9
"""An interval of c that is as wide as this share of the error says nothing."""

TOO_FEW = (
    f"With fewer than {FEWEST} seeds there is no confidence interval, so no difference is called "
    "significant."
)


def learning_curve_answers(runs: CurveRuns, figures: CurveFigures | None = None) -> list[Answer]:
    """Return what the curves answer: comparisons with the first initialisation, and power laws."""
    figures = figures or CurveFigures()
    curves = curves_of(runs, figures.validation)
    if not curves:
        return []
    answers = [a for compared in comparisons(curves) for a in comparison_answers(compared)]
    for curve in curves_of(runs, figures.accuracy).values():
        law = fit_power_law(curve)
        if law is not None:
            answers.append(power_law_answer(law))
    if shared := shared_start_text(runs):
        answers.append(Answer("What do the confidence intervals leave out?", shared))
    if diverged := diverged_text(curves):
        answers.append(Answer("Which runs diverged and are left out?", diverged))
    return answers


def shared_start_text(runs: CurveRuns) -> str:
    """Return a caution where all seeds of an initialisation start from the same weights."""
    names = []
    for name, curve in runs.items():
        every = [run.experiment for several in curve.values() for run in several]
        sources = {e.start.source.canonical_json() for e in every if e.start is not None}
        if len(sources) == 1 and len({e.seed for e in every}) > 1:
            names.append(name)
    if not names:
        return ""
    return (
        f"All seeds start from the same weights of {_and(names)}: the intervals do not include "
        "how much these weights would vary with another seed."
    )


def diverged_text(curves: Mapping[str, Curve]) -> str:
    """Return how many runs diverged where, or nothing."""
    places = [
        f"{name} at {percent(point.fraction)}: {len(point.diverged)} of "
        f"{len(point.diverged) + len(point.seeds)}"
        for name, curve in curves.items()
        for point in curve.points
        if point.diverged
    ]
    return f"{'; '.join(places)}." if places else ""


# --- two initialisations ---------------------------------------------------------------------


def comparison_answers(compared: Comparison) -> list[Answer]:
    """Return three answers on two initialisations; none if they have no seed in common."""
    if not compared.differences:
        return []
    one, other = compared.curve.name, compared.baseline.name
    figure = compared.curve.figure.replace(".", " ").replace("_", " ")
    return [
        Answer(f"Is {one} or {other} always better, by {figure}?", _who_is_better(compared)),
        Answer(f"Where do the curves of {one} and {other} cross?", _where_they_cross(compared)),
        Answer(
            f"From which fraction on do {one} and {other} not differ significantly?",
            _until_when(compared),
        ),
    ]


def _who_is_better(compared: Comparison) -> str:
    count, winner = len(compared.differences), compared.always_better
    if winner is not None:
        where = f"all {count} fractions" if count > 1 else "the one fraction"
        answer = f"{winner} has the better mean at {where}."
    else:
        parts = _by_better(compared, compared.differences)
        ties = [d for d in compared.differences if compared.better(d) is None]
        parts += [f"neither at {_list(ties)}"] if ties else []
        answer = f"Neither. The better mean has {'; '.join(parts)}."
    if not compared.has_intervals:
        return f"{answer} {TOO_FEW}"
    significant = compared.significant
    if not significant:
        where = "at none of them"
    elif winner is None:
        where = f"for {'; '.join(_by_better(compared, significant))}"
    else:
        where = "at all" if len(significant) == count else f"at {_list(significant)}"
    return f"{answer} Significant at 95 % (paired t-interval over the seeds): {where}."


def _by_better(compared: Comparison, several: Sequence[Difference]) -> list[str]:
    return [
        f"{name} at {_list(mine)}"
        for name in (compared.curve.name, compared.baseline.name)
        if (mine := [d for d in several if compared.better(d) == name])
    ]


def _list(several: Sequence[Difference]) -> str:
    return _and([percent(difference.fraction) for difference in several])


def _where_they_cross(compared: Comparison) -> str:
    if len(compared.differences) < 2:
        return "With one fraction there are no curves to cross."
    if not compared.crossings:
        first, last = (percent(compared.differences[at].fraction) for at in (0, -1))
        return f"The mean curves do not cross between {first} and {last}."
    where = [f"between {percent(low)} and {percent(high)}" for low, high in compared.crossings]
    return f"The mean curves cross {_and(where)}."


def _until_when(compared: Comparison) -> str:
    if not compared.has_intervals:
        return TOO_FEW
    last, first = compared.differences[-1], compared.not_significant_from
    if first is None:
        return (
            f"There is none: at the largest fraction, {percent(last.fraction)}, "
            f"{compared.better(last)} is still significantly better."
        )
    place = f"{percent(first.fraction)} ({first.examples:,} images)"
    if first is compared.differences[0]:
        return f"From the smallest, {place}: no difference is significant at 95 %."
    where = f"From {place}: there and at all larger fractions"
    if first is last:
        where = f"Only at the largest, {place}: there"
    return (
        f"{where} the 95 % confidence interval of the difference includes zero, which does not "
        "prove the two equal."
    )


# --- the power law --------------------------------------------------------------------------


def power_law_answer(law: PowerLaw, gain: float = 0.01) -> Answer:
    """Return how many more images would gain accuracy, with the fit's uncertainty and cautions."""
    points = "one percentage point" if gain == 0.01 else f"{100 * gain:g} percentage points"
    part = law.curve.figure.partition(".")[0].replace("_", " ")
    question = f"How many more images would gain {points} of {part} accuracy, {law.curve.name}?"
    more = law.images_for(gain)
    fit = (
        f"error = {law.a:.3g} n^-{law.b:.2f} + {law.c:.4f} (n training images), "
        f"R² {law.r_squared:.3f}"
    )
    if math.isinf(more.images):
        low = more.interval[0] if more.interval else math.inf
        interval = "" if math.isinf(low) else f" (95 % CI from {_rounded(low)} up)"
        answer = f"By the fitted law, no number of them would{interval}: {fit}."
    else:
        answer = (
            f"About {_rounded(more.images)} beyond {law.largest:,}"
            f"{_images_interval(more.interval)}, by the fitted law: {fit}."
        )
    cautions = power_law_cautions(law)
    if more.is_far:
        cautions.append(f"this is more than {FARTHEST} times what was measured")
    if cautions:
        answer += f" Caution: {'; '.join(cautions)}."
    return Answer(question, answer)


def power_law_cautions(law: PowerLaw) -> list[str]:
    """Return why the fit is poor; nothing where it is not."""
    cautions = []
    if len(law.measured) < FEWEST_POINTS:
        cautions.append(f"{len(law.measured)} fractions cannot test a law of three parameters")
    if law.is_flat:
        cautions.append("the error does not fall significantly from the first to the last fraction")
    if law.r_squared < LOWEST_R_SQUARED:
        cautions.append(
            f"R² {law.r_squared:.2f} is below {LOWEST_R_SQUARED}: the errors do not follow the law"
        )
    b, c = law.interval("b"), law.interval("c")
    at_a_bound = not 1e-3 < law.b < 0.999 * LARGEST_EXPONENT
    if at_a_bound or (b and b[1] - b[0] > WIDEST_EXPONENT):
        cautions.append(f"the exponent is not determined (b {_with_interval(law.b, b, 2)})")
    if c and c[1] - c[0] > WIDEST_FLOOR * law.error(law.largest):
        cautions.append(f"the floor is not determined (c {_with_interval(law.c, c, 4)})")
    if not law.draws:
        cautions.append("one seed and no residuals: no confidence intervals")
    return cautions


def _with_interval(value: float, interval: Interval | None, digits: int) -> str:
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}, 95 % CI {interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def _images_interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    if math.isinf(low):
        return " (95 % CI: no number of them)"
    return f" (95 % CI {_rounded(low)} to {'no limit' if math.isinf(high) else _rounded(high)})"


def _rounded(images: float) -> str:
    """Return a number of images to two digits, which is more than is known of it."""
    if images >= 1e15:
        return f"{images:.0e}"
    digits = max(0, math.floor(math.log10(max(images, 1))) - 1)
    return f"{round(images, -digits):,.0f}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
