"""Keras optimisers and schedules from specs."""

import math
from typing import Any

import keras
import numpy as np

from kerascw.experiment import spec as kinds
from kerascw.training.muon import muon


class RateOfStep(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each step, from a table.

    Worked out beforehand: in a graph TensorFlow may turn a division into a product, and so another
    way to trace the step would train with other last digits.
    """

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = rates  # float32 [steps]

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(self.rates, keras.ops.cast(step, "int32"))


def one_cycle(peak: float, steps: int, warmup: float) -> np.ndarray:
    """Return the rate of each step: linear to ``peak``, then a cosine to zero at the last one.

    ``warmup`` is the share of the steps that the rise takes; the result is float32
    ``[steps + 1]``, with the rate that a step after the last would have.
    """
    ops = keras.ops
    # step + 1: the first step must move too
    done = (ops.cast(ops.arange(steps + 1), "float32") + 1.0) / steps
    rising = done / warmup
    falling = 0.5 * (1.0 + ops.cos(math.pi * (done - warmup) / (1.0 - warmup)))
    return ops.convert_to_numpy(peak * ops.where(done < warmup, rising, falling))


def cosine(peak: float, steps: int, warmup: float, floor: float) -> np.ndarray:
    """Return the rate of each step: linear to ``peak``, then half a cosine to ``floor * peak``.

    With a floor of 0 the curve is that of :func:`one_cycle`, but rounded differently.
    """
    ops = keras.ops
    done = (ops.cast(ops.arange(steps + 1), "float32") + 1.0) / steps
    rising = done / warmup if warmup else done
    # at most 1, where a constant rate has no way left to fall
    fallen = ops.minimum((done - warmup) / max(1.0 - warmup, 1e-9), 1.0)
    falling = floor + (1.0 - floor) * 0.5 * (1.0 + ops.cos(math.pi * fallen))
    return ops.convert_to_numpy(peak * ops.where(done < warmup, rising, falling))


class EpsilonOutsideRMSprop(keras.optimizers.Optimizer):
    """RMSprop that adds epsilon to the root of the average, as PyTorch does, not within it."""

    def __init__(self, rate: Any, rho: float, momentum: float, epsilon: float) -> None:
        super().__init__(rate, name="rmsprop")
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._squares, self._momenta = (
            [self.add_variable_from_reference(variable, name) for variable in variables]
            for name in ("square", "momentum")
        )

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        at = self._get_variable_index(variable)  # as every optimiser of Keras' own
        square, momentum = self._squares[at], self._momenta[at]
        self.assign(square, self.rho * square + (1.0 - self.rho) * keras.ops.square(gradient))
        step = gradient / (keras.ops.sqrt(square) + self.epsilon)
        self.assign(momentum, self.momentum * momentum + step)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * momentum)


def rate_of_next_epoch(spec: kinds.TrainingSpec, history: list[dict[str, float]]) -> float | None:
    """Return the learning rate of the next epoch, None where it changes with every step.

    It follows from the history alone (one row for each epoch so far), so that a resumed
    run needs no state.
    """
    rate, done = spec.optimizer.learning_rate, len(history)
    match spec.schedule:
        case kinds.Constant():
            return rate
        case kinds.Step(every=every, factor=factor):
            return rate * factor ** (done // every)
        case kinds.Halving(every=every):
            return rate * 0.5 ** (done // every)
        case kinds.InverseTime(every=every, decay=decay, epoch=which):
            back = 1 if which == "last" else 0
            changes = range(every, done + 1, every)
            return rate / math.prod(1 + decay * (epoch - back) for epoch in changes)
        case kinds.Plateau(patience=patience, factor=factor, lowest=lowest):
            best, waited = math.inf, 0
            for row in history:
                waited += 1
                if row["validation_loss"] < best:
                    best, waited = row["validation_loss"], 0
                elif waited == patience:
                    rate, waited = min(rate, max(rate * factor, lowest)), 0
            return rate
        case _:  # kinds.ByStep
            return None


def build_optimizer(
    spec: kinds.TrainingSpec, steps_per_epoch: int, *, fused: bool = True
) -> keras.optimizers.Optimizer:
    """Build the optimiser of ``spec``, with its learning rate over all epochs.

    ``fused`` takes those of :mod:`kerascw.training.fused`: Keras' but for rounding, and for one
    device only.
    """
    peak, steps = spec.optimizer.learning_rate, steps_per_epoch * spec.epochs
    rate: Any = peak
    match spec.schedule:
        case kinds.OneCycle(warmup=warmup):
            rate = RateOfStep(one_cycle(peak, steps, warmup))
        case kinds.Cosine(warmup=warmup, floor=floor):
            rate = RateOfStep(cosine(peak, steps, warmup, floor))
        case kinds.WarmUp(warmup=warmup):
            rate = RateOfStep(cosine(peak, steps, warmup, floor=1.0))
    # a spec has the name of Keras' class, and fields that are named as its arguments
    own = isinstance(spec.optimizer, kinds.Muon)
    kind = getattr(keras.optimizers, "AdamW" if own else type(spec.optimizer).__name__)
    arguments = spec.optimizer.model_dump(exclude={"kind", "learning_rate", "epsilon_in_root"})
    if isinstance(spec.optimizer, kinds.RMSprop) and not spec.optimizer.epsilon_in_root:
        kind = EpsilonOutsideRMSprop
    if fused:
        from kerascw.training.fused import FUSED

        kind = FUSED.get(kind, kind)
    if own:
        kind = muon(kind)
        # the products take as long as the convolutions of a small batch, in float32
        arguments["dtype"] = "bfloat16" if spec.precision == "mixed_bfloat16" else "float32"
    if spec.l2:
        kind = _with_l2(kind, spec.l2)
    if spec.weight_average:
        kind = _with_average(kind, spec.weight_average, spec.weight_average_warmup)
    optimizer = kind(rate, **arguments)
    if isinstance(spec.optimizer, kinds.AdamW | kinds.Muon):
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


Optimizers = type[keras.optimizers.Optimizer]


def _with_l2(kind: Optimizers, strength: float) -> Optimizers:
    """Make an optimiser add the gradient of ``strength * sum(w ** 2)`` to every gradient.

    Keras' own regularizers would add the term to every loss that is reported.
    """

    class WithL2(kind):
        def build(self, variables: list[keras.Variable]) -> None:
            self._penalised = list(variables)
            super().build(variables)

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            variables = trainable_variables or self._penalised
            grads = [
                grad + 2.0 * strength * keras.ops.cast(variable, grad.dtype)
                for grad, variable in zip(grads, variables, strict=True)
            ]
            return super().apply(grads, trainable_variables)

    return WithL2


def _with_average(kind: Optimizers, decay: float, warmup: float) -> Optimizers:
    """Make an optimiser keep an exponential moving average of the weights that ``follow`` names.

    The averages are variables of the optimiser, so that a checkpoint has them. At step ``t`` an
    average keeps ``min(decay, t / (t + warmup))`` of itself. Keras' own leaves out batch norm's
    moving statistics; averaged in the same way, they fit the averaged weights.
    """

    class WithAverage(kind):
        def follow(self, weights: list[keras.Variable]) -> None:
            self._followed = weights
            self.averages = [
                # on several devices all have the same
                self.add_variable(w.shape, aggregation="only_first_replica", name="average")
                for w in weights
            ]
            for average, weight in zip(self.averages, weights, strict=True):
                average.assign(weight)

        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            super().apply(grads, trainable_variables)
            ops = keras.ops
            step = ops.cast(self.iterations, "float32")  # 1 after the first
            new = 1.0 - ops.minimum(decay, step / (step + warmup))
            for average, weight in zip(self.averages, self._followed, strict=True):
                average.assign(average + new * (weight - average))

    return WithAverage
