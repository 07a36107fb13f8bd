"""Transfer: a network of keras.applications with its weights, below a new output layer."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kerascw.errors import CallError
from kerascw.experiment.own_file import sha256_of
from kerascw.experiment.spec import Backbone, Shape
from kerascw.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

    from kerascw.models.parts import Seeds

NETWORKS = {
    "mobilenet_v3_small": "MobileNetV3Small",
    "mobilenet_v3_large": "MobileNetV3Large",
    "efficientnet_b0": "EfficientNetB0",
    "efficientnet_v2_b0": "EfficientNetV2B0",
}
"""Classes of ``keras.applications`` that take pixels in [0, 255] and scale them themselves."""

LAYER = "backbone"
"""The layer that the network is."""


@lru_cache(maxsize=16)
def check(spec: Backbone) -> None:
    """Build the network once with its weights.

    Raises CallError: the weights cannot be had, have changed, or are another network's.
    """
    import_tensorflow()
    _network(spec)


def layers(
    spec: Backbone, input_shape: Shape, classes: int, seeds: Seeds
) -> list[keras.layers.Layer]:
    """Return the layers for images in [0, 1], the output layer among them."""
    import keras
    from keras import layers as kl

    from kerascw.models.parts import output

    images = keras.Input(input_shape)
    pixels = kl.Resizing(spec.side, spec.side, dtype="float32")(kl.Rescaling(255.0)(images))
    if input_shape[-1] == 1:
        pixels = kl.Concatenate()([pixels] * 3)
    inner = _network(spec)
    network = keras.Model(images, inner(pixels), name=LAYER)
    network.trainable = not spec.frozen
    for layer in inner.layers:
        # Keras' guide calls the network with training=False, which Keras 3.15 overrides in fit
        if isinstance(layer, kl.BatchNormalization):
            layer.trainable = False
    dropout = [kl.Dropout(spec.dropout, seed=next(seeds))] if spec.dropout else []
    return [network, *dropout, output(classes, "glorot_uniform", spec.output, seeds)]


def _network(spec: Backbone) -> keras.Model:
    import keras

    build: Any = getattr(keras.applications, NETWORKS[spec.network])
    shape = (spec.side, spec.side, 3)
    arguments = {"include_top": False, "input_shape": shape, "pooling": "avg"}
    if spec.weights == "random":
        network: keras.Model = build(weights=None, **arguments)
        return network
    if spec.weights_sha256 and sha256_of(spec.weights) != spec.weights_sha256:
        raise CallError(f"{spec.weights}: it has changed since this experiment was made")
    try:
        with warnings.catch_warnings():
            # of the size, and a line for each layer before Keras gives up on a file
            warnings.simplefilter("ignore", UserWarning)
            network = build(weights=spec.weights, **arguments)
    except Exception as error:  # of h5py, Keras and the download, each of its own kind
        reason = str(error).strip().split("\n", 1)[0]
        if spec.weights_sha256:
            says = f"{spec.weights}: no weights of {spec.network} without its top"
        else:
            says = (
                f"{spec.network}: its ImageNet weights are neither in Keras' cache nor to be "
                "downloaded; give a file with --weights"
            )
        raise CallError(f"{says} ({reason:.150})") from None
    return network
