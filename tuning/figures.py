"""Interactive figures of a search, by Altair: history, hyperparameters and importance."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import altair as alt

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.evaluation.importance import Importance
from kerascw.report import charts
from kerascw.report.page import plainly
from tuning.records import SearchResult
from tuning.text import spread_of

TRIAL, REPEATED, BEST = "trial", "repeats another trial", "best trial"
BEST_SO_FAR, NOT_USED, NO_SCORE = "best so far", "not used", "no score"

_KEYS = (
    charts.Series(BEST, charts.ORANGE, shape="circle"),
    charts.Series(TRIAL, charts.BLUE, shape="circle"),
    charts.Series(REPEATED, charts.SKY, shape="square"),
    charts.Series(NO_SCORE, charts.GREY, shape="cross"),
    charts.Series(BEST_SO_FAR, charts.INK),
)


def drawn(
    result: SearchResult, axes: Sequence[Axis], estimate: Importance | str
) -> dict[str, tuple[charts.Chart, str]]:
    """Return the search's figures by name, with a phrase of what each shows."""
    figures = {}
    if result.ranked:
        says = "every trial's score in the order asked, and the best so far"
        figures["history"] = history(result, axes), says
    if result.ranked and axes:
        says = "every trial's score against each hyperparameter, on the scale it is drawn from"
        figures["hyperparameters"] = hyperparameters(result, axes), says
    if not isinstance(estimate, str):
        says = "how much worse scores are predicted when one hyperparameter is shuffled"
        figures["importance"] = importance_bars(estimate), says
    return figures


def best_so_far(result: SearchResult) -> list[tuple[int, float]]:
    """Return for every completed trial, in order, its number and the best score up to it."""
    scored = {r.number: r.score for r in result.records if r.score is not None}
    best = accumulate(scored.values(), max if result.spec.maximizes else min)
    return list(zip(scored, best, strict=True))


def history(result: SearchResult, axes: Sequence[Axis]) -> charts.Chart:
    """Draw every trial's score in the order asked, the best so far, and the winner's mean.

    Trials without a score stand at the worse edge; hovering shows a trial's hyperparameters.
    """
    rows = _rows(result, axes)
    curve = [{"line": BEST_SO_FAR, "number": number, "score": charts.short(score)}
             for number, score in best_so_far(result)]  # fmt: skip
    keys = _keys([*rows, *curve])
    spread = None if result.winner is None else spread_of(result.winner, result.spec.objective)
    if spread is not None:
        keys.append(charts.Series(f"winner over {spread.n} fresh seeds", charts.GREEN, (6, 3)))
    place = alt.X("number:Q", title="trial", axis=alt.Axis(tickMinStep=1, format="d", grid=False),
                  scale=alt.Scale(domain=[0.3, len(rows) + 0.7], nice=False))  # fmt: skip
    height, colour = _height(result), charts.colour_of(keys, symbol=None)
    shape = alt.Shape(
        "line:N", legend=alt.Legend(title=None),
        scale=alt.Scale(domain=[k.name for k in keys], range=[k.shape for k in keys]),
    )  # fmt: skip
    step = alt.Chart(charts.data_of(curve)).mark_line(interpolate="step-after", strokeWidth=1.8)
    layers = [step.encode(x=place, y=height, color=colour)]
    numbers = f"{len(rows)} trials; best so far {curve[0]['score']} to {curve[-1]['score']}"
    if spread is not None:
        winner = keys[-1].name
        mean = alt.Chart(charts.data_of([{"line": winner, "score": charts.short(spread.mean)}]))
        rule = mean.mark_rule(strokeDash=[6, 3], strokeWidth=1.8)
        told = [alt.Tooltip("line:N", title="line"), _score(result)]
        layers.append(rule.encode(y=height, color=colour, tooltip=told))
        numbers += f"; {winner} {spread.mean:.4f}"
    edge = alt.value(alt.ExprRef("height - 6")) if result.spec.maximizes else alt.value(6)
    for has_score, where in ((True, height), (False, edge)):
        if some := [row for row in rows if (row["score"] is not None) == has_score]:
            look = {"color": colour, "shape": shape, "tooltip": _tooltips(result, axes)}
            layers.append(_marks(some).encode(x=place, y=where, **look))
    panel = alt.layer(*layers).properties(height=300)
    return charts.Chart((panel,), tuple(keys), numbers, file_width=560)


