"""Optimisers that update a variable in one operation, where TensorFlow has a kernel for it.

Keras 3 composes each update of some ten operations, each with a pass over memory: 4 to 16 % of a
step of the convnets here. The formulas are the same, and so are the results but for rounding. The
classes take the place of Keras' own within a fit; what is saved has no optimiser.

Variables, gradients and slots are float32, of the same shape; in mixed_bfloat16 too.
"""

from typing import Any

import keras
import tensorflow as tf


class _Fused:
    """What all have in common: the slots by name and variable.

    Keras gives ``build`` its own variables, and ``update_step`` TensorFlow's within them.
    """

    iterations: Any
    built: bool

    def build(self, variables: list[keras.Variable]) -> None:
        if not self.built:
            self._slots: dict[tuple[str, Any], tf.Variable] = {}
        super().build(variables)  # type: ignore[misc]

    def add_optimizer_variables(
        self, trainable_variables: list[keras.Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """Add slots as Keras does, and note which variable each belongs to."""
        added = super().add_optimizer_variables(  # type: ignore[misc]
            trainable_variables, name, initializer
        )
        by_name = {name: added} if isinstance(name, str) else dict(zip(name, added, strict=True))
        for slot, slots in by_name.items():
            for variable, own in zip(trainable_variables, slots, strict=True):
                self._slots[slot, variable.value.ref()] = own.value
        return added

    def slot(self, name: str, variable: tf.Variable) -> tf.Tensor:
        """Return the resource of a variable's slot."""
        return self._slots[name, variable.ref()].handle

    def power(self, base: float) -> tf.Tensor:
        """Return ``base`` to the number of this step, counted from 1: float32 scalar."""
        return tf.pow(tf.constant(base), tf.cast(self.iterations.value + 1, tf.float32))


class FusedSGD(_Fused, keras.optimizers.SGD):
    """Stochastic gradient descent, with or without momentum.

    ``w -= rate * g``; with momentum ``v = momentum * v - rate * g``, ``w += v``, or Nesterov's
    ``w += momentum * v - rate * g``.
    """

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        rate = tf.cast(learning_rate, tf.float32)
        if self.momentum == 0:
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.slot("momentum", variable),
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class FusedAdam(_Fused, keras.optimizers.Adam):
    """Adam: ``m += (1 - beta_1) (g - m)``, ``v += (1 - beta_2) (g^2 - v)``, and at step t
    ``w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``.
    """

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self.slot("momentum", variable),
            v=self.slot("velocity", variable),
            beta1_power=self.power(self.beta_1),
            beta2_power=self.power(self.beta_2),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedAdamW(FusedAdam, keras.optimizers.AdamW):
    """Adam with decoupled weight decay, which Keras applies before the update."""


class FusedAdamax(_Fused, keras.optimizers.Adamax):
    """Adamax: ``m`` as Adam's, ``u = max(beta_2 * u, |g|)``, and at step t
    ``w -= rate / (1 - beta_1^t) * m / (u + epsilon)``.
    """

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle,
            m=self.slot("momentum", variable),
            v=self.slot("norm", variable),
            beta1_power=self.power(self.beta_1),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedRMSprop(_Fused, keras.optimizers.RMSprop):
    """RMSprop, not centred: ``s += (1 - rho) (g^2 - s)``, ``w -= rate * g / sqrt(s + epsilon)``;
    with momentum ``v = momentum * v + rate * g / sqrt(s + epsilon)``, ``w -= v``.
    """

    def add_optimizer_variables(
        self, trainable_variables: list[keras.Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """Add slots; the kernel wants momenta also where Keras has none."""
        added = super().add_optimizer_variables(trainable_variables, name, initializer)
        if name == "velocity" and self.momentum == 0:
            for variable in trainable_variables:
                zeros = tf.Variable(tf.zeros(variable.shape), trainable=False)
                self._slots["momentum", variable.value.ref()] = zeros
        return added

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=self.slot("velocity", variable),
            mom=self.slot("momentum", variable),
            lr=tf.cast(learning_rate, tf.float32),
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
            grad=gradient,
        )


FUSED = {
    keras.optimizers.SGD: FusedSGD,
    keras.optimizers.RMSprop: FusedRMSprop,
    keras.optimizers.Adam: FusedAdam,
    keras.optimizers.AdamW: FusedAdamW,
    keras.optimizers.Adamax: FusedAdamax,
}
"""What takes the place of each of Keras' optimisers."""
