"""t-SNE of the layer before a classifier's output, and which classes are neighbours in it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kerascw.data.cache import replacing
from kerascw.data.rows import Rows
from kerascw.experiment.spec import MAIN_HEAD

if TYPE_CHECKING:
    import keras

NEIGHBOURS = 10
"""How many nearest neighbours of a point are looked at."""

SEED = 0
"""Of t-SNE, and of every choice of points."""

SAMPLE = 2_000
"""Points that trustworthiness is measured on: scikit-learn's takes 2.1 GB for 10,000."""


def penultimate(model: "keras.Model", images: np.ndarray | Rows) -> np.ndarray:
    """Return the input of the layer with the main output: float32 ``[n, units]``."""
    import keras

    inner = keras.Model(model.inputs[0], model.get_layer(MAIN_HEAD).input)
    batches = [
        np.asarray(inner(images[at : at + 500], training=False))
        for at in range(0, len(images), 500)
    ]
    return np.concatenate(batches).astype(np.float32, copy=False)


def largest_perplexity(points: int) -> float:
    """Return the largest perplexity for so many points: t-SNE looks at three times as many."""
    return (points - 1) / 3


@dataclass(frozen=True)
class Embedding:
    """Images in the plane, with measures of how well the plane shows the layer."""

    points: np.ndarray  # float32 [n, 2]
    positions: np.ndarray  # int [n]: which images of the test set these are
    settings: dict[str, Any]  # everything that the points follow from
    units: int  # of the layer
    divergence: float  # Kullback-Leibler, in nats, of the plane's neighbourhoods from the layer's
    trustworthiness: float  # NaN where there are too few points
    shares: np.ndarray  # float [classes, classes]: neighbour shares in the plane
    layer_shares: np.ndarray  # the same in the layer itself

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, whole or not at all."""
        with replacing(path) as file:
            np.savez_compressed(file, **vars(self) | {"settings": json.dumps(self.settings)})

    @classmethod
    def load(cls, path: Path) -> "Embedding | None":
        """Read what :meth:`save` wrote; None if there is nothing that can be read."""
        try:
            with np.load(path, allow_pickle=False) as file:
                # scalars are kept as arrays without a dimension
                kept = {name: file[name] if file[name].ndim else file[name].item() for name in file}
            return cls(**kept | {"settings": json.loads(kept["settings"])})
        except Exception:  # a damaged file raises anything; the embedding is computed again
            return None


def embed(
    activations: np.ndarray,
    labels: np.ndarray,
    classes: int,
    positions: np.ndarray,
    settings: dict[str, Any],
) -> Embedding:
    """Compute the embedding of images, with its measures.

    Parameters
    ----------
    activations : float32 ``[n, units]``.
    labels : int ``[n]``, from 0 to ``classes`` - 1.
    positions : int ``[n]``, of the images in the test set.
    settings : everything that the result follows from, ``perplexity`` among them.
    """
    from sklearn.manifold import trustworthiness

    points, divergence = tsne(activations, settings["perplexity"])
    sample = np.random.default_rng(SEED).permutation(len(points))[:SAMPLE]
    trust = np.nan
    if len(sample) > 2 * NEIGHBOURS:
        trust = trustworthiness(activations[sample], points[sample], n_neighbors=NEIGHBOURS)
    return Embedding(
        points,
        positions,
        settings,
        activations.shape[1],
        divergence,
        float(trust),
        neighbour_shares(neighbours(points), labels, classes),
        neighbour_shares(neighbours(activations), labels, classes),
    )


def tsne(activations: np.ndarray, perplexity: float) -> tuple[np.ndarray, float]:
    """Return float32 ``[n, 2]`` and the Kullback-Leibler divergence that is left, in nats.

    scikit-learn's Barnes-Hut t-SNE from the principal components (Kobak and Berens, "The art of
    using t-SNE for single-cell transcriptomics", 2019). The seed fixes the points on one machine;
    another number of threads may change last digits, which t-SNE amplifies.
    """
    from sklearn.manifold import TSNE

    # a layer of one unit, or a dead one, has no two components to start from
    start = "pca" if (np.ptp(activations, axis=0) > 0).sum() > 1 else "random"
    fitted = TSNE(perplexity=perplexity, init=start, random_state=SEED).fit(activations)
    return np.asarray(fitted.embedding_, np.float32), float(fitted.kl_divergence_)


# --- measures -------------------------------------------------------------------------------


def neighbours(points: np.ndarray) -> np.ndarray:
    """Find each point's nearest others: positions, int ``[n, k]``, ``k`` at most `NEIGHBOURS`."""
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(points) - 1)
    found: np.ndarray = (
        NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
    )
    return found


def neighbour_shares(near: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return which classes the neighbours of each class belong to: float ``[classes, classes]``.

    Row ``a`` sums to 1: of all neighbours of the points of class ``a`` the share in each class. A
    class without points has a row of NaN.

    >>> near = np.array([[1, 2], [0, 2], [1, 0]])
    >>> neighbour_shares(near, np.array([0, 0, 1]), 2)
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels[:, None], labels[near]), 1)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Pair:
    """Two classes: how near they lie, and how often they are confused, both ways together."""

    classes: tuple[int, int]
    nearness: float  # mean of the two neighbour shares
    confusion: float  # mean of the two shares of a class that is taken for the other
    mistakes: int


def pairs(shares: np.ndarray, confusion: np.ndarray) -> list[Pair]:
    """List all pairs of classes that have points and test images.

    ``shares`` are from :func:`neighbour_shares`; the rows of ``confusion``, int
    ``[classes, classes]``, are true classes.
    """
    tested = confusion.sum(axis=1)
    there = np.flatnonzero((tested > 0) & np.isfinite(np.diag(shares))).tolist()
    rates = confusion / np.maximum(tested, 1)[:, None]
    return [
        Pair(
            (a, b),
            float(shares[a, b] + shares[b, a]) / 2,
            float(rates[a, b] + rates[b, a]) / 2,
            int(confusion[a, b] + confusion[b, a]),
        )
        for a, b in combinations(there, 2)
    ]


def largest(several: Sequence[Pair], by: Literal["nearness", "confusion"], most: int) -> list[Pair]:
    """Select the pairs with the largest value, the largest first, none with zero."""
    ordered = sorted(several, key=lambda pair: -float(getattr(pair, by)))
    return [pair for pair in ordered[:most] if getattr(pair, by)]


def rank_correlation(several: Sequence[Pair]) -> float | None:
    """Return Spearman's correlation of nearness and confusion over the pairs.

    None where it is not defined: fewer than three pairs, or no differences in one of the two.
    """
    from scipy.stats import spearmanr

    near, wrong = [pair.nearness for pair in several], [pair.confusion for pair in several]
    if len(several) < 3 or len(set(near)) == 1 or len(set(wrong)) == 1:
        return None
    return float(spearmanr(near, wrong).statistic)


def among_the_mistaken(
    near: np.ndarray, labels: np.ndarray, guesses: np.ndarray
) -> tuple[int, int]:
    """Count the misclassified points, and those with more neighbours of the predicted class.

    That is more than of their own class. ``near`` is from :func:`neighbours`; ``labels`` and
    ``guesses`` are the true and predicted classes, int ``[n]``.
    """
    wrong = np.flatnonzero(labels != guesses)
    around = labels[near[wrong]]
    of_guess = (around == guesses[wrong, None]).sum(axis=1)
    of_own = (around == labels[wrong, None]).sum(axis=1)
    return len(wrong), int((of_guess > of_own).sum())
