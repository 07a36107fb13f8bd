"""Interactive figures of a search, by Altair.

A trial without a score (diverged, failed, running) stands at the worse edge of its panel, told
apart by shape as well as by colour.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.evaluation.importance import REPEATS, Importance
from kerascw.evaluation.statistics import over_seeds
from kerascw.report import charts
from kerascw.report.chart_parts import (
    AMBER,
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

if TYPE_CHECKING:
    from tuning.records import SearchResult, TrialRecord

TRIAL, REPEATED, BEST = "trial", "repeats another trial", "best trial"
BEST_SO_FAR, NOT_USED = "best so far", "not used"

_KEYS = {
    TRIAL: Series(TRIAL, BLUE, shape="circle"),
    REPEATED: Series(REPEATED, SKY, shape="square"),
    BEST: Series(BEST, ORANGE, shape="circle"),
    "diverged": Series("diverged", ORANGE, shape="cross"),
    "failed": Series("failed", AMBER, shape="triangle-up"),
    "running": Series("running", GREY, shape="diamond"),
    BEST_SO_FAR: Series(BEST_SO_FAR, INK),
}


def label(result: "SearchResult") -> str:
    """Return the objective in words."""
    words = result.spec.objective.replace("_", " ")
    return f"{words} (nats)" if words.endswith("loss") else words


def best_so_far(result: "SearchResult") -> list[float | None]:
    """Return for every trial, in order, the best score up to it; None before the first score."""
    pick = max if result.spec.maximizes else min
    best: float | None = None
    curve: list[float | None] = []
    for record in result.records:
        if record.status == "completed" and record.score is not None:
            best = record.score if best is None else pick(best, record.score)
        curve.append(best)
    return curve


def history(result: "SearchResult", axes: Sequence[Axis]) -> Chart:
    """Return every trial's score in the order they began, and the best so far.

    A thin line spans a trial's executions. Pointing at a trial reads its hyperparameters off.
    """
    ranked = {record.trial_id for record in result.ranked}
    rows = [
        _row(record, ranked) | {"number": record.number}
        | {f"h{at}": value_of(record, axis) for at, axis in enumerate(axes)}
        for record in result.records
    ]  # fmt: skip
    curve = [
        {"line": BEST_SO_FAR, "number": record.number, "score": short(best)}
        for record, best in zip(result.records, best_so_far(result), strict=True)
        if best is not None
    ]
    winner, winners = result.winner, ""
    spread = interval = None
    if winner is not None and winner.mean is not None:
        spread = over_seeds([value for value in winner.values if value is not None])
        winners = f"winner over {spread.n} fresh seed{'s' if spread.n > 1 else ''}"
        interval = None if spread.interval is None else _possible(spread.interval, result)
    there = {row["line"] for row in rows} | ({BEST_SO_FAR} if curve else set())
    keys = [key for name, key in _KEYS.items() if name in there]
    if spread is not None:
        keys.append(Series(winners, GREEN, (6, 3)))
    last = max((record.number for record in result.records), default=1)
    place = alt.X(
        "number:Q", title="trial", scale=alt.Scale(domain=[0.3, last + 0.7], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
    )  # fmt: skip
    ends = [end for row in rows for end in (row.get("low"), row.get("high")) if end is not None]
    seen = [*(row["score"] for row in rows if row["score"] is not None), *ends,
            *([] if spread is None else [spread.mean])]  # fmt: skip
    scale = _scale(result, seen)
    height = _height(result, scale)
    colour = charts.colour_of(keys, symbol=None)
    layers = []
    if spread is not None:
        mean: dict[str, Any] = {"line": winners, "score": short(spread.mean)}
        told = [alt.Tooltip("line:N", title="line"), told_of("score", label(result))]
        if interval is not None:
            mean |= {"low": short(interval[0]), "high": short(interval[1])}
            told += [told_of("low", "from"), told_of("high", "to")]
            # clipped: the interval of two seeds would squeeze all trials together
            band = alt.Chart(charts.data_of([mean])).mark_rect(opacity=0.14, clip=True)
            low = _height(result, scale, "low")
            layers.append(band.encode(y=low, y2="high:Q", color=colour, tooltip=told))
        rule = alt.Chart(charts.data_of([mean])).mark_rule(strokeDash=[6, 3], strokeWidth=1.8)
        layers.append(rule.encode(y=height, color=colour, tooltip=told))
    if curve:
        # a step of one point alone draws nothing, and needs nothing
        line = alt.Chart(charts.data_of(curve)).mark_line(interpolate="step-after", strokeWidth=1.8)
        layers.append(line.encode(x=place, y=height, color=colour))
    told = [alt.Tooltip("trial:N"), alt.Tooltip("line:N", title="what"),
            told_of("score", label(result)), alt.Tooltip("each:N", title="each execution"),
            *settings_told(axes)]  # fmt: skip
    layers += _trials(rows, place, scale, keys, told, result)
    panel = alt.layer(*layers).properties(height=300)
    return Chart((panel,), tuple(keys), _said_of_history(result, winners, spread), file_width=560)


def _said_of_history(result: "SearchResult", winners: str, spread: Any) -> str:
    said = [f"{len(result.records)} trials"]
    if result.best is not None and result.best.score is not None:
        best, worst = result.best, result.ranked[-1]
        said.append(f"the best, {best.trial_id}, {best.score:.4f}")
        if worst is not best and worst.score is not None:
            said.append(f"the worst, {worst.trial_id}, {worst.score:.4f}")
    if spread is not None:
        low_high = "" if spread.interval is None else " ({:.4f} to {:.4f})".format(*spread.interval)
        said.append(f"{winners} {spread.mean:.4f}{low_high}")
    return ", ".join(said)


def against_each(result: "SearchResult", axes: Sequence[Axis]) -> Chart:
    """Return the score against each hyperparameter, one panel for each.

    Trials that do not use a hyperparameter are left out of its panel.
    """
    ranked = {record.trial_id for record in result.ranked}
    best = result.best
    every = [_row(record, ranked, best) for record in result.records]
    there = {row["line"] for row in every}
    keys = [_KEYS[name] for name in (TRIAL, BEST, "diverged", "failed", "running") if name in there]
    scale = _scale(result, [row["score"] for row in every if row["score"] is not None])
    panels = []
    for axis in axes:
        records = [r for r in result.records if axis.name in r.hyperparameters]
        rows = [
            _row(record, ranked, best) | {"x": place, "value": value_of(record, axis)}
            for record, place in zip(records, _places(records, axis), strict=True)
        ]
        rows.sort(key=lambda row: row["line"] == BEST)  # drawn last, on top
        value = alt.Tooltip("value:N", title=words_of(axis))
        told = [alt.Tooltip("trial:N"), alt.Tooltip("line:N", title="what"), value,
                told_of("score", label(result))]  # fmt: skip
        layers = _trials(rows, _along(axis), scale, keys, told, result)
        if layers:
            panels.append(alt.layer(*layers).properties(height=charts.HEIGHT))
    said = ""
    if best is not None and best.score is not None:
        settings = ", ".join(f"{words_of(axis)} {value_of(best, axis)}" for axis in axes)
        said = f"the best, {best.trial_id} with {best.score:.4f}, has {settings}"
    width = 300 if len(panels) > 1 else 560
    return Chart(tuple(panels), tuple(keys), said, file_width=width)


def finalists(result: "SearchResult") -> Chart:
    """Return each finalist's fresh seeds with mean and interval, beside its score in the search."""
    dots = []
    for finalist in result.finalists:
        values = tuple(value for value in finalist.values if value is not None)
        spread = over_seeds(values) if values else None
        low = high = None
        if spread is not None and spread.interval is not None:
            low, high = _possible(spread.interval, result)
        name = f"trial {finalist.trial_id}"
        if finalist is result.winner:
            name += ", winner"
        score = result.record(finalist.trial_id).score
        mean = None if spread is None else spread.mean
        dots.append(Dot(name, mean, low, high, each=values, published=score))
    said = charts.said_of_dots(dots).replace("published", "in the search")
    return charts.dots(
        dots, x=label(result), value="mean over fresh seeds, 95 % t-interval",
        each="each fresh seed", published="score in the search", numbers=said,
    )  # fmt: skip


