"""What a search found, in words: cautions and answers. Draws nothing."""

from collections.abc import Sequence
from pathlib import Path

from kerascw.evaluation.hyperparameters import value_text
from kerascw.evaluation.statistics import Spread, is_shown, over_seeds, paired_difference
from kerascw.lab.repeats import numbered
from kerascw.lab.study import Answer
from kerascw.lab.table import spread_text
from kerascw.lab.verdict import bounds_of, figure_of
from kerascw.runs.store import Run, Store
from tuning.records import Finalist, SearchResult, TrialRecord


def spread_of(finalist: Finalist, objective: str) -> Spread | None:
    """Return the spread over a finalist's fresh seeds, None where one of them diverged."""
    values = [value for value in finalist.values if value is not None]
    return None if finalist.mean is None else over_seeds(values, bounds_of(objective))


def spread_of_runs(runs: Sequence[Run], figure: str) -> Spread | None:
    """Return the spread of a figure such as ``test.accuracy`` over runs, None if none has it."""
    values = [value for run in runs if (value := figure_of(run, figure)) is not None]
    return over_seeds(values, bounds_of(figure)) if values else None


def tested(result: SearchResult) -> list[Run]:
    """Return the winner's runs over fresh seeds that are kept and were scored on the test set."""
    if result.winner is None:
        return []
    store = Store(result.folder.parent.parent)
    runs = [store.get(name) for name in result.winner.runs]
    return [run for run in runs if run is not None and "test" in run.metrics]


def cautions(result: SearchResult) -> list[str]:
    """Return what a reader must know before the figures."""
    spec, told = result.spec, []
    if spec.sample:
        told.append("On the bundled sample, not the dataset: no figure compares with others'.")
    if spec.budget == "quick":
        fraction = spec.base.get("data", {}).get("fraction", 1)
        epochs = (
            "all epochs" if spec.budget_epochs is None else f"at most {spec.budget_epochs} epochs"
        )
        told.append(
            f"Quick budget ({epochs}, {fraction:.0%} of the training set): what is best here need "
            "not be best with all epochs and images."
        )
    running = sum(trial.status == "running" for trial in result.records)
    if running:
        told.append(f"{trials_text(running)} not finished: the same command goes on with them.")
    if result.ranked and not result.finalists:
        told.append(
            "No finalist was trained over fresh seeds yet. The best score of many trials is "
            "optimistic."
        )
    if result.finalists and spec.trials and len(result.records) < spec.trials:
        told.append(
            f"{trials_text(len(result.records))} of {spec.trials}: the oracle found no other "
            "combination."
        )
    if result.finalists and result.winner is None:
        told.append("Every finalist diverged over fresh seeds: there is no winner.")
    return told


def answers(result: SearchResult) -> list[Answer]:
    """Return what the search found, as sentences."""
    best, winner = result.best, result.winner
    question = "Which hyperparameters are best?"
    if best is None or best.score is None:
        return [Answer(question, f"No trial has a score: {counts(result)}.")]
    words = result.spec.objective.replace("_", " ")
    if winner is None:
        text = (
            f"So far those of trial {best.trial_id}: {settings_text(best)}. Its {words} is "
            f"{best.score:.4f} over {numbered(len(best.values), 'seed')} of the search."
        )
        return [Answer(question, text)]
    trial, spread = result.record(winner.trial_id), spread_of(winner, result.spec.objective)
    assert spread is not None, "a winner has no run that diverged"
    assert trial.score is not None, "nor has its trial"
    fresh = f"over {numbered(spread.n, 'fresh seed')}"
    luck = trial.score - spread.mean
    better = "better" if (luck > 0) == result.spec.maximizes else "worse"
    rank = [ranked.trial_id for ranked in result.ranked].index(trial.trial_id) + 1
    given = [
        Answer(
            question,
            f"Those of trial {winner.trial_id}: {settings_text(trial)}. Its {words} is "
            f"{spread_text(spread)}, mean {fresh}.{_next_best(result)}",
        ),
        Answer(
            "How much of its score in the search was luck?",
            f"It scored {trial.score:.4f} in the search, {abs(luck):.4f} {better} than its mean "
            f"{fresh}; it was number {rank} of {trials_text(len(result.ranked))}.",
        ),
    ]
    runs = tested(result)
    spreads = {name: spread_of_runs(runs, f"test.{name}") for name in ("accuracy", "loss")}
    parts = [f"{name} {spread_text(spread)}" for name, spread in spreads.items() if spread]
    if parts:
        text = f"{', '.join(parts)}, mean {fresh}. No other trial's test figure was looked at."
        given.append(Answer("What does the winner score on the test set?", text))
    return given


def _next_best(result: SearchResult) -> str:
    """Return the paired difference of the winner to the next finalist."""
    winner = result.winner
    others = [f for f in result.finalists if f.mean is not None and f is not winner]
    if winner is None or not others:
        return ""
    other = min(others, key=lambda finalist: result.spec.rank(finalist.mean))
    # all finalists have the same fresh seeds
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(winner.values, other.values, strict=True)
        if mine is not None and theirs is not None
    ]
    difference = paired_difference(*zip(*pairs, strict=True))
    text = f" It differs from the next finalist, trial {other.trial_id}, by {difference.mean:+.4f}"
    if difference.interval is None:
        return f"{text} (one seed)."
    low, high = difference.interval
    mark = "" if is_shown(difference) else ", not significant at 95 %"
    return f"{text} (95 % CI {low:+.4f} to {high:+.4f}, paired by seed{mark})."


def counts(result: SearchResult) -> str:
    """Return how many trials there are of each status: ``12 completed, 1 diverged``."""
    statuses = [trial.status for trial in result.records]
    names = ("completed", "diverged", "failed", "running")
    return ", ".join(f"{statuses.count(s)} {s}" for s in names if s in statuses) or "no trial yet"


def settings_text(trial: TrialRecord) -> str:
    """Return a trial's hyperparameters in one line."""
    return ", ".join(f"{name} {value_text(v)}" for name, v in trial.hyperparameters.items())


def trials_text(number: int) -> str:
    return numbered(number, "trial")


def outcome_text(trial: TrialRecord) -> str:
    """Return what came of a trial, empty for one that completed as any other."""
    parts = []
    if trial.status != "completed":
        parts.append(f"{trial.status}: {trial.reason}" if trial.reason else trial.status)
    if trial.duplicate_of is not None:
        parts.append(f"same experiment as {trial.duplicate_of}")
    if trial.promoted_from is not None:
        parts.append(f"goes on from {trial.promoted_from}")
    return "; ".join(parts)


def data_text(result: SearchResult) -> str:
    """Return which data was searched on."""
    data = result.spec.base.get("data", {})
    name = str(data.get("name", ""))
    if data.get("folder"):
        name = f"folder {Path(data['folder']['path']).name}"
    return f"{name} (bundled sample)" if result.spec.sample else name
