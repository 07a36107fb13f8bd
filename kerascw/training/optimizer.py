"""Keras optimisers and schedules from specs."""

import math
from typing import Any

import keras

from kerascw.spec import SGD, Adam, AdamW, OneCycle, OptimizerSpec, RMSprop, TrainingSpec


@keras.saving.register_keras_serializable("kerascw")
class OneCycleRate(keras.optimizers.schedules.LearningRateSchedule):
    """The rate at each step: linear to ``peak``, then a cosine to zero at ``steps``."""

    def __init__(self, peak: float, steps: int, warmup: float) -> None:
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        # step + 1: the first step must move too
        done = (ops.cast(step, "float32") + 1.0) / self.steps
        rising = done / self.warmup
        falling = 0.5 * (1.0 + ops.cos(math.pi * (done - self.warmup) / (1.0 - self.warmup)))
        return self.peak * ops.where(done < self.warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


def build_optimizer(spec: TrainingSpec, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimiser of ``spec`` with its schedule over all its epochs."""
    rate: Any = spec.optimizer.learning_rate
    if isinstance(spec.schedule, OneCycle):
        rate = OneCycleRate(rate, steps_per_epoch * spec.epochs, spec.schedule.warmup)
    kind, arguments = _keras_optimizer(spec.optimizer)
    if spec.l2:
        kind = _with_l2(kind, spec.l2)
    optimizer = kind(rate, **arguments)
    if isinstance(spec.optimizer, AdamW):
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _keras_optimizer(
    spec: OptimizerSpec,
) -> tuple[type[keras.optimizers.Optimizer], dict[str, Any]]:
    match spec:
        case SGD():
            return keras.optimizers.SGD, {"momentum": spec.momentum, "nesterov": spec.nesterov}
        case RMSprop():
            return keras.optimizers.RMSprop, {"momentum": spec.momentum}
        case AdamW():
            return keras.optimizers.AdamW, {"weight_decay": spec.weight_decay}
        case Adam():
            return keras.optimizers.Adam, {}


def _with_l2(
    kind: type[keras.optimizers.Optimizer], strength: float
) -> type[keras.optimizers.Optimizer]:
    """Return the optimiser that adds the gradient of ``strength * sum(w ** 2)`` to every gradient.

    Keras' own regularizers would add the term to every loss that is reported.
    """

    class WithL2(kind):
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            variables = trainable_variables or self._trainable_variables
            grads = [
                grad + 2.0 * strength * keras.ops.cast(variable, grad.dtype)
                for grad, variable in zip(grads, variables, strict=True)
            ]
            return super().apply(grads, trainable_variables)

    return WithL2
