"""Tables of a search's page: trials, finalists, what was published, and where it all came from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kerascw.evaluation.hyperparameters import Axis, value_text
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.lab.published import Published
from kerascw.lab.table import published_text, spread_text
from kerascw.lab.verdict import figure_of
from kerascw.report.tables import Cell, Table, count, number
from kerascw.runs.store import Run, Store
from tuning.text import outcome_text, rows_of, spread_of

if TYPE_CHECKING:
    from tuning.records import Finalist, SearchResult


def trials_table(result: "SearchResult", axes: Sequence[Axis]) -> Table:
    """Return every trial, best first; hyperparameters sort as numbers where they are."""
    several = result.spec.executions > 1
    columns = ["trial", "score", *(["deviation", "each"] if several else []),
               *(axis.name.replace("_", " ") for axis in axes),
               "epochs trained", "seconds", "outcome"]  # fmt: skip
    rows = []
    for row in rows_of(result):
        trial, spread = row.trial, row.spread
        line = [Cell(trial.trial_id), number(None if spread is None else spread.mean)]
        if several:
            line += [number(None if spread is None or spread.n < 2 else spread.deviation),
                     Cell(values_text(trial.values))]  # fmt: skip
        line += [_setting(trial.hyperparameters, axis.name) for axis in axes]
        line += [count(trial.epochs), number(trial.seconds, ".1f"), Cell(outcome_text(trial))]
        rows.append(line)
    words = tuple(at for at, column in enumerate(columns) if column in ("trial", "outcome"))
    return Table("trials", tuple(columns), rows, words, "Trials, the best first")


def _setting(values: Mapping[str, Any], name: str) -> Cell:
    if name not in values:
        return Cell("-")
    value = values[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(value_text(value), value if is_number else None)


def values_text(values: Sequence[float | None]) -> str:
    """Return the objective of each execution or seed.

    >>> values_text([0.5, None])
    '0.5000, diverged'
    """
    return ", ".join("diverged" if value is None else f"{value:.4f}" for value in values)


def finalists_table(result: "SearchResult") -> Table | None:
    """Return each finalist over fresh seeds; None before they were run."""
    if not result.finalists:
        return None
    columns = ("trial", "in the search", "over fresh seeds", "seeds", "each")
    rows = [_finalist(finalist, result) for finalist in result.finalists]
    return Table("finalists", columns, rows, (0,), "Finalists over fresh seeds")


def _finalist(finalist: "Finalist", result: "SearchResult") -> list[Cell]:
    spread = spread_of(finalist)
    winner = result.winner is not None and finalist.trial_id == result.winner.trial_id
    return [
        Cell(f"{finalist.trial_id}{' (winner)' if winner else ''}"),
        number(result.record(finalist.trial_id).score),
        Cell(spread_text(spread), None if spread is None else spread.mean),
        Cell(", ".join(map(str, finalist.seeds))),
        Cell(values_text(finalist.values)),
    ]


# --- published ------------------------------------------------------------------------------


def published_table(result: "SearchResult", runs: Sequence[Run]) -> Table | None:
    """Return what was published of the space's neighbours beside the winner; None without any.

    Those are, of a study that has the space's base experiment among its variants: the base, the
    variant that is the winner's own experiment, and the best published by the objective. ``runs``
    are the winner's.
    """
    from kerascw.studies import all_studies

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
                        f"{study.name}: {name}", what, figure.replace(".", " "),
                        Cell(published_text(one), one.best_reading),
                        _measured(result, runs, figure), one.where,
                    )  # fmt: skip
    columns = ("published variant", "which is", "figure", "published", "the winner, measured",
               "where")  # fmt: skip
    caption = "Published figures near this search, and the winner's"
    return Table("published", columns, list(rows.values()), (0, 1, 2, 5), caption) if rows else None


def _same(experiment: Mapping[str, Any], variants: Mapping[str, Experiment]) -> str | None:
    """Return the variant that is the experiment but for its seed and what a quick budget cuts.

    Of several that differ only in their epochs it is the one of the same number, else the first.
    """
    try:
        own = Experiment.model_validate(experiment)
    except ValueError:  # none, or one of an earlier version
        return None
    alike = [name for name, variant in variants.items() if _recipe(variant) == _recipe(own)]
    epochs = own.training.epochs
    same = [name for name in alike if variants[name].training.epochs == epochs]
    return next(iter(same or alike), None)


def _recipe(experiment: Experiment) -> tuple[Any, ...]:
    """Return what makes two experiments the same but for seed, epochs and pictures left out."""
    training = experiment.training.model_copy(update={"epochs": 1})
    return (experiment.data.name, experiment.data.classes, experiment.model, training)


def _best(
    printed: Mapping[str, Mapping[str, Published]], objective: str, *, maximizes: bool
) -> str | None:
    """Return the variant of the best published figure."""
    of = {name: figures[objective].best_reading for name, figures in printed.items()
          if objective in figures}  # fmt: skip
    pick = max if maximizes else min
    return pick(of, key=lambda name: of[name]) if of else None


def _measured(result: "SearchResult", runs: Sequence[Run], figure: str) -> Cell:
    """Return the winner's own figure over fresh seeds."""
    if figure == result.spec.objective.replace("_", ".", 1):
        spread = None if result.winner is None else spread_of(result.winner)
    else:
        values = [value for run in runs if (value := figure_of(run, figure)) is not None]
        spread = over_seeds(values) if values else None
    return Cell(spread_text(spread), None if spread is None else spread.mean)


# --- where it came from ---------------------------------------------------------------------


def environment_of(result: "SearchResult") -> dict[str, Any]:
    """Return the environment of one kept run, the winner's first; empty without any.

    Only the file is read: that the run is whole is not looked at.
    """
    folder = Store(result.folder.parent.parent).folder
    names = [*(result.winner.runs if result.winner else ())]
    names += [name for record in (*result.ranked, *result.records) for name in record.runs]
    for name in dict.fromkeys(names):
        try:
            return dict(Run(folder / name).environment)
        except (OSError, ValueError):
            continue
    return {}


def options_of(result: "SearchResult") -> list[tuple[str, Any]]:
    """Return what the search was asked for, as pairs of a name and a value."""
    spec = result.spec
    trials = spec.trials
    if trials is None:
        trials = "all of the grid" if spec.oracle == "grid" else "one round of Hyperband"  # type: ignore[assignment]
    return [
        ("space", spec.space), ("objective", f"{spec.objective}, {spec.direction}imized"),
        ("oracle", spec.oracle), ("seed of the oracle", spec.seed), ("trials", trials),
        ("executions a trial", spec.executions), ("finalists", spec.finalists),
        ("budget", spec.budget), ("epochs at most", spec.budget_epochs),
        ("bundled sample", spec.sample),
    ]  # fmt: skip


def environment_facts(environment: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what a run was trained with, as pairs of a name and a value."""
    told = [(name, environment[name])
            for name in ("python", "platform", "processor", "cores", "commit")
            if name in environment]  # fmt: skip
    return [*told, *environment.get("packages", {}).items()]
