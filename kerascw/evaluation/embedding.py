"""Where a classifier puts its images: t-SNE of the layer before its output, class neighbours."""

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.data.rows import Rows
from kerascw.experiment.spec import MAIN_HEAD

if TYPE_CHECKING:
    import keras

NEIGHBOURS = 10
"""How many nearest neighbours of a point are looked at."""

PERPLEXITY = 30.0
"""Of t-SNE, by default: roughly, how many neighbours a point is to stay close to."""

SEED = 0
"""Of t-SNE, and of every choice of points."""

SAMPLE = 2_000
"""Points that trustworthiness is measured on: scikit-learn's takes 2.1 GB for 10,000."""


def penultimate(model: "keras.Model", images: np.ndarray | Rows) -> np.ndarray:
    """Return the output of the layer before the main output: float32 ``[n, units]``.

    Parameters
    ----------
    model : a classifier, with one output or with several heads; of these the main one counts.
    images : uint8 ``[n, height, width, channels]``.
    """
    import keras

    inner = keras.Model(model.inputs[0], model.get_layer(MAIN_HEAD).input)
    batches = [
        np.asarray(inner(images[at : at + 500], training=False))
        for at in range(0, len(images), 500)
    ]
    return np.concatenate(batches).astype(np.float32, copy=False)


def default_perplexity(points: int) -> float:
    """Return the default perplexity, which is smaller where there are few points.

    With one as large as a class, the points of the class would collapse.

    >>> default_perplexity(10_000), default_perplexity(60)
    (30.0, 6.0)
    """
    return min(PERPLEXITY, points / 10)


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
        """Write it to ``path``, under a temporary name first."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.writing")
        content = {**vars(self), "settings": json.dumps(self.settings, sort_keys=True)}
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "Embedding | None":
        """Return what :meth:`save` wrote, None where there is nothing that can be read."""
        try:
            with np.load(path, allow_pickle=False) as kept:
                content = {name: kept[name] for name in kept.files}
            scalars = {name: content[name].item() for name in
                       ("units", "divergence", "trustworthiness")}  # fmt: skip
            settings = json.loads(str(content["settings"]))
            return cls(**content | scalars | {"settings": settings})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
            return None


def embed(
    activations: np.ndarray,
    labels: np.ndarray,
    classes: int,
    positions: np.ndarray,
    settings: dict[str, Any],
) -> Embedding:
    """Return the embedding of images with its measures.

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
    trust = (
        trustworthiness(activations[sample], points[sample], n_neighbors=NEIGHBOURS)
        if len(sample) > 2 * NEIGHBOURS
        else np.nan
    )
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


def tsne(activations: np.ndarray, perplexity: float = PERPLEXITY) -> tuple[np.ndarray, float]:
    """Return float32 ``[n, 2]`` and the Kullback-Leibler divergence that is left, in nats.

    scikit-learn's Barnes-Hut t-SNE from the principal components (Kobak and Berens, "The art of
    using t-SNE for single-cell transcriptomics", 2019). The seed fixes the points on one machine;
    another number of threads may change last digits, of which t-SNE makes much.
    """
    from sklearn.manifold import TSNE

    # where one unit alone differs between images, or none, there are no two components to start
    # from: a layer of one unit, or a dead one
    start = "pca" if (np.ptp(activations, axis=0) > 0).sum() > 1 else "random"
    fitted = TSNE(perplexity=perplexity, init=start, random_state=SEED).fit(activations)
    return np.asarray(fitted.embedding_, np.float32), float(fitted.kl_divergence_)


# --- measures -------------------------------------------------------------------------------


def neighbours(points: np.ndarray) -> np.ndarray:
    """Return the positions of each point's nearest others, without itself: int ``[n, k]``.

    ``k`` is :data:`NEIGHBOURS`, or all others where they are fewer.
    """
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

    Parameters
    ----------
    near : int ``[n, k]``, as :func:`neighbours` returns it.
    labels : int ``[n]``.

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
    """Return every two classes that have points and test images.

    Parameters
    ----------
    shares : float ``[classes, classes]``, as :func:`neighbour_shares` returns it.
    confusion : int ``[classes, classes]``, rows are truths.
    """
    tested = confusion.sum(axis=1)
    there = [label for label in range(len(tested)) if tested[label] and shares[label, label] >= 0]
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


def nearest(several: Sequence[Pair], most: int) -> list[Pair]:
    """Return the pairs that lie nearest, the nearest first; none that share no neighbours."""
    ordered = sorted(several, key=lambda pair: -pair.nearness)
    return [pair for pair in ordered[:most] if pair.nearness]


def most_confused(several: Sequence[Pair], most: int) -> list[Pair]:
    """Return the pairs confused most, the worst first; none that are never confused."""
    ordered = sorted(several, key=lambda pair: -pair.confusion)
    return [pair for pair in ordered[:most] if pair.mistakes]


def rank_correlation(several: Sequence[Pair]) -> float | None:
    """Return Spearman's correlation of nearness and confusion over the pairs.

    None where it is not defined: fewer than three pairs, or no differences in one of the two.
    """
    from scipy.stats import spearmanr

    near, wrong = ([getattr(p, name) for p in several] for name in ("nearness", "confusion"))
    if len(several) < 3 or len(set(near)) == 1 or len(set(wrong)) == 1:
        return None
    return float(spearmanr(near, wrong).statistic)


def among_the_mistaken(
    near: np.ndarray, labels: np.ndarray, guesses: np.ndarray
) -> tuple[int, int]:
    """Return how many points are misclassified, and how many of them lie with the wrong class.

    A point lies with the wrong class if more of its neighbours belong to the predicted class than
    to its own.

    Parameters
    ----------
    near : int ``[n, k]``, as :func:`neighbours` returns it.
    labels, guesses : int ``[n]``: true and predicted classes.
    """
    wrong = np.flatnonzero(labels != guesses)
    around = labels[near[wrong]]
    of_guess = (around == guesses[wrong, None]).sum(axis=1)
    of_own = (around == labels[wrong, None]).sum(axis=1)
    return len(wrong), int((of_guess > of_own).sum())
