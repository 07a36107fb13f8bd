"""Models that have traced their training step, for the next run that differs in variables alone.

TensorFlow takes a second to trace a training step, longer than many a run of a study trains. Runs
of one variant differ in their seeds, that is in their variables' initial values, and in their data;
the step is the same.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from kerascw.experiment.spec import Backbone, Custom, Experiment
from kerascw.training.checkpoint import state
from kerascw.training.loop import Trainer
from kerascw.training.predictor import Product
from kerascw.training.prepare import SeveralDevices
from kerascw.training.shards import ShardedModel

AT_ONCE = 4
"""Models that are held; a study's runs come variant by variant, or few variants in turn."""


@dataclass(frozen=True)
class Ready:
    """A model to train, and the product that takes its weights."""

    trainer: Trainer
    product: Product


class Traced:
    """The models that this process trained last."""

    def __init__(self) -> None:
        self._held: OrderedDict[Any, Ready] = OrderedDict()

    def ready(self, experiment: Experiment, data: tuple[Any, ...], fresh: Ready) -> Ready:
        """Return ``fresh``, or a model traced earlier that now has all of its variables' values.

        ``data`` is what the model has of its data: shape of images, number of classes, scaling and,
        where the learning rate changes with every step, the number of an epoch's steps. A model
        from the user's own code may hold more than its variables, and one on several devices
        belongs to them, so these are always fresh.
        """
        several = isinstance(fresh.trainer.device, SeveralDevices)
        if several or isinstance(experiment.model, Custom | Backbone):
            return fresh
        start, model = experiment.start, fresh.trainer.model
        taken = start and (start.layers, start.takes, start.frozen)
        shards = model.shards if isinstance(model, ShardedModel) else None
        key = (experiment.model, experiment.training, taken, data, shards)
        ready = self._held.setdefault(key, fresh)
        self._held.move_to_end(key)
        if len(self._held) > AT_ONCE:
            self._held.popitem(last=False)
        if ready is not fresh:
            held, new = state(ready.trainer.model), state(model)
            for variable, initial in zip(held, new, strict=True):
                variable.assign(initial.value)
        return ready
