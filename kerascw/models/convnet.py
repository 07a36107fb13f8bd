"""Convnets, with pooling anywhere or nowhere, and heads at any depth."""

import keras
from keras import layers as kl

from kerascw.experiment.spec import MAIN_HEAD, ConvNet, Shape
from kerascw.models.parts import Seeds, activation, dense, dropout, kernel_initializer, output


def _conv_stage(spec: ConvNet, number: int, seeds: Seeds) -> list[kl.Layer]:
    """Return conv layer ``number``, counted from 1, with all that follows it.

    Max pooling stands before the activation: every activation offered but GELU is monotone, so
    the maximum of the activations is the activation of the maximum, with the same gradient, and
    four times fewer values are activated (a tenth of the step on the 32-64-64 convnet).
    """
    kernel, padding = spec.kernel_of(number - 1), spec.padding_of(number - 1)
    conv: list[kl.Layer] = []
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
            kernel_initializer=kernel_initializer(spec.initializer, seeds),
        )
    )
    norm = [_norm(spec, f"conv_{number}_norm")] if spec.batch_norm else []
    act = activation(spec.activation, f"conv_{number}_{spec.activation}")
    conv_dropout = dropout(spec.dropout, "conv", number, seeds)
    if number not in spec.pool_after:
        return [*conv, *norm, *act, *conv_dropout]
    pool = kl.MaxPooling2D(spec.pool_size, name=f"pool_{number}")
    pool_dropout = dropout(spec.dropout, "pool", number, seeds)
    if spec.norm_after_pool:
        return [*conv, pool, *norm, *act, *conv_dropout, *pool_dropout]
    if spec.activation == "gelu" or conv_dropout:  # the order is not free here
        return [*conv, *norm, *act, *conv_dropout, pool, *pool_dropout]
    return [*conv, *norm, pool, *act, *pool_dropout]


def _dense_stage(spec: ConvNet, seeds: Seeds) -> list[kl.Layer]:
    """Return flattening, or global average pooling, and the hidden dense layers."""
    stage: list[kl.Layer] = [
        kl.Flatten(name="flatten")
        if spec.head == "flatten"
        else kl.GlobalAveragePooling2D(name="average"),
        *dropout(spec.dropout, "flatten", 1, seeds),
    ]
    act = spec.dense_activation or spec.activation
    for number, units in enumerate(spec.dense, start=1):
        if spec.dense_batch_norm:
            stage += [
                dense(units, "linear", spec.initializer, number, seeds, bias=spec.bias_before_norm),
                _norm(spec, f"dense_{number}_norm"),
                *activation(act, f"dense_{number}_{act}"),
            ]
        else:
            stage.append(dense(units, act, spec.initializer, number, seeds))
        stage += dropout(spec.dropout, "dense", number, seeds)
    return stage


def _norm(spec: ConvNet, name: str) -> kl.Layer:
    return kl.BatchNormalization(
        momentum=spec.batch_norm_momentum, epsilon=spec.batch_norm_epsilon, name=name
    )


def conv_stages(spec: ConvNet, seeds: Seeds) -> list[list[kl.Layer]]:
    """Return every conv layer with all that follows it, before flattening."""
    return [_conv_stage(spec, number, seeds) for number in range(1, len(spec.filters) + 1)]


def layers(spec: ConvNet, input_shape: Shape, classes: int, seeds: Seeds) -> list[kl.Layer]:
    """Return the layers on the way to the main head, and its output layer."""
    stages = [*conv_stages(spec, seeds), _dense_stage(spec, seeds)]
    hidden = [layer for stage in stages for layer in stage]
    return [*hidden, output(classes, spec.initializer, spec.output, seeds)]


def every_head(
    spec: ConvNet,
    classes: int,
    scale: kl.Layer,
    images: keras.KerasTensor,
    seeds: Seeds,
    *,
    mirrors: bool,
) -> dict[str, keras.KerasTensor]:
    """Return the probabilities of every head, by its name.

    ``scale`` is the layer that scales pixels. With ``mirrors`` they are the mean of those for the
    image and for its mirror image, by the same layers.
    """
    stages = [*conv_stages(spec, seeds), _dense_stage(spec, seeds)]
    ends = {
        number: (
            kl.Flatten(name=f"aux{number}_flatten"),
            output(classes, spec.initializer, spec.output, seeds, f"aux{number}"),
        )
        for number in sorted(spec.auxiliary)
    }
    main = output(classes, spec.initializer, spec.output, seeds)

    def heads(end: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        given = {}
        for number, stage in enumerate([[scale], *stages]):
            for layer in stage:
                end = layer(end)
            if number in ends:
                flatten, probabilities = ends[number]
                given[f"aux{number}"] = probabilities(flatten(end))
        return given | {MAIN_HEAD: main(end)}

    found = heads(images)
    if not mirrors:
        return found
    mirrored = heads(keras.ops.flip(images, axis=2))
    return {
        head: kl.Average(name=f"{head}_both_ways")([one, mirrored[head]])
        for head, one in found.items()
    }