def importance_shares(estimate: Importance) -> Chart:
    """Return each hyperparameter's share with its range over the repeats."""
    dots = [Dot(share.name.replace("_", " "), share.mean, share.low, share.high)
            for share in estimate.shares]  # fmt: skip
    return charts.dots(
        dots, x="share of the score's variance", zero=True,
        value=f"mean over {REPEATS} forests, 5th to 95th percentile",
    )  # fmt: skip


# --- parts ----------------------------------------------------------------------------------


def _row(
    record: "TrialRecord", ranked: set[str], best: "TrialRecord | None" = None
) -> dict[str, Any]:
    """Return a trial as figures have it; ``line`` is how it is drawn."""
    values = [value for value in record.values if value is not None]
    is_scored = record.trial_id in ranked
    if best is not None and record.trial_id == best.trial_id:
        line = BEST
    elif is_scored:
        line = REPEATED if record.duplicate_of is not None and best is None else TRIAL
    else:
        line = record.status
    row: dict[str, Any] = {
        "trial": record.trial_id,
        "line": line,
        "score": short(record.score) if is_scored and record.score is not None else None,
    }
    if len(record.values) > 1:
        row["each"] = ", ".join("-" if v is None else f"{v:.4f}" for v in record.values)
    if is_scored and len(values) > 1:
        row |= {"low": short(min(values)), "high": short(max(values))}
    return row


