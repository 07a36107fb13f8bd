"""tf.data pipelines whose order is a pure function of seed and epoch."""

from typing import Any

import tensorflow as tf

from kerascw.data.augmentation import augment
from kerascw.data.dataset import LARGE, Part
from kerascw.data.rows import Rows
from kerascw.experiment.spec import AugmentationSpec


def batch_sizes(examples: int, batch_size: int) -> tuple[int, ...]:
    """Return the different sizes of an epoch's batches.

    >>> batch_sizes(100, 32), batch_sizes(96, 32), batch_sizes(10, 32)
    ((32, 4), (32,), (10,))
    """
    whole, rest = divmod(examples, batch_size)
    return (batch_size,) * (whole > 0) + (rest,) * (rest > 0)


def steps_of(examples: int, batch_size: int) -> int:
    """Return the number of an epoch's batches."""
    return -(-examples // batch_size)


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset with tf.data's autotuning off: every pipeline of ours sets its own sizes.

    The end of an epoch waits for autotuning's sleeping thread: one of 0.56 s took up to 1.29 s
    (TensorFlow 2.21, docs/speed.md). What a pipeline yields does not depend on it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def training_batches(
    part: Part,
    *,
    classes: int | None,
    batch_size: int,
    seed: int,
    epochs: range,
    augmentation: tuple[AugmentationSpec, ...] = (),
    augmentation_seed: int | None = None,
    shuffle: bool = True,
    heads: tuple[str, ...] = (),
    at_once: int = 1,
) -> tf.data.Dataset:
    """Return the batches of ``epochs``, one epoch after the other; the last of each may be smaller.

    An element is ``at_once`` batches, one after the other along its first axis, or what is left of
    the epoch: to make an element and to hand it over takes longer than a small network's step on
    one image. More than one needs training without augmentation, which draws for each batch anew.

    An epoch's order is drawn from ``seed`` and its number, counted from 0, so that it is the same
    after a resume; without ``shuffle`` it is that of ``part``. Augmentation draws from
    ``augmentation_seed``, or else from ``seed``, and that number.

    One iterator serves all epochs: to make one takes 15 ms, a quarter of what training on 1,000
    images does, and Keras' ``fit`` makes two an epoch. The first batches of an epoch are ready when
    the one before it ends.

    Images stay uint8 and are gathered by position: a batch costs one copy of its own bytes. Up to
    :data:`kerascw.data.dataset.LARGE` bytes TensorFlow has a copy of them; larger arrays NumPy
    gathers from where they are, which costs some 50 microseconds an element more.

    A batch is images uint8 ``[batch, height, width, channels]``, or the features of a frozen
    backbone float32 ``[batch, units]``, and targets: one-hot labels float32 ``[batch, classes]``
    (mixed ones after mixup and cutmix). Where ``classes`` is None, as for an autoencoder, the
    targets are the images, as float32 in [0, 1]. With ``heads``, the names of the heads of a model
    with more than one, targets are a dictionary with the same labels for each.
    """
    n, source = len(part), part.images
    drawn_from = seed if augmentation_seed is None else augmentation_seed
    together = batch_size * at_once
    elements = steps_of(n, together)
    in_place = isinstance(source, Rows) or source.nbytes > LARGE
    images = None if in_place else tf.constant(source)
    labels = None if classes is None else tf.one_hot(part.labels, classes)

    # AutoGraph has nothing to convert here; its conversion writes temporary Python files
    @tf.autograph.experimental.do_not_convert
    def ordered(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(n)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.stack([seed, epoch]))
        positions = tf.data.Dataset.from_tensor_slices(order).batch(together)
        return tf.data.Dataset.zip(
            tf.data.Dataset.from_tensors(epoch).repeat(), tf.data.Dataset.range(elements), positions
        )

    @tf.autograph.experimental.do_not_convert
    def gathered(epoch: tf.Tensor, step: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, Any]:
        if images is None:
            batch = tf.numpy_function(source.__getitem__, [positions], tf.as_dtype(source.dtype))
            batch = tf.ensure_shape(batch, (None, *source.shape[1:]))
        else:
            batch = tf.gather(images, positions)
        targets = None if labels is None else tf.gather(labels, positions)
        if augmentation:
            drawn = tf.random.experimental.stateless_fold_in(tf.stack([drawn_from, epoch]), step)
            batch, targets = augment(batch, targets, augmentation, drawn)
        if targets is None:
            targets = tf.cast(batch, tf.float32) / 255
        return batch, dict.fromkeys(heads, targets) if heads else targets

    numbers = tf.range(epochs.start, epochs.stop)  # int32, as the seeds are
    dataset = tf.data.Dataset.from_tensor_slices(numbers).flat_map(ordered)
    dataset = dataset.map(gathered, num_parallel_calls=2, deterministic=True)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(elements * len(epochs)))
    return without_autotuning(dataset.prefetch(4))
