"""Interactive figures of a search, by Altair: history, importance and parallel coordinates."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import altair as alt

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.evaluation.importance import Importance
from kerascw.report import charts
from kerascw.report.chart_parts import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    SKY,
    Chart,
    Dot,
    Series,
    short,
)
from kerascw.report.page import plainly
from tuning.records import SearchResult, TrialRecord
from tuning.text import spread_of

TRIAL, REPEATED, BEST = "trial", "repeats another trial", "best trial"
BEST_SO_FAR, NOT_USED, NO_SCORE = "best so far", "not used", "no score"

_KEYS = {
    BEST: Series(BEST, ORANGE, shape="circle"),
    TRIAL: Series(TRIAL, BLUE, shape="circle"),
    REPEATED: Series(REPEATED, SKY, shape="square"),
    NO_SCORE: Series(NO_SCORE, GREY, shape="cross"),
    BEST_SO_FAR: Series(BEST_SO_FAR, INK),
}


def drawn(
    result: SearchResult, axes: Sequence[Axis], estimate: Importance | str
) -> dict[str, tuple[Chart, str]]:
    """Return the search's figures by name, with a phrase of what each shows."""
    figures = {}
    if result.ranked:
        says = "every trial's score in the order asked, and the best so far"
        figures["history"] = history(result, axes), says
    if result.ranked and axes:
        says = "a line a trial through its hyperparameters to its score, stronger if it is better"
        figures["parallel_coordinates"] = parallel_coordinates(result, axes), says
    if not isinstance(estimate, str):
        says = "how much worse scores are predicted when one hyperparameter is shuffled"
        figures["importance"] = importance_bars(estimate), says
    return figures


def best_so_far(result: SearchResult) -> list[tuple[int, float]]:
    """Return for every completed trial, in order, its number and the best score up to it."""
    scored = [(record.number, record.score) for record in result.records
              if record.score is not None]  # fmt: skip
    best = accumulate((score for _, score in scored), max if result.spec.maximizes else min)
    return [(number, score) for (number, _), score in zip(scored, best, strict=True)]


def history(result: SearchResult, axes: Sequence[Axis]) -> Chart:
    """Draw every trial's score in the order asked, the best so far, and the winner's mean.

    Trials without a score stand at the worse edge; hovering shows a trial's hyperparameters.
    """
    rows = [_row(record, result, axes) for record in result.records]
    curve = [{"line": BEST_SO_FAR, "number": number, "score": short(score)}
             for number, score in best_so_far(result)]  # fmt: skip
    there = [key for name, key in _KEYS.items() if name in {row["line"] for row in [*rows, *curve]}]
    spread = None if result.winner is None else spread_of(result.winner, result.spec.objective)
    winner = "" if spread is None else f"winner over {spread.n} fresh seeds"
    keys = [*there, *([Series(winner, GREEN, (6, 3))] if spread else [])]
    place = alt.X("number:Q", title="trial", axis=alt.Axis(tickMinStep=1, format="d", grid=False),
                  scale=alt.Scale(domain=[0.3, len(rows) + 0.7], nice=False))  # fmt: skip
    kind = "log" if _is_logarithmic(result) else "linear"
    height = alt.Y("score:Q", title=_label(result), axis=alt.Axis(format="~g", tickCount=6),
                   scale=alt.Scale(type=kind, zero=False, padding=14))  # fmt: skip
    colour = charts.colour_of(keys, symbol=None)
    shape = alt.Shape(
        "line:N", legend=alt.Legend(title=None),
        scale=alt.Scale(domain=[k.name for k in keys], range=[k.shape for k in keys]),
    )  # fmt: skip
    step = alt.Chart(charts.data_of(curve)).mark_line(interpolate="step-after", strokeWidth=1.8)
    layers = [step.encode(x=place, y=height, color=colour)]
    if spread is not None:
        mean = alt.Chart(charts.data_of([{"line": winner, "score": short(spread.mean)}]))
        rule = mean.mark_rule(strokeDash=[6, 3], strokeWidth=1.8)
        layers.append(rule.encode(y=height, color=colour, tooltip=_tooltips(result, ())))
    edge = alt.value(alt.ExprRef("height - 6")) if result.spec.maximizes else alt.value(6)
    for has_score, where in ((True, height), (False, edge)):
        if some := [row for row in rows if (row["score"] is not None) == has_score]:
            marks = alt.Chart(charts.data_of(some)).mark_point(filled=True, size=60, opacity=0.9)
            told = _tooltips(result, axes)
            layers.append(marks.encode(x=place, y=where, color=colour, shape=shape, tooltip=told))
    numbers = f"{len(rows)} trials; best so far {curve[0]['score']} to {curve[-1]['score']}"
    if spread is not None:
        numbers += f"; {winner} {spread.mean:.4f}"
    panel = alt.layer(*layers).properties(height=300)
    return Chart((panel,), tuple(keys), numbers, file_width=560)


