"""What a search says in words: its trials in order, answers, cautions. Reads, never draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerascw.evaluation.hyperparameters import value_text
from kerascw.evaluation.statistics import Spread, is_shown, over_seeds, paired_difference
from kerascw.lab.study import Answer
from kerascw.lab.table import spread_text
from kerascw.lab.verdict import figure_of
from kerascw.runs.store import Run, Store

if TYPE_CHECKING:
    from tuning.records import Finalist, SearchResult, TrialRecord


@dataclass(frozen=True)
class Row:
    """One trial as the table has it; ``spread`` is over its executions, None without a score."""

    rank: int | None  # from 1 for the best; None without a score
    trial: "TrialRecord"
    spread: Spread | None


def rows_of(result: "SearchResult") -> list[Row]:
    """Return every trial: those with a score first, the best on top, then the others in order."""
    rows = [
        Row(rank, trial, over_seeds([value for value in trial.values if value is not None]))
        for rank, trial in enumerate(result.ranked, 1)
    ]
    ranked = {row.trial.trial_id for row in rows}
    return rows + [Row(None, t, None) for t in result.records if t.trial_id not in ranked]


def spread_of(finalist: "Finalist") -> Spread | None:
    """Return the spread over a finalist's fresh seeds, None where one of them diverged."""
    values = [value for value in finalist.values if value is not None]
    return over_seeds(values) if values and len(values) == len(finalist.values) else None


def tested(result: "SearchResult") -> list[Run]:
    """Return the winner's runs over fresh seeds, as far as they are kept and have a test figure."""
    if result.winner is None:
        return []
    store = Store(result.folder.parent.parent)
    runs = [store.get(name) for name in result.winner.runs]
    return [run for run in runs if run is not None and "test" in run.metrics]


def cautions(result: "SearchResult") -> list[str]:
    """Return what a reader must know before the figures."""
    spec, said = result.spec, []
    if spec.sample:
        said.append("On the bundled sample, not the dataset: no figure compares with others'.")
    if spec.budget == "quick":
        fraction = spec.base.get("data", {}).get("fraction", 1)
        cuts = [
            *([f"at most {spec.budget_epochs} epochs"] if spec.budget_epochs else []),
            *([f"{fraction:.0%} of the training part"] if fraction < 1 else []),
        ]
        what = f" ({', '.join(cuts)})" if cuts else ""
        said.append(
            f"Quick budget{what}: what is best here need not be best with all epochs and pictures."
        )
    running = sum(trial.status == "running" for trial in result.records)
    if running:
        said.append(f"{trials_text(running)} not finished: the same command goes on with them.")
    if result.ranked and not result.finalists:
        said.append(
            "No finalist was run over fresh seeds yet: the best score is the best of many, and "
            "flatters."
        )
    if result.finalists and result.winner is None:
        said.append("Every finalist diverged over fresh seeds: there is no winner.")
    return said


def answers(result: "SearchResult", runs: Sequence[Run] | None = None) -> list[Answer]:
    """Return what the search found, as sentences; ``runs`` are those of :func:`tested`."""
    best, winner = result.best, result.winner
    if best is None or best.score is None:
        return [
            Answer("Which hyperparameters are best?", f"No trial has a score: {counts(result)}.")
        ]
    words = result.spec.objective.replace("_", " ")
    if winner is None:
        return [
            Answer(
                "Which hyperparameters are best?",
                f"So far those of trial {best.trial_id}: {settings_text(best)}. Its {words} is "
                f"{best.score:.4f}, {_over(len(best.values), 'seed')} of the search.",
            )
        ]
    trial, spread = result.record(winner.trial_id), spread_of(winner)
    assert spread is not None
    said = [
        Answer(
            "Which hyperparameters are best?",
            f"Those of trial {winner.trial_id}: {settings_text(trial)}. Its {words} is "
            f"{spread_text(spread)}, {_over(spread.n, 'fresh seed')}.{_next_best(result)}",
        )
    ]
    if trial.score is not None:
        rank = [ranked.trial_id for ranked in result.ranked].index(trial.trial_id) + 1
        said.append(
            Answer(
                "How much of its score in the search was luck?",
                f"It scored {trial.score:.4f} there ({_over(len(trial.values), 'seed')}), "
                f"{_luck_text(trial.score, spread, maximizes=result.spec.maximizes)}; it was "
                f"number {rank} of {trials_text(len(result.ranked))}.{_best_of_the_search(result)}",
            )
        )
    text = test_text(tested(result) if runs is None else runs)
    if text:
        said.append(Answer("What does the winner score on test?", text))
    return said


