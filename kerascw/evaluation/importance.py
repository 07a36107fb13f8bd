"""How much each hyperparameter of a search matters: permutation importance, by scikit-learn.

A small random forest learns scores from hyperparameters. Then the values of one hyperparameter are
shuffled among trials that the forest has not seen, and the rise of its squared error is noted
(Breiman, "Random Forests", 2001). Each hyperparameter is given by its position on the scale that
the search draws from, so that a learning rate between 1e-4 and 1e-1 is not judged by its upper
tenth alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.evaluation.hyperparameters import Axis

FOLDS, SHUFFLES, TREES = 5, 10, 100
"""Each trial is once among those that a forest has not seen."""


@dataclass(frozen=True)
class Share:
    """The importance of one hyperparameter, in variances of the score.

    0: shuffling it changes nothing; 1: shuffled, the prediction errs by one variance more. ``low``
    and ``high`` are the 5th and 95th percentile over forests and shufflings.
    """

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """The shares, the largest first, and what they are worth.

    ``r_squared`` is that of the forests on trials that they have not seen: at 0 or below they have
    learned nothing, and the shares mean nothing.
    """

    shares: tuple[Share, ...]
    trials: int
    r_squared: float

    @property
    def caution(self) -> str | None:
        """What a reader must know before believing the shares; None where they are sound."""
        if self.r_squared <= 0:
            return (
                "A random forest cannot predict the score of a trial that it has not seen "
                f"(R² {self.r_squared:.2f}): these figures are noise."
            )
        if self.trials < 10 * len(self.shares) and self.r_squared < 0.8:
            return (
                f"{self.trials} trials are few for {len(self.shares)} hyperparameters: read the "
                f"ranges, not the means (R² on unseen trials {self.r_squared:.2f})."
            )
        return None


def importance(
    axes: Sequence[Axis], trials: Sequence[Mapping[str, Any]], scores: Sequence[float]
) -> Importance | str:
    """Return the estimate, or in words why there is none.

    Parameters
    ----------
    trials : each trial's hyperparameters; one that a trial does not use stands at its default.
    scores : finite, one a trial; trials without a score are not to be given.
    """
    varied = [axis for axis in axes if axis.is_choice or axis.high > axis.low]
    if not varied:
        return "No hyperparameter differs between trials."
    if len(varied) == 1:
        return f"{varied[0].name} is the only hyperparameter: it or chance makes all differences."
    fewest = max(2 * FOLDS, len(varied) + 2)
    if len(trials) < fewest:
        return (
            f"{len(trials)} trials with a score are too few to rank {len(varied)} hyperparameters; "
            f"at least {fewest} are needed."
        )
    if np.ptp(scores) == 0:
        return "All scores are equal."
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    places = np.array(
        [[axis.position(values.get(axis.name, axis.default)) for axis in varied]
         for values in trials]
    )  # fmt: skip
    measured = np.asarray(scores, float)
    rises, errors = [], np.empty(len(measured))
    for train, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(places):
        forest = RandomForestRegressor(TREES, random_state=0).fit(places[train], measured[train])
        errors[unseen] = forest.predict(places[unseen]) - measured[unseen]
        found = permutation_importance(
            forest, places[unseen], measured[unseen], n_repeats=SHUFFLES, random_state=0,
            scoring="neg_mean_squared_error",
        )  # fmt: skip
        rises.append(found.importances / measured.var())
    drawn = np.concatenate(rises, axis=1)  # [hyperparameters, forests x shufflings]
    shares = [
        Share(axis.name, float(row.mean()), *map(float, np.percentile(row, [5, 95])))
        for axis, row in zip(varied, drawn, strict=True)
    ]
    return Importance(
        tuple(sorted(shares, key=lambda share: -share.mean)),
        len(trials),
        float(1 - np.mean(errors**2) / measured.var()),
    )
