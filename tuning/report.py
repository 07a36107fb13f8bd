"""The page of a search with its tables, and what the terminal shows of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascw.evaluation.hyperparameters import Axis, axes_of, value_text
from kerascw.evaluation.importance import Importance, importance
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.lab.published import Published
from kerascw.lab.table import published_text, spread_text
from kerascw.report.page import page, plainly, pretty, replace_text
from kerascw.report.tables import Cell, Table, count, number, print_table, write_tables
from kerascw.runs.store import Run, Store
from kerascw.studies import all_studies
from tuning.records import SearchResult
from tuning.text import (
    answers,
    cautions,
    counts,
    data_text,
    outcome_text,
    spread_of,
    spread_of_runs,
    tested,
    trials_text,
)

if TYPE_CHECKING:
    from rich.console import Console

FACTS = ("python", "platform", "processor", "cores", "commit")
"""Of an environment, what the page shows before the packages' versions."""

SHOWN = 10
"""How many trials the terminal's table has."""


def space_axes(result: SearchResult) -> tuple[Axis, ...]:
    """Return an axis for every hyperparameter of the search."""
    return axes_of(result.spec.hyperparameters, [r.hyperparameters for r in result.records])


def importance_of(result: SearchResult) -> Importance | str:
    """Return how much each hyperparameter matters, or why that cannot be estimated.

    Repeated trials count once. Where trials were trained for different numbers of epochs, as
    Hyperband's are, the number is a further hyperparameter.
    """
    scored = [trial for trial in result.ranked if trial.duplicate_of is None]
    trials = [dict(trial.hyperparameters) for trial in scored]
    axes = list(space_axes(result))
    epochs = {trial.epochs for trial in scored}
    if any(trial.rung is not None for trial in scored) and len(epochs) > 1 and None not in epochs:
        for values, trial in zip(trials, scored, strict=True):
            values["epochs trained"] = trial.epochs
        axes += axes_of((), [{"epochs trained": trial.epochs} for trial in scored])
    return importance(axes, trials, [trial.score for trial in scored if trial.score is not None])


def write_search(result: SearchResult, folder: Path, command: str | None = None) -> Path:
    """Write figures, tables and report.html of a search.

    The page is written last, so that one that is there has its files beside it; it is returned.
    """
    from kerascw.report.figure_files import write_figures
    from tuning import figures

    axes, estimate, runs = space_axes(result), importance_of(result), tested(result)
    shown = write_figures(figures.drawn(result, axes, estimate), folder / "figures")
    trials, finalists = trials_table(result, axes), finalists_table(result)
    published = published_table(result, runs)
    write_tables([t for t in (trials, finalists, published) if t is not None], folder / "tables")
    winner = None if result.winner is None else result.record(result.winner.trial_id)
    chosen, environment, spec = winner or result.best, _environment(result), result.spec
    hidden = ("base", "hyperparameters", "question", "command")
    text = page(
        "search.html",
        shown,
        result=result,
        spec=spec,
        data=data_text(result),
        counts=counts(result),
        cautions=cautions(result),
        answers=answers(result),
        trials=trials,
        finalists=finalists,
        published=published,
        specification=pretty(chosen.experiment) if chosen else "",
        options=[(plainly(n), v) for n, v in asdict(spec).items() if n not in hidden],
        conditions=[(plainly(a.name), a.condition) for a in axes if a.condition],
        runs=runs,
        estimate=estimate,
        no_estimate=estimate if isinstance(estimate, str) else "",
        environment=[
            *((name, environment[name]) for name in FACTS if name in environment),
            *environment.get("packages", {}).items(),
        ],
        source=environment.get("data"),
        command=command or spec.command or f"python -m kerascw tune {spec.space}",
    )
    return replace_text(folder / "report.html", text)


def _environment(result: SearchResult) -> dict[str, Any]:
    """Return the environment of one kept run, the winner's first; empty without any."""
    store = Store(result.folder.parent.parent)
    names = [*(result.winner.runs if result.winner else ())]
    names += [name for record in result.records for name in record.runs]
    runs = (store.get(name) for name in dict.fromkeys(names))
    return next((run.environment for run in runs if run is not None), {})


# --- tables ---------------------------------------------------------------------------------


def trials_table(result: SearchResult, axes: Sequence[Axis]) -> Table:
    """Return every trial, the best first; its CSV file has every figure in full."""
    repeated = ["standard deviation", "each"] if result.spec.executions > 1 else []
    columns = ("trial", "score", *repeated, *(plainly(axis.name) for axis in axes),
               "epochs trained", "seconds", "outcome")  # fmt: skip
    rows = []
    for trial in [*result.ranked, *(r for r in result.records if r.status != "completed")]:
        line = [Cell(trial.trial_id), number(trial.score)]
        if repeated:
            scored = [value for value in trial.values if value is not None]
            deviation = None if trial.score is None else over_seeds(scored).deviation
            line += [number(deviation), Cell(_values_text(trial.values))]
        line += [_setting(trial.hyperparameters, axis.name) for axis in axes]
        line += [count(trial.epochs), number(trial.seconds, ".1f"), Cell(outcome_text(trial))]
        rows.append(line)
    caption = f"Trials, the best {plainly(result.spec.objective)} first"
    return Table("trials", columns, rows, (0, len(columns) - 1), caption)