def importance_bars(estimate: Importance) -> Chart:
    """Draw each hyperparameter's importance with its range over forests and shufflings."""
    dots = [Dot(plainly(share.name), share.mean, share.low, share.high)
            for share in estimate.shares]  # fmt: skip
    return charts.dots(
        dots, x="rise of the squared error, in variances of the score", zero=True,
        value="mean over forests and shufflings, 5th to 95th percentile",
    )  # fmt: skip


_ROW = 62
"""Pixels from one axis of the parallel coordinates to the next."""

_ABSENT = -0.09
"""Left of an axis, where a trial that does not use it, or has no score, crosses it."""


def parallel_coordinates(result: SearchResult, axes: Sequence[Axis]) -> Chart:
    """Draw a line a trial down through its hyperparameters to its score.

    Axes have the scale that the search draws from, one below another, so that a phone has room for
    any number of them. Lines are stronger where the score is better; a hyperparameter that a trial
    does not use is crossed at the left.
    """
    last, rows = len(axes), []
    # the best is drawn last, on top
    ordered = sorted(result.records, key=lambda record: -result.spec.rank(record.score))
    for number, record in enumerate(ordered):
        place = _goodness(record.score, result)
        whole = _row(record, result, axes) | {"strength": short(max(0.2, place))}
        beside = 0.5 * ((number * 0.618) % 1 - 0.5)  # lines of one choice beside one another
        for at, axis in enumerate(axes):
            x = _ABSENT
            if axis.name in record.hyperparameters:
                x = axis.position(record.hyperparameters[axis.name])
                x += beside / len(axis.choices) if axis.is_choice else 0
            rows.append(whole | {"at": at, "x": short(x)})
        rows.append(whole | {"at": last, "x": short(place)})
    keys = [key for name, key in _KEYS.items() if name in {row["line"] for row in rows}]
    left = -0.13 if any(row["x"] < 0 for row in rows) else -0.04
    across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[left, 1.05], nice=False))
    down = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[last + 0.6, -0.45], nice=False))
    look = {"x": across, "y": down, "color": charts.colour_of(keys)}
    base = alt.Chart(charts.data_of(rows))
    lines = base.mark_line(strokeJoin="round").encode(
        **look, order="at:Q", detail="trial:N",
        strokeWidth=alt.when(alt.datum.line == BEST).then(alt.value(3)).otherwise(alt.value(1.4)),
        opacity=alt.Opacity("strength:Q", legend=None,
                            scale=alt.Scale(domain=[0, 1], range=[0, 1])),
    )  # fmt: skip
    points = base.mark_point(filled=True, size=40, opacity=0.6)
    points = points.encode(**look, tooltip=_tooltips(result, axes))
    bars = alt.Chart(charts.data_of([{"at": at, "x": 0, "to": 1} for at in range(last + 1)]))
    names = [*(plainly(axis.name) for axis in axes), _label(result)]
    scores = dict.fromkeys((_scores(result)[0], _scores(result)[-1]))
    ticks = [(at, x, text) for at, axis in enumerate(axes) for x, text in _ticks(axis)]
    ticks += [(last, short(_goodness(score, result)), f"{score:.4g}") for score in scores]
    ticks += [(at, _ABSENT, NO_SCORE if at == last else NOT_USED)
              for at in {row["at"] for row in rows if row["x"] == _ABSENT}]  # fmt: skip
    panel = alt.layer(
        bars.mark_rule(color=GREY, strokeWidth=1).encode(x=across, x2="to:Q", y=down),
        lines, points,
        *(
            alt.Chart(charts.data_of([{"at": at, "x": x, "text": text} for at, x, text in words]))
            .mark_text(color=INK, **style).encode(x=across, y=down, text="text:N")
            for words, style in (
                ([(at, 0, name) for at, name in enumerate(names)],
                 {"dy": -13, "align": "left", "fontWeight": 600, "fontSize": 12}),
                (ticks, {"dy": 13, "fontSize": 10}),
            )
        ),
    ).properties(height=round(_ROW * (last + 1.05)))  # fmt: skip
    numbers = f"{len(result.records)} trials through {', '.join(names)}"
    return Chart((panel,), tuple(keys), numbers, file_width=620)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return places on the axis, and what is written at them; of many choices some are left out."""
    if axis.is_choice:
        texts = [(axis.position(choice), value_text(choice)) for choice in axis.choices]
        return texts[:: max(1, -(-sum(len(text) + 2 for _, text in texts) // 70))]
    ends = dict.fromkeys((axis.low, axis.high))
    return [(axis.position(value), value_text(value)) for value in ends]


def _goodness(score: float | None, result: SearchResult) -> float:
    """Return where a score lies between the worst, 0, and the best, 1; left of it without one."""
    if score is None:
        return _ABSENT
    best, worst = _scores(result)[0], _scores(result)[-1]
    if best == worst:
        return 0.5
    if _is_logarithmic(result):
        best, worst, score = math.log(best), math.log(worst), math.log(score)
    return (score - worst) / (best - worst)


def _row(record: TrialRecord, result: SearchResult, axes: Sequence[Axis]) -> dict[str, Any]:
    """Return a trial as figures have it; ``line`` is how it is drawn."""
    line = TRIAL if record.duplicate_of is None else REPEATED
    if record.score is None:
        line = NO_SCORE
    elif result.best is not None and record.trial_id == result.best.trial_id:
        line = BEST
    used = {name: value_text(value) for name, value in record.hyperparameters.items()}
    settings = {f"h{at}": used.get(axis.name, NOT_USED) for at, axis in enumerate(axes)}
    score = None if record.score is None else short(record.score)
    what = record.status if record.score is None else line
    whole = {"trial": record.trial_id, "number": record.number, "what": what}
    return whole | {"line": line, "score": score} | settings


def _tooltips(result: SearchResult, axes: Sequence[Axis]) -> list[alt.Tooltip]:
    """Return what hovering shows of a trial; without axes, of the winner."""
    score = alt.Tooltip("score:Q", title=_label(result), format=".5~g")
    if not axes:
        return [alt.Tooltip("line:N", title="line"), score]
    settings = [alt.Tooltip(f"h{at}:N", title=plainly(axis.name)) for at, axis in enumerate(axes)]
    return [alt.Tooltip("trial:N"), alt.Tooltip("what:N"), score, *settings]


def _label(result: SearchResult) -> str:
    words = plainly(result.spec.objective)
    return f"{words} (nats)" if words.endswith("loss") else words


def _scores(result: SearchResult) -> list[float]:
    """Return the scores, the best first."""
    return [record.score for record in result.ranked if record.score is not None]


def _is_logarithmic(result: SearchResult) -> bool:
    """Return whether scores need a logarithmic axis: losses of very different size."""
    scores = _scores(result)
    return bool(scores) and min(scores) > 0 and max(scores) > 10 * min(scores)
