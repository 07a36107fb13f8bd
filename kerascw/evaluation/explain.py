"""Which pixels an answer hangs on: Grad-CAM of a live Keras model, and occlusion of any model.

Each explains one class of an image by a map of the image's size. They show where evidence lies, not
why it counts; where they disagree, none should be believed.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.errors import CallError, choices, option
from kerascw.experiment.spec import MAIN_HEAD
from kerascw.models import by_head
from kerascw.models.walk import leaves, replaced

if TYPE_CHECKING:
    import keras


def grad_cam(
    model: "keras.Model",
    images: np.ndarray,
    classes: Sequence[int] | np.ndarray,
    layer: str | None = None,
    *,
    by_place: bool = False,
) -> np.ndarray:
    """Return where a layer's features speak for a class: float32 ``[n, height, width]``, from 0 up.

    The channels of the layer, each weighted by the mean gradient of the class's logit, are added,
    and what is negative is cut off (Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2). The
    mean is right where average pooling follows. A flattened head weighs each place by itself, and
    pooling may drop the last row and column, which the mean cannot know: ``by_place`` weighs each
    place by its own gradient (HiResCAM: Draelos and Carin, arXiv:2011.08891).

    The map is brought to the image's size bilinearly. Of an average over mirror images, the half
    that sees the image as it is is explained.

    Parameters
    ----------
    model : live; raw uint8 images to probabilities, or a dictionary of these by head. The main head
        is explained. The layer may lie in a network within the model, as a backbone does.
    images : uint8 ``[n, height, width, channels]``.
    classes : n numbers, of the class that each map is for.
    layer : a name; the last convolution, with the batch norm and activation after it, if not given.

    Raises CallError: no such layer, or no convolution.
    """
    import keras
    import tensorflow as tf

    looked_at, taken = feature_layer(model, layer), list[Any]()
    call = looked_at.call
    # of a sure softmax the gradient is lost in rounding, of its logits not; a head of one's own may
    # end in another layer: then it is what the head gives
    head = next((each for each in model.layers if each.name == MAIN_HEAD), model.layers[-1])

    def watched(*arguments: Any, **options: Any) -> Any:
        given = call(*arguments, **options)
        tape.watch(given)
        taken.append(given)
        return given

    # called eagerly, so that a layer within a network within the model is found too
    with tf.GradientTape() as tape, ExitStack() as stack:
        stack.enter_context(replaced(looked_at, "call", watched))
        if hasattr(head, "activation"):
            stack.enter_context(replaced(head, "activation", keras.activations.linear))
        scores = by_head(model(images, training=False))[MAIN_HEAD]
        of_class = tf.gather(scores, np.asarray(classes), batch_dims=1)
    features = taken[-1]  # of two calls the first is of the mirror image
    if len(features.shape) != 4:
        raise CallError(
            f"{option('layer', layer)}: it gives no maps; choose {choices(_convolutions(model))}"
        )
    gradients = tape.gradient(of_class, features, unconnected_gradients="zero")
    weights = tf.cast(gradients, tf.float32)
    if not by_place:
        weights = tf.reduce_mean(weights, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), -1, keepdims=True))
    sized = keras.ops.image.resize(maps, images.shape[1:3], interpolation="bilinear")
    return np.asarray(sized)[..., 0]


def feature_layer(model: "keras.Model", name: str | None = None) -> "keras.Layer":
    """Return the layer that Grad-CAM looks at; see :func:`grad_cam`."""
    from keras import layers as kl

    every = list(leaves(model))
    convolutions = _convolutions(model)
    if not convolutions:
        raise CallError(f"{model.name}: a model without a convolution has no maps for Grad-CAM")
    if name is not None:
        named = [each for each in every if each.name == name]
        if not named:
            raise CallError(f"{option('layer', name)}: choose {choices(convolutions, name)}")
        return named[-1]
    at = max(at for at, each in enumerate(every) if each.name == convolutions[-1])
    for after in every[at + 1 :]:
        if not isinstance(after, kl.BatchNormalization | kl.Activation | kl.ReLU | kl.LeakyReLU):
            break
        at += 1
    return every[at]


def _convolutions(model: "keras.Model") -> list[str]:
    from keras import layers as kl

    kinds = (kl.Conv2D, kl.DepthwiseConv2D, kl.SeparableConv2D)
    return [layer.name for layer in leaves(model) if isinstance(layer, kinds)]


def occlusion(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    classes: Sequence[int] | np.ndarray,
    fill: int = 0,
) -> np.ndarray:
    """Return how much of a class's probability each pixel holds: float32 ``[n, height, width]``.

    A square patch, a quarter of the image's shorter side, is moved over the image in steps of a
    third of its own, and what the probability falls by is averaged for each pixel over the patches
    that cover it (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
    section 4.2, whose patch was grey). Negative: covering the pixel helps.

    Parameters
    ----------
    predict : from uint8 ``[n, height, width, channels]`` to probabilities ``[n, classes]``.
    images, classes : as in :func:`grad_cam`.
    fill : value of the patch, 0 to 255; 0 takes light things away from a black ground.
    """
    height, width = images.shape[1:3]
    side = max(1, min(height, width) // 4)
    step = max(1, side // 3)
    every = np.arange(len(images)), np.asarray(classes)
    before = predict(images)[every]
    falls, covered = np.zeros(images.shape[:3]), np.zeros((height, width))
    for top in {*range(0, height - side, step), height - side}:
        for left in {*range(0, width - side, step), width - side}:
            patch = np.s_[top : top + side, left : left + side]
            hidden = images.copy()
            hidden[:, *patch] = fill
            falls[:, *patch] += (before - predict(hidden)[every])[:, None, None]
            covered[patch] += 1
    maps: np.ndarray = (falls / covered).astype(np.float32)
    return maps
