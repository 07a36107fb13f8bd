"""Table, answers, figures and the report of a search."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascw.evaluation.hyperparameters import Axis, axes_of, value_text
from kerascw.evaluation.importance import Importance, importance
from kerascw.evaluation.statistics import Spread, over_seeds
from kerascw.lab.verdict import figure_of
from kerascw.report.page import page, replace_text
from kerascw.runs.store import Run
from tuning.text import (
    answers,
    cautions,
    counts,
    data_text,
    outcome_text,
    rows_of,
    score_cells,
    spread_of,
    tested,
    trials_text,
)

if TYPE_CHECKING:
    from rich.console import Console

    from kerascw.report.charts import Chart
    from tuning.records import SearchResult

SHOWN = 10
"""How many trials the terminal's table has."""


def space_axes(result: "SearchResult") -> tuple[Axis, ...]:
    """Return an axis for every hyperparameter of the search."""
    return axes_of(result.spec.hyperparameters, [r.hyperparameters for r in result.records])


def importance_of(result: "SearchResult") -> Importance | str:
    """Return how much each hyperparameter matters, or why that cannot be said.

    Repeated trials count once. Where trials were trained for different numbers of epochs, as
    Hyperband's are, these are a further hyperparameter: their scores are of different budgets.
    """
    scored = [trial for trial in result.ranked if trial.duplicate_of is None]
    trials = [dict(trial.hyperparameters) for trial in scored]
    axes = list(space_axes(result))
    epochs = {trial.epochs for trial in scored}
    if any(trial.rung is not None for trial in scored) and len(epochs) > 1 and None not in epochs:
        for values, trial in zip(trials, scored, strict=True):
            values["epochs trained"] = trial.epochs
        axes += axes_of((), [{"epochs trained": trial.epochs} for trial in scored])
    scores = [trial.score for trial in scored if trial.score is not None]
    return importance(axes, trials, scores)


# --- files ----------------------------------------------------------------------------------

_COLUMNS = (
    "rank", "trial_id", "number", "status", "score", "deviation", "low_95", "high_95", "values",
    "seeds",
)  # fmt: skip
_FURTHER = (
    "epochs", "rung", "bracket", "promoted_from", "duplicate_of", "reason", "seconds", "runs",
)  # fmt: skip


def csv_text(result: "SearchResult") -> str:
    """Return the trials as CSV, best first; every figure in full.

    A hyperparameter's column is ``hp.<name>``, empty where a trial does not use it. Several values
    of one field are parted by blanks; that of an execution that diverged is ``nan``.
    """
    names = dict.fromkeys(name for trial in result.records for name in trial.hyperparameters)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(f"hp.{name}" for name in names), *_FURTHER])
    for row in rows_of(result):
        trial, spread = row.trial, row.spread
        low, high = spread.interval if spread and spread.interval else (None, None)
        fields: list[Any] = [
            row.rank, trial.trial_id, trial.number, trial.status, trial.score,
            spread.deviation if spread and spread.n > 1 else None, low, high,
            " ".join("nan" if value is None else repr(value) for value in trial.values),
            " ".join(map(str, trial.seeds)),
            *(trial.hyperparameters.get(name) for name in names),
            *(getattr(trial, name) for name in _FURTHER[:-1]),
            " ".join(trial.runs),
        ]  # fmt: skip
        writer.writerow(["" if field is None else field for field in fields])
    return out.getvalue()


