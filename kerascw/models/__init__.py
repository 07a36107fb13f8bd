"""Models built from specs. Importing this loads no TensorFlow; building does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerascw.experiment import spec as kinds
from kerascw.models import autoencoder, backbone, convnet, custom, mlp
from kerascw.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

__all__ = ["Scaling", "build_model", "by_head", "check_model"]


@dataclass(frozen=True)
class Scaling:
    """How the model scales raw pixels: ``pixel * scale + offset``."""

    scale: float = 1 / 255
    offset: float = 0.0


# one module a kind of model
_BUILDERS = {kinds.ConvNet: convnet, kinds.DenseNet: mlp, kinds.Autoencoder: autoencoder}


def check_model(
    spec: kinds.ModelSpec, input_shape: tuple[int, int, int], classes: int = 10
) -> None:
    """Raise a :class:`CallError` that names the layer where ``spec`` cannot be built.

    ``input_shape`` is height, width, channels. Nothing is built and TensorFlow not imported, but
    for a model of one's own, of which only building it says what it is, and for weights of a
    backbone, which may not fit.
    """
    if isinstance(spec, kinds.Custom):
        custom.check(spec, input_shape, classes)
        return
    if isinstance(spec, kinds.Backbone):
        backbone.check(spec)
        return
    _BUILDERS[type(spec)].check(spec, input_shape)


def build_model(
    spec: kinds.ModelSpec,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    *,
    scaling: Scaling | None = None,
    seed: int | None = None,
    for_training: bool = False,
    precision: str = "float32",
) -> keras.Model:
    """Build the model that ``spec`` describes, with fresh weights.

    The model takes raw uint8 images ``[n, height, width, channels]``, scales them itself and
    returns float32 probabilities ``[n, classes]``; an autoencoder float32 images of the same
    shape, on a scale where 1 is white. One with auxiliary heads returns a dictionary: the
    probabilities of each head by its name, the main one's by ``probabilities``.

    Parameters
    ----------
    scaling : what the first layer does with pixels; [0, 255] to [0, 1] if not given.
    seed : fixes the weights and every dropout layer; None leaves Keras' global state alone.
    for_training : leave out the average over mirror images, which only predictions have; the
        weights are the same, in the same order.
    precision : Keras' name of the dtype policy of all layers but the output's.

    Raises a :class:`CallError` if ``spec`` gives no such model, naming the layer and the reason.

    >>> from kerascw.experiment.spec import ConvNet
    >>> build_model(ConvNet(filters=(32, 64, 64), pool_after=(1, 2), dense=(64,))).count_params()
    93322
    """
    check_model(spec, input_shape, classes)
    import_tensorflow()
    import keras

    from kerascw.models.parts import draw_torch_biases

    if isinstance(spec, kinds.Custom | kinds.Backbone):
        # Keras numbers unnamed layers by how many the process has made: begin anew each time
        keras.utils.clear_session(free_memory=False)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = _built(spec, input_shape, classes, scaling or Scaling(), for_training)
    finally:
        keras.config.set_dtype_policy(before)
    if not isinstance(spec, kinds.Custom | kinds.Backbone) and spec.initializer == "torch":
        draw_torch_biases(model, seed or 0)
    return model


def _built(
    spec: kinds.ModelSpec,
    input_shape: tuple[int, int, int],
    classes: int,
    scaling: Scaling,
    for_training: bool,
) -> keras.Model:
    import keras

    from kerascw.models.parts import output

    images = keras.Input(input_shape, dtype="uint8", name="images")
    scale = keras.layers.Rescaling(scaling.scale, scaling.offset, name="scale_pixels")
    mirrors = isinstance(spec, kinds.ConvNet) and spec.mirror_average and not for_training
    if isinstance(spec, kinds.ConvNet) and (spec.auxiliary or mirrors):
        heads = convnet.heads(spec, classes)
        outputs = heads(scale(images))
        if mirrors:
            outputs = convnet.both_ways(outputs, heads(scale(keras.ops.flip(images, axis=2))))
        return keras.Model(
            images, outputs if spec.auxiliary else outputs[kinds.MAIN_HEAD], name=spec.kind
        )
    if isinstance(spec, kinds.Custom):
        stack = custom.layers(spec, input_shape, classes)
    elif isinstance(spec, kinds.Backbone):
        stack = backbone.layers(spec, input_shape)
        stack.append(output(classes, "glorot_uniform", spec.output))
    elif isinstance(spec, kinds.Autoencoder):
        stack = autoencoder.layers(spec, input_shape[-1])
    else:
        stack = _BUILDERS[type(spec)].layers(spec)
        stack.append(output(classes, spec.initializer, spec.output))
    return keras.Sequential([images, scale, *stack], name=spec.kind)


def by_head(outputs: Any) -> dict[str, Any]:
    """Return a model's outputs by the name of the head, also where it has but one."""
    return outputs if isinstance(outputs, dict) else {kinds.MAIN_HEAD: outputs}
