"""Figures of a search, as matplotlib Figures without pyplot's global state.

Colours that stand for scores are cividis', which colour-blind readers see alike (Nuñez, Anderton
and Renslow, 2018); all others are Okabe and Ito's.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.evaluation.importance import Importance
from kerascw.evaluation.statistics import over_seeds
from kerascw.views.figures import BLUE, GREEN, GREY, ORANGE, RED, plain

if TYPE_CHECKING:
    from tuning.records import SearchResult, TrialRecord

_MARKS = {"diverged": ("x", RED), "failed": ("^", ORANGE), "running": ("o", GREY)}
"""How a trial without a score is drawn, at the worse edge."""


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


def history(result: "SearchResult") -> Figure:
    """Return every trial's score in the order they began, and the best so far.

    A thin line spans a trial's executions. Trials without a score stand at the worse edge.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    for duplicate, filled, name in ((False, BLUE, "trial"), (True, "none", "repeats another")):
        shown = [r for r in result.ranked if (r.duplicate_of is not None) == duplicate]
        axes.plot(
            [r.number for r in shown], [_score(r) for r in shown], "o", color=BLUE,
            markerfacecolor=filled, markersize=5, linestyle="none",
            label=name if shown else None,
        )  # fmt: skip
    for record in result.ranked:
        values = [value for value in record.values if value is not None]
        if len(values) > 1:
            axes.plot([record.number] * 2, [min(values), max(values)], color=BLUE, linewidth=1)
    curve = [
        (record.number, best)
        for record, best in zip(result.records, best_so_far(result), strict=True)
        if best is not None
    ]
    if curve:
        axes.step(*zip(*curve, strict=True), where="post", color="black", label="best so far")
    winner = result.winner
    if winner is not None and winner.mean is not None:
        spread = over_seeds([value for value in winner.values if value is not None])
        axes.axhline(
            spread.mean, color=GREEN, linestyle="--", linewidth=1.2,
            label=f"winner over {spread.n} fresh seed{'s' if spread.n > 1 else ''}",
        )  # fmt: skip
        if spread.interval is not None:
            axes.axhspan(*_possible(spread.interval, result), color=GREEN, alpha=0.12, linewidth=0)
    _objective_axis(axes, result)
    _mark_unscored(axes, result, {r.trial_id: r.number for r in result.records})
    axes.set(xlabel="trial", ylabel=label(result))
    axes.set_xlim(0.3, max((r.number for r in result.records), default=1) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain(axes)
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=8
        )
    return figure


def parallel_coordinates(result: "SearchResult", axes_of_space: Sequence[Axis]) -> Figure:
    """Return a line a trial through its hyperparameters to its score, coloured by the score.

    Axes have the scale that the search draws from. A hyperparameter that a trial does not use is
    crossed below the axis. The best trial is drawn over the others; trials without a score are
    grey.
    """
    columns = len(axes_of_space) + 1
    figure = Figure(figsize=(max(7.5, 1.45 * columns), 5), layout="constrained")
    axes = figure.subplots()
    norm = _norm(result)
    colours = colormaps["cividis_r" if result.spec.maximizes else "cividis"]  # better is darker
    unused, no_score = -0.12, -0.12
    for number, record in enumerate(reversed(_drawn_last_first(result))):
        # lines that share a choice are laid beside one another
        beside = 0.5 * ((number * 0.618) % 1 - 0.5)
        heights = []
        for axis in axes_of_space:
            if axis.name not in record.hyperparameters:
                heights.append(unused)
                continue
            height = axis.position(record.hyperparameters[axis.name])
            heights.append(height + (beside / len(axis.choices) if axis.is_choice else 0))
        score = record.score if record.status == "completed" else None
        heights.append(no_score if score is None else float(_height(score, result, norm)))
        best = result.best is not None and record.trial_id == result.best.trial_id
        axes.plot(
            range(columns), heights,
            color="#bbbbbb" if score is None else colours(norm(score)),
            linewidth=3 if best else 1.1, linestyle=":" if score is None else "-",
            alpha=1 if best else 0.85, solid_joinstyle="round",
        )  # fmt: skip
    for at, axis in enumerate(axes_of_space):
        axes.plot([at, at], [0, 1], color="black", linewidth=0.8)
        for height, text in _ticks(axis):
            _tick(axes, at, height, text)
        if any(axis.name not in record.hyperparameters for record in result.records):
            _tick(axes, at, unused, "not used")
    axes.plot([columns - 1] * 2, [0, 1], color="black", linewidth=0.8)
    for value in _score_ticks(norm):
        _tick(axes, columns - 1, float(_height(value, result, norm)), f"{value:.4g}", after=True)
    if any(record.status != "completed" for record in result.records):
        _tick(axes, columns - 1, no_score, "no score", after=True)
    axes.set_ylim(-0.17, 1.05)
    axes.set_xlim(-0.55, columns - 0.45)
    names = [axis.name.replace("_", " ") for axis in axes_of_space]
    axes.set_xticks(range(columns), [*names, label(result)], rotation=20, ha="right")
    axes.xaxis.set_tick_params(length=0)
    axes.yaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    return figure


