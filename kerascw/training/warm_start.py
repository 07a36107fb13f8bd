"""Start from another model's weights in some layers."""

from collections.abc import Sequence

import keras

from kerascw.errors import CallError, choices
from kerascw.experiment.spec import Takes, WarmStart


def check_transfer(
    model: keras.Model, source: keras.Model, layers: Sequence[str], takes: Takes = "everything"
) -> None:
    """Raise a :class:`CallError` that names the first layer that cannot be taken over."""
    for name in layers:
        here, there = _layer(model, name, "this model"), _layer(source, name, "the source's model")
        if not here.weights:
            raise CallError(f"start.layers: {name} has no weights; choose {_with_weights(model)}")
        if takes == "kernels" and getattr(here, "kernel", None) is None:
            raise CallError(f"start.layers: {name} has no kernel, but start.takes is kernels")
        shapes, source_shapes = _shapes(here), _shapes(there)
        if shapes != source_shapes:
            raise CallError(
                f"start.layers: {name} has weights of {shapes} in this model and of "
                f"{source_shapes} in the source's; leave it out, or make them the same"
            )


def warm_start(model: keras.Model, source: keras.Model, start: WarmStart) -> None:
    """Copy the layers' weights from the source, and freeze the layers if ``start`` says so.

    A frozen batch normalisation also keeps its moving statistics, as Keras has it.
    """
    check_transfer(model, source, start.layers, start.takes)
    for name in start.layers:
        layer, theirs = model.get_layer(name), source.get_layer(name)
        if start.takes == "kernels":
            layer.kernel.assign(theirs.kernel)
        else:
            layer.set_weights(theirs.get_weights())
        if start.frozen:
            layer.trainable = False


def _layer(model: keras.Model, name: str, where: str) -> keras.layers.Layer:
    try:
        return model.get_layer(name)
    except ValueError:
        raise CallError(
            f"start.layers: no layer {name!r} in {where}; choose {_with_weights(model)}"
        ) from None


def _with_weights(model: keras.Model) -> str:
    return choices(layer.name for layer in model.layers if layer.weights)


def _shapes(layer: keras.layers.Layer) -> str:
    return " and ".join("x".join(map(str, weight.shape)) for weight in layer.weights)
