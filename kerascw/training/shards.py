"""A training step in shards: each thread takes a part of the batch through all of the layers.

TensorFlow divides every operation among its threads, which for small pictures takes as long as
what is divided, and leaves the short operations between them to one thread. Here a batch is cut
into as many shards as there are threads, each operation has one thread, and the shards go side by
side from the pictures to the gradients, which are summed. What needs the whole batch has it: batch
normalisation its statistics, dropout its mask, the loss and the metrics all outputs. So the results
are those of Keras' own step but for rounding (tests/test_fast_path.py).
"""

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from kerascw.training.devices import cores

SMALLEST = 8
"""Pictures a shard; batches of fewer than two such shards stay whole."""

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
"""Layers that treat each example alone. Any other one gets the whole batch."""

Shards = list[tf.Tensor]


def train_in_shards(
    model: keras.Model,
    shards: int,
    batch_sizes: Sequence[int],
    *,
    idle: frozenset[str] = frozenset(),
) -> None:
    """Have ``model.fit`` take each step in so many shards, or fewer if batches are small.

    Every layer of the model is used once, and has one input.

    Parameters
    ----------
    batch_sizes : that come: of all steps, and of the last of an epoch. None may have fewer
        examples than there are shards (oneDNN's batch normalisation does not take empty ones).
    idle : outputs whose loss has weight 0: nothing is propagated back through them.
    """
    shards = max(1, min(shards, max(batch_sizes) // SMALLEST, min(batch_sizes)))
    forward = _forward(model, shards, idle)

    def train_step(self: keras.Model, data: Any) -> dict[str, Any]:
        images, targets = data
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            outputs = forward(images)
            loss = self.compute_loss(x=images, y=targets, y_pred=outputs, training=True)
            self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return self.compute_metrics(images, targets, outputs)

    model.train_step = MethodType(train_step, model)


def thread_count() -> int:
    """Return how many operations TensorFlow runs side by side."""
    return tf.config.threading.get_inter_op_parallelism_threads() or cores()


def _forward(
    model: keras.Model, count: int, idle: frozenset[str]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor] | tf.Tensor]:
    """Return what gives the model's outputs in training, of whole batches."""
    several = not isinstance(model, keras.Sequential) and isinstance(model.output, dict)
    ends = {id(output) for output in model.outputs}
    (given,) = model.inputs

    def forward(images: tf.Tensor) -> dict[str, tf.Tensor] | tf.Tensor:
        tensors: dict[int, Shards] = {id(given): _split(images, count)}
        outputs: dict[str, tf.Tensor] = {}
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            shards = tensors[id(layer.input)]
            if id(layer.output) in ends:
                if layer.name in idle:
                    shards = [tf.stop_gradient(shard) for shard in shards]
                outputs[layer.name] = _output(layer, shards)
            else:
                tensors[id(layer.output)] = _applied(layer, shards)
        if several:
            return outputs
        (output,) = outputs.values()
        return output

    return forward


def _split(batch: tf.Tensor, count: int) -> Shards:
    """Return shards of the same size, or of one example more or less."""
    if count == 1:
        return [batch]
    size = tf.shape(batch)[0]
    return [batch[at * size // count : (at + 1) * size // count] for at in range(count)]


def _joined(shards: Shards) -> tf.Tensor:
    return shards[0] if len(shards) == 1 else tf.concat(shards, axis=0)


def _applied(layer: keras.layers.Layer, shards: Shards) -> Shards:
    if isinstance(layer, keras.layers.BatchNormalization) and len(layer.input.shape) == 4:
        return _normalised(layer, shards)
    if isinstance(layer, _BY_EXAMPLE):
        return [layer(shard) for shard in shards]
    whole = layer(_joined(shards), training=True)
    if len(shards) == 1:
        return [whole]
    return tf.split(whole, [tf.shape(shard)[0] for shard in shards])


def _output(layer: keras.layers.Layer, shards: Shards) -> tf.Tensor:
    """Return the outputs of the whole batch, whose loss Keras then takes from the logits."""
    if isinstance(layer, keras.layers.Dense):
        logits = [tf.nn.bias_add(tf.matmul(shard, layer.kernel), layer.bias) for shard in shards]
        return layer.activation(_joined(logits))
    return _joined(_applied(layer, shards))


# --- batch normalisation --------------------------------------------------------------------


def _normalised(layer: keras.layers.BatchNormalization, shards: Shards) -> Shards:
    """Normalise by the statistics of all shards, and move the layer's own as Keras does."""
    if not layer.trainable:
        return [layer(shard, training=False) for shard in shards]
    outputs, mean, variance = _batch_norm(
        layer.epsilon, layer.gamma.value, layer.beta.value, shards
    )
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + new * (1.0 - layer.momentum))
    return outputs


def _batch_norm(
    epsilon: float, gamma: tf.Tensor, beta: tf.Tensor, shards: Shards
) -> tuple[Shards, tf.Tensor, tf.Tensor]:
    """Return the normalised shards, and mean and (biased) variance of all of them.

    Written with TensorFlow's fused kernels, one pass each: Keras 3 composes batch normalisation of
    some fifteen, which are a third of a step of LeNet's variant 4.
    """
    ops = tf.raw_ops
    none = tf.zeros(0)

    @tf.custom_gradient
    def normalised(gamma: tf.Tensor, beta: tf.Tensor, *shards: tf.Tensor) -> Any:
        counts = [tf.cast(tf.size(x) // x.shape[-1], tf.float32) for x in shards]
        total = tf.add_n(counts)
        unit = tf.ones_like(gamma)
        found = [
            ops.FusedBatchNormV3(
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
        outputs = [
            ops.FusedBatchNormV3(
                x=x, scale=gamma, offset=beta, mean=mean, variance=variance,
                epsilon=epsilon, is_training=False,
            ).y
            for x in shards
        ]  # fmt: skip

        def gradients(*upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # those to the outputs; mean and variance only go into the moving ones
            direct = [
                ops.FusedBatchNormGradV3(
                    y_backprop=dy, x=x, scale=gamma, reserve_space_1=mean,
                    reserve_space_2=variance, reserve_space_3=none,
                    epsilon=epsilon, is_training=False,
                )
                for dy, x in zip(upstream, shards, strict=False)
            ]  # fmt: skip
            of_gamma = tf.add_n([found.scale_backprop for found in direct])
            of_beta = tf.add_n([found.offset_backprop for found in direct])
            # what reaches x by way of mean and variance is, a channel, linear in x
            deviation = tf.sqrt(variance + epsilon)
            through = [
                ops.FusedBatchNormV3(
                    x=x, scale=-gamma / deviation * of_gamma / total,
                    offset=-gamma / deviation * of_beta / total,
                    mean=mean, variance=variance, epsilon=epsilon, is_training=False,
                ).y
                for x in shards
            ]  # fmt: skip
            of_shards = [
                found.x_backprop + more for found, more in zip(direct, through, strict=True)
            ]
            return of_gamma, of_beta, *of_shards

        return (*outputs, mean, variance), gradients

    *outputs, mean, variance = normalised(gamma, beta, *shards)
    return outputs, mean, variance
