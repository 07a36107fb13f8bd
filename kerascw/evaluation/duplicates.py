"""Images that occur twice: copies byte for byte, and near duplicates.

Images are uint8 ``[n, height, width, channels]``, several arrays of one shape, counted through. Of
a pair the first image is the one to keep, so the array whose images are to be kept comes first.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from kerascw.data.rows import Rows

SIDE = 16
"""Pixels a side, at most, that images are compared at."""

LEAST = 0.98
"""Similarity of near duplicates at least."""

NEIGHBOURS, CLOSER = 10, 10
"""Near duplicates are so many times closer than each is to its tenth most similar image."""

Images = Sequence[np.ndarray | Rows]


def exact_pairs(images: Images) -> np.ndarray:
    """Find images with the same pixels: int64 ``[pairs, 2]``, each copy with the first of its kind.

    >>> exact_pairs([np.zeros((2, 1, 1, 1), np.uint8), np.zeros((1, 1, 1, 1), np.uint8)]).tolist()
    [[0, 1], [0, 2]]
    """
    first: dict[bytes, int] = {}
    seen = (hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in _each(images))
    pairs = [(first.setdefault(digest, at), at) for at, digest in enumerate(seen)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def embedded(images: Images) -> np.ndarray:
    """Describe each image by at most 16 x 16 grey values: float32 ``[n, values]``.

    Their mean is subtracted and their length is 1, so that the product of two is their cosine
    similarity, which is the correlation of their pixels: brightness and contrast make no
    difference. Of an image of one value all are 0, so that it is similar to none.
    """
    height, width = (min(SIDE, side) for side in images[0].shape[1:3])
    values = np.empty((sum(map(len, images)), height * width), np.float32)
    for row, image in zip(values, _each(images), strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        small = picture.convert("L").resize((width, height), Image.Resampling.BOX)
        row[:] = np.asarray(small).ravel()
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return values


def near_pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find near duplicates, the most similar first.

    Their similarity is at least 0.98, and their distance (1 minus the similarity) a tenth, or less,
    of the distance of either from its tenth most similar image: the ratio test of Lowe (2004). No
    fixed number would do, for trousers are as similar to each other as copies of photographs are.
    So each is among the ten nearest neighbours of the other.

    ``values`` are those of :func:`embedded`. Returns int64 ``[pairs, 2]``, the smaller position
    first, and their similarity, float32 ``[pairs]``.
    """
    from sklearn.neighbors import NearestNeighbors

    known = np.flatnonzero(values.any(axis=1))  # an image of one value is similar to none
    if len(known) < 2:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(known) - 1), algorithm="brute")
    lengths, neighbour = search.fit(values[known]).kneighbors()
    apart = lengths**2 / 2  # of vectors of length 1: 1 minus their cosine
    tenth = apart[:, -1]
    near = CLOSER * apart <= np.minimum(tenth[:, None], tenth[neighbour])
    one, place = np.nonzero(near & (apart <= 1 - LEAST))
    other, similarity = neighbour[one, place], 1 - apart[one, place]
    later = other > one
    order = np.argsort(-similarity[later], kind="stable")
    pairs = known[np.stack([one, other], axis=1)[later][order]]
    return pairs, similarity[later][order].astype(np.float32)


def _each(images: Images) -> Iterator[np.ndarray]:
    return (part[at] for part in images for at in range(len(part)))
