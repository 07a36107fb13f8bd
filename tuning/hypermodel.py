"""A space as a plain KerasTuner hypermodel, for KerasTuner's own tuners, chief and workers."""

from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from kerascw.data.load import splits_for
from kerascw.data.pipeline import steps_of
from kerascw.errors import CallError
from kerascw.experiment.spec import MAIN_HEAD, Experiment, TrainingSpec
from kerascw.lab.derive import with_training
from kerascw.training.fit import batches_of, compiled, initial_network, scaling_of
from kerascw.training.optimizer import rate_of_next_epoch
from kerascw.training.prepare import Device
from tuning.plan import planned_search


class SpaceHyperModel(keras_tuner.HyperModel):
    """Builds and fits the experiments of a space; the tuner needs no data of its own.

    Keras' ``fit`` trains and KerasTuner keeps: nothing goes into the store of runs, the test set is
    never read, and what only the engine does (averages of weights, the average over mirror images,
    stopping by patience) is left out. Objectives have Keras' names: ``val_accuracy``, ``val_loss``
    (with label smoothing, where the experiment has it).

    ``space`` is a named one or a file; ``options`` are ``budget``, ``sample``, ``data``,
    ``data_dir`` and ``settings`` of :func:`tuning.plan.planned_search`, with its errors.
    """

    def __init__(self, space: str, **options: Any) -> None:
        # the oracle is the tuner's; "grid" needs no number of trials
        self._plan = planned_search(space, oracle="grid", **options)
        self._data_dir = options.get("data_dir")
        super().__init__(name=self._plan.spec.space)

    def experiment(self, hp: keras_tuner.HyperParameters) -> Experiment:
        """Return the experiment of these hyperparameters, without an average of weights."""
        experiment = self._plan.experiment(hp)
        if experiment.start is not None:
            raise CallError(
                f"{self._plan.space.path}: an experiment that starts from another run's weights "
                "needs the command tune"
            )
        none = TrainingSpec.model_fields["weight_average"].default
        return with_training(experiment, weight_average=none)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model: uint8 images ``[n, height, width, channels]`` in."""
        experiment = self.experiment(hp)
        splits = splits_for(experiment.data, self._data_dir)
        network = initial_network(experiment, splits, scaling_of(experiment.data, splits))
        return compiled(experiment, network, Device(), len(splits.train))[0]

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *data: Any, **options: Any
    ) -> keras.callbacks.History:
        """Train on the experiment's training set, and score its validation set every epoch.

        ``options`` are those of Keras' ``fit`` that a tuner passes on, such as ``epochs``.
        """
        if data or {"x", "y", "validation_data"} & set(options):
            raise CallError("search() takes no data: the space has its own; see data and data_dir")
        experiment = self.experiment(hp)
        splits, spec = splits_for(experiment.data, self._data_dir), experiment.training
        classes = None if experiment.reconstructs else len(splits.class_names)
        weights = experiment.auxiliary_weights
        heads = (MAIN_HEAD, *weights) if weights else ()
        options = {"epochs": spec.epochs, "verbose": 0} | options
        first = options.get("initial_epoch", 0)
        batches = batches_of(experiment, splits, range(first, options["epochs"]))
        held_out = splits.validation
        assert held_out is not None, "a plan without a validation set is refused"
        images = held_out.images[0 : len(held_out)]
        targets = images / 255.0 if classes is None else tf.one_hot(held_out.labels, classes)
        return model.fit(
            batches,
            validation_data=(images, dict.fromkeys(heads, targets) if heads else targets),
            validation_batch_size=100,
            shuffle=False,  # the pipeline's order is the order
            steps_per_epoch=steps_of(len(splits.train), spec.batch_size),
            callbacks=[_Rates(spec), *options.pop("callbacks", [])],
            **options,
        )


class _Rates(keras.callbacks.Callback):
    """Gives every epoch its learning rate."""

    def __init__(self, spec: TrainingSpec) -> None:
        super().__init__()
        self._spec = spec
        self._history: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # epochs of an earlier rung of Hyperband: a plateau is looked for from here on
        while len(self._history) < epoch:
            self._history.append({"validation_loss": 1e30 / (1 + len(self._history))})
        rate = rate_of_next_epoch(self._spec, self._history)
        if rate is not None:
            self.model.optimizer.learning_rate = rate

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._history.append({"validation_loss": float((logs or {})["val_loss"])})
