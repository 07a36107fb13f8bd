"""The learning-rate range test: the training loss while the rate rises from step to step.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), with the geometric rise,
the smoothing and the choice of a tenth of the best rate that fastai made common.
"""

from dataclasses import dataclass

import numpy as np

from kerascw.data import Splits
from kerascw.experiment.spec import Constant, Experiment
from kerascw.training.devices import has_gpu
from kerascw.training.fit import batches_of, compiled, initial_network, scaling_of
from kerascw.training.prepare import GPU, Device

SMOOTHING = 0.9
"""What the running mean of the loss keeps of itself at each step."""

TOO_MUCH = 4.0
"""The test ends where the smoothed loss is this many times its lowest value."""


@dataclass(frozen=True, eq=False)
class RateTest:
    """The steps of a range test, up to where the loss rose beyond bounds."""

    rates: np.ndarray  # float64 [steps], the learning rate of each step
    losses: np.ndarray  # float64 [steps], of each batch before its step, all finite
    smoothed: np.ndarray  # float64 [steps]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest: beyond it training gets worse."""
        return float(self.rates[int(self.smoothed.argmin())])

    @property
    def suggested(self) -> float | None:
        """A tenth of that, fastai's rule of thumb; None where the loss never falls."""
        return self.lowest / 10 if self.smoothed.argmin() > 0 else None


def rate_test(
    experiment: Experiment,
    splits: Splits,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 200,
) -> RateTest:
    """Train for up to ``steps`` steps, with learning rates from ``lowest`` to ``highest``.

    The rates are a geometric sequence. All else is the experiment's: batch size, augmentation,
    optimiser, initial filters, seeds. Nothing is kept.
    """
    training = experiment.training.model_copy(update={"schedule": Constant()})
    experiment = experiment.model_copy(update={"training": training})
    network = initial_network(experiment, splits, scaling_of(experiment.data, splits))
    device = GPU() if has_gpu() else Device()
    model, _ = compiled(experiment, network, device, len(splits.train))
    batches = batches_of(experiment, splits, range(steps))  # an epoch has one step at least
    rates = np.geomspace(lowest, highest, steps)
    losses, smoothed, mean = list[float](), list[float](), 0.0
    for step, (images, targets) in enumerate(batches.take(steps)):
        model.optimizer.learning_rate = rates[step]  # it changes between steps
        model.reset_metrics()
        loss = float(model.train_on_batch(images, targets, return_dict=True)["loss"])
        losses.append(loss)
        if np.isfinite(loss):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smoothed.append(mean / (1 - SMOOTHING ** (step + 1)))
        if not np.isfinite(loss) or smoothed[-1] > TOO_MUCH * min(smoothed):
            break
    count = len(smoothed)
    return RateTest(rates[:count], np.array(losses[:count]), np.array(smoothed))
