"""Where a classifier puts its pictures: t-SNE of the layer before its output, and class neighbours.

The layer's activations are brought to two dimensions by openTSNE. A fixed seed makes that
deterministic: the same activations, settings and library version on the same type of processor give
the same bits.
"""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
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

GRADIENT = "bh"
"""How openTSNE sums up repulsion: Barnes-Hut's tree."""

SEED = 0
"""Of t-SNE; the one random part is the solver of the principal components that it starts from."""


def penultimate(model: "keras.Model", images: np.ndarray | Rows) -> np.ndarray:
    """Return what the layer before the main output gives: float32 ``[n, units]``.

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
    """Return the perplexity if nothing else is asked: less where points are few.

    One as large as a class lets the class fall together into a spot.

    >>> default_perplexity(10_000), default_perplexity(60)
    (30.0, 6.0)
    """
    return min(PERPLEXITY, points / 10)


def largest_perplexity(points: int) -> float:
    """Return the largest perplexity for so many points: t-SNE looks at three times as many."""
    return (points - 1) / 3


@dataclass(frozen=True)
class Embedding:
    """Pictures in the plane, with how well that shows what the layer says."""

    points: np.ndarray  # float32 [n, 2]
    positions: np.ndarray  # int [n]: which pictures of the test part these are
    settings: dict[str, Any]  # all that the points follow from
    units: int  # of the layer
    activations_sha256: str
    divergence: float  # Kullback-Leibler, in nats, of the plane's neighbourhoods from the layer's
    trustworthiness: float | None
    kept_neighbours: float  # share of the nearest neighbours in the layer that are so in the plane
    shares: np.ndarray  # float [classes, classes]: neighbour shares in the plane
    layer_shares: np.ndarray  # the same in the layer itself

    def save(self, path: Path) -> None:
        """Write it to ``path`` under a temporary name first."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.writing")
        content = {**vars(self), "settings": json.dumps(self.settings, sort_keys=True)}
        if self.trustworthiness is None:
            del content["trustworthiness"]
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
            return cls(
                content["points"],
                content["positions"],
                json.loads(str(content["settings"])),
                int(content["units"]),
                str(content["activations_sha256"]),
                float(content["divergence"]),
                float(content["trustworthiness"]) if "trustworthiness" in content else None,
                float(content["kept_neighbours"]),
                content["shares"],
                content["layer_shares"],
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None


def embed(
    activations: np.ndarray,
    labels: np.ndarray,
    classes: int,
    positions: np.ndarray,
    settings: dict[str, Any],
) -> Embedding:
    """Return the embedding of pictures with its measures.

    Parameters
    ----------
    activations : float32 ``[n, units]``.
    labels : int ``[n]``, from 0 to ``classes`` - 1.
    positions : int ``[n]``, of the pictures in the test part.
    settings : all that the result follows from, ``perplexity`` among them.
    """
    points, divergence = tsne(activations, settings["perplexity"])
    in_plane, in_layer = neighbours(points), neighbours(activations)
    return Embedding(
        points,
        positions,
        settings,
        activations.shape[1],
        hashlib.sha256(np.ascontiguousarray(activations).tobytes()).hexdigest(),
        divergence,
        trustworthiness(activations, in_plane),
        kept_neighbours(in_layer, in_plane),
        neighbour_shares(in_plane, labels, classes),
        neighbour_shares(in_layer, labels, classes),
    )


def tsne(activations: np.ndarray, perplexity: float = PERPLEXITY) -> tuple[np.ndarray, float]:
    """Return float32 ``[n, 2]`` and the Kullback-Leibler divergence that is left, in nats.

    Early exaggeration 12 for 250 iterations, then 500 without; the rate is the number of points
    over the exaggeration (Belkina et al., "Automated optimized parameters for t-distributed
    stochastic neighbor embedding", 2019). Starts from the principal components (Kobak and Berens,
    "The art of using t-SNE for single-cell transcriptomics", 2019).

    Measured on 10,000 points of 140 activations, one thread, processor time with the search for
    neighbours, divergence by one exact formula: openTSNE's Barnes-Hut gradient 37 s and 1.294
    nats, its interpolated one 29 to 40 s and 1.314, scikit-learn's TSNE (1,000 iterations, its
    default) 58 s and 1.305. All keep 0.495 to 0.496 of the 10 nearest neighbours.
    """
    from openTSNE import TSNE
    from threadpoolctl import threadpool_limits

    # where one unit alone differs between pictures, or none, there are no two components to start
    # from: a layer of one unit, or a dead one
    start = "pca" if (np.ptp(activations, axis=0) > 0).sum() > 1 else "random"
    # One thread throughout. The principal components' last digits depend on how many the linear
    # algebra has, and t-SNE makes much of them. Two for t-SNE wait for each other at every step:
    # beside other work they took 1.4 times the processor time at 10,000 points, 12 times at 1,000.
    with threadpool_limits(1):
        fitted = TSNE(
            perplexity=perplexity,
            initialization=start,
            neighbors="exact",
            negative_gradient_method=GRADIENT,
            random_state=SEED,
            n_jobs=1,
        ).fit(activations)
    return np.asarray(fitted, np.float32), float(fitted.kl_divergence)


# --- measures -------------------------------------------------------------------------------


def neighbours(points: np.ndarray) -> np.ndarray:
    """Return the positions of each point's nearest others, itself left out: int ``[n, k]``.

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
    near : int ``[n, k]``, as :func:`neighbours` gives it.
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


def kept_neighbours(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of the neighbours in ``one`` that are neighbours in ``other`` too.

    Parameters
    ----------
    one, other : int ``[n, k]``, as :func:`neighbours` gives them.
    """
    return float((one[:, :, None] == other[:, None, :]).any(axis=2).mean())


def trustworthiness(activations: np.ndarray, near: np.ndarray) -> float | None:
    """Return whether neighbours in the plane are so in the layer: from 0 to 1, 1 if all are.

    Each false neighbour costs by how far down it is among the point's neighbours in the layer
    (Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", 2001). None
    where a point has no more than twice as many others as neighbours, as then it is not defined.

    The figures are those of ``sklearn.manifold.trustworthiness``, which sorts all distances at once
    and for that takes 2.1 GB at 10,000 points, and twice the time; this takes 0.15 GB.

    Parameters
    ----------
    activations : float ``[n, units]``.
    near : int ``[n, k]``: the neighbours in the plane.
    """
    from sklearn.metrics import pairwise_distances_chunked

    n, k = near.shape
    if 2 * k >= n:
        return None

    def too_far(distances: np.ndarray, start: int) -> np.ndarray:
        rows = np.arange(len(distances))
        # before its own column the point itself counts, as the nearest of all
        ranks = [
            (distances < distances[rows, at][:, None]).sum(axis=1)
            for at in near[start : start + len(distances)].T
        ]
        return np.maximum(np.array(ranks) - k, 0).sum(axis=0)

    chunks: Iterator[np.ndarray] = pairwise_distances_chunked(
        activations, reduce_func=too_far, working_memory=64
    )
    penalty = sum(int(chunk.sum()) for chunk in chunks)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty


@dataclass(frozen=True)
class Pair:
    """Two classes: how near they lie, and how often they are confused, both ways together."""

    classes: tuple[int, int]
    nearness: float  # mean of the two neighbour shares
    confusion: float  # mean of the two shares of a class that is taken for the other
    mistakes: int


def pairs(shares: np.ndarray, confusion: np.ndarray) -> list[Pair]:
    """Return every two classes that have points and test pictures.

    Parameters
    ----------
    shares : float ``[classes, classes]``, as :func:`neighbour_shares` gives it.
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
    """Return Spearman's between nearness and confusion over the pairs.

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

    A point lies with the wrong class where more of its neighbours are of the class that it is taken
    for than of its own.

    Parameters
    ----------
    near : int ``[n, k]``, as :func:`neighbours` gives it.
    labels, guesses : int ``[n]``: true and predicted classes.
    """
    wrong = np.flatnonzero(labels != guesses)
    around = labels[near[wrong]]
    of_guess = (around == guesses[wrong, None]).sum(axis=1)
    of_own = (around == labels[wrong, None]).sum(axis=1)
    return len(wrong), int((of_guess > of_own).sum())
