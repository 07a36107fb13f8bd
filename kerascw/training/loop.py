"""The training loop: some steps in one call of TensorFlow, over one iterator of all epochs.

Keras' ``fit`` does the same but makes two iterators an epoch, 15 ms each, and traces its step in
four nested functions. The step itself is Keras': ``train_step`` of a compiled model.
"""

from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from kerascw.data.pipeline import steps_of
from kerascw.training.prepare import Device


class Epochs:
    """What is done between epochs, which are counted from 0: nothing, unless a subclass says."""

    def begin(self, epoch: int) -> None:
        """Prepare an epoch."""

    def images(self, epoch: int, count: int) -> None:
        """Note that so many of the epoch's images are done."""

    def end(self, epoch: int, figures: dict[str, float]) -> bool:
        """Take the epoch's metrics by their names in Keras; return whether training is over."""
        return False


class Trainer:
    """A compiled model with its training step, traced at the first call of :meth:`train`."""

    def __init__(self, model: keras.Model, device: Device, at_once: int = 1) -> None:
        """``at_once`` is the number of batches in an element of what :meth:`train` is given."""
        self.model, self.device, self.at_once = model, device, at_once

    def train(
        self,
        batches: tf.data.Dataset,
        epochs: range,
        examples: int,
        batch_size: int,
        watch: Epochs,
    ) -> None:
        """Train ``epochs`` of ``examples`` images on ``batches``, which are those of all epochs."""
        if "_steps" not in vars(self):
            self._make_metrics(batches.element_spec)
        size = batch_size * self.at_once
        each, per_epoch = self.device.steps_a_call, steps_of(examples, size)
        iterator = iter(self.device.distributed(batches))
        for epoch in epochs:
            self.model.reset_metrics()
            watch.begin(epoch)
            for begin in range(0, per_epoch, each):
                end = min(begin + each, per_epoch)
                self._steps(iterator, tf.constant(end - begin), tf.constant(batch_size))
                watch.images(epoch, min(end * size, examples))
            found = self.model.get_metrics_result()
            if watch.end(epoch, {name: float(value) for name, value in found.items()}):
                return

    def _make_metrics(self, batch: Any) -> None:
        """Make the variables of losses and metrics, which Keras does when they are first computed.

        In a graph it would be too late.
        """
        images, targets = tf.nest.map_structure(
            lambda spec: tf.zeros([1, *spec.shape[1:]], spec.dtype), batch
        )
        outputs = self.model(images, training=False)
        self.model.compute_loss(images, targets, outputs)
        self.model.compute_metrics(images, targets, outputs)

    @cached_property
    def _steps(self) -> Any:
        step, loops = self.device.step(self.model), self.device.steps_a_call > 1

        def each_batch(element: Any, batch_size: tf.Tensor) -> None:
            """Take a step with each of several batches that lie one after the other."""
            images, _ = element
            examples = tf.shape(images)[0]

            def one(begin: tf.Tensor) -> list[tf.Tensor]:
                end = begin + batch_size  # beyond the last example it is cut off
                step(tf.nest.map_structure(lambda tensor: tensor[begin:end], element))
                return [end]

            tf.while_loop(lambda begin: begin < examples, one, [tf.constant(0)])

        @tf.function(autograph=False)
        def steps(iterator: Any, count: tf.Tensor, batch_size: tf.Tensor) -> None:
            """Take the steps of ``count`` elements; both numbers are int32 scalars."""

            def one(done: tf.Tensor) -> list[tf.Tensor]:
                if self.at_once > 1:
                    each_batch(next(iterator), batch_size)
                else:
                    step(next(iterator))
                return [done + 1]

            if loops:
                tf.while_loop(lambda done: done < count, one, [tf.constant(0)])
            else:
                step(next(iterator))

        return steps
