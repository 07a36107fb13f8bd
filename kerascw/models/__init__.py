"""Models built from specs. Importing this loads no TensorFlow; building does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerascw.experiment import spec as kinds
from kerascw.models import backbone, custom, sizes
from kerascw.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

__all__ = ["Scaling", "build_model", "by_head", "check_model"]


@dataclass(frozen=True)
class Scaling:
    """How the model scales raw pixels: ``pixel * scale + offset``."""

    scale: float = 1 / 255
    offset: float = 0.0


def check_model(spec: kinds.ModelSpec, input_shape: kinds.Shape, classes: int = 10) -> None:
    """Raise a :class:`CallError` that names the layer where ``spec`` cannot be built.

    ``input_shape`` is height, width, channels. Nothing is built and TensorFlow not imported, but
    for a model of one's own, of which only building it says what it is, and for weights of a
    backbone, which may not fit.
    """
    match spec:
        case kinds.ConvNet():
            sizes.check_convnet(spec, input_shape)
        case kinds.Autoencoder():
            sizes.check_autoencoder(spec, input_shape)
        case kinds.Custom():
            custom.check(spec, input_shape, classes)
        case kinds.Backbone():
            backbone.check(spec)


def build_model(
    spec: kinds.ModelSpec,
    input_shape: kinds.Shape = (28, 28, 1),
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
    seed : fixes the weights and every dropout layer, whatever else draws random numbers meanwhile
        (but with a model of one's own and a backbone, whose layers draw from Python's and Keras'
        global generators); None: they differ every time.
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
    from kerascw.models.build import build

    return build(spec, input_shape, classes, scaling or Scaling(), seed, for_training, precision)


def by_head(outputs: Any) -> dict[str, Any]:
    """Return a model's outputs by the name of the head, also where it has but one."""
    return outputs if isinstance(outputs, dict) else {kinds.MAIN_HEAD: outputs}