def hyperparameters(result: SearchResult, axes: Sequence[Axis]) -> charts.Chart:
    """Draw the score against each hyperparameter, a panel each, of the trials that use it."""
    rows = [row for row in _rows(result, axes) if row["score"] is not None]
    keys, panels = _keys(rows), []
    for at, axis in enumerate(axes):
        used = [row for row in rows if row[f"h{at}"] != NOT_USED]
        title, x = plainly(axis.name), f"x{at}:Q"
        if axis.is_choice:
            order = [value_text(choice) for choice in axis.choices]
            across = alt.X(f"h{at}:N", title=title, sort=order, scale=alt.Scale(domain=order))
        else:
            is_log = axis.scale == "log"
            numbers = alt.Axis(format=charts.axis_format(is_log=is_log))
            across = alt.X(x, title=title, axis=numbers, scale=_scale(8, is_log=is_log))
        colour = charts.colour_of(keys, symbol="circle")
        look = {"color": colour, "tooltip": _tooltips(result, axes)}
        panel = _marks(used).encode(x=across, y=_height(result), **look)
        panels.append(panel.properties(height=180))
    names = ", ".join(plainly(axis.name) for axis in axes)
    return charts.Chart(
        tuple(panels), tuple(keys), f"{len(rows)} trials by {names}", file_width=240
    )


def importance_bars(estimate: Importance) -> charts.Chart:
    """Draw each hyperparameter's importance with its range over forests and shufflings."""
    dots = [charts.Dot(plainly(share.name), share.mean, (share.low, share.high))
            for share in estimate.shares]  # fmt: skip
    return charts.dots(
        dots, x="rise of the squared error, in variances of the score", zero=True,
        value="mean over forests and shufflings, 5th to 95th percentile",
    )  # fmt: skip


def _rows(result: SearchResult, axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Return trials as figures have them; ``line`` is how they are drawn."""
    rows = []
    for record in result.records:
        line = TRIAL if record.duplicate_of is None else REPEATED
        if record.score is None:
            line = NO_SCORE
        elif result.best is not None and record.trial_id == result.best.trial_id:
            line = BEST
        score = None if record.score is None else charts.short(record.score)
        what = record.status if record.score is None else line
        row = {"trial": record.trial_id, "number": record.number, "what": what, "line": line}
        for at, axis in enumerate(axes):
            used, value = axis.name in record.hyperparameters, record.hyperparameters.get(axis.name)
            row[f"h{at}"] = value_text(value) if used else NOT_USED
            if used and not axis.is_choice:
                row[f"x{at}"] = value
        rows.append(row | {"score": score})
    return rows


def _keys(rows: Sequence[dict[str, Any]]) -> list[charts.Series]:
    there = {row["line"] for row in rows}
    return [key for key in _KEYS if key.name in there]


def _marks(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(charts.data_of(rows)).mark_point(filled=True, size=60, opacity=0.9)


def _tooltips(result: SearchResult, axes: Sequence[Axis]) -> list[alt.Tooltip]:
    """Return what hovering shows of a trial."""
    settings = [alt.Tooltip(f"h{at}:N", title=plainly(axis.name)) for at, axis in enumerate(axes)]
    return [alt.Tooltip("trial:N"), alt.Tooltip("what:N"), _score(result), *settings]


def _score(result: SearchResult) -> alt.Tooltip:
    return alt.Tooltip("score:Q", title=_label(result), format=".5~g")


def _height(result: SearchResult) -> alt.Y:
    """Return the axis of the score, logarithmic for losses of very different size."""
    scores = [record.score for record in result.ranked if record.score is not None]
    is_log = min(scores) > 0 and max(scores) > 10 * min(scores)
    axis = alt.Axis(format=charts.axis_format(is_log=is_log), tickCount=6)
    return alt.Y("score:Q", title=_label(result), axis=axis, scale=_scale(14, is_log=is_log))


def _scale(padding: int, *, is_log: bool) -> alt.Scale:
    kind: dict[str, Any] = {"type": "log", "nice": False} if is_log else {"zero": False}
    return alt.Scale(**kind, padding=padding)


def _label(result: SearchResult) -> str:
    words = plainly(result.spec.objective)
    return f"{words} (nats)" if words.endswith("loss") else words
