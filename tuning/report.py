"""The page of a search with its tables, and what the terminal shows of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascw.errors import counted
from kerascw.evaluation.hyperparameters import Axis, axes_of, value_text
from kerascw.evaluation.importance import Importance, importance
from kerascw.lab.table import spread_text
from kerascw.report.page import plainly, pretty, write_page
from kerascw.report.tables import Cell, Table, count, number, print_table
from tuning.records import SearchResult
from tuning.text import answers, cautions, counts, data_text, outcome_text, spread_of, tested

if TYPE_CHECKING:
    from rich.console import Console

FACTS = ("python", "platform", "processor", "cores", "commit")
"""Of an environment, what the page shows before the packages' versions."""

SHOWN = 10
"""How many trials the terminal's table has."""


def importance_of(result: SearchResult) -> Importance | str:
    """Return how much each hyperparameter matters, or why that cannot be estimated.

    Repeated trials count once. Where trials were trained for different numbers of epochs, as
    Hyperband's are, the number is a further hyperparameter.
    """
    scored = [trial for trial in result.ranked if trial.duplicate_of is None]
    trials = [dict(trial.hyperparameters) for trial in scored]
    axes = list(axes_of(result.spec.hyperparameters))
    epochs = {trial.epochs for trial in scored if trial.epochs is not None}
    if any(trial.rung is not None for trial in scored) and len(epochs) > 1:
        for values, trial in zip(trials, scored, strict=True):
            values["epochs trained"] = trial.epochs
        axes.append(Axis("epochs trained", min(epochs), max(epochs), default=min(epochs)))
    return importance(axes, trials, [trial.score for trial in scored if trial.score is not None])


def write_search(result: SearchResult, folder: Path, command: str | None = None) -> Path:
    """Write figures, tables and report.html of a search; return the page."""
    from tuning import figures

    axes, estimate = axes_of(result.spec.hyperparameters), importance_of(result)
    trials, finalists = trials_table(result, axes), finalists_table(result)
    winner = None if result.winner is None else result.record(result.winner.trial_id)
    chosen, environment, spec = winner or result.best, _environment(result), result.spec
    hidden = ("base", "hyperparameters", "question", "command")
    return write_page(
        folder,
        "search.html",
        figures.drawn(result, axes, estimate),
        [trials, *([finalists] if finalists else [])],
        result=result,
        spec=spec,
        data=data_text(result),
        counts=counts(result),
        cautions=cautions(result),
        answers=answers(result),
        trials=trials,
        finalists=finalists,
        specification=pretty(chosen.experiment) if chosen else "",
        options=[(plainly(n), v) for n, v in asdict(spec).items() if n not in hidden],
        conditions=[(plainly(a.name), a.condition) for a in axes if a.condition],
        runs=tested(result),
        estimate=estimate,
        no_estimate=estimate if isinstance(estimate, str) else "",
        environment=[
            *((name, environment[name]) for name in FACTS if name in environment),
            *environment.get("packages", {}).items(),
        ],
        source=environment.get("data"),
        command=command or spec.command or f"python -m kerascw tune {spec.space}",
    )


def _environment(result: SearchResult) -> dict[str, Any]:
    """Return the environment of one kept run, the winner's first; empty without any."""
    names = [*(result.winner.runs if result.winner else ())]
    names += [record.run for record in result.records if record.run]
    return next((run.environment for run in result.kept(dict.fromkeys(names))), {})


# --- tables ---------------------------------------------------------------------------------


def trials_table(result: SearchResult, axes: Sequence[Axis]) -> Table:
    """Return every trial, the best first; its CSV file has every figure in full."""
    columns = ("trial", "score", *(plainly(axis.name) for axis in axes),
               "epochs trained", "seconds", "outcome")  # fmt: skip
    rows = []
    for trial in [*result.ranked, *(r for r in result.records if r.status != "completed")]:
        line = [Cell(trial.trial_id), number(trial.score)]
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


def finalists_table(result: SearchResult) -> Table | None:
    """Return each finalist over fresh seeds; None before they were trained."""
    columns = ("trial", "in the search", "over fresh seeds", "seeds", "each")
    rows = [
        (
            f"{finalist.trial_id}{' (winner)' if finalist is result.winner else ''}",
            number(result.record(finalist.trial_id).score),
            Cell(spread_text(spread_of(finalist, result.spec.objective)), finalist.mean),
            ", ".join(map(str, finalist.seeds)),
            ", ".join("diverged" if v is None else f"{v:.4f}" for v in finalist.values),
        )
        for finalist in result.finalists
    ]
    return Table("finalists", columns, rows, (0,), "Finalists over fresh seeds") if rows else None


# --- terminal -------------------------------------------------------------------------------


def show_search(result: SearchResult, terminal: "Console") -> None:
    """Print the best trials and the answers; where there is no winner yet, how to go on."""
    spec = result.spec
    terminal.print(spec.question or f"Search {spec.space}", style="bold")
    for caution in cautions(result):
        terminal.print(caution, style="yellow")
    table = trials_table(result, axes_of(spec.hyperparameters))
    print_table(table, terminal, SHOWN)
    left = len(table.rows) - SHOWN
    more = f"; {left} more in {result.folder / 'tables' / 'trials.csv'}" if left > 0 else ""
    terminal.print(f"{counted(len(table.rows), 'trial')}: {counts(result)}{more}")
    for answer in answers(result):
        terminal.print(f"{answer.question} {answer.answer}")
    if result.winner is None and spec.command:
        terminal.print(f"next: {spec.command}")
