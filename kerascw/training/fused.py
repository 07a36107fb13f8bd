"""Optimisers that update a variable in one operation, where TensorFlow has a kernel for it.

Keras 3 composes each update of some ten operations, each with a pass over memory: 4 to 16 % of a
step of the convnets here. The formulas are the same, and so are the results but for rounding. The
classes take the place of Keras' own within a fit; what is saved has no optimiser.
"""

from typing import Any

import keras
import tensorflow as tf


def _handle(variable: Any) -> tf.Tensor:
    """Return the resource of a Keras variable or a TensorFlow one."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


class _Fused:
    """The parts that all have."""

    iterations: Any

    def _slot(self, slots: list[Any], variable: Any) -> tf.Tensor:
        return _handle(slots[self._get_variable_index(variable)])  # type: ignore[attr-defined]

    def _power(self, base: float) -> tf.Tensor:
        return tf.pow(tf.constant(base), tf.cast(self.iterations.value + 1, tf.float32))


class FusedSGD(_Fused, keras.optimizers.SGD):
    """Stochastic gradient descent, with or without momentum."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        rate = tf.cast(learning_rate, tf.float32)
        if self.momentum == 0:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=_handle(variable), alpha=rate, delta=gradient
            )
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=self._slot(self.momentums, variable),
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class _FusedAdam(_Fused):
    beta_1: float
    beta_2: float
    epsilon: float
    _momentums: list[Any]
    _velocities: list[Any]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=self._slot(self._momentums, variable),
            v=self._slot(self._velocities, variable),
            beta1_power=self._power(self.beta_1),
            beta2_power=self._power(self.beta_2),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedAdam(_FusedAdam, keras.optimizers.Adam):
    """Adam."""


class FusedAdamW(_FusedAdam, keras.optimizers.AdamW):
    """Adam with decoupled weight decay, which Keras applies before the update."""


class FusedAdamax(_Fused, keras.optimizers.Adamax):
    """Adamax."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        tf.raw_ops.ResourceApplyAdaMax(
            var=_handle(variable),
            m=self._slot(self._m, variable),
            v=self._slot(self._u, variable),
            beta1_power=self._power(self.beta_1),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedRMSprop(_Fused, keras.optimizers.RMSprop):
    """RMSprop, not centred."""

    def build(self, variables: list[Any]) -> None:
        """Make the slots; the kernel wants momenta where Keras has none."""
        super().build(variables)
        self._zeros = [
            tf.Variable(tf.zeros(variable.shape), trainable=False)
            for variable in (variables if self.momentum == 0 else [])
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        tf.raw_ops.ResourceApplyRMSProp(
            var=_handle(variable),
            ms=self._slot(self._velocities, variable),
            mom=self._slot(self._momentums or self._zeros, variable),
            lr=tf.cast(learning_rate, tf.float32),
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
            grad=gradient,
        )


FUSED: dict[type[keras.optimizers.Optimizer], type[keras.optimizers.Optimizer]] = {
    keras.optimizers.SGD: FusedSGD,
    keras.optimizers.RMSprop: FusedRMSprop,
    keras.optimizers.Adam: FusedAdam,
    keras.optimizers.AdamW: FusedAdamW,
    keras.optimizers.Adamax: FusedAdamax,
}
"""What takes the place of each."""
