"""Augmentation of a batch of uint8 images: stateless, seeded, the same eagerly and in tf.data.

Every operation takes and gives whole uint8 batches; where it computes in float32 in between, it
rounds to the nearest. It draws for each image of the batch anew, by its seed alone. Plain
arithmetic on the batch is fast; a look-up of every pixel in a table is three times slower.

Keras' preprocessing layers serve where they do what the published operation does: autocontrast is
Keras' layer, rotate and zoom its ``affine_transform``. ``RandomBrightness`` adds where torchvision
multiplies, ``RandomContrast`` takes each channel's mean and not the grey one, ``RandomErasing`` has
no aspect ratio, and ``CutMix`` weighs labels by its box before that is cut to whole pixels.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascw.experiment import spec as kinds

GREY = (0.299, 0.587, 0.114)
"""What red, green and blue weigh in grey (ITU-R BT.601), as in Pillow and torchvision."""


def augment(
    images: tf.Tensor,
    labels: tf.Tensor | None,
    specs: tuple[kinds.AugmentationSpec, ...],
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Return images and labels with every operation applied in turn.

    Images are uint8 ``[n, height, width, channels]``, labels float32 ``[n, classes]``, one-hot or
    mixed, or None where images are their own targets. The seed is int32 ``[2]``.
    """
    for number, spec in enumerate(specs):
        own_seed = tf.random.experimental.stateless_fold_in(seed, number)
        if isinstance(spec, kinds.Mixup | kinds.CutMix):
            images, labels = _mixed(images, labels, spec, own_seed)
        else:
            images = _OPERATIONS[type(spec)](images, spec, own_seed)
    return images, labels


# --- what they share ------------------------------------------------------------------------


def _draw(images: tf.Tensor, seed: tf.Tensor, count: int = 1) -> list[tf.Tensor]:
    """Return ``count`` draws uniform in [0, 1) for every image, each float32 ``[n, 1, 1, 1]``."""
    drawn = tf.random.stateless_uniform([count, tf.shape(images)[0], 1, 1, 1], seed)
    return tf.unstack(drawn, count)


