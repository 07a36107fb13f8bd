"""Models of one's own: what a function of a Python file builds, checked and given its two ends.

The function is called with the shape of the images (height, width, channels), the number of
classes, and the spec's arguments. Its model takes float32 images ``[n, height, width, channels]``
as ``data.scaling`` has them, in [0, 1] by default, and gives ``[n, classes]``: probabilities, or
with ``logits`` what these are computed from.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.errors import CallError
from kerascw.experiment.own_file import call_function, lines_named, module_of, sha256_of
from kerascw.experiment.spec import MAIN_HEAD, Custom, Shape
from kerascw.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

_NEAR = 1e-3
"""How far the sum of the probabilities of an image may be from 1; bfloat16 has three digits."""


@lru_cache(maxsize=64)
def check(spec: Custom, input_shape: Shape, classes: int) -> None:
    """Build the model once and show it four images of noise.

    Raises CallError: in one line: the function raises, the model does not take the images, what it
    gives is not what was agreed, or Keras cannot save it and read it again.
    """
    import_tensorflow()
    import keras

    model = _made(spec, input_shape, classes)
    images = np.random.default_rng(0).random((4, *input_shape), dtype=np.float32)
    with lines_named(f"{spec.builder}: its model does not take float32 {list(images.shape)}"):
        outputs = model(images, training=False)
    shape = list(getattr(outputs, "shape", ()))
    if shape != [4, classes]:
        gives = shape or type(outputs).__name__
        raise CallError(
            f"{spec.builder}: of 4 images its model gives {gives}; expected [4, {classes}], a "
            "number for each class"
        )
    _check_values(spec, keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")))
    with lines_named(f"{spec.builder}: Keras cannot save its model and read it again"):
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(model), custom_objects=custom_objects(spec)
        )


def _check_values(spec: Custom, outputs: np.ndarray) -> None:
    sums = outputs.sum(axis=1)
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    one = inside and (spec.output == "sigmoid" or bool((abs(sums - 1) < _NEAR).all()))
    if not spec.logits and not one:
        found = f"{outputs.min():.3g} to {outputs.max():.3g} with a sum of {sums[0]:.3g} an image"
        raise CallError(
            f"{spec.builder}: its model gives no probabilities but {found}; end it with "
            f"{spec.output}, or set logits (model.logits=true)"
        )
    if spec.logits and spec.output == "softmax" and one:
        raise CallError(
            f"{spec.builder}: model.logits is set, but its model gives probabilities already; "
            "leave its softmax out, or model.logits"
        )


def layers(
    spec: Custom, input_shape: Shape, classes: int, seeds: object
) -> list[keras.layers.Layer]:
    """Return the model as one layer, and what makes float32 probabilities of its outputs."""
    from keras import layers as kl

    end = spec.output if spec.logits else "linear"
    return [
        _made(spec, input_shape, classes),
        kl.Activation(end, dtype="float32", name=MAIN_HEAD),
    ]


def _made(spec: Custom, input_shape: Shape, classes: int) -> keras.Model:
    import keras

    if sha256_of(spec.file) != spec.source:
        raise CallError(
            f"{spec.file}: it has changed since this experiment was made, whose key stands for its "
            "text then; run the command again, or put the file back"
        )
    model = call_function(spec.file, spec.builder, input_shape, classes, **spec.arguments)
    if not isinstance(model, keras.Model):
        raise CallError(f"{spec.builder}: returned {type(model).__name__}, not a keras.Model")
    return model


def custom_objects(spec: Any) -> dict[str, Any]:
    """Return the layer classes of the file, by name, to load a saved model with.

    Empty for a spec of any other kind, and where the file is gone: a model of Keras' own layers
    loads without it.
    """
    if not isinstance(spec, Custom) or not Path(spec.file).is_file():
        return {}
    from keras.layers import Layer

    module = module_of(spec.file, spec.builder)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Layer)
        and value.__module__ == module.__name__
    }
