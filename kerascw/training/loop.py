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

    def __init__(self, model: keras.Model, device: Device) -> None:
        self.model, self.device = model, device

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
        each, per_epoch = self.device.steps_a_call, steps_of(examples, batch_size)
        iterator = iter(self.device.distributed(batches))
        for epoch in epochs:
            self.model.reset_metrics()
            watch.begin(epoch)
            for begin in range(0, per_epoch, each):
                end = min(begin + each, per_epoch)
                self._steps(iterator, tf.constant(end - begin))
                watch.images(epoch, min(end * batch_size, examples))
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

        @tf.function(autograph=False)
        def steps(iterator: Any, count: tf.Tensor) -> None:
            """Take ``count`` steps, an int32 scalar."""

            def one(done: tf.Tensor) -> list[tf.Tensor]:
                step(next(iterator))
                return [done + 1]

            if loops:
                tf.while_loop(lambda done: done < count, one, [tf.constant(0)])
            else:
                step(next(iterator))

        return steps