def _between(draw: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + (high - low) * draw


def _rounded(images: tf.Tensor) -> tf.Tensor:
    """Return float images as uint8: cut to 0 to 255, rounded to the nearest."""
    return tf.cast(tf.clip_by_value(images, 0, 255) + 0.5, tf.uint8)


# --- mirrored, moved, turned, scaled ----------------------------------------------------------


def _flip(images: tf.Tensor, spec: kinds.Flip, seed: tf.Tensor) -> tf.Tensor:
    draw = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    # a slice with a step of -1 is the same and takes five times as long
    return tf.where(draw < spec.probability, tf.reverse(images, [2]), images)


def _shift(images: tf.Tensor, spec: kinds.Shift, seed: tf.Tensor) -> tf.Tensor:
    n, height, width, _ = tf.unstack(tf.shape(images))
    around = [spec.pixels, spec.pixels]
    padded = tf.pad(images, [[0, 0], around, around, [0, 0]])
    corner = tf.random.stateless_uniform([n, 2], seed, 0, 2 * spec.pixels + 1, tf.int32)
    # two gathers, one an axis, cut every image's own window without a loop over images
    rows = tf.gather(padded, corner[:, :1] + tf.range(height), axis=1, batch_dims=1)
    moved = tf.gather(rows, corner[:, 1:] + tf.range(width), axis=2, batch_dims=1)
    return tf.ensure_shape(moved, images.shape)


def _rotate(images: tf.Tensor, spec: kinds.Rotate, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    return rotated(images, _between(draw[:, 0, 0, 0], -spec.degrees, spec.degrees))


def _zoom(images: tf.Tensor, spec: kinds.Zoom, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    return zoomed(images, _between(draw[:, 0, 0, 0], spec.low, spec.high))


def rotated(images: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Return uint8 images turned counter-clockwise by float32 ``[n]`` degrees."""
    angle = degrees * (math.pi / 180)
    return _mapped(images, tf.cos(angle), tf.sin(angle))


def zoomed(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return uint8 images scaled by float32 ``[n]`` factors; 2 shows all twice as large."""
    # not 1 / factor: a graph is rewritten to this, which differs from it in the last bit
    inverse = tf.math.reciprocal(factor)
    return _mapped(images, inverse, tf.zeros_like(inverse))


def _mapped(images: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor) -> tf.Tensor:
    """Return uint8 images turned and scaled about their middles, bilinear; gaps are black.

    ``cosine`` and ``sine``, float32 ``[n]``, are of the angle counter-clockwise, over the scale.
    """
    middle_y, middle_x = (images.shape[1] - 1) / 2, (images.shape[2] - 1) / 2
    nothing = tf.zeros_like(cosine)
    # where a pixel comes from: x' = a0 x + a1 y + a2, y' = b0 x + b1 y + b2, y downwards
    transform = tf.stack(
        [
            *(cosine, -sine, middle_x - cosine * middle_x + sine * middle_y),
            *(sine, cosine, middle_y - sine * middle_x - cosine * middle_y),
            *(nothing, nothing),
        ],
        axis=1,
    )
    # in float32: of uint8 the same function cuts off what is behind the point
    moved = keras.ops.image.affine_transform(
        tf.cast(images, tf.float32),
        transform,
        interpolation="bilinear",
        fill_mode="constant",
        fill_value=0,
        data_format="channels_last",
    )
    return _rounded(moved)


# --- pixel by pixel -------------------------------------------------------------------------


def _brightness(images: tf.Tensor, spec: kinds.Brightness, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    return brightened(images, _between(draw, 1 - spec.amount, 1 + spec.amount))


def _contrast(images: tf.Tensor, spec: kinds.Contrast, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    return contrasted(images, _between(draw, 1 - spec.amount, 1 + spec.amount))


def brightened(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return uint8 images, each times its factor, float32 ``[n, 1, 1, 1]``."""
    return _rounded(tf.cast(images, tf.float32) * factor)


def contrasted(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return uint8 images, each blended with its mean grey: a factor of 0 leaves that alone."""
    pixels = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(pixels, [1, 2], keepdims=True)
    if images.shape[3] == 3:
        mean = tf.reduce_sum(mean * tf.constant(GREY), 3, keepdims=True)
    return _rounded(pixels * factor + mean * (1 - factor))


@cache
def _keras_autocontrast() -> keras.layers.Layer:
    return keras.layers.AutoContrast(value_range=(0, 255), dtype="float32")


def _autocontrast(images: tf.Tensor, spec: kinds.Autocontrast, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    stretched = _rounded(_keras_autocontrast().transform_images(images, None))
    return tf.where(draw < spec.probability, stretched, images)


def _solarize(images: tf.Tensor, spec: kinds.Solarize, seed: tf.Tensor) -> tf.Tensor:
    (draw,) = _draw(images, seed)
    # a threshold above all pixels leaves an image as it is: one comparison, and no selection
    threshold = tf.where(draw < spec.probability, float(spec.threshold), 256.0)
    pixels = tf.cast(images, tf.float32)
    return tf.cast(tf.where(pixels < threshold, pixels, 255 - pixels), tf.uint8)


# --- boxes and mixtures ---------------------------------------------------------------------


def _box(
    images: tf.Tensor, top: tf.Tensor, bottom: tf.Tensor, left: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Return uint8 ``[n, height, width, 1]``, 1 from top and left to below bottom and right."""
    rows = tf.range(images.shape[1], dtype=tf.float32)[None, :, None, None]
    columns = tf.range(images.shape[2], dtype=tf.float32)[None, None, :, None]
    in_rows = tf.cast((rows >= top) & (rows < bottom), tf.uint8)
    in_columns = tf.cast((columns >= left) & (columns < right), tf.uint8)
    return in_rows * in_columns  # a product: a logical "and" of the two takes three times as long


def _erase(images: tf.Tensor, spec: kinds.Erase, seed: tf.Tensor) -> tf.Tensor:
    box_seed, noise_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    drawn, share, ratio, top, left = _draw(images, box_seed, 5)
    height, width = images.shape[1:3]
    area = _between(share, spec.smallest, spec.largest) * (height * width)
    furthest = -math.log(spec.aspect)
    aspect = tf.exp(_between(ratio, -furthest, furthest))
    box_height = tf.minimum(tf.round(tf.sqrt(area * aspect)), height)
    box_width = tf.minimum(tf.round(tf.sqrt(area / aspect)), width)
    box_height *= tf.cast(drawn < spec.probability, tf.float32)
    top = tf.floor(top * (height - box_height + 1))
    left = tf.floor(left * (width - box_width + 1))
    box = _box(images, top, top + box_height, left, left + box_width)
    kept = images * (1 - box)
    if spec.fill == "black":
        return kept
    noise = tf.random.stateless_uniform(tf.shape(images), noise_seed, 0, 256, tf.int32)
    return kept + tf.cast(noise, tf.uint8) * box


def _mixed(
    images: tf.Tensor,
    labels: tf.Tensor | None,
    spec: kinds.Mixup | kinds.CutMix,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Mix each image with a partner, in a share from Beta(alpha, alpha), and their labels alike."""
    n = tf.shape(images)[0]
    order_seed, share_seed, draw_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    partners = tf.random.experimental.stateless_shuffle(tf.range(n), order_seed)
    # one gamma's share of two; a tiny alpha can draw two zeros, where it may as well be none
    gammas = tf.random.stateless_gamma([n, 1, 1, 1, 2], share_seed, spec.alpha)
    share = tf.math.divide_no_nan(gammas[..., 0], tf.reduce_sum(gammas, axis=-1))
    mix = _mixup if isinstance(spec, kinds.Mixup) else _cutmix
    mixed, share = mix(images, tf.gather(images, partners), share, spec.probability, draw_seed)
    if labels is not None:
        share = share[:, 0, 0]
        labels = (1 - share) * labels + share * tf.gather(labels, partners)
    return mixed, labels


def _mixup(
    images: tf.Tensor, partners: tf.Tensor, share: tf.Tensor, probability: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    (drawn,) = _draw(images, seed)
    share = tf.where(drawn < probability, share, 0.0)
    mixed = (1 - share) * tf.cast(images, tf.float32) + share * tf.cast(partners, tf.float32)
    return _rounded(mixed), share


def _cutmix(
    images: tf.Tensor, partners: tf.Tensor, share: tf.Tensor, probability: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    drawn, row, column = _draw(images, seed, 3)
    area = tf.where(drawn < probability, share, 0.0)
    height, width = images.shape[1:3]
    # as in the paper: the middle anywhere, the sides cut at the image's edge
    box_height, box_width = tf.floor(height * tf.sqrt(area)), tf.floor(width * tf.sqrt(area))
    top = tf.floor(row * height) - tf.floor(box_height / 2)
    left = tf.floor(column * width) - tf.floor(box_width / 2)
    bottom, right = tf.minimum(top + box_height, height), tf.minimum(left + box_width, width)
    top, left = tf.maximum(top, 0), tf.maximum(left, 0)
    box = _box(images, top, bottom, left, right)
    mixed = images * (1 - box) + partners * box
    # looked up: a graph moves the constant of a division about, which changes the last bit
    shares = np.arange(height * width + 1, dtype=np.float32) / (height * width)
    return mixed, tf.gather(shares, tf.cast((bottom - top) * (right - left), tf.int32))


_OPERATIONS: dict[type, Callable[[tf.Tensor, Any, tf.Tensor], tf.Tensor]] = {
    kinds.Flip: _flip,
    kinds.Brightness: _brightness,
    kinds.Contrast: _contrast,
    kinds.Autocontrast: _autocontrast,
    kinds.Solarize: _solarize,
    kinds.Shift: _shift,
    kinds.Rotate: _rotate,
    kinds.Zoom: _zoom,
    kinds.Erase: _erase,
}
