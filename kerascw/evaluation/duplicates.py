"""Images that occur twice: copies byte for byte, and near duplicates.

Images are uint8 ``[n, height, width, channels]``, several arrays of one shape, counted through. Of
a pair the first image is the one to keep, so the array whose images are to be kept comes first.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from kerascw.data.rows import Rows

SIDE = 16
"""Pixels a side, at most, that images are compared at."""

COPIES = 500
"""Images whose altered copies measure how alike near duplicates are."""

JPEG_QUALITY = 90
MOST_PAIRS = 100_000
"""Of more near duplicates the most similar are kept."""

_BLOCK = 256

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
        small = _picture(image).convert("L").resize((width, height), Image.Resampling.BOX)
        row[:] = np.asarray(small).ravel()
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return values


def near_threshold(images: Images) -> float:
    """Measure from which similarity on two images count as near duplicates.

    It is what 95 % of 500 of the images exceed with a copy of their own that was saved as a JPEG
    file of quality 90. Where images are alike in all they show, as digits are, no fixed number
    would do.
    """
    count = sum(map(len, images))
    chosen = np.random.default_rng(0).choice(count, min(COPIES, count), replace=False)
    wanted = set(chosen.tolist())
    some = np.stack([image for at, image in enumerate(_each(images)) if at in wanted])
    pairs = embedded([some]) * embedded([np.stack([_saved(image) for image in some])])
    return float(np.quantile(pairs.sum(axis=1), 0.05))


def near_pairs(values: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs of images that are at least so similar, the most similar first.

    ``values`` are those of :func:`embedded`. Returns int64 ``[pairs, 2]``, the smaller position
    first, and their similarity, float32 ``[pairs]``. All are compared with all, in blocks: 70,000
    images take 80 MB at a time beside the values.
    """
    found = np.empty((0, 2), np.int64)
    similarity = np.empty(0, np.float32)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK] @ values[start:].T
        one, other = np.nonzero(block >= threshold)
        one, other = one[(later := other > one)], other[later]
        found = np.concatenate([found, np.stack([one, other], axis=1) + start])
        similarity = np.concatenate([similarity, block[one, other]])
        if len(found) > MOST_PAIRS or start + _BLOCK >= len(values):
            best = np.argsort(-similarity, kind="stable")[:MOST_PAIRS]
            found, similarity = found[best], similarity[best]
    return found, similarity


def _each(images: Images) -> Iterator[np.ndarray]:
    for part in images:
        for at in range(len(part)):
            yield part[at]


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _saved(image: np.ndarray) -> np.ndarray:
    """Return the image as it is after being saved as a JPEG file."""
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file)).reshape(image.shape)
