"""What learning curves answer, in sentences; the statistics are in curves and power_law."""

import math
from collections.abc import Sequence
from itertools import takewhile

from kerascw.evaluation.statistics import FEWEST, is_shown
from kerascw.lab.curves import (
    ACCURACY,
    Comparison,
    CurveFigures,
    CurveRuns,
    Difference,
    comparisons,
    curves_of,
    percent,
)
from kerascw.lab.effects import answers_to, joined, listed
from kerascw.lab.power_law import FARTHEST, LARGEST_EXPONENT, Interval, PowerLaw, fit_power_law
from kerascw.lab.study import Answer

LOWEST_R_SQUARED = 0.9
"""Below, the fit is called poor. Of simulated power laws (5 fractions, 2 to 5 seeds of 3 % relative
deviation, also with as much scatter shared by all seeds) 95 % had 0.98 or more; what is below 0.9
has another shape, or more noise than signal."""

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
    laws = [fit_power_law(curve) for curve in curves_of(runs, ACCURACY).values()]
    return [
        *(answer for compared in comparisons(curves) for answer in comparison_answers(compared)),
        *(power_law_answer(law) for law in laws if law is not None),
        *answers_to(
            {
                "What do the confidence intervals leave out?": shared_start_text(runs),
                "Which runs diverged and are left out?": diverged_text(runs),
            }
        ),
    ]


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
        f"All seeds start from the same weights of {joined(names)}: the intervals do not include "
        "how much these weights would vary with another seed."
    )


def diverged_text(runs: CurveRuns) -> str:
    """Return how many runs diverged where, or nothing."""
    return listed(
        [
            f"{name} at {percent(fraction)}: {diverged} of {len(several)}"
            for name, curve in runs.items()
            for fraction, several in curve.items()
            if (diverged := sum(run.metrics["status"] == "diverged" for run in several))
        ]
    )


# --- two initialisations ---------------------------------------------------------------------


def comparison_answers(compared: Comparison) -> list[Answer]:
    """Return three answers on two initialisations; none if they have no seed in common."""
    if not compared.differences:
        return []
    one, other = compared.curve.name, compared.baseline.name
    figure = compared.curve.figure.replace(".", " ").replace("_", " ")
    better, until = _who_is_better(compared), TOO_FEW
    if any(difference.spread.interval for difference in compared.differences):
        where, until = _where_significant(compared), _until_when(compared)
        count = len(compared.differences)
        by_itself = "" if count == 1 else f", each of the {count} comparisons by itself"
        better += f" Significant at 95 % (paired t-interval over the seeds{by_itself}): {where}."
    else:
        better += f" {TOO_FEW}"
    return answers_to(
        {
            f"Is {one} or {other} always better, by {figure}?": better,
            f"Where do the curves of {one} and {other} cross?": _where_they_cross(compared),
            f"From which fraction on do {one} and {other} not differ significantly?": until,
        }
    )


def _who_is_better(compared: Comparison) -> str:
    winner, *others = {compared.better(difference) for difference in compared.differences}
    if winner is None or others:
        return f"Neither. The better mean has {_by_better(compared, compared.differences)}."
    count = len(compared.differences)
    where = f"all {count} fractions" if count > 1 else "the one fraction"
    return f"{winner} has the better mean at {where}."


def _where_significant(compared: Comparison) -> str:
    significant = [d for d in compared.differences if is_shown(d.spread)]
    if not significant:
        return "at none of them"
    if len({compared.better(difference) for difference in compared.differences}) > 1:
        return f"for {_by_better(compared, significant)}"
    every = len(significant) == len(compared.differences)
    return "at all" if every else f"at {_list(significant)}"


def _by_better(compared: Comparison, several: Sequence[Difference]) -> str:
    return "; ".join(
        f"{name or 'neither'} at {_list(own)}"
        for name in (compared.curve.name, compared.baseline.name, None)
        if (own := [d for d in several if compared.better(d) == name])
    )


def _list(several: Sequence[Difference]) -> str:
    return joined([percent(difference.fraction) for difference in several])


