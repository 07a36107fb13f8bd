"""Prepare a model for training on what this machine has: processor, GPU or several devices.

The results are the same on all of them, but for rounding.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from kerascw.training.devices import has_gpu, strategy
from kerascw.training.shards import ShardedModel, thread_count

STEPS_A_CALL = 16
"""Training steps in one call from Python: 1.4 times the rate of one step a call at batch 64, and
the same results, bit for bit. More gained nothing there. Of batches of fewer images than that, as
many as make up 16 images come together: 1.7 times the rate with batches of one image."""


class Device:
    """One device that takes Keras' own training step."""

    fused = False  # whether the optimisers of kerascw.training.fused can be taken
    steps_a_call = STEPS_A_CALL
    jit_compile = False  # XLA halves the rate on processors

    def scope(self) -> AbstractContextManager[Any]:
        """Return the scope to build the model and its optimiser in."""
        return nullcontext()

    def prepare(
        self, network: keras.Model, batch_sizes: Sequence[int], idle: frozenset[str]
    ) -> keras.Model:
        """Return the model to train: ``network``, or another one of its layers.

        ``batch_sizes`` are the sizes that come, ``idle`` the heads without a loss.
        """
        return network

    def step(self, model: keras.Model) -> Callable[[Any], Any]:
        """Return what trains a compiled model on one batch, for a graph."""
        step: Callable[[Any], Any] = tf.function(model.train_step, jit_compile=self.jit_compile)
        return step

    def distributed(self, batches: tf.data.Dataset) -> Any:
        """Return the batches, each shared among the devices."""
        return batches


class Processor(Device):
    """The cores of this machine: each takes a shard of every batch through all layers."""

    fused = True

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def prepare(
        self, network: keras.Model, batch_sizes: Sequence[int], idle: frozenset[str]
    ) -> keras.Model:
        outputs: Any = network.outputs[0]
        if len(network.outputs) > 1:
            outputs = dict(zip(network.output_names, network.outputs, strict=True))
        model = ShardedModel(network.inputs[0], outputs, name=network.name)
        model.cut(self._shards, batch_sizes, idle)
        return model


class GPU(Device):
    """One GPU, for which XLA compiles the step."""

    jit_compile = True


class SeveralDevices(Device):
    """Replicas side by side, each of which takes a share of every batch."""

    steps_a_call = 1  # TensorFlow 2.21 fails to loop over steps on several devices

    def __init__(self, replicas: Any) -> None:
        self._replicas = replicas  # a tf.distribute.Strategy

    def scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._replicas.scope()
        return scope

    def step(self, model: keras.Model) -> Callable[[Any], Any]:
        return lambda batch: self._replicas.run(model.train_step, args=(batch,))

    def distributed(self, batches: tf.data.Dataset) -> Any:
        return self._replicas.experimental_distribute_dataset(batches)

    def prepare(
        self, network: keras.Model, batch_sizes: Sequence[int], idle: frozenset[str]
    ) -> keras.Model:
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True  # statistics of the whole batch
        return network


def device_for(precision: str, *, in_layers: bool = True) -> Device:
    """Return what trains here in arithmetic of this ``precision``.

    ``in_layers`` is false of a model whose layers need not be one after the other, one input each.
    """
    gpu, several = has_gpu(), strategy()
    if several is not None:
        return SeveralDevices(several)
    if gpu:
        return GPU()
    # with mixed_float16 Keras scales the loss, which a step in shards does not
    if precision == "mixed_float16" or not in_layers:
        return Device()
    return Processor(thread_count())
