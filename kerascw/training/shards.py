"""A training step in shards: each thread takes a share of the batch through all of the layers.

TensorFlow divides every operation among its threads, which for small images takes as long as what
is divided. Here each operation has one thread, and as many shards as there are threads go side by
side from the images to the gradients, which are summed. What needs the whole batch gets it: batch
normalisation its statistics, dropout its mask, the loss and the metrics all outputs. So the results
are those of Keras' own step but for rounding (tests/training/test_fast_path.py).

Layers may compute in bfloat16 (the policy ``mixed_bfloat16``): weights, gradients of weights, batch
norm's statistics and the output layer stay float32.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascw.training.devices import cores

SMALLEST = 8
"""Images in a shard; batches of fewer than two such shards stay whole."""

_BY_EXAMPLE = (
    keras.layers.Activation,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.Rescaling,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
"""Layers that treat each example alone. Any other layer gets the whole batch."""

Shards = list[tf.Tensor]
"""Tensors ``[n_i, ...]`` that make up a batch ``[n, ...]``, n the sum of all ``n_i``."""


def thread_count() -> int:
    """Return how many operations TensorFlow runs side by side."""
    return tf.config.threading.get_inter_op_parallelism_threads() or cores()


class ShardedModel(keras.Model):
    """A functional model whose training step goes in shards, as many as :meth:`cut` says.

    Every layer is used once and has one input.
    """

    def cut(self, shards: int, batch_sizes: Sequence[int], idle: frozenset[str]) -> None:
        """Take each step in so many shards, or in fewer if batches are small.

        ``batch_sizes`` are the sizes that come. None may have fewer examples than there are shards
        (oneDNN's batch normalisation takes no empty one). ``idle`` are outputs whose loss has
        weight 0: nothing is propagated back through them.
        """
        self.shards = max(1, min(shards, max(batch_sizes) // SMALLEST, min(batch_sizes)))
        self._idle = idle

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch; return the metrics of the epoch so far.

        ``data`` is a pair: images uint8 ``[n, height, width, channels]``, and float32 targets, by
        head where there is more than one.
        """
        images, targets = data
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.outputs_of(images)
            loss = self.compute_loss(x=images, y=targets, y_pred=outputs, training=True)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(images)[0])
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return self.compute_metrics(images, targets, outputs)

    def outputs_of(self, images: tf.Tensor) -> dict[str, tf.Tensor] | tf.Tensor:
        """Return the outputs of a whole batch, in training: by head where there is more than one.

        ``images`` are uint8 ``[n, height, width, channels]``, outputs float32 ``[n, classes]``, or
        an autoencoder's images, of the shape of ``images`` in the dtype of its last layer.
        """
        ends = {id(output) for output in self.outputs}
        (given,) = self.inputs
        tensors: dict[int, Shards] = {id(given): _split(images, self.shards)}
        outputs: dict[str, tf.Tensor] = {}
        for layer in self.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            shards = tensors[id(layer.input)]
            if id(layer.output) in ends:
                if layer.name in self._idle:
                    shards = [tf.stop_gradient(shard) for shard in shards]
                outputs[layer.name] = _output(layer, shards)
            else:
                tensors[id(layer.output)] = _applied(layer, shards)
        if len(outputs) > 1:
            return outputs
        (output,) = outputs.values()
        return output


