"""Fifteen corruptions of images in five strengths, and how a classifier does on them.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019), and Mu and Gilmer, "MNIST-C" (2019): the kinds that make sense of small grey
and colour images. The strengths are chosen here, lengths as shares of the image, so the figures do
not compare with those of these sets, which :mod:`kerascw.data.corruption_sets` reads.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kerascw.evaluation.metrics import as_pixels

STRENGTHS = (1, 2, 3, 4, 5)
SEED = 0
NONE = "none"

_BATCH = 500  # images that are corrupted at a time, as floats


@dataclass(frozen=True)
class _Job:
    """Images, float32 ``[n, height, width, channels]`` in [0, 1], and how they are corrupted."""

    images: np.ndarray
    level: float
    random: np.random.Generator
    light_on_dark: bool

    @property
    def side(self) -> int:
        return min(self.images.shape[1:3])

    def signs(self) -> np.ndarray:
        """Draw -1 or 1 for each image."""
        return self.random.choice([-1.0, 1.0], len(self.images))


def _gaussian_noise(job: _Job) -> np.ndarray:
    return job.images + job.random.normal(0, job.level, job.images.shape)


def _shot_noise(job: _Job) -> np.ndarray:
    return job.random.poisson(job.images * job.level) / job.level


def _impulse_noise(job: _Job) -> np.ndarray:
    drawn = job.random.random(job.images.shape[:3])[..., None]
    return np.where(drawn < job.level, drawn < job.level / 2, job.images)


def _contrast(job: _Job) -> np.ndarray:
    mean = job.images.mean(axis=(1, 2), keepdims=True)
    return mean + job.level * (job.images - mean)


def _blur(job: _Job) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    blurred: np.ndarray = gaussian_filter(job.images, job.level * job.side, axes=(1, 2))
    return blurred


def _motion_blur(job: _Job) -> np.ndarray:
    """Blur along a line in a direction of its own for each image."""
    from scipy.ndimage import convolve

    reach = max(1, round(job.level * job.side / 2))
    steps = np.linspace(-reach, reach, 4 * reach + 1)
    blurred = np.empty_like(job.images)
    for at, angle in enumerate(job.random.uniform(0, np.pi, len(job.images))):
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1, 1))
        rows, columns = (steps * np.sin(angle)).round(), (steps * np.cos(angle)).round()
        np.add.at(kernel, (reach + rows.astype(int), reach + columns.astype(int), 0), 1)
        blurred[at] = convolve(job.images[at], kernel / kernel.sum(), mode="nearest")
    return blurred


def _warped(job: _Job, matrices: Any, shifts: Any = None) -> np.ndarray:
    """Move pixels about the centre: ``[2, 2, n]`` from new places to old, and pixels ``[n, 2]``.

    What comes in from outside is black where light things are on black, else as the edge is.
    """
    from scipy.ndimage import affine_transform

    centre = (np.array(job.images.shape[1:3]) - 1) / 2
    mode = "constant" if job.light_on_dark else "nearest"
    warped = np.empty_like(job.images)
    for at, matrix in enumerate(np.moveaxis(np.asarray(matrices), 2, 0)):
        offset = centre - matrix @ centre - (0 if shifts is None else shifts[at])
        for channel in range(job.images.shape[3]):
            warped[at, ..., channel] = affine_transform(
                job.images[at, ..., channel], matrix, offset, order=1, mode=mode
            )
    return warped


def _shift(job: _Job) -> np.ndarray:
    angles = job.random.uniform(0, 2 * np.pi, len(job.images))
    one, none = np.ones_like(angles), np.zeros_like(angles)
    shifts = job.level * job.side * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return _warped(job, [[one, none], [none, one]], shifts)


def _rotation(job: _Job) -> np.ndarray:
    angles = np.radians(job.level) * job.signs()
    cosine, sine = np.cos(angles), np.sin(angles)
    return _warped(job, [[cosine, -sine], [sine, cosine]])


def _scale(job: _Job) -> np.ndarray:
    factors = job.level ** job.signs()
    return _warped(job, [[factors, 0 * factors], [0 * factors, factors]])


def _shear(job: _Job) -> np.ndarray:
    slants = job.level * job.signs()
    return _warped(job, [[slants**0, 0 * slants], [slants, slants**0]])


def _stroke(job: _Job) -> np.ndarray:
    """Thicken what is light on black, or dark on light."""
    from scipy.ndimage import grey_dilation, grey_erosion

    size = 1 + max(1, round(job.level * job.side))
    thicken = grey_dilation if job.light_on_dark else grey_erosion
    thickened: np.ndarray = thicken(job.images, (1, size, size, 1))
    return thickened


def _by_pillow(job: _Job, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    pixels = as_pixels(job.images)
    changed = [change(Image.fromarray(each[..., 0] if each.shape[2] == 1 else each))
               for each in pixels]  # fmt: skip
    return np.stack([np.asarray(each) for each in changed]).reshape(pixels.shape) / 255


def _jpeg(job: _Job) -> np.ndarray:
    def compressed(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=int(job.level))
        return Image.open(stream)

    return _by_pillow(job, compressed)


def _pixelate(job: _Job) -> np.ndarray:
    def coarse(image: Image.Image) -> Image.Image:
        size = max(1, round(image.width * job.level)), max(1, round(image.height * job.level))
        return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)

    return _by_pillow(job, coarse)


def _patch(job: _Job) -> np.ndarray:
    """Cover a square with grey, anywhere within the image."""
    images, size = job.images.copy(), max(1, round(job.level * job.side))
    limits = np.array(images.shape[1:3]) - size + 1
    for image, (top, left) in zip(
        images, job.random.integers(0, limits, (len(images), 2)), strict=True
    ):
        image[top : top + size, left : left + size] = 0.5
    return images


_KINDS: dict[str, tuple[Callable[[_Job], np.ndarray], tuple[float, ...]]] = {
    "Gaussian noise": (_gaussian_noise, (0.05, 0.1, 0.15, 0.2, 0.3)),  # deviation
    "shot noise": (_shot_noise, (60, 25, 12, 6, 3)),  # photons of a white pixel
    "impulse noise": (_impulse_noise, (0.02, 0.05, 0.1, 0.15, 0.25)),  # share of the pixels
    "blur": (_blur, (0.02, 0.03, 0.04, 0.055, 0.075)),  # deviation, share of the side
    "motion blur": (_motion_blur, (0.07, 0.14, 0.21, 0.28, 0.36)),  # length, share of the side
    "brightness": (lambda job: job.images + job.level, (0.1, 0.2, 0.3, 0.4, 0.5)),  # added
    "contrast": (_contrast, (0.7, 0.5, 0.35, 0.25, 0.15)),  # share that is left
    "shift": (_shift, (0.036, 0.072, 0.108, 0.144, 0.215)),  # share of the side: 1 to 6 of 28
    "rotation": (_rotation, (5, 10, 20, 30, 45)),  # degrees, either way
    "scale": (_scale, (1.1, 1.2, 1.35, 1.5, 1.8)),  # larger or smaller by this factor
    "shear": (_shear, (0.1, 0.2, 0.3, 0.45, 0.6)),  # of the height, either way
    "stroke": (_stroke, (0.036, 0.072, 0.108, 0.144, 0.18)),  # thicker by, share of the side
    "JPEG": (_jpeg, (50, 30, 15, 8, 4)),  # quality
    "pixelate": (_pixelate, (0.75, 0.6, 0.45, 0.35, 0.25)),  # resolution that is left
    "patch": (_patch, (0.15, 0.25, 0.35, 0.45, 0.55)),  # its side, share of the image's
}

CORRUPTIONS = tuple(_KINDS)


def corrupted(
    images: np.ndarray, kind: str, strength: int, *, light_on_dark: bool = False
) -> np.ndarray:
    """Return images, uint8 ``[n, height, width, 1 or 3]``, after one corruption of a strength.

    The same call gives the same images. ``light_on_dark`` says what is thickened by ``stroke``, and
    what comes in from outside.
    """
    change, levels = _KINDS[kind]
    random = np.random.default_rng((SEED, CORRUPTIONS.index(kind), strength))
    parts = []
    for at in range(0, len(images), _BATCH):
        part = np.asarray(images[at : at + _BATCH], np.float32) / 255
        changed = change(_Job(part, levels[strength - 1], random, light_on_dark))
        parts.append(as_pixels(changed))
    return np.concatenate(parts)


Corrupted = tuple[str, int | None, np.ndarray, np.ndarray]
"""Corruption, strength (0: as it was, None: not told), images ``[n, ...]`` and labels ``[n]``."""


def every_corruption(
    images: np.ndarray, labels: np.ndarray, *, light_on_dark: bool = False
) -> Iterator[Corrupted]:
    """Yield the images as they are, then under each corruption in each strength, made when due."""
    yield NONE, 0, images, labels
    for kind in CORRUPTIONS:
        for level in STRENGTHS:
            yield kind, level, corrupted(images, kind, level, light_on_dark=light_on_dark), labels


@dataclass(frozen=True)
class Counted:
    """How many images of a corruption and strength each model classifies correctly, by its name."""

    kind: str
    strength: int | None
    images: int
    right: Mapping[str, int]


def counted_right(
    predictors: Mapping[str, Callable[[np.ndarray], np.ndarray]], parts: Iterable[Corrupted]
) -> Iterator[Counted]:
    """Count for each part what each model classifies correctly; all see the same images.

    ``predictors`` are from images, as a part has them, to probabilities ``[n, classes]``.
    """
    for kind, strength, images, labels in parts:
        right = {
            name: int((predict(images).argmax(axis=1) == labels).sum())
            for name, predict in predictors.items()
        }
        yield Counted(kind, strength, len(labels), right)
