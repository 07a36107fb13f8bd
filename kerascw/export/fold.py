"""Batch normalisation folded into the layer before it, in what a SavedModel computes.

For predictions a batch norm is a fixed scale and offset of each channel. TensorFlow takes a pass
over all values for either; applied to the kernel and the bias of the convolution they cost nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from kerascw.models.walk import leaves, replaced

Call = Callable[..., Any]


class _Linear(NamedTuple):
    """Where a tensor comes from: a layer without activation, and the pooling after it, if any."""

    layer: Any
    inputs: Any
    pooling: Call | None = None


@contextmanager
def folded_norms(model: Any) -> Iterator[None]:
    """Fold the batch norms of a live Keras model while it is traced for predictions.

    A norm that follows a Conv2D or Dense layer without activation is folded into it, through max
    pooling too if all its scales are positive (a maximum is not that of negated values). Outputs
    differ by rounding. The model and its variables stay as they are.
    """
    from keras import layers as kl
    from keras.activations import linear as linear_activation

    sources: dict[int, tuple[Any, _Linear]] = {}  # by the tensor's id, which it keeps while here

    def linear(layer: Any, call: Call, inputs: Any, **options: Any) -> Any:
        outputs = call(inputs, **options)
        if layer.activation is linear_activation:
            sources[id(outputs)] = outputs, _Linear(layer, inputs)
        return outputs

    def pooled(layer: Any, call: Call, inputs: Any) -> Any:
        outputs = call(inputs)
        _, source = sources.get(id(inputs), (None, None))
        if source is not None and source.pooling is None:
            sources[id(outputs)] = outputs, source._replace(pooling=call)
        return outputs

    def normalised(layer: Any, call: Call, inputs: Any, **options: Any) -> Any:
        _, source = sources.get(id(inputs), (None, None))
        if (
            source is None
            or options.get("training")
            or layer.axis not in (-1, len(inputs.shape) - 1)
        ):
            return call(inputs, **options)
        if source.pooling is not None and not _is_increasing(layer):
            return call(inputs, **options)
        return _folded(source, layer)

    ways: dict[type, Call] = {
        kl.Conv2D: linear,
        kl.Dense: linear,
        kl.MaxPooling2D: pooled,
        kl.BatchNormalization: normalised,
    }
    with ExitStack() as stack:
        for layer in leaves(model):
            if way := ways.get(type(layer)):
                stack.enter_context(replaced(layer, "call", partial(way, layer, layer.call)))
        yield


def _is_increasing(norm: Any) -> bool:
    import tensorflow as tf

    with tf.init_scope():  # out of the graph that is being traced, where variables have no values
        return not norm.scale or bool((norm.gamma.numpy() > 0).all())


def _folded(source: _Linear, norm: Any) -> Any:
    """Return what the norm makes of the source: by a scaled kernel, and one offset a channel."""
    import keras
    import tensorflow as tf

    layer = source.layer
    scale = keras.ops.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
        scale = scale * norm.gamma
    offset = -norm.moving_mean * scale
    if layer.use_bias:
        offset = offset + layer.bias * scale
    if norm.center:
        offset = offset + norm.beta
    kernel = layer.kernel * scale
    if isinstance(layer, keras.layers.Dense):
        outputs = keras.ops.matmul(source.inputs, kernel)
    else:
        outputs = keras.ops.conv(
            source.inputs,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
    # one operation with the convolution, and with ReLU where that comes next
    outputs = tf.nn.bias_add(outputs, offset)
    return source.pooling(outputs) if source.pooling else outputs
