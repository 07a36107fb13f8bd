"""What the builders share: initial weights, activations, dropout, dense layers."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers as kl

from kerascw.experiment.spec import MAIN_HEAD, Activation, Dropout, Initializer, Output


def kernel_initializer(name: Initializer) -> keras.initializers.Initializer:
    """Return a fresh initializer, so that each layer draws a seed of its own.

    ``torch`` is PyTorch's default, uniform in ±1/sqrt(fan-in), for kernels and biases alike
    (documentation of ``torch.nn.Conv2d`` and ``torch.nn.Linear``).
    """
    if name == "torch":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    if name == "normal_0.01":
        return keras.initializers.RandomNormal(stddev=0.01)
    return keras.initializers.get(name)


def draw_torch_biases(model: keras.Model, seed: int) -> None:
    """Give every bias PyTorch's initial values; Keras' initializers do not know the fan-in.

    A transposed convolution's kernel is ``[height, width, out, in]``: like PyTorch this counts
    the channels that it gives, not those that it takes.
    """
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            bound = float(np.prod(layer.kernel.shape[:-1])) ** -0.5
            layer.bias.assign(random.uniform(-bound, bound, layer.bias.shape))


def activation(name: Activation, layer_name: str) -> list[kl.Layer]:
    """Return the activation as a layer of its own, or nothing for the linear one."""
    return [] if name == "linear" else [kl.Activation(name, name=layer_name)]


def dropout(specs: tuple[Dropout, ...], after: str, number: int) -> list[kl.Layer]:
    """Return the dropout layers that ``specs`` put after this layer, counted from 1."""
    return [
        (kl.SpatialDropout2D if spec.kind == "spatial" else kl.Dropout)(
            spec.rate, name=f"{after}_{number}_dropout"
        )
        for spec in specs
        if spec.after == after and spec.rate and (spec.layers is None or number in spec.layers)
    ]


def dense(
    units: int, act: Activation, initializer: Initializer, number: int, *, bias: bool = True
) -> kl.Layer:
    """Return the hidden dense layer ``number``, counted from 1."""
    return kl.Dense(
        units,
        activation=act,
        use_bias=bias,
        kernel_initializer=kernel_initializer(initializer),
        name=f"dense_{number}",
    )


def output(classes: int, initializer: Initializer, kind: Output, name: str = MAIN_HEAD) -> kl.Layer:
    """Return the layer of probabilities that every classifier, and every head, ends with."""
    return kl.Dense(
        classes,
        activation=kind,
        kernel_initializer=kernel_initializer(initializer),
        dtype="float32",  # also where the layers before it compute in 16 bits
        name=name,
    )
