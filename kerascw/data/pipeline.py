"""tf.data pipelines whose order is a pure function of seed and epoch."""

import numpy as np
import tensorflow as tf

from kerascw.data import LARGE, Part
from kerascw.data.augmentation import augment
from kerascw.data.rows import Rows
from kerascw.experiment.spec import AugmentationSpec


def batch_sizes(examples: int, batch_size: int) -> tuple[int, ...]:
    """Return the different sizes of an epoch's batches.

    >>> batch_sizes(100, 32), batch_sizes(96, 32), batch_sizes(10, 32)
    ((32, 4), (32,), (10,))
    """
    whole, rest = divmod(examples, batch_size)
    return (batch_size,) * (whole > 0) + (rest,) * (rest > 0)


def training_batches(
    part: Part,
    *,
    classes: int | None,
    batch_size: int,
    seed: int,
    epoch: tf.Variable,
    augmentation: tuple[AugmentationSpec, ...] = (),
    shuffle: bool = True,
) -> tf.data.Dataset:
    """Return the batches of one epoch, in an order drawn from ``seed`` and ``epoch``.

    Without ``shuffle`` the order is that of ``part``, in every epoch.

    Every iteration reads ``epoch`` anew, so one dataset (and one traced training step) serves all
    epochs, and the epoch after a resume has the order it would have had. Each example comes once;
    the last batch may be smaller.

    Pictures stay uint8 and are gathered by position: a batch costs one copy of its own bytes.
    Up to :data:`kerascw.data.LARGE` TensorFlow has a copy of them; larger ones NumPy gathers from
    where they are, which costs some 50 microseconds a batch more.

    Parameters
    ----------
    classes : how many; None for an autoencoder, whose pictures are their own targets.
    epoch : int32 scalar, the epoch to draw, counted from 0.

    Yields
    ------
    images uint8 ``[batch, height, width, channels]``, one-hot labels float32 ``[batch, classes]``
    (mixed ones after mixup and cutmix) or, where ``classes`` is None, the same pictures as float32
    in [0, 1].
    """
    n, pictures = len(part), part.images
    in_place = isinstance(pictures, Rows) or pictures.nbytes > LARGE
    images = None if in_place else tf.constant(pictures)
    labels = None if classes is None else tf.one_hot(part.labels, classes)

    def ordered(_: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(n)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.stack([seed, epoch]))
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.enumerate()

    def gathered(step: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if images is None:
            batch = tf.numpy_function(pictures.__getitem__, [positions], tf.uint8)
            batch = tf.ensure_shape(batch, (None, *pictures.shape[1:]))
        else:
            batch = tf.gather(images, positions)
        targets = None if labels is None else tf.gather(labels, positions)
        if augmentation:
            drawn = tf.random.experimental.stateless_fold_in(tf.stack([seed, epoch]), step)
            batch, targets = augment(batch, targets, augmentation, drawn)
        return batch, tf.cast(batch, tf.float32) / 255 if targets is None else targets

    dataset = tf.data.Dataset.range(1).flat_map(ordered)
    dataset = dataset.map(gathered, num_parallel_calls=2, deterministic=True)
    steps = int(np.ceil(n / batch_size))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(4)
