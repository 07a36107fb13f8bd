"""The parallel coordinates of a search: a line a trial through its hyperparameters to its score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.report import charts
from kerascw.report.chart_parts import BLUE, GREY, INK, ORANGE, Chart, Series, short
from tuning.figures import (
    BEST,
    NOT_USED,
    is_logarithmic,
    label,
    scores_of,
    settings_told,
    told_of,
    value_of,
    words_of,
)

if TYPE_CHECKING:
    from tuning.records import SearchResult, TrialRecord

OTHERS, NO_SCORE = "other trials", "no score"

_ROW = 62
"""Pixels from one axis to the next."""

_LETTERS = 44
"""Beyond so many letters the choices of an axis are written aslant, to fit a phone."""


def parallel_coordinates(result: "SearchResult", axes: Sequence[Axis]) -> Chart:
    """Return a line a trial down through its hyperparameters to its score.

    Axes have the scale that the search draws from, one below another, so that a phone has room for
    any number of them. Lines are stronger where the score is better; a hyperparameter that a trial
    does not use is crossed at the left.
    """
    ranked = {record.trial_id for record in result.ranked}
    best, heights = result.best, _heights(axes)
    rows: list[dict[str, Any]] = []
    for number, record in enumerate(reversed(_drawn_last_first(result))):
        score = record.score if record.trial_id in ranked else None
        is_best = best is not None and record.trial_id == best.trial_id
        line = BEST if is_best else OTHERS if score is not None else NO_SCORE
        strength = 0.5 if score is None else 1 if is_best else 0.15 + 0.7 * _goodness(score, result)
        whole = {"trial": record.trial_id, "line": line, "strength": short(strength),
                 "score": None if score is None else short(score)}  # fmt: skip
        # the line is pointed at by its first point, which has everything
        settings = {f"h{at}": value_of(record, axis) for at, axis in enumerate(axes)}
        # lines that share a choice are laid beside one another
        beside = 0.5 * ((number * 0.618) % 1 - 0.5)
        for at, axis in zip(heights, axes, strict=False):
            used = axis.name in record.hyperparameters
            where = axis.position(record.hyperparameters[axis.name]) if used else _ABSENT
            if used and axis.is_choice:
                where += beside / len(axis.choices)
            rows.append(whole | settings | {"at": at, "x": short(where), "name": words_of(axis),
                                            "value": value_of(record, axis)})  # fmt: skip
            settings = {}
        where = _ABSENT if score is None else _goodness(score, result)
        rows.append(whole | {"at": heights[-1], "x": short(where), "name": label(result),
                             "value": "-" if score is None else f"{score:.4f}"})  # fmt: skip
    there = {row["line"] for row in rows}
    keys = tuple(
        key for key in (Series(BEST, ORANGE), Series(OTHERS, BLUE), Series(NO_SCORE, GREY, (2, 2)))
        if key.name in there
    )  # fmt: skip
    return Chart(
        (_parallel_panel(result, axes, rows, keys),), keys,
        f"{len(result.records)} trials through {', '.join(words_of(axis) for axis in axes)}",
        file_width=620,
    )  # fmt: skip


_ABSENT = -0.09
"""Left of an axis, where a trial that does not use it, or has no score, crosses it."""


def _parallel_panel(
    result: "SearchResult",
    axes: Sequence[Axis],
    rows: Sequence[dict[str, Any]],
    keys: Sequence[Series],
) -> Any:
    heights, names = _heights(axes), [*(words_of(axis) for axis in axes), label(result)]
    ticks = [
        {"at": at, "x": short(where), "text": text, "slanted": _is_long(axis)}
        for at, axis in zip(heights, axes, strict=False)
        for where, text in _ticks(axis)
    ]
    ticks += [{"at": heights[-1], "x": short(_goodness(score, result)), "text": f"{score:.4g}",
               "slanted": False} for score in _score_ticks(result)]  # fmt: skip
    lost = [
        {"at": at, "x": _ABSENT, "text": NOT_USED, "slanted": False}
        for at, axis in zip(heights, axes, strict=False)
        if any(axis.name not in record.hyperparameters for record in result.records)
    ]
    if any(row["line"] == NO_SCORE for row in rows):
        lost.append({"at": heights[-1], "x": _ABSENT, "text": NO_SCORE, "slanted": False})
    left = -0.13 if lost else -0.04
    place = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[left, 1.05], nice=False))
    down = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[heights[-1] + 0.6, -0.45], nice=False))
    over = alt.selection_point(
        name="pointed", fields=["trial"], on="pointerover", clear="pointerout", empty=False
    )
    base = alt.Chart(charts.data_of(rows))
    told = [alt.Tooltip("trial:N"), told_of("score", label(result)), *settings_told(axes)]
    colour = charts.colour_of(keys)
    own = {"order": alt.Order("at:Q"), "detail": alt.Detail("trial:N")}
    thin = alt.when(over).then(alt.value(4)).when(alt.datum.line == BEST).then(alt.value(3))
    lines = base.mark_line(strokeJoin="round").encode(
        x=place, y=down, color=colour, strokeWidth=thin.otherwise(alt.value(1.4)),
        strokeDash=alt.StrokeDash(
            "line:N", legend=None,
            scale=alt.Scale(domain=[k.name for k in keys], range=[list(k.dash) for k in keys]),
        ),
        opacity=alt.when(over).then(alt.value(1)).otherwise(
            alt.Opacity("strength:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0, 1]))
        ),
        **own,
    )  # fmt: skip
    # wide and unseen: a thin line is hard to point at
    wide = base.mark_line(strokeWidth=11, opacity=0).encode(
        x=place, y=down, color=alt.Color("line:N", legend=None), tooltip=told, **own
    )
    points = base.mark_point(filled=True, size=26, opacity=0).encode(
        x=place, y=down, tooltip=[told[0], alt.Tooltip("name:N", title="axis"),
                                  alt.Tooltip("value:N", title="value"), told[1]],
    )  # fmt: skip
    bars = alt.Chart(charts.data_of([{"at": at, "x": 0, "to": 1} for at in heights]))
    heads = [{"at": at, "x": 0, "text": name} for at, name in zip(heights, names, strict=True)]
    texts = [
        _texts(heads, place, down, dy=-13, align="left", fontWeight=600, fontSize=12),
        *(
            _texts([row for row in several if row["slanted"] == slanted], place, down, **style)
            for several in (ticks, lost)
            for slanted, style in (
                (False, {"dy": 13, "fontSize": 10}),
                (True, {"dy": 8, "fontSize": 9, "angle": 30, "align": "left"}),
            )
        ),
    ]
    return alt.layer(
        bars.mark_rule(color=GREY, strokeWidth=1).encode(x=place, x2="to:Q", y=down),
        lines, wide.add_params(over), points, *(text for text in texts if text is not None),
    ).properties(height=round(_ROW * (heights[-1] + 1.05)))  # fmt: skip


def _texts(rows: Sequence[dict[str, Any]], place: Any, down: Any, **style: Any) -> Any:
    """Return words of the page's ink at their places, None where there are none."""
    if not rows:
        return None
    text = alt.Chart(charts.data_of(rows)).mark_text(color=INK, **style)
    return text.encode(x=place, y=down, text="text:N")