def json_text(result: "SearchResult", estimate: Importance | str, runs: Sequence[Run] = ()) -> str:
    """Return the whole result as JSON: trials best first, finalists, winner, test, importance."""
    winner = result.winner
    tree = {
        "search": result.label,
        **{
            name: getattr(result.spec, name)
            for name in ("space", "question", "objective", "direction", "oracle", "seed",
                         "executions", "budget", "budget_epochs", "sample")
        },
        "trials": [
            {"rank": row.rank} | asdict(row.trial) | {"spread": _tree(row.spread)}
            for row in rows_of(result)
        ],
        "finalists": [asdict(f) | {"spread": _tree(spread_of(f))} for f in result.finalists],
        "winner": None if winner is None else winner.trial_id,
        "luck": result.luck,
        "test": {
            name: _tree(over_seeds(values))
            for name in ("accuracy", "loss")
            if (values := [v for run in runs if (v := figure_of(run, f"test.{name}")) is not None])
        },
        "importance": {"none_because": estimate}
        if isinstance(estimate, str)
        else asdict(estimate) | {"caution": estimate.caution},
    }  # fmt: skip
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def _tree(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return asdict(spread) | {
        "deviation": None if math.isnan(spread.deviation) else spread.deviation
    }


def drawn(result: "SearchResult", estimate: Importance | str) -> dict[str, tuple["Chart", str]]:
    """Return the search's figures by name, with what each shows."""
    from tuning import figures as search_figures
    from tuning import search_parallel

    axes = space_axes(result)
    figures = {}
    if result.records:
        figures["history"] = (
            search_figures.history(result, axes),
            "every trial's score in the order they began, and the best so far",
        )
    if result.finalists:
        figures["finalists"] = (
            search_figures.finalists(result),
            "each finalist over fresh seeds, mean with interval, beside its score in the search",
        )
    if result.ranked and axes:
        figures["parallel_coordinates"] = (
            search_parallel.parallel_coordinates(result, axes),
            "a line a trial through its hyperparameters to its score, stronger where it is better",
        )
        figures["hyperparameters"] = (
            search_figures.against_each(result, axes),
            "the score against each hyperparameter",
        )
    if not isinstance(estimate, str):
        figures["importance"] = (
            search_figures.importance_shares(estimate),
            "the share of the score's variance that each hyperparameter explains alone",
        )
    return figures


def write_search(result: "SearchResult", folder: Path, command: str | None = None) -> Path:
    """Write figures, tables, trials.csv, trials.json and report.html of a search.

    The page is written last, so that one that is there has its files beside it; it is returned.
    """
    from kerascw.report.figure_files import clear_figures, write_figures
    from kerascw.report.tables import write_tables
    from tuning.search_tables import (
        environment_facts,
        environment_of,
        finalists_table,
        options_of,
        published_table,
        trials_table,
    )

    estimate, runs = importance_of(result), tested(result)
    clear_figures(folder / "figures")
    figures = write_figures(drawn(result, estimate), folder / "figures")
    trials = trials_table(result, space_axes(result))
    finalists, published = finalists_table(result), published_table(result, runs)
    write_tables([t for t in (trials, finalists, published) if t is not None], folder / "tables")
    replace_text(folder / "trials.csv", csv_text(result))
    replace_text(folder / "trials.json", json_text(result, estimate, runs))
    winner = None if result.winner is None else result.record(result.winner.trial_id)
    chosen, environment = winner or result.best, environment_of(result)
    text = page(
        "search.html",
        figures,
        result=result,
        spec=result.spec,
        title=result.spec.question or f"Search {result.spec.space}",
        objective=result.spec.objective.replace("_", " "),
        data=data_text(result),
        counts=counts(result),
        cautions=cautions(result),
        answers=answers(result, runs),
        trials=trials,
        finalists=finalists,
        published=published,
        unscored=len(result.ranked) < len(result.records),
        chosen=chosen,
        specification=json.dumps(chosen.experiment, indent=2) if chosen else "",
        base=json.dumps(result.spec.base, indent=2),
        options=options_of(result),
        conditions=[
            (axis.name.replace("_", " "), axis.condition)
            for axis in space_axes(result)
            if axis.condition
        ],
        runs=runs,
        estimate=None if isinstance(estimate, str) else estimate,
        no_estimate=estimate if isinstance(estimate, str) else "",
        environment=environment_facts(environment),
        source=environment.get("data"),
        command=command or result.spec.command or f"python -m kerascw tune {result.spec.space}",
    )
    return replace_text(folder / "report.html", text)


# --- terminal -------------------------------------------------------------------------------


def show_search(result: "SearchResult", terminal: "Console") -> None:
    """Print the best trials and the answers; where there is no winner yet, how to go on."""
    from rich.table import Table

    spec = result.spec
    terminal.print(spec.question or f"Search {spec.space}", style="bold")
    for caution in cautions(result):
        terminal.print(caution, style="yellow")
    rows = rows_of(result)
    names = [axis.name for axis in space_axes(result)]
    table = Table("rank", "trial", box=None, pad_edge=False)
    deviation = ["deviation"] if spec.executions > 1 else []
    for column in (spec.objective.replace("_", " "), *deviation, *names):
        table.add_column(column, justify="right")
    told = any(outcome_text(row.trial) for row in rows[:SHOWN])
    if told:
        table.add_column("")
    for row in rows[:SHOWN]:
        values = row.trial.hyperparameters
        table.add_row(
            "-" if row.rank is None else str(row.rank),
            row.trial.trial_id,
            *score_cells(row, result),
            *(value_text(values[name]) if name in values else "-" for name in names),
            *([outcome_text(row.trial)] if told else []),
        )
    terminal.print(table)
    left = len(rows) - SHOWN
    more = f"; {left} more in {result.folder / 'trials.csv'}" if left > 0 else ""
    terminal.print(f"{trials_text(len(rows))}: {counts(result)}{more}")
    for answer in answers(result):
        terminal.print(f"{answer.question} {answer.answer}")
    if result.winner is None and spec.command:
        terminal.print(f"next: {spec.command}")
