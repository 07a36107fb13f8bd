"""t-SNE of the layer before a classifier's output, and which classes are neighbours in it."""

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Embedding:
    """Images in the plane, with measures of how well the plane shows the layer."""

    points: np.ndarray  # float32 [n, 2]
    positions: np.ndarray  # int [n]: which images of the test set these are
    settings: dict[str, Any]  # everything that the points follow from
    units: int  # of the layer
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
    """Compute the embedding of images, with its measures, by scikit-learn.

    Barnes-Hut t-SNE starts from the principal components (Kobak and Berens, "The art of using t-SNE
    for single-cell transcriptomics", 2019). The seed fixes the points on one machine; another
    number of threads may change last digits, which t-SNE amplifies.

    ``activations`` are float32 ``[n, units]``; ``labels`` int ``[n]``, from 0 to ``classes`` - 1;
    ``positions`` those of the images in the test set; ``settings`` everything that the result
    follows from, ``perplexity`` among them.
    """
    from sklearn.manifold import TSNE, trustworthiness

    # a layer of one unit, or a dead one, has no two components to start from
    start = "pca" if (np.ptp(activations, axis=0) > 0).sum() > 1 else "random"
    tsne = TSNE(perplexity=settings["perplexity"], init=start, random_state=SEED)
    points = np.asarray(tsne.fit_transform(activations), np.float32)
    sample = np.random.default_rng(SEED).permutation(len(points))[:SAMPLE]
    trust = np.nan
    if len(sample) > 2 * NEIGHBOURS:
        trust = trustworthiness(activations[sample], points[sample], n_neighbors=NEIGHBOURS)
    return Embedding(
        points,
        positions,
        settings,
        activations.shape[1],
        float(trust),
        neighbour_shares(neighbours(points), labels, classes),
        neighbour_shares(neighbours(activations), labels, classes),
    )


# --- measures -------------------------------------------------------------------------------


def neighbours(points: np.ndarray) -> np.ndarray:
    """Find each point's nearest others: positions, int ``[n, k]``, ``k`` at most `NEIGHBOURS`."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points) - 1)).fit(points)
    found: np.ndarray = nearest.kneighbors(return_distance=False)
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
class Pairs:
    """All pairs of classes: how near they lie, and how often they are confused, both ways."""

    classes: np.ndarray  # int [pairs, 2]
    nearness: np.ndarray  # mean of the two neighbour shares
    confusion: np.ndarray  # mean of the two shares of a class that is taken for the other
    mistakes: np.ndarray  # int

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation of nearness and confusion; None where it is not defined."""
        from scipy.stats import spearmanr

        if len(self.classes) < 3 or not (np.ptp(self.nearness) and np.ptp(self.confusion)):
            return None
        return float(spearmanr(self.nearness, self.confusion).statistic)


def pairs(shares: np.ndarray, confusion: np.ndarray) -> Pairs:
    """Compare all pairs of classes that have points and test images.

    ``shares`` are from :func:`neighbour_shares`; the rows of ``confusion``, int
    ``[classes, classes]``, are true classes.
    """
    tested = confusion.sum(axis=1)
    there = np.flatnonzero((tested > 0) & np.isfinite(np.diag(shares)))
    rates = confusion / np.maximum(tested, 1)[:, None]
    classes = np.array([*combinations(there, 2)], int).reshape(-1, 2)
    one, two = classes.T
    near, wrong = ((m[one, two] + m[two, one]) / 2 for m in (shares, rates))
    return Pairs(classes, near, wrong, confusion[one, two] + confusion[two, one])


def largest(values: np.ndarray, most: int) -> list[int]:
    """Return the positions of the largest values, the largest first, none of zero."""
    return [int(at) for at in np.argsort(-values, kind="stable")[:most] if values[at]]
