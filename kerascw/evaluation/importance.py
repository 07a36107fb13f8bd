"""How much each hyperparameter of a search matters: functional ANOVA, by Optuna.

Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance"
(2014): a random forest learns scores from hyperparameters, and its variance over the whole space is
split into what each hyperparameter explains alone; the rest is interactions. Optuna's
implementation is the one that is kept up; what its authors published (``fanova``) needs a C++
extension and has not been released since 2020.

Optuna spreads a hyperparameter over its range linearly. Here each is given by its position on the
scale that the search draws from, so that a rate between 1e-4 and 1e-1 is not judged by its upper
tenth alone.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.evaluation.hyperparameters import Axis

REPEATS = 20
"""Forests, each of trials drawn anew with replacement."""

MOST_CATEGORIES = 8
"""Unordered choices beyond which they are taken in their order: Optuna's time doubles with each (10
take 9 s of 100 trials). Trees learn them less easily so, and their share comes out too small."""

_TREES = 16  # of each; Optuna walks them in Python: 20 forests take about 3 s of 100 trials


@dataclass(frozen=True)
class Share:
    """What one hyperparameter explains alone, of the variance of the score: 0 to 1.

    ``low`` and ``high`` are the 5th and 95th percentile over the repeats.
    """

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """The shares, the largest first, and what they are worth.

    ``r_squared`` is that of the forest on trials that its trees have not seen (out of bag): at 0 or
    below it has learned nothing, and the shares mean nothing.
    """

    shares: tuple[Share, ...]
    trials: int
    r_squared: float

    @property
    def caution(self) -> str | None:
        """What a reader must know before believing the shares; None where they are sound."""
        if self.r_squared <= 0:
            return (
                "A forest does not foresee the score of a trial that it has not seen "
                f"(R² {self.r_squared:.2f}): these shares are noise."
            )
        if self.trials < 10 * len(self.shares) and self.r_squared < 0.8:
            return (
                f"{self.trials} trials are few for {len(self.shares)} hyperparameters: read the "
                f"ranges, not the bars (R² on unseen trials {self.r_squared:.2f})."
            )
        return None


def fewest_trials(axes: int) -> int:
    """Return how many scored trials an estimate needs at least."""
    return max(6, axes + 2)


def importance(
    axes: Sequence[Axis], trials: Sequence[Mapping[str, Any]], scores: Sequence[float]
) -> Importance | str:
    """Return the estimate, or in words why there is none.

    Parameters
    ----------
    trials : each trial's hyperparameters; one that a trial does not use stands at its default, as
        in the paper's own treatment of conditional hyperparameters.
    scores : finite, one a trial; trials without a score are not to be given.
    """
    varied = [axis for axis in axes if axis.is_choice or axis.high > axis.low]
    if not varied:
        return "There is no hyperparameter that differs."
    if len(varied) == 1:
        return (
            f"There is one hyperparameter, {varied[0].name}: all differences are its own or chance."
        )
    if len(trials) < fewest_trials(len(varied)):
        return (
            f"{len(trials)} scored trials say nothing of {len(varied)} hyperparameters; "
            f"{fewest_trials(len(varied))} are the least."
        )
    if np.ptp(scores) == 0:
        return "All scores are equal."
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        axis.name: optuna.distributions.FloatDistribution(0, 1)
        if _is_number(axis)
        else optuna.distributions.CategoricalDistribution(range(len(axis.choices)))
        for axis in varied
    }
    rows = [{axis.name: _place(axis, values) for axis in varied} for values in trials]
    frozen = [
        optuna.trial.create_trial(params=row, distributions=distributions, value=float(score))
        for row, score in zip(rows, scores, strict=True)
    ]
    random = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {axis.name: [] for axis in varied}
    repeat = 0
    while len(drawn[varied[0].name]) < REPEATS:
        chosen = random.integers(len(frozen), size=len(frozen))
        if np.ptp(np.asarray(scores)[chosen]) == 0:  # one score only: nothing to explain
            continue
        study = optuna.create_study()
        study.add_trials([frozen[at] for at in chosen])
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=repeat)
        for name, share in evaluator.evaluate(study, params=list(drawn)).items():
            drawn[name].append(share)
        repeat += 1
    shares = [
        Share(name, float(np.mean(values)), *map(float, np.percentile(values, [5, 95])))
        for name, values in drawn.items()
    ]
    return Importance(
        tuple(sorted(shares, key=lambda share: -share.mean)),
        len(trials),
        _r_squared(varied, rows, scores),
    )


def _is_number(axis: Axis) -> bool:
    return axis.is_ordered or len(axis.choices) > MOST_CATEGORIES


def _place(axis: Axis, values: Mapping[str, Any]) -> float | int:
    value = values.get(axis.name, axis.default)
    if _is_number(axis):
        return min(max(axis.position(value), 0.0), 1.0)
    return axis.choices.index(value)


def _r_squared(
    axes: Sequence[Axis], rows: Sequence[Mapping[str, float]], scores: Sequence[float]
) -> float:
    """Return the out-of-bag R² of a forest like those that the shares come from."""
    from sklearn.ensemble import RandomForestRegressor

    columns = []
    for axis in axes:
        places = np.array([row[axis.name] for row in rows])
        if _is_number(axis):
            columns.append(places)
        else:
            columns.extend((places == choice).astype(float) for choice in range(len(axis.choices)))
    forest = RandomForestRegressor(128, oob_score=True, random_state=0)
    with warnings.catch_warnings():  # of few trials one may be in every tree's sample
        warnings.simplefilter("ignore", UserWarning)
        forest.fit(np.stack(columns, axis=1), np.asarray(scores))
    return float(forest.oob_score_)