def _where_they_cross(compared: Comparison) -> str:
    if len(compared.differences) < 2:
        return "With one fraction there are no curves to cross."
    if not compared.crossings:
        first, last = (percent(compared.differences[at].fraction) for at in (0, -1))
        return f"The mean curves do not cross between {first} and {last}."
    where = [f"between {percent(low)} and {percent(high)}" for low, high in compared.crossings]
    return f"The mean curves cross {joined(where)}."


def _until_when(compared: Comparison) -> str:
    every, last = compared.differences, compared.differences[-1]
    tail = list(takewhile(lambda difference: not is_shown(difference.spread), reversed(every)))
    if not tail:
        return (
            f"There is none: at the largest fraction, {percent(last.fraction)}, "
            f"{compared.better(last)} is still significantly better."
        )
    first = tail[-1]
    place = f"{percent(first.fraction)} ({first.examples:,} images)"
    if len(tail) == len(every):
        return f"From the smallest, {place}: no difference is significant at 95 %."
    where = f"From {place}: there and at all larger fractions"
    if len(tail) == 1:
        where = f"Only at the largest, {place}: there"
    return (
        f"{where} the 95 % confidence interval of the difference, not adjusted for the number of "
        "comparisons, includes zero, which does not prove the two equal."
    )


# --- the power law --------------------------------------------------------------------------


def power_law_answer(law: PowerLaw) -> Answer:
    """Return how many more images gain a percentage point, with the fit's uncertainty, cautions."""
    more, (_, b, c) = law.images_for(), law.fitted
    low, high = more.interval or (math.inf, math.inf)
    if math.isinf(more.images):
        interval = "" if math.isinf(low) else f" (95 % CI from {_rounded(low)} up)"
        answer = f"By the fitted law, no number of them would{interval}"
    else:
        interval = f" (95 % CI {_rounded(low)} to {_rounded(high)})" if more.interval else ""
        if more.interval and math.isinf(low):
            interval = " (95 % CI: no number of them)"
        answer = (
            f"About {_rounded(more.images)} beyond {law.largest:,}{interval}, by the fitted law"
        )
    cautions = power_law_cautions(law)
    if more.is_far:
        cautions.append(f"this is more than {FARTHEST} times what was measured")
    return Answer(
        f"How many more images would gain one percentage point of test accuracy, {law.curve.name}?",
        f"{answer}: error = {law.a:.3g} n^-{b:.2f} + {c:.4f} (n training images), "
        f"R² {law.r_squared:.3f}." + (f" Caution: {'; '.join(cautions)}." if cautions else ""),
    )


def power_law_cautions(law: PowerLaw) -> list[str]:
    """Return why the fit is poor; nothing where it is not."""
    b, c = law.interval(lambda drawn: drawn.b), law.interval(lambda drawn: drawn.c)
    at_a_bound = not 1e-3 < law.fitted.b < 0.999 * LARGEST_EXPONENT
    cautions = (
        (law.is_flat, "the error does not fall significantly from the first to the last fraction"),
        (
            law.r_squared < LOWEST_R_SQUARED,
            f"R² {law.r_squared:.2f} is below {LOWEST_R_SQUARED}: the errors do not follow the law",
        ),
        (
            at_a_bound or _is_wider(b, WIDEST_EXPONENT),
            f"the exponent is not determined (b {_with_interval(law.fitted.b, b, 2)})",
        ),
        (
            _is_wider(c, WIDEST_FLOOR * law.error(law.largest)),
            f"the floor is not determined (c {_with_interval(law.fitted.c, c, 4)})",
        ),
        (not law.draws, "one seed and no residuals: no confidence intervals"),
    )
    return [text for holds, text in cautions if holds]


def _is_wider(interval: Interval | None, than: float) -> bool:
    return interval is not None and interval[1] - interval[0] > than


def _with_interval(value: float, interval: Interval | None, digits: int) -> str:
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}, 95 % CI {interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def _rounded(images: float) -> str:
    """Return a number of images to two digits, which is more than is known of it."""
    if images >= 1e15:
        return "no limit" if math.isinf(images) else f"{images:.0e}"
    digits = max(0, math.floor(math.log10(max(images, 1))) - 1)
    return f"{round(images, -digits):,.0f}"
