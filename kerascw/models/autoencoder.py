"""Convolutional autoencoders: images in, images of the same size out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascw.errors import CallError
from kerascw.experiment.spec import Autoencoder

if TYPE_CHECKING:
    import keras


def check(spec: Autoencoder, input_shape: tuple[int, int, int]) -> None:
    """Follow the image's size down and up again; refuse where it does not come back.

    Pooling drops the last row or column of an odd side, and upsampling does not bring it back.
    """
    sides = input_shape[:2]
    odd = ""
    for number, kernel in enumerate(_kernels(spec), start=1):
        before = _size(sides)
        sides = sides[0] - kernel + 1, sides[1] - kernel + 1
        if min(sides) < 1:
            raise CallError(
                f"model.kernels: conv layer {number} ({kernel}x{kernel}, padding valid) leaves no "
                f"pixel of {before}"
            )
        if min(sides) < 2:
            raise CallError(
                f"model.kernels: the 2x2 pooling after conv layer {number} leaves no pixel of "
                f"{_size(sides)}"
            )
        if not odd and any(side % 2 for side in sides):
            odd = f"after conv layer {number} it is {_size(sides)}, and pooling drops an odd side's"
        sides = sides[0] // 2, sides[1] // 2
    for kernel in reversed(_kernels(spec)):
        sides = 2 * sides[0] + kernel - 1, 2 * sides[1] + kernel - 1
    if sides != input_shape[:2]:
        raise CallError(
            f"model.kernels: an image of {_size(input_shape[:2])} comes back as {_size(sides)}: "
            f"{odd} last pixels; choose kernels that leave even sides before every pooling"
        )


def layers(spec: Autoencoder, channels: int) -> list[keras.layers.Layer]:
    """Return all layers; the last one has as many filters as the image has channels.

    The encoder's are named as :mod:`kerascw.models.convnet` names them, so that a convnet can
    begin with their weights, and as there a monotone activation stands after its pooling.
    """
    from keras import layers as kl

    from kerascw.models.parts import activation, kernel_initializer

    stack: list[keras.layers.Layer] = []
    kernels = _kernels(spec)
    for number, (filters, kernel) in enumerate(zip(spec.filters, kernels, strict=True), start=1):
        conv = kl.Conv2D(
            filters,
            kernel,
            name=f"conv_{number}",
            kernel_initializer=kernel_initializer(spec.initializer),
        )
        act = activation(spec.activation, f"conv_{number}_{spec.activation}")
        pool = kl.MaxPooling2D(2, name=f"pool_{number}")
        stack += [conv, *act, pool] if spec.activation == "gelu" else [conv, pool, *act]
    mirrored = zip((channels, *spec.filters[:-1]), kernels, strict=True)
    for number, (filters, kernel) in enumerate(reversed(list(mirrored)), start=1):
        stack += [
            kl.UpSampling2D(2, name=f"up_{number}"),
            kl.Conv2DTranspose(
                filters,
                kernel,
                name=f"deconv_{number}",
                kernel_initializer=kernel_initializer(spec.initializer),
            ),
            *activation(spec.activation, f"deconv_{number}_{spec.activation}"),
        ]
    return stack


def _kernels(spec: Autoencoder) -> tuple[int, ...]:
    """Return the kernel size of every conv layer."""
    return spec.kernels if len(spec.kernels) > 1 else spec.kernels * len(spec.filters)


def _size(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