def _trials(
    rows: Sequence[dict[str, Any]],
    place: Any,
    scale: alt.Scale,
    keys: Sequence[Series],
    told: Sequence[Any],
    result: "SearchResult",
) -> list[Any]:
    """Return the marks of trials: those with a score, and those without at the worse edge."""
    scored = [row for row in rows if row["score"] is not None]
    others = [row for row in rows if row["score"] is None]
    look = {"color": charts.colour_of(keys, symbol=None), "shape": _shape_of(keys)}
    layers = []
    if spans := [row for row in scored if "low" in row and "number" in row]:
        base = alt.Chart(charts.data_of(spans)).mark_rule(strokeWidth=1.2)
        low = _height(result, scale, "low")
        layers.append(base.encode(x=place, y=low, y2="high:Q", color=look["color"]))
    for several, where in ((scored, _height(result, scale)), (others, _edge(result))):
        if several:
            marks = alt.Chart(charts.data_of(several)).mark_point(filled=True, size=60, opacity=0.9)
            layers.append(marks.encode(x=place, y=where, tooltip=list(told), **look))
    return layers


def _shape_of(keys: Sequence[Series]) -> alt.Shape:
    names, shapes = [key.name for key in keys], [key.shape for key in keys]
    scale = alt.Scale(domain=names, range=shapes)
    return alt.Shape("line:N", scale=scale, legend=alt.Legend(title=None))


def _edge(result: "SearchResult") -> Any:
    """Return the worse edge of a panel, as a height in pixels."""
    return alt.value(alt.ExprRef("height - 6")) if result.spec.maximizes else alt.value(6)


def _scale(result: "SearchResult", seen: Sequence[float]) -> alt.Scale:
    """Return the objective's scale, with room for trials without a score at the worse edge."""
    if not seen:
        return alt.Scale(zero=False)
    low, high = min(seen), max(seen)
    if is_logarithmic(result) and low > 0:
        margin = (high / low) ** 0.08
        return alt.Scale(type="log", domain=[short(low / margin), short(high * margin)],
                         nice=False)  # fmt: skip
    margin = 0.08 * ((high - low) or 0.1)
    return alt.Scale(domain=[short(low - margin), short(high + margin)], nice=False)