def _setting(values: Mapping[str, Any], name: str) -> Cell:
    if name not in values:
        return Cell("-")
    value = values[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(value_text(value), value if is_number else None)


def _values_text(values: Sequence[float | None]) -> str:
    """Return the objective of each execution or seed: ``0.5000, diverged``."""
    return ", ".join("diverged" if value is None else f"{value:.4f}" for value in values)


def finalists_table(result: SearchResult) -> Table | None:
    """Return each finalist over fresh seeds; None before they were trained."""
    columns = ("trial", "in the search", "over fresh seeds", "seeds", "each")
    rows = [
        (
            f"{finalist.trial_id}{' (winner)' if finalist is result.winner else ''}",
            number(result.record(finalist.trial_id).score),
            Cell(spread_text(spread_of(finalist, result.spec.objective)), finalist.mean),
            ", ".join(map(str, finalist.seeds)),
            _values_text(finalist.values),
        )
        for finalist in result.finalists
    ]
    return Table("finalists", columns, rows, (0,), "Finalists over fresh seeds") if rows else None


def published_table(result: SearchResult, runs: Sequence[Run]) -> Table | None:
    """Return published figures near the search beside the winner's; None without any.

    Of a study that has the space's base experiment among its variants, these are the figures of
    the base, of the variant that is the winner's own experiment, and of the variant with the best
    published objective. ``runs`` are the winner's.
    """
    objective = result.spec.objective.replace("_", ".", 1)
    won = result.record(result.winner.trial_id).experiment if result.winner else {}
    rows: dict[tuple[str, str], tuple[str | Cell, ...]] = {}
    for study in all_studies().values():
        variants = study.variants()
        base = _same(result.spec.base, variants)
        printed = study.published() if base else {}
        best = _best(printed, objective, maximizes=result.spec.maximizes)
        near = {base: "the space's base", best: "the best published"}
        near[_same(won, variants)] = "the winner's own experiment"
        for name, what in near.items():
            for figure in dict.fromkeys((objective, "test.accuracy")):
                if name is not None and figure in printed.get(name, {}):
                    one = printed[name][figure]
                    rows[name, figure] = (
                        f"{study.name}: {name}", what, plainly(figure),
                        Cell(published_text(one), one.best_reading),
                        _measured(result, runs, figure), one.where,
                    )  # fmt: skip
    columns = ("published variant", "which is", "figure", "published", "the winner, measured",
               "where")  # fmt: skip
    caption = "Published figures near this search, and the winner's"
    return Table("published", columns, list(rows.values()), (0, 1, 2, 5), caption) if rows else None


def _same(experiment: Mapping[str, Any], variants: Mapping[str, Experiment]) -> str | None:
    """Return the variant that is the experiment but for its seed and what a quick budget cuts.

    Of those that differ only in their epochs it is the one of the nearest number.
    """
    try:
        own = Experiment.model_validate(experiment)
    except ValueError:  # none, or one of an earlier version
        return None
    alike = [name for name, variant in variants.items() if _recipe(variant) == _recipe(own)]
    epochs = own.training.epochs
    return min(alike, key=lambda name: abs(variants[name].training.epochs - epochs), default=None)


def _recipe(experiment: Experiment) -> tuple[Any, ...]:
    """Return what makes two experiments the same but for seed, epochs and images left out."""
    training = experiment.training.model_copy(update={"epochs": 1})
    return (experiment.data.name, experiment.data.classes, experiment.model, training)


def _best(
    printed: Mapping[str, Mapping[str, Published]], objective: str, *, maximizes: bool
) -> str | None:
    """Return the variant of the best published figure."""
    readings = {name: figures[objective].best_reading for name, figures in printed.items()
                if objective in figures}  # fmt: skip
    pick = max if maximizes else min
    return pick(readings, key=lambda name: readings[name], default=None)


def _measured(result: SearchResult, runs: Sequence[Run], figure: str) -> Cell:
    """Return the winner's own figure over fresh seeds."""
    objective, winner = result.spec.objective, result.winner
    if figure == objective.replace("_", ".", 1):
        spread = None if winner is None else spread_of(winner, objective)
    else:
        spread = spread_of_runs(runs, figure)
    return Cell(spread_text(spread), None if spread is None else spread.mean)


# --- terminal -------------------------------------------------------------------------------


def show_search(result: SearchResult, terminal: "Console") -> None:
    """Print the best trials and the answers; where there is no winner yet, how to go on."""
    spec = result.spec
    terminal.print(spec.question or f"Search {spec.space}", style="bold")
    for caution in cautions(result):
        terminal.print(caution, style="yellow")
    table = trials_table(result, space_axes(result))
    print_table(table, terminal, SHOWN)
    left = len(table.rows) - SHOWN
    more = f"; {left} more in {result.folder / 'tables' / 'trials.csv'}" if left > 0 else ""
    terminal.print(f"{trials_text(len(table.rows))}: {counts(result)}{more}")
    for answer in answers(result):
        terminal.print(f"{answer.question} {answer.answer}")
    if result.winner is None and spec.command:
        terminal.print(f"next: {spec.command}")
