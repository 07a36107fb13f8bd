"""Build a model of any kind: its two ends, and in between the layers of its kind."""

from collections.abc import Callable

import keras
from keras import layers as kl

from kerascw.experiment import spec as kinds
from kerascw.models import Scaling, autoencoder, backbone, convnet, custom
from kerascw.models.parts import Seeds, dense, draw_torch_biases, output, seeds_from


def build(
    spec: kinds.ModelSpec,
    input_shape: kinds.Shape,
    classes: int,
    scaling: Scaling,
    seed: int | None,
    for_training: bool,
    precision: str,
) -> keras.Model:
    """Build a model that was checked; see :func:`kerascw.models.build_model`."""
    if isinstance(spec, kinds.Custom | kinds.Backbone):
        # Keras numbers unnamed layers by how many the process has made: begin anew each time
        keras.utils.clear_session(free_memory=False)
        if seed is not None:
            keras.utils.set_random_seed(seed)
        seeds = seeds_from(None)  # layers that are not ours draw too, in between
    else:
        seeds = seeds_from(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        images = keras.Input(input_shape, dtype="uint8", name="images")
        scale = kl.Rescaling(scaling.scale, scaling.offset, name="scale_pixels")
        mirrors = isinstance(spec, kinds.ConvNet) and spec.mirror_average and not for_training
        if isinstance(spec, kinds.ConvNet) and (spec.auxiliary or mirrors):
            outputs = convnet.every_head(spec, classes, scale, images, seeds, mirrors=mirrors)
            given = outputs if spec.auxiliary else outputs[kinds.MAIN_HEAD]
            model = keras.Model(images, given, name=spec.kind)
        else:
            layers = _LAYERS[type(spec)](spec, input_shape, classes, seeds)
            model = keras.Sequential([images, scale, *layers], name=spec.kind)
    finally:
        keras.config.set_dtype_policy(before)
    if getattr(spec, "initializer", None) == "torch":
        draw_torch_biases(model, seed or 0)
    return model


def _perceptron(
    spec: kinds.DenseNet, input_shape: kinds.Shape, classes: int, seeds: Seeds
) -> list[kl.Layer]:
    """Return the layers of a multilayer perceptron on the flattened image."""
    stack: list[kl.Layer] = [kl.Flatten(name="flatten")]
    for number, units in enumerate(spec.dense, start=1):
        stack.append(dense(units, spec.activation, spec.initializer, number, seeds))
        if spec.dropout_rate:
            name = f"dense_{number}_dropout"
            stack.append(kl.Dropout(spec.dropout_rate, seed=next(seeds), name=name))
    return [*stack, output(classes, spec.initializer, spec.output, seeds)]


_LAYERS: dict[type[kinds.Spec], Callable[..., list[kl.Layer]]] = {
    kinds.ConvNet: convnet.layers,
    kinds.DenseNet: _perceptron,
    kinds.Autoencoder: autoencoder.layers,
    kinds.Custom: custom.layers,
    kinds.Backbone: backbone.layers,
}
"""What makes the layers of each kind of model, after the one that scales pixels."""