def _height(result: "SearchResult", scale: alt.Scale, name: str = "score") -> alt.Y:
    """Return the axis of the objective."""
    axis = alt.Axis(format="~g", tickCount=6)
    return alt.Y(f"{name}:Q", title=label(result), scale=scale, axis=axis)


def _along(axis: Axis) -> alt.X:
    """Return a hyperparameter along x: all of its range, or its choices in their order."""
    title = words_of(axis)
    if axis.is_choice:
        texts = [value_text(choice) for choice in axis.choices]
        named = f"[{', '.join(_quoted(text) for text in texts)}][datum.value]"
        ticks = alt.Axis(
            values=list(range(len(texts))), labelExpr=named, grid=False, labelLimit=110,
            labelOverlap=False,
            labelAngle=-40 if sum(map(len, texts)) > 30 else 0,
        )  # fmt: skip
        scale = alt.Scale(domain=[-0.5, len(texts) - 0.5], nice=False)
        return alt.X("x:Q", title=title, scale=scale, axis=ticks)
    if axis.scale == "log" and axis.high > axis.low:
        margin = (axis.high / axis.low) ** 0.04
        domain, kind = [axis.low / margin, axis.high * margin], "log"
    else:
        margin = 0.04 * ((axis.high - axis.low) or 1)
        domain, kind = [axis.low - margin, axis.high + margin], "linear"
    whole = isinstance(axis.low, int) and isinstance(axis.high, int) and kind == "linear"
    ticks = alt.Axis(format="~g", tickCount=5, grid=False, **({"tickMinStep": 1} if whole else {}))
    scale = alt.Scale(type=kind, domain=[short(end) for end in domain], nice=False)
    return alt.X("x:Q", title=title, scale=scale, axis=ticks)


def _quoted(text: str) -> str:
    """Return the text as a string of Vega's expressions."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def settings_told(axes: Sequence[Axis]) -> list[alt.Tooltip]:
    """Return what pointing at a whole trial says of its hyperparameters."""
    return [alt.Tooltip(f"h{at}:N", title=words_of(axis)) for at, axis in enumerate(axes)]


def told_of(name: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q", title=title, format=".5~g")


def words_of(axis: Axis) -> str:
    return axis.name.replace("_", " ")


def value_of(record: "TrialRecord", axis: Axis) -> str:
    if axis.name not in record.hyperparameters:
        return NOT_USED
    return value_text(record.hyperparameters[axis.name])


def _possible(interval: tuple[float, float], result: "SearchResult") -> tuple[float, float]:
    """Return what an accuracy or a loss can be of a t-interval, which knows no bounds."""
    low, high = interval
    return max(low, 0.0), min(high, 1.0) if result.spec.objective.endswith("accuracy") else high


def scores_of(result: "SearchResult") -> list[float]:
    return [record.score for record in result.ranked if record.score is not None]


def is_logarithmic(result: "SearchResult") -> bool:
    """Return whether scores need a logarithmic axis: losses of very different size."""
    scores = scores_of(result)
    return bool(scores) and min(scores) > 0 and max(scores) > 10 * min(scores)


def _places(records: Sequence["TrialRecord"], axis: Axis) -> list[Any]:
    """Return where the trials stand on the x axis; those of one choice beside one another."""
    values = [record.hyperparameters[axis.name] for record in records]
    if not axis.is_choice:
        return values
    counts: dict[int, int] = {}
    places = []
    for value in values:
        choice = axis.choices.index(value)
        seen = counts[choice] = counts.get(choice, -1) + 1
        beside = 0.5 * ((seen * 0.618 + 0.5) % 1 - 0.5)  # the first at the middle
        places.append(short(choice + beside))
    return places
