"""Probabilities that mean what they say, and sets of classes with a stated coverage.

Both are learned from the probabilities of the validation set and its labels. That set also chose
the epoch whose weights are kept, which makes both a little hopeful; the test set checks them.
Importing this loads nothing but NumPy: a small model predicts with it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.errors import CallError, option

STEPS = 1000
"""Coverages that are kept: 0, 0.001, ..., 1; one between two takes the larger."""

_DIGITS = 1e7  # of a kept score, rounded up: float32 has no more
_BOUNDS = (0.05, 20.0)  # of the temperature: where all answers are right it would go to 0


@dataclass(frozen=True)
class Calibration:
    """What a model's validation set says of its probabilities, in bounded size."""

    examples: int  # of the validation set
    temperature: float | None  # None where the outputs are no softmax
    quantiles: tuple[float | None, ...]  # score by coverage, as :func:`score_quantiles` has them

    @classmethod
    def fitted(
        cls, probabilities: np.ndarray, labels: np.ndarray, *, softmax: bool = True
    ) -> "Calibration":
        """Fit to the validation set: float ``[n, classes]`` and int ``[n]``."""
        scores = 1 - probabilities[np.arange(len(labels)), labels].astype(np.float64)
        temperature = fitted_temperature(probabilities, labels) if softmax else None
        return cls(len(labels), temperature, score_quantiles(scores))

    @classmethod
    def of_card(cls, kept: Any) -> "Calibration | None":
        """Read what a card keeps; None where that is nothing, or nothing that can be read."""
        match kept:
            case {"examples": int(n), "temperature": float() | None as t, "quantiles": [*scores]}:
                if len(scores) == STEPS + 1 and all(
                    score is None or isinstance(score, float) for score in scores
                ):
                    return cls(n, t, tuple(scores))
        return None

    def as_card(self) -> Mapping[str, Any]:
        """Return it as plain JSON."""
        return vars(self) | {"quantiles": list(self.quantiles)}

    def threshold(self, coverage: float) -> float:
        """Return the largest score, one minus a probability, with which a class is in a set.

        Raises CallError: a coverage that is none, or larger than the validation set allows.
        """
        if not 0 < coverage < 1:
            raise CallError(
                f"{option('coverage', coverage)}: expected a share between 0 and 1, such as 0.95"
            )
        score = self.quantiles[math.ceil(round(coverage * STEPS, 6))]
        if score is None:
            most = sum(each is not None for each in self.quantiles) - 1
            raise CallError(
                f"{option('coverage', coverage)}: the model's {self.examples:,} validation images "
                f"allow {most / STEPS:g} at most"
            )
        return score


# --- temperature ----------------------------------------------------------------------------


def fitted_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the least negative log likelihood of the labels, int ``[n]``.

    Log-probabilities of a softmax, float ``[n, classes]``, serve as logits, from which they differ
    by a constant that softmax ignores. Source: Guo et al., "On Calibration of Modern Neural
    Networks", 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    logits, truth = _logits(probabilities), (np.arange(len(labels)), labels)

    def loss(log_temperature: float) -> float:
        scaled = logits * math.exp(-log_temperature)  # the largest is near 0: no overflow
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[truth]).mean())

    low, high = (math.log(bound) for bound in _BOUNDS)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities, float32 ``[n, classes]``, with their logits over a temperature.

    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]], dtype=float32)
    """
    powers = np.exp(_logits(probabilities) / temperature)
    scaled: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return scaled.astype(np.float32)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny, dtype=float))
    return logits - logits.max(axis=-1, keepdims=True)


# --- prediction sets ------------------------------------------------------------------------


def score_quantiles(scores: np.ndarray) -> tuple[float | None, ...]:
    """Return for each coverage of :data:`STEPS` the score of which so many images have no larger.

    That is the ceil((n + 1) coverage)-th smallest of n, so that one more image has a score that is
    no larger with at least this probability; None where n is too small for that.

    >>> quantiles = score_quantiles(np.arange(1, 20) / 100)
    >>> quantiles[500], quantiles[950], quantiles[951]
    (0.1, 0.19, None)
    """
    ordered, n = np.sort(scores), len(scores)
    ranks = [-(-(n + 1) * step // STEPS) for step in range(STEPS + 1)]
    return tuple(
        None if rank > n else math.ceil(round(ordered[max(rank, 1) - 1] * _DIGITS, 3)) / _DIGITS
        for rank in ranks
    )


def prediction_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return which classes are in the set of each image: bool ``[n, classes]``.

    Split conformal prediction by least ambiguous sets (LAC: Sadinle, Lei and Wasserman, "Least
    Ambiguous Set-Valued Classifiers With Bounded Error Levels", 2019): the classes with a
    probability of at least ``1 - threshold``. A set that this leaves empty gets its most probable
    class, which only adds coverage. The coverage holds over all images, not for each class.
    """
    sets: np.ndarray = 1 - probabilities.astype(np.float64) <= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
