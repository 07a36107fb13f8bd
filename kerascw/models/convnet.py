"""Convnets, with pooling anywhere or nowhere, and heads at any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kerascw.errors import CallError
from kerascw.experiment.spec import MAIN_HEAD, ConvNet

if TYPE_CHECKING:
    import keras


def check(spec: ConvNet, input_shape: tuple[int, int, int]) -> None:
    """Follow the image's size through the layers; refuse where nothing is left of it."""
    height, width, _ = input_shape
    if spec.first_filters == "whitening" and spec.kernel_of(0) > min(height, width):
        raise CallError(
            f"model.first_filters: whitening needs patches of {spec.kernel_of(0)}x"
            f"{spec.kernel_of(0)}, and the images are {height}x{width}; choose random"
        )
    for number in range(1, len(spec.filters) + 1):
        kernel, before = spec.kernel_of(number - 1), f"{height}x{width}"
        padding = spec.padding_of(number - 1)
        if padding != "same":
            around = 0 if padding == "valid" else 2 * int(padding)
            height, width = height + around - kernel + 1, width + around - kernel + 1
        if min(height, width) < 1:
            raise CallError(
                f"model.kernels: conv layer {number} ({kernel}x{kernel}, padding {padding}) "
                f"leaves no pixel of {before}"
            )
        if number in spec.pool_after:
            before, size = f"{height}x{width}", spec.pool_size
            height, width = height // size, width // size
            if min(height, width) < 1:
                raise CallError(
                    f"model.pool_after: the {size}x{size} pooling after conv layer {number} "
                    f"leaves no pixel of {before}"
                )
    if spec.head is None:
        raise CallError(
            f"model.head: none, so the last layer, conv {len(spec.filters)}, gives maps of "
            f"{height}x{width}x{spec.filters[-1]} and no class probabilities; such a model cannot "
            "be fitted to labels; choose flatten or average"
        )


def _conv_stage(spec: ConvNet, number: int) -> list[keras.layers.Layer]:
    """Return conv layer ``number``, counted from 1, with all that follows it.

    Max pooling stands before the activation: every activation offered but GELU is monotone, so
    the maximum of the activations is the activation of the maximum, with the same gradient, and
    four times fewer values are activated (a tenth of the step on the 32-64-64 convnet).
    """
    from keras import layers as kl

    from kerascw.models.parts import activation, dropout, kernel_initializer

    kernel, padding = spec.kernel_of(number - 1), spec.padding_of(number - 1)
    conv: list[keras.layers.Layer] = []
    if isinstance(padding, int) and padding:
        conv.append(kl.ZeroPadding2D(padding, name=f"pad_{number}"))
    conv.append(
        kl.Conv2D(
            spec.filters[number - 1],
            kernel,
            padding="same" if padding == "same" else "valid",
            # batch norm's own offset takes its place
            use_bias=spec.bias_before_norm or not spec.batch_norm,
            name=f"conv_{number}",
            kernel_initializer=kernel_initializer(spec.initializer),
        )
    )
    norm = [_norm(spec, f"conv_{number}_norm")] if spec.batch_norm else []
    act = activation(spec.activation, f"conv_{number}_{spec.activation}")
    conv_dropout = dropout(spec.dropout, "conv", number)
    if number not in spec.pool_after:
        return [*conv, *norm, *act, *conv_dropout]
    pool = kl.MaxPooling2D(spec.pool_size, name=f"pool_{number}")
    pool_dropout = dropout(spec.dropout, "pool", number)
    if spec.norm_after_pool:
        return [*conv, pool, *norm, *act, *conv_dropout, *pool_dropout]
    if spec.activation == "gelu" or conv_dropout:  # the order is not free here
        return [*conv, *norm, *act, *conv_dropout, pool, *pool_dropout]
    return [*conv, *norm, pool, *act, *pool_dropout]


def _dense_stage(spec: ConvNet) -> list[keras.layers.Layer]:
    """Return flattening, or global average pooling, and the hidden dense layers."""
    from keras import layers as kl

    from kerascw.models.parts import activation, dense, dropout

    stage: list[keras.layers.Layer] = [
        kl.Flatten(name="flatten")
        if spec.head == "flatten"
        else kl.GlobalAveragePooling2D(name="average"),
        *dropout(spec.dropout, "flatten", 1),
    ]
    act = spec.dense_activation or spec.activation
    for number, units in enumerate(spec.dense, start=1):
        if spec.dense_batch_norm:
            stage += [
                dense(units, "linear", spec.initializer, number, bias=spec.bias_before_norm),
                _norm(spec, f"dense_{number}_norm"),
                *activation(act, f"dense_{number}_{act}"),
            ]
        else:
            stage.append(dense(units, act, spec.initializer, number))
        stage += dropout(spec.dropout, "dense", number)
    return stage


def _norm(spec: ConvNet, name: str) -> keras.layers.Layer:
    from keras import layers as kl

    return kl.BatchNormalization(
        momentum=spec.batch_norm_momentum, epsilon=spec.batch_norm_epsilon, name=name
    )


def _stages(spec: ConvNet) -> list[list[keras.layers.Layer]]:
    """Return the hidden layers: a stage for each conv layer, and the last from flattening on."""
    numbers = range(1, len(spec.filters) + 1)
    return [*(_conv_stage(spec, number) for number in numbers), _dense_stage(spec)]


def layers(spec: ConvNet) -> list[keras.layers.Layer]:
    """Return the hidden layers on the way to the main head."""
    return [layer for stage in _stages(spec) for layer in stage]


def heads(
    spec: ConvNet, classes: int
) -> Callable[[keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """Return a function from scaled images to the probabilities of every head, by its name.

    Called twice, it uses the same layers twice.
    """
    from keras import layers as kl

    from kerascw.models.parts import output

    stages = _stages(spec)
    ends = {
        number: (
            kl.Flatten(name=f"aux{number}_flatten"),
            output(classes, spec.initializer, spec.output, f"aux{number}"),
        )
        for number in sorted(spec.auxiliary)
    }
    main = output(classes, spec.initializer, spec.output)

    def applied(end: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        given = {}
        for number, stage in enumerate(stages, start=1):
            for layer in stage:
                end = layer(end)
            if number in ends:
                flatten, probabilities = ends[number]
                given[f"aux{number}"] = probabilities(flatten(end))
        given[MAIN_HEAD] = main(end)
        return given

    return applied


def both_ways(
    given: dict[str, keras.KerasTensor], mirrored: dict[str, keras.KerasTensor]
) -> dict[str, keras.KerasTensor]:
    """Return the mean of each head's probabilities for an image and for its mirror image."""
    from keras import layers as kl

    return {
        head: kl.Average(name=f"{head}_both_ways")([output, mirrored[head]])
        for head, output in given.items()
    }