# --- parts ----------------------------------------------------------------------------------


def _heights(axes: Sequence[Axis]) -> list[float]:
    """Return where each axis of the parallel coordinates lies, and that of the score, in rows."""
    heights = [0.0]
    for axis in axes:
        heights.append(heights[-1] + (1.6 if _is_long(axis) else 1))
    return heights


def _is_long(axis: Axis) -> bool:
    return axis.is_choice and sum(len(value_text(choice)) + 2 for choice in axis.choices) > _LETTERS


def _ends(result: "SearchResult") -> tuple[float, float]:
    """Return the lowest and the highest score, apart."""
    low, high = min(scores_of(result)), max(scores_of(result))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _goodness(score: float, result: "SearchResult") -> float:
    """Return where a score lies between the worst, 0, and the best, 1."""
    low, high = _ends(result)
    if is_logarithmic(result):
        low, high, score = np.log(low), np.log(high), np.log(score)
    share = float((score - low) / (high - low))
    return share if result.spec.maximizes else 1 - share


def _score_ticks(result: "SearchResult") -> list[float]:
    low, high = _ends(result)
    spaced = np.geomspace if is_logarithmic(result) else np.linspace
    return [float(score) for score in spaced(low, high, 5)]


def _drawn_last_first(result: "SearchResult") -> list["TrialRecord"]:
    """Return the trials with the one drawn on top first: best to worst, then those unscored."""
    ranked = result.ranked
    return [*ranked, *(record for record in result.records if record not in ranked)]


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return places on the axis, and what stands at them."""
    if axis.is_choice:
        return [(axis.position(choice), value_text(choice)) for choice in axis.choices]
    values = [axis.low, axis.high]
    if axis.scale == "log":
        decades = range(int(np.ceil(np.log10(axis.low))), int(np.floor(np.log10(axis.high))) + 1)
        values += [10.0**d for d in decades if 0.1 < axis.position(10.0**d) < 0.9]
    elif isinstance(axis.low, int) and isinstance(axis.high, int) and axis.high - axis.low <= 10:
        values = list(range(axis.low, axis.high + 1))
    elif axis.scale == "linear":
        values += [axis.low + (axis.high - axis.low) * share for share in (0.25, 0.5, 0.75)]
    return [(axis.position(value), value_text(value)) for value in sorted(set(values))]
