"""Predict with a model, and hold the model that a fit is for."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from kerascw.data.rows import Rows
from kerascw.experiment.spec import MAIN_HEAD
from kerascw.models import by_head
from kerascw.training.shards import thread_count


class Predictor:
    """A model's forward pass as one compiled function, traced once for all batch sizes.

    ``model.predict`` takes ``steps_per_execution`` batches at a time, which costs more than the
    images themselves on a small validation set. Batches of 100 stay in the processor's cache; as in
    training, each thread takes one batch through all layers.
    """

    def __init__(self, model: keras.Model) -> None:
        (images,) = model.inputs
        self._call = tf.function(
            lambda batch: by_head(model(batch, training=False)),
            input_signature=[tf.TensorSpec(images.shape, images.dtype)],
            autograph=False,  # nothing to convert: conversion writes a temporary Python file
        )
        self._call.get_concrete_function()  # trace it here, not in one of the threads

    def __call__(self, images: np.ndarray | Rows, batch_size: int = 100) -> np.ndarray:
        """Predict the main head.

        ``images`` are uint8 ``[n, height, width, channels]``; the result is float32: probabilities
        ``[n, classes]``, or an autoencoder's reconstructions, of the shape of the images.
        """
        return self.every_head(images, batch_size)[MAIN_HEAD]

    def every_head(self, images: np.ndarray | Rows, batch_size: int = 100) -> dict[str, np.ndarray]:
        """Predict every head, each under its name."""
        starts = range(0, len(images), batch_size)
        with ThreadPoolExecutor(thread_count()) as pool:
            batches = list(pool.map(lambda at: self._call(images[at : at + batch_size]), starts))
        return {
            name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
        }


class Product:
    """The model that a fit is for: the one that is scored, kept and exported.

    It has the layers of the model in training, in float32 and on one device, and the average over
    mirror images where the experiment asks for it; ``build`` makes it when it is first needed. Its
    weights are copied from ``trained``, in the order of ``model.weights``. It is never compiled, so
    its file loads in Keras alone.
    """

    def __init__(self, build: Callable[[], keras.Model], trained: Sequence[keras.Variable]) -> None:
        self._build, self._trained = build, trained

    @cached_property
    def _predictor(self) -> tuple[keras.Model, Predictor]:
        model = self._build()
        return model, Predictor(model)

    def weights(self) -> list[np.ndarray]:
        """Copy the weights as training has them now."""
        return [variable.numpy() for variable in self._trained]

    def update(self) -> Callable[..., dict[str, np.ndarray]]:
        """Take the weights as training has them now; return what predicts every head."""
        _, predict = self.finish([])
        return predict.every_head

    def finish(self, kept: list[np.ndarray]) -> tuple[keras.Model, Predictor]:
        """Return the model and its predictor, with the ``kept`` weights or those of now."""
        model, predict = self._predictor
        model.set_weights(kept or self.weights())
        return model, predict
