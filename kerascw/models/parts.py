"""What the builders share: initial weights, activations, dropout, dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import keras
import numpy as np
from keras import layers as kl

from kerascw.experiment.spec import MAIN_HEAD, Activation, Dropout, Initializer, Output

Seeds = Iterator[int | None]
"""A seed for each kernel initializer and dropout layer, in the order in which these are made."""


def seeds_from(seed: int | None) -> Seeds:
    """Yield the seeds that Keras draws after ``set_random_seed(seed)``; None: it draws its own.

    Keras draws them from Python's global generator, which other threads use too, as those of a
    Dask worker do.
    """
    own = Random(seed)
    while True:
        yield None if seed is None else own.randint(1, 10**9)


def kernel_initializer(name: Initializer, seeds: Seeds) -> keras.initializers.Initializer:
    """Return a fresh initializer, so that each layer has a seed of its own.

    ``torch`` is PyTorch's default, uniform in ±1/sqrt(fan-in), for kernels and biases alike
    (documentation of ``torch.nn.Conv2d`` and ``torch.nn.Linear``).
    """
    seed = next(seeds)
    if name == "torch":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)
    if name == "normal_0.01":
        return keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return getattr(keras.initializers, name)(seed=seed)


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


def dropout(specs: tuple[Dropout, ...], after: str, number: int, seeds: Seeds) -> list[kl.Layer]:
    """Return the dropout layers that ``specs`` put after this layer, counted from 1."""
    return [
        (kl.SpatialDropout2D if spec.kind == "spatial" else kl.Dropout)(
            spec.rate, seed=next(seeds), name=f"{after}_{number}_dropout"
        )
        for spec in specs
        if spec.after == after and spec.rate and (spec.layers is None or number in spec.layers)
    ]


def dense(
    units: int,
    act: Activation,
    initializer: Initializer,
    number: int,
    seeds: Seeds,
    *,
    bias: bool = True,
) -> kl.Layer:
    """Return the hidden dense layer ``number``, counted from 1."""
    return kl.Dense(
        units,
        activation=act,
        use_bias=bias,
        kernel_initializer=kernel_initializer(initializer, seeds),
        name=f"dense_{number}",
    )


def output(
    classes: int, initializer: Initializer, kind: Output, seeds: Seeds, name: str = MAIN_HEAD
) -> kl.Layer:
    """Return the layer of probabilities that every classifier, and every head, ends with."""
    return kl.Dense(
        classes,
        activation=kind,
        kernel_initializer=kernel_initializer(initializer, seeds),
        dtype="float32",  # also where the layers before it compute in 16 bits
        name=name,
    )
