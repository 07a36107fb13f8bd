"""Seeds until decided: a study goes on until each difference to a baseline is settled.

Looking after every few seeds and stopping when a difference is significant finds differences that
are not there; the intervals here hold at all looks together
(:func:`kerascw.evaluation.significance.interval_at_look`). They are over seeds, on one test set.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kerascw.errors import CallError, counted
from kerascw.evaluation.significance import decision, interval_at_look
from kerascw.evaluation.statistics import FEWEST
from kerascw.lab.plan import Plan, StudyResult
from kerascw.lab.repeats import paired_values
from kerascw.runs.store import write_json
from kerascw.runs.summary import read_json

FIGURE = "test.accuracy"
LOOKS = "looks.json"
"""Beside study.json: how often the study was looked at, and what was to be decided."""


@dataclass(frozen=True)
class Decision:
    """A difference in test accuracy, over the seeds so far."""

    variant: str
    baseline: str
    mean: float
    interval: tuple[float, float] | None  # None: fewer than three seeds in common
    verdict: str  # different, equivalent or undecided


def decisions_of(result: StudyResult, look: int, difference: float | None) -> list[Decision]:
    """Decide about every variant that has a baseline, at a look counted from 1."""
    apart = {}
    for name, runs in result.runs.items():
        baseline = result.study.base_of(name)
        if baseline in result.runs:
            pairs = paired_values(runs, result.runs[baseline], FIGURE)
            apart[name, baseline] = [mine - theirs for mine, theirs in pairs]
    found = []
    for (name, baseline), differences in apart.items():
        interval = interval_at_look(differences, look, len(apart))
        mean = sum(differences) / len(differences) if differences else float("nan")
        found.append(Decision(name, baseline, mean, interval, decision(interval, difference)))
    return found


MOST = 30
"""Seeds at most where nothing else is asked for."""


def run_until_decided(
    plan_of: Callable[[int], Plan],
    run: Callable[[Plan], StudyResult],
    *,
    first: int | None = None,
    difference: float | None = None,
    at_most: int = MOST,
) -> tuple[Plan, StudyResult]:
    """Add seeds, a third of those there are at each look, until every comparison is decided.

    Parameters
    ----------
    plan_of : the study over so many seeds.
    run : runs a plan.
    first : seeds of the first look; three if not given.
    difference : two variants count as equivalent if their difference is within this; if not given,
        only ``different`` is decided, and equal variants are run over ``at_most`` seeds.

    Raises CallError: the study compares nothing, or fewer seeds than three are allowed.
    """
    seeds = first or FEWEST
    if not FEWEST <= seeds <= at_most:
        raise CallError(
            f"--until-decided: begins with {counted(seeds, 'seed')} and ends with {at_most} "
            f"(--at-most); at least {FEWEST} are needed, and no more to begin with than at the end"
        )
    look, plan = 1, plan_of(seeds)
    if not any(plan.study.base_of(name) in plan.experiments for name in plan.experiments):
        raise CallError(f"--until-decided: study {plan.study.name} has no baseline to compare with")
    if any(e.folds for several in plan.experiments.values() for e in several):
        raise CallError("--until-decided: counts seeds; folds are fixed")
    while True:
        result = run(plan)
        decisions = decisions_of(result, look, difference)
        asked = {"look": look, "seeds": seeds, "difference": difference, "at_most": at_most}
        write_json(result.folder / LOOKS, asked)
        if seeds == at_most or all(each.verdict != "undecided" for each in decisions):
            return plan, result
        look, seeds = look + 1, min(at_most, seeds + max(1, seeds // 3))
        plan = plan_of(seeds)


def decided_text(result: StudyResult) -> str:
    """Say what was decided, of a study that was run until it was; empty of any other."""
    file = result.folder / LOOKS
    asked = read_json(file) if file.is_file() else {}
    if asked.get("seeds") != len({run.experiment.seed for run in result.every_run}):
        return ""  # it was run over other seeds since
    decisions = decisions_of(result, asked["look"], asked["difference"])
    texts = [
        f"{each.variant} minus {each.baseline}: {each.verdict}, {each.mean:+.4f}"
        + (f" ({each.interval[0]:+.4f} to {each.interval[1]:+.4f})" if each.interval else "")
        for each in decisions
    ]
    within = asked["difference"]
    equivalent = "" if within is None else f"; equivalent means within {within:g}"
    return (
        f"After {counted(asked['look'], 'look')}, with {counted(asked['seeds'], 'seed')} (at most "
        f"{asked['at_most']}): {'; '.join(texts)}. The 95 % CIs are over seeds, on this test set, "
        f"and hold together at all looks and for all {counted(len(decisions), 'comparison')}"
        f"{equivalent}."
    )