def _split(batch: tf.Tensor, count: int) -> Shards:
    """Return ``count`` shards of the same size, or of one example more or less."""
    if count == 1:
        return [batch]
    size = tf.shape(batch)[0]
    return [batch[at * size // count : (at + 1) * size // count] for at in range(count)]


def _joined(shards: Shards) -> tf.Tensor:
    """Return the batch that the shards make up."""
    return shards[0] if len(shards) == 1 else tf.concat(shards, axis=0)


def _applied(layer: keras.layers.Layer, shards: Shards) -> Shards:
    """Return a layer's outputs in training, a shard each, in the layer's compute dtype."""
    if isinstance(layer, keras.layers.BatchNormalization) and len(layer.input.shape) == 4:
        return _normalised(layer, shards)
    if isinstance(layer, _BY_EXAMPLE):
        return [layer(shard) for shard in shards]
    whole = layer(_joined(shards), training=True)
    if len(shards) == 1:
        return [whole]
    return tf.split(whole, [tf.shape(shard)[0] for shard in shards])


def _output(layer: keras.layers.Layer, shards: Shards) -> tf.Tensor:
    """Return the output of the whole batch, whose loss Keras then takes from the logits.

    A dense output layer's shards ``[n_i, features]`` may be bfloat16; they are cast to the layer's
    float32 as Keras does when it calls the layer.
    """
    if isinstance(layer, keras.layers.Dense):
        logits = [
            tf.nn.bias_add(tf.matmul(tf.cast(shard, layer.compute_dtype), layer.kernel), layer.bias)
            for shard in shards
        ]
        return layer.activation(_joined(logits))
    return _joined(_applied(layer, shards))


# --- batch normalisation --------------------------------------------------------------------


def _normalised(layer: keras.layers.BatchNormalization, shards: Shards) -> Shards:
    """Normalise shards ``[n_i, height, width, channels]`` by the statistics of all of them.

    The layer's moving statistics, float32 ``[channels]``, move as in Keras.
    """
    if not layer.trainable:
        return [layer(shard, training=False) for shard in shards]
    shards = [tf.cast(shard, layer.compute_dtype) for shard in shards]
    outputs, mean, variance = batch_norm(layer.epsilon, layer.gamma.value, layer.beta.value, shards)
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + new * (1.0 - layer.momentum))
    return outputs


def batch_norm(
    epsilon: float, gamma: tf.Tensor, beta: tf.Tensor, shards: Shards
) -> tuple[Shards, tf.Tensor, tf.Tensor]:
    """Return the normalised shards, and mean and (biased) variance of all of them.

    With d = sqrt(variance + epsilon) the outputs are y = gamma * (x - mean) / d + beta and, with dy
    the gradient that comes in and m the number of values of a channel::

        dbeta  = sum dy
        dgamma = sum dy * (x - mean) / d
        dx     = gamma / d * dy - gamma / (d * m) * (dgamma * (x - mean) / d + dbeta)

    The first term of dx is the gradient for fixed statistics. The second is what reaches x by way
    of mean and variance; it has the form of a batch normalisation of x itself, with a scale of
    ``-gamma / d * dgamma / m`` and an offset of ``-gamma / d * dbeta / m``.

    Written with TensorFlow's fused kernels, one pass each; Keras 3 composes some fifteen.

    ``gamma`` and ``beta`` are float32 ``[channels]``. The shards, given and returned, are float32
    or bfloat16 ``[n_i, height, width, channels]``; the kernels compute statistics and parameters
    in float32 either way.
    """

    @tf.custom_gradient
    def normalised(gamma: tf.Tensor, beta: tf.Tensor, *shards: tf.Tensor) -> Any:
        mean, variance, total = _statistics(epsilon, shards)

        def affine(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
            """Return ``scale * (x - mean) / d + offset``."""
            return tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=mean, variance=variance,
                epsilon=epsilon, is_training=False,
            ).y  # fmt: skip

        def gradients(*upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # upstream: of the outputs; mean and variance only go into the moving statistics
            direct = [
                tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=dy, x=x, scale=gamma, reserve_space_1=mean,
                    reserve_space_2=variance, reserve_space_3=tf.zeros(0),
                    epsilon=epsilon, is_training=False,
                )
                for dy, x in zip(upstream, shards, strict=False)
            ]  # fmt: skip
            of_gamma = tf.add_n([found.scale_backprop for found in direct])
            of_beta = tf.add_n([found.offset_backprop for found in direct])
            scale = -gamma / tf.sqrt(variance + epsilon)
            through = [affine(x, scale * of_gamma / total, scale * of_beta / total) for x in shards]
            of_shards = [
                found.x_backprop + more for found, more in zip(direct, through, strict=True)
            ]
            return of_gamma, of_beta, *of_shards

        return (*(affine(x, gamma, beta) for x in shards), mean, variance), gradients

    *outputs, mean, variance = normalised(gamma, beta, *shards)
    return outputs, mean, variance


def _statistics(
    epsilon: float, shards: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return mean and biased variance of all shards, float32 ``[channels]``, in one pass each.

    The third is m, the number of values that a channel has; m_i of them are in shard i::

        mean     = sum_i m_i / m * mean_i
        variance = sum_i m_i / m * (variance_i + (mean_i - mean)^2)
    """
    none = tf.zeros(0)
    unit = tf.ones(shards[0].shape[-1])
    counts = [tf.cast(tf.size(x) // x.shape[-1], tf.float32) for x in shards]
    total = tf.add_n(counts)
    found = [
        tf.raw_ops.FusedBatchNormV3(
            x=x, scale=unit, offset=0 * unit, mean=none, variance=none, epsilon=epsilon
        )
        for x in shards
    ]
    mean = tf.add_n([n / total * f.batch_mean for n, f in zip(counts, found, strict=True)])
    variance = tf.add_n(
        [
            # the kernel's is the unbiased one
            f.batch_variance * ((n - 1) / total) + n / total * tf.square(f.batch_mean - mean)
            for n, f in zip(counts, found, strict=True)
        ]
    )
    return mean, variance, total
