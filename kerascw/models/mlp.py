"""Multilayer perceptrons on the flattened image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascw.experiment.spec import DenseNet

if TYPE_CHECKING:
    import keras


def check(spec: DenseNet, input_shape: tuple[int, int, int]) -> None:
    """Accept: a multilayer perceptron can be built on any image."""


def layers(spec: DenseNet) -> list[keras.layers.Layer]:
    """Return the flattening and the hidden layers."""
    from keras import layers as kl

    from kerascw.models.parts import dense

    stack: list[keras.layers.Layer] = [kl.Flatten(name="flatten")]
    for number, units in enumerate(spec.dense, start=1):
        stack.append(dense(units, spec.activation, spec.initializer, number))
        if spec.dropout_rate:
            stack.append(kl.Dropout(spec.dropout_rate, name=f"dense_{number}_dropout"))
    return stack
