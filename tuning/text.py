"""What a search found, in words: cautions, answers, its line in the index. Draws nothing."""

from pathlib import Path

from kerascw.errors import counted
from kerascw.evaluation.hyperparameters import value_text
from kerascw.evaluation.statistics import Spread, over_seeds, paired_difference
from kerascw.lab.effects import answers_to
from kerascw.lab.study import Answer
from kerascw.lab.table import difference_text, spread_text
from kerascw.lab.verdict import bounds_of
from kerascw.runs.store import Run
from kerascw.runs.summary import Summary
from tuning.records import Finalist, SearchResult, TrialRecord, read_search


def spread_of(finalist: Finalist, objective: str) -> Spread | None:
    """Return the spread over a finalist's fresh seeds, None where one of them diverged."""
    return over_seeds(finalist.scores, bounds_of(objective)) if finalist.scores else None


def tested(result: SearchResult) -> list[Run]:
    """Return the winner's runs over fresh seeds that are kept and were scored on the test set."""
    names = result.winner.runs if result.winner else ()
    return [run for run in result.kept(names) if "test" in run.metrics]


def cautions(result: SearchResult) -> list[str]:
    """Return what a reader must know before the figures."""
    spec, count = result.spec, len(result.records)
    epochs = "all epochs" if spec.budget_epochs is None else f"at most {spec.budget_epochs} epochs"
    fraction = spec.base.get("data", {}).get("fraction", 1)
    running = sum(trial.status == "running" for trial in result.records)
    told = (
        (spec.sample, "On the bundled sample, not the dataset: no figure compares with others'."),
        (
            spec.budget == "quick",
            f"Quick budget ({epochs}, {fraction:.0%} of the training set): what is best here need "
            "not be best with all epochs and images.",
        ),
        (
            running,
            f"{counted(running, 'trial')} not finished: the same command goes on with them.",
        ),
        (
            result.ranked and not result.finalists,
            "No finalist was trained over fresh seeds yet. The best score of many trials is "
            "optimistic.",
        ),
        (
            result.finalists and spec.trials and count < spec.trials,
            f"{counted(count, 'trial')} of {spec.trials}: the oracle found no other combination.",
        ),
        (
            result.finalists and result.winner is None,
            "Every finalist diverged over fresh seeds: there is no winner.",
        ),
    )
    return [text for holds, text in told if holds]


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
            f"{best.score:.4f} in the search."
        )
        return [Answer(question, text)]
    trial, bounds = result.record(winner.trial_id), bounds_of(result.spec.objective)
    spread = over_seeds(winner.scores, bounds)
    assert trial.score is not None, "a finalist's trial was completed"
    fresh = f"over {counted(spread.n, 'fresh seed')}"
    luck = trial.score - spread.mean
    better = "better" if (luck > 0) == result.spec.maximizes else "worse"
    rank = [ranked.trial_id for ranked in result.ranked].index(trial.trial_id) + 1
    scores = [
        f"{name} {spread_text(over_seeds(values, bounds_of(name)))}"
        for name in ("accuracy", "loss")
        if (values := [run.metrics["test"][name] for run in tested(result)])
    ]
    test = f"{', '.join(scores)}, mean {fresh}. No other trial's test figure was looked at."
    won = (
        f"Those of trial {winner.trial_id}: {settings_text(trial)}. Its {words} is "
        f"{spread_text(spread)}, mean {fresh}.{_next_best(result, winner)}"
    )
    lucky = (
        f"It scored {trial.score:.4f} in the search, {abs(luck):.4f} {better} than its mean "
        f"{fresh}; it was number {rank} of {counted(len(result.ranked), 'trial')}."
    )
    return answers_to(
        {
            question: won,
            "How much of its score in the search was luck?": lucky,
            "What does the winner score on the test set?": test if scores else "",
        }
    )


def _next_best(result: SearchResult, winner: Finalist) -> str:
    """Return the paired difference of the winner to the next finalist."""
    others = [f for f in result.finalists if f.scores and f is not winner]
    if not others:
        return ""
    other = min(others, key=lambda finalist: result.spec.rank(finalist.mean))
    difference = paired_difference(winner.scores, other.scores)  # of the same fresh seeds
    how = ", paired by seed, with the 95 % CI" if difference.interval else ""
    return (
        f" It differs from the next finalist, trial {other.trial_id}, by "
        f"{difference_text(difference)}{how}."
    )


def counts(result: SearchResult) -> str:
    """Return how many trials there are of each status: ``12 completed, 1 diverged``."""
    statuses = [trial.status for trial in result.records]
    names = ("completed", "diverged", "failed", "running")
    return ", ".join(f"{statuses.count(s)} {s}" for s in names if s in statuses) or "no trial yet"


def settings_text(trial: TrialRecord) -> str:
    """Return a trial's hyperparameters in one line."""
    return ", ".join(f"{name} {value_text(v)}" for name, v in trial.hyperparameters.items())


def outcome_text(trial: TrialRecord) -> str:
    """Return what came of a trial, empty for one that completed as any other."""
    told = []
    if trial.status != "completed":
        told.append(f"{trial.status}: {trial.reason}" if trial.reason else trial.status)
    if trial.duplicate_of is not None:
        told.append(f"same experiment as {trial.duplicate_of}")
    if trial.promoted_from is not None:
        told.append(f"goes on from {trial.promoted_from}")
    return "; ".join(told)


def data_text(result: SearchResult) -> str:
    data = result.spec.base.get("data", {})
    name = str(data.get("name", ""))
    if data.get("folder"):
        name = f"folder {Path(data['folder']['path']).name}"
    return f"{name} (bundled sample)" if result.spec.sample else name


def summary_of_search(folder: Path) -> Summary:
    """Summarise a search in one line: the winner over fresh seeds, else the best trial."""
    result = read_search(folder)
    spec, winner, best = result.spec, result.winner, result.best
    spread = None if winner is None else spread_of(winner, spec.objective)
    text, value = spread_text(spread), None if spread is None else spread.mean
    if spread is None and best is not None and best.score is not None:
        value, text = best.score, f"{best.score:.4f} (best of the search)"
    fresh = f"{spread.n} fresh seeds, " if spread else ""
    return Summary(
        kind="search",
        name=folder.name,
        dataset=data_text(result),
        model=str(spec.base.get("model", {}).get("kind", "")),
        figure=spec.objective.replace("_", " "),
        value=value,
        text=text,
        seeds=f"{fresh}{counted(len(result.records), 'trial')}",
        budget=spec.budget + (", sample" if spec.sample else ""),
        study=spec.space,
    )