def against_each(result: "SearchResult", axes_of_space: Sequence[Axis]) -> Figure:
    """Return the score against each hyperparameter, one small figure for each.

    Trials that do not use a hyperparameter are left out of its figure; those without a score stand
    at the worse edge.
    """
    wide = any(len(axis.choices) > 8 for axis in axes_of_space)
    columns = 1 if wide else min(3, len(axes_of_space))
    rows = -(-len(axes_of_space) // columns)
    figure = Figure(figsize=(9, (4.2 if wide else 2.9) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(axes_of_space) :]:
        axes.axis("off")
    for number, (axes, axis) in enumerate(zip(grid.flat, axes_of_space, strict=False)):
        records = [r for r in result.records if axis.name in r.hyperparameters]
        scored = [r for r in records if r.status == "completed" and r.score is not None]
        places = dict(zip((r.trial_id for r in records), _places(records, axis), strict=True))
        axes.plot(
            [places[r.trial_id] for r in scored], [_score(r) for r in scored], "o", color=BLUE,
            markersize=4, alpha=0.75, linestyle="none",
        )  # fmt: skip
        _objective_axis(axes, result)
        _mark_unscored(axes, result, places)
        best = result.best
        if best is not None and best.trial_id in places:
            axes.plot(
                places[best.trial_id], _score(best), "o", color=ORANGE, markersize=8,
                label="best trial",
            )  # fmt: skip
        if axis.is_choice:
            texts = [value_text(choice) for choice in axis.choices]
            long = sum(map(len, texts)) > (90 if columns == 1 else 30)
            axes.set_xticks(
                range(len(texts)),
                texts,
                rotation=40 if long else 0,
                ha="right" if long else "center",
            )
            axes.set_xlim(-0.5, len(texts) - 0.5)
        else:
            _whole_range(axes, axis)
        axes.set(xlabel=axis.name.replace("_", " "), ylabel="")
        if number % columns == 0:
            axes.set_ylabel(label(result))
        plain(axes)
    return figure


def finalists(result: "SearchResult") -> Figure:
    """Return each finalist's fresh seeds with mean and interval, beside its score in the search."""
    figure = Figure(figsize=(8, 1.3 + 0.42 * len(result.finalists)), layout="constrained")
    axes = figure.subplots()
    for at, finalist in enumerate(result.finalists):
        values = [value for value in finalist.values if value is not None]
        score = result.record(finalist.trial_id).score
        if score is not None:
            axes.plot(score, at, "D", color=ORANGE, markersize=5)
        if not values:
            continue
        axes.plot(values, [at] * len(values), "|", color=GREY, markersize=10)
        spread = over_seeds(values)
        if spread.interval is not None:
            axes.plot(_possible(spread.interval, result), [at, at], color=BLUE, linewidth=2)
        axes.plot(spread.mean, at, "o", color=BLUE)
    for marker, colour, text in (
        ("D", ORANGE, "score in the search"),
        ("o", BLUE, "mean over fresh seeds, 95 % t-interval"),
        ("|", GREY, "each fresh seed"),
    ):
        axes.plot([], [], marker, color=colour, linestyle="none", label=text)
    axes.set_yticks(range(len(result.finalists)), [f"trial {f.trial_id}" for f in result.finalists])
    axes.set_ylim(len(result.finalists) - 0.5, -0.5)  # the best of the search on top
    axes.set(xlabel=label(result))
    plain(axes, "x")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def importance_bars(estimate: Importance) -> Figure:
    """Return each hyperparameter's share with its range over the repeats."""
    shares = estimate.shares
    figure = Figure(figsize=(8, 0.9 + 0.36 * len(shares)), layout="constrained")
    axes = figure.subplots()
    for at, share in enumerate(shares):
        axes.barh(at, share.mean, color=BLUE, alpha=0.55, height=0.6)
        axes.plot([share.low, share.high], [at, at], color="black", linewidth=1.2)
    axes.set_yticks(range(len(shares)), [share.name.replace("_", " ") for share in shares])
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set(xlabel="share of the score's variance that it explains alone", xlim=(0, 1))
    plain(axes, "x")
    return figure


# --- axes -----------------------------------------------------------------------------------


def _score(record: "TrialRecord") -> float:
    assert record.score is not None
    return record.score


def _possible(interval: tuple[float, float], result: "SearchResult") -> tuple[float, float]:
    """Return what an accuracy or a loss can be of a t-interval, which knows no bounds."""
    low, high = interval
    return max(low, 0.0), min(high, 1.0) if result.spec.objective.endswith("accuracy") else high


def _logarithmic(result: "SearchResult") -> bool:
    """Return whether scores need a logarithmic axis: losses of very different size."""
    scores = [_score(record) for record in result.ranked]
    return bool(scores) and min(scores) > 0 and max(scores) > 10 * min(scores)


def _objective_axis(axes: Axes, result: "SearchResult") -> None:
    if _logarithmic(result):
        axes.set_yscale("log")


def _mark_unscored(axes: Axes, result: "SearchResult", places: Mapping[str, Any]) -> None:
    """Draw the trials without a score, each at its place on the x axis, at the worse edge."""
    edge = 0.02 if result.spec.maximizes else 0.98  # of the height
    for status, (marker, colour) in _MARKS.items():
        found = [
            places[record.trial_id]
            for record in result.records
            if record.status == status and record.trial_id in places
        ]
        if found:
            (drawn,) = axes.plot(
                found, [edge] * len(found), marker, color=colour, markerfacecolor="none",
                transform=axes.get_xaxis_transform(), clip_on=False, linestyle="none", label=status,
            )  # fmt: skip
            drawn.set_in_layout(False)  # constrained layout takes its height for a value


def _whole_range(axes: Axes, axis: Axis) -> None:
    """Let the x axis show all of the range that is searched."""
    if axis.high == axis.low:
        return
    if axis.scale == "log":
        margin = (axis.high / axis.low) ** 0.04
        axes.set_xscale("log")
        axes.set_xlim(axis.low / margin, axis.high * margin)
    else:
        margin = 0.04 * (axis.high - axis.low)
        axes.set_xlim(axis.low - margin, axis.high + margin)


def _norm(result: "SearchResult") -> Normalize:
    scores = [_score(record) for record in result.ranked] or [0.0, 1.0]
    low, high = min(scores), max(scores)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return LogNorm(low, high) if _logarithmic(result) else Normalize(low, high)


def _height(score: float, result: "SearchResult", norm: Normalize) -> Any:
    """Return where a score stands on its axis, 0 to 1; better is above."""
    height = norm(score)
    return height if result.spec.maximizes else 1 - height


def _score_ticks(norm: Normalize) -> list[float]:
    return [float(norm.inverse(share)) for share in (0, 0.25, 0.5, 0.75, 1)]


def _drawn_last_first(result: "SearchResult") -> list["TrialRecord"]:
    """Return the trials with the one drawn on top first: best to worst, then those unscored."""
    ranked = result.ranked
    return [*ranked, *(record for record in result.records if record not in ranked)]


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Return heights on the axis, and what stands beside them."""
    if axis.is_choice:
        return [(axis.position(choice), value_text(choice)) for choice in axis.choices]
    values = [axis.low, axis.high]
    if axis.scale == "log":
        decades = range(int(np.ceil(np.log10(axis.low))), int(np.floor(np.log10(axis.high))) + 1)
        values += [10.0**d for d in decades if 0.06 < axis.position(10.0**d) < 0.94]
    elif isinstance(axis.low, int) and isinstance(axis.high, int) and axis.high - axis.low <= 10:
        values = list(range(axis.low, axis.high + 1))
    elif axis.scale == "linear":
        values += [axis.low + (axis.high - axis.low) * share for share in (0.25, 0.5, 0.75)]
    return [(axis.position(value), value_text(value)) for value in sorted(set(values))]


def _tick(axes: Axes, at: float, height: float, text: str, *, after: bool = False) -> None:
    axes.annotate(
        text, (at, height), xytext=(5 if after else -5, 0), textcoords="offset points",
        ha="left" if after else "right", va="center", fontsize=7.5,
        bbox={"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.75},
    )  # fmt: skip


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
        places.append(choice + 0.5 * ((seen * 0.618 + 0.5) % 1 - 0.5))  # the first at the middle
    return places
