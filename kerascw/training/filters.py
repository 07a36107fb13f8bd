"""A convnet's initial filters that are not drawn at random: whitening and identity.

Both after Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024, arXiv
2404.00498). The constants are part of what a run's key stands for: another value needs a new
``recipe_version``.
"""

import keras
import numpy as np

from kerascw.data.rows import Rows
from kerascw.experiment.spec import ConvNet

IMAGES, PATCHES = 2000, 2_100_000
"""Whitening measures as many training images at most, and as many patches of them: of images larger
than 32 x 32 pixels fewer than 2,000, which would take gigabytes."""

RIDGE = 0.004
"""Added to the variance along each component, as a share of their mean: the last components of
smooth images are next to nothing, and would be blown up to variance 1."""


def set_initial_filters(
    model: keras.Model, spec: ConvNet, images: np.ndarray | Rows, scale: float
) -> None:
    """Set the filters that ``spec`` does not leave at random.

    ``images`` are uint8 ``[n, height, width, channels]``, which the model multiplies by ``scale``.
    """
    convs = [model.get_layer(f"conv_{number}") for number in range(1, len(spec.filters) + 1)]
    if spec.first_filters == "whitening":
        kernel = keras.ops.convert_to_numpy(convs[0].kernel).copy()
        height, width = (side - len(kernel) + 1 for side in images.shape[1:3])
        most = min(IMAGES, max(1, PATCHES // (height * width)))
        few = images[:: -(-len(images) // most)].astype(np.float32) * scale
        found = whitening(few, len(kernel), kernel.shape[-1])
        kernel[..., : found.shape[-1]] = found
        convs[0].kernel.assign(kernel)
    if spec.later_filters == "identity":
        for conv in convs[1:]:
            kernel = keras.ops.convert_to_numpy(conv.kernel).copy()
            middle, both = len(kernel) // 2, range(min(kernel.shape[2:]))
            kernel[..., both] = 0.0
            kernel[middle, middle, both, both] = 1.0
            conv.kernel.assign(kernel)


def whitening(images: np.ndarray, size: int, most: int) -> np.ndarray:
    """Return filters whose responses to patches of ``images`` are uncorrelated, of variance 1.

    They are the components of the patches with the largest variance, and then the negative of
    each: float32 ``[size, size, channels, filters]``, at most ``most`` filters; none where the
    images are blank. ``images`` are float32 ``[n, height, width, channels]``.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * images.shape[-1])
    covariance = np.atleast_2d(np.cov(patches, rowvar=False))
    variances, components = np.linalg.eigh(covariance)
    ridge = RIDGE * variances.mean()
    if not ridge > 0:
        return np.zeros((size, size, images.shape[-1], 0), np.float32)
    # the largest first; the sign of a component is free: let its largest weight be positive
    components = (components / np.sqrt(np.maximum(variances, 0.0) + ridge))[:, ::-1]
    largest = np.abs(components).argmax(axis=0)
    components *= np.sign(components[largest, range(len(largest))])
    half = components[:, : max(1, most // 2)]
    filters = np.concatenate([half, -half], axis=1)[:, :most]
    return filters.reshape(size, size, images.shape[-1], -1).astype(np.float32)