def counts(result: "SearchResult") -> str:
    """Return how many trials came to what: ``12 completed, 1 diverged``."""
    parts = []
    for status in ("completed", "diverged", "failed", "running"):
        number = sum(trial.status == status for trial in result.records)
        if number:
            parts.append(f"{number} {status}")
    return ", ".join(parts) or "none was begun"


def settings_text(trial: "TrialRecord") -> str:
    """Return a trial's hyperparameters in one line."""
    return ", ".join(
        f"{name} {value_text(value)}"
        for name, value in trial.hyperparameters.items()
        if not name.startswith("tuner/")
    )


def test_text(runs: Sequence[Run]) -> str:
    """Return the winner's test figures with their intervals; empty without any."""
    if not runs:
        return ""
    parts = []
    for name in ("accuracy", "loss"):
        values = [v for run in runs if (v := figure_of(run, f"test.{name}")) is not None]
        if values:
            parts.append(f"{name} {spread_text(over_seeds(values))}")
    if len(runs) == 1 and "accuracy_interval_95" in runs[0].metrics["test"]:
        low, high = runs[0].metrics["test"]["accuracy_interval_95"]
        parts[0] += f" (95 % Wilson interval {low:.4f} to {high:.4f})"
    return (
        f"{', '.join(parts)}, {_over(len(runs), 'fresh seed')}. No other trial's test figure was "
        "looked at."
    )


def _next_best(result: "SearchResult") -> str:
    """Return how the winner stands to the next finalist, paired by seed."""
    winner = result.winner
    others = [f for f in result.finalists if f.mean is not None and f is not winner]
    if winner is None or not others:
        return ""
    sign = -1 if result.spec.maximizes else 1
    other = min(others, key=lambda finalist: sign * (finalist.mean or 0.0))
    pairs = [
        (mine, theirs)
        for seed, mine in zip(winner.seeds, winner.values, strict=True)
        for their_seed, theirs in zip(other.seeds, other.values, strict=True)
        if seed == their_seed and mine is not None and theirs is not None
    ]
    if not pairs:
        return ""
    difference = paired_difference(*zip(*pairs, strict=True))
    text = (
        f" That differs from the next finalist, trial {other.trial_id}, by {difference.mean:+.4f}"
    )
    if difference.interval is None:
        return f"{text} (one seed)."
    low, high = difference.interval
    mark = "" if is_shown(difference) else ", not shown to be better"
    return f"{text} ({low:+.4f} to {high:+.4f}, paired by seed{mark})."


def _best_of_the_search(result: "SearchResult") -> str:
    """Return what became of the search's best trial where another one won."""
    best = result.best
    others = [f for f in result.finalists if best is not None and f.trial_id == best.trial_id]
    if best is None or best.score is None or not others or others[0] is result.winner:
        return ""
    spread = spread_of(others[0])
    text = f" Number 1, trial {best.trial_id}, scored {best.score:.4f}"
    if spread is None:
        return f"{text} and diverged over fresh seeds."
    return (
        f"{text}, {_luck_text(best.score, spread, maximizes=result.spec.maximizes)}, "
        f"{spread_text(spread)}."
    )


def _luck_text(score: float, fresh: Spread, *, maximizes: bool) -> str:
    luck = score - fresh.mean
    mean = f"the mean over {fresh.n} fresh seed{'s' if fresh.n > 1 else ''}"
    if luck == 0:
        return f"exactly {mean}"
    return f"{abs(luck):.4f} {'better' if (luck > 0) == maximizes else 'worse'} than {mean}"


def _over(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"mean over {number} {what}s"


def trials_text(number: int) -> str:
    return f"{number} trial{'s' if number != 1 else ''}"


def score_cells(row: Row, result: "SearchResult") -> list[str]:
    """Return a trial's score and, of several executions, their standard deviation."""
    spread = row.spread
    cells = ["-" if spread is None else f"{spread.mean:.4f}"]
    if result.spec.executions > 1:
        cells.append("-" if spread is None or spread.n < 2 else f"{spread.deviation:.4f}")
    return cells


def outcome_text(trial: "TrialRecord") -> str:
    """Return what came of a trial, empty for one that completed as any other."""
    parts = []
    if trial.status != "completed":
        parts.append(f"{trial.status}: {trial.reason}" if trial.reason else trial.status)
    if trial.duplicate_of is not None:
        parts.append(f"same experiment as {trial.duplicate_of}")
    if trial.promoted_from is not None:
        parts.append(f"goes on from {trial.promoted_from}")
    return "; ".join(parts)


def data_text(result: "SearchResult") -> str:
    """Return which data was searched on."""
    data = result.spec.base.get("data", {})
    name = str(data.get("name", ""))
    if data.get("folder"):
        name = f"folder {Path(data['folder']['path']).name}"
    return f"{name} (bundled sample)" if result.spec.sample else name
