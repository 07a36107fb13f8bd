"""Augmentation of a batch of uint8 pictures: stateless, seeded, the same eagerly and in tf.data."""

from typing import Any

import tensorflow as tf

from kerascw.spec import AugmentationSpec, Flip, Shift


def augment(images: tf.Tensor, specs: tuple[AugmentationSpec, ...], seed: tf.Tensor) -> tf.Tensor:
    """Return the batch with every operation applied in turn.

    Parameters
    ----------
    images : uint8 ``[n, height, width, channels]``.
    specs : the operations, in order.
    seed : int32 ``[2]``; the same seed gives the same pictures.
    """
    for number, spec in enumerate(specs):
        own_seed = tf.random.experimental.stateless_fold_in(seed, number)
        images = _OPERATIONS[type(spec)](images, spec, own_seed)
    return images


def _flip(images: tf.Tensor, spec: Flip, seed: tf.Tensor) -> tf.Tensor:
    draw = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    return tf.where(draw < spec.probability, images[:, :, ::-1], images)


def _shift(images: tf.Tensor, spec: Shift, seed: tf.Tensor) -> tf.Tensor:
    n, height, width, _ = tf.unstack(tf.shape(images))
    around = [spec.pixels, spec.pixels]
    padded = tf.pad(images, [[0, 0], around, around, [0, 0]])
    corner = tf.random.stateless_uniform([n, 2], seed, 0, 2 * spec.pixels + 1, tf.int32)
    # two gathers, one an axis, cut every picture's own window without a loop over pictures
    rows = tf.gather(padded, corner[:, :1] + tf.range(height), axis=1, batch_dims=1)
    moved = tf.gather(rows, corner[:, 1:] + tf.range(width), axis=2, batch_dims=1)
    return tf.ensure_shape(moved, images.shape)


_OPERATIONS: dict[type, Any] = {Flip: _flip, Shift: _shift}
