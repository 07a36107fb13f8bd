"""Fit one experiment, from its beginning or from its checkpoint: build, prepare, train, keep."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerascw.data import Splits, mean_and_deviation
from kerascw.data.pipeline import batch_sizes, steps_of, training_batches
from kerascw.errors import Interrupted
from kerascw.experiment import spec as kinds
from kerascw.models import Scaling, build_model
from kerascw.training import checkpoint
from kerascw.training.checkpoint import Progress
from kerascw.training.events import RunEvents
from kerascw.training.filters import set_initial_filters
from kerascw.training.frozen import Frozen, is_fixed
from kerascw.training.keeper import Keeper
from kerascw.training.loop import Trainer
from kerascw.training.optimizer import build_optimizer
from kerascw.training.predictor import Predictor, Product
from kerascw.training.prepare import Device, device_for
from kerascw.training.traced import Ready, Traced
from kerascw.training.warm_start import warm_start
from kerascw.training.watcher import Watcher


@dataclass(frozen=True)
class Fitted:
    """A fitted model with its kept weights, and how it came to them."""

    model: keras.Model
    predict: Predictor  # of this model
    history: list[dict[str, float]]
    kept_epoch: int | None  # None: diverged before any epoch was worth keeping
    ended: str  # "all epochs", "patience" or "diverged"
    seconds: float
    untrained: dict[str, float] | None = None  # validation figures before any training


def scaling_of(spec: kinds.DataSpec, splits: Splits) -> Scaling:
    """Return the first layer's scaling; ``standard`` measures what ``standard_of`` names."""
    if spec.scaling == "unit":
        return Scaling()
    if spec.scaling == "raw":
        return Scaling(1 / splits.raw_unit)
    # over uint8, exact: no float copy of the images
    measured = [splits.train.images]
    if spec.standard_of == "training_and_validation" and splits.validation is not None:
        measured.append(splits.validation.images)
    mean, deviation = mean_and_deviation(*measured)
    return Scaling(1 / deviation, -mean / deviation)


def fit(
    experiment: kinds.Experiment,
    splits: Splits,
    checkpoint_path: Path,
    watcher: Watcher | None = None,
    *,
    source: keras.Model | None = None,
    until: int | None = None,
    events: RunEvents | None = None,
    traced: Traced | None = None,
) -> Fitted | None:
    """Fit the experiment's model, going on from ``checkpoint_path`` if that is there.

    The checkpoint is replaced after every epoch. On CPU, the history and the weights of a run that
    was killed and called again are those of an uninterrupted run, bit for bit.

    ``source`` is the model whose weights a warm start takes. Training pauses after ``until`` epochs
    and returns None if there are more to come. Raises :class:`Interrupted` if the user stops it;
    either way the epochs so far are in the checkpoint. With ``traced``, models that differ in
    nothing but their variables are traced once; the model that is returned is then trained again
    by the next such call.
    """
    watcher, spec = watcher or Watcher(), experiment.training
    shape, classes = splits.train.shape, len(splits.class_names)
    scaling, weights = scaling_of(experiment.data, splits), experiment.seed_of("weights")
    build: Callable[[], keras.Model] = partial(
        build_model, experiment.model, shape, classes, scaling=scaling, seed=weights
    )
    frozen = None
    if is_fixed(experiment) and source is None:
        frozen = Frozen(build(), experiment.seed_of("dropout"))
        splits, build = frozen.splits(splits), frozen.build
    device = device_for(
        spec.precision,
        in_layers=not isinstance(experiment.model, kinds.Custom | kinds.Backbone),
    )
    with device.scope():
        network = initial_network(experiment, splits, scaling) if frozen is None else build()
        if experiment.start is not None:
            assert source is not None, "a warm start has a source"
            warm_start(network, source, experiment.start)
        model, trained = compiled(experiment, network, device, len(splits.train))
    at_once = 1 if spec.augmentation else max(1, device.steps_a_call // spec.batch_size)
    ready = Ready(Trainer(model, device, at_once), Product(build, trained))
    if traced is not None and frozen is None:
        by_step = isinstance(spec.schedule, kinds.ByStep)
        steps = steps_of(len(splits.train), spec.batch_size) if by_step else None
        ready = traced.ready(experiment, (shape, classes, scaling, steps), ready)
    model, product = ready.trainer.model, ready.product
    progress = checkpoint.restore(checkpoint_path, model) or Progress()
    keeper = Keeper(
        model, experiment, splits, progress, product, checkpoint_path, watcher, events, until
    )
    if events is not None:
        events.begin(progress.history)
    watcher.started(experiment, len(splits.train), len(progress.history))
    if not keeper.stops:
        keeper.score_untrained()
        _train(ready.trainer, experiment, splits, keeper)
    if keeper.ended is None:
        return None
    finished, predict = product.finish(progress.kept_weights)
    if frozen is not None:
        finished = frozen.whole(finished)
        predict = Predictor(finished)
    return Fitted(
        finished,
        predict,
        progress.history,
        progress.kept_epoch,
        keeper.ended,
        progress.seconds,
        progress.untrained,
    )


def initial_network(experiment: kinds.Experiment, splits: Splits, scaling: Scaling) -> keras.Model:
    """Build the model to train, with all its initial weights but those of a warm start."""
    build = partial(
        build_model,
        experiment.model,
        splits.train.shape,
        len(splits.class_names),
        scaling=scaling,
        for_training=True,
        precision=experiment.training.precision,
    )
    weights, dropout = experiment.seed_of("weights"), experiment.seed_of("dropout")
    network = build(seed=weights)
    if dropout != weights:
        initial = network.get_weights()  # Keras seeds both as a model is built
        network = build(seed=dropout)
        network.set_weights(initial)
    if isinstance(experiment.model, kinds.ConvNet):
        set_initial_filters(network, experiment.model, splits.train.images, scaling.scale)
    return network


def compiled(
    experiment: kinds.Experiment, network: keras.Model, device: Device, examples: int
) -> tuple[keras.Model, list[keras.Variable]]:
    """Compile a model of the layers of ``network``, in the device's scope.

    ``examples`` is the number of images in an epoch. Return the model to train, and the variables
    to score and keep, in the order of ``network.weights``: its own, or their averages.
    """
    spec, heads = experiment.training, experiment.auxiliary_weights
    idle = frozenset(head for head, weight in heads.items() if not weight)
    for head in idle:  # without a loss it stays as it is: not even weight decay moves it
        network.get_layer(head).trainable = False
    optimizer = build_optimizer(spec, math.ceil(examples / spec.batch_size), fused=device.fused)
    optimizer.build(network.trainable_variables)
    if spec.weight_average:
        optimizer.follow(network.weights)
    model = device.prepare(network, batch_sizes(examples, spec.batch_size), idle)
    model.compile(optimizer, **_objective(experiment), jit_compile=device.jit_compile)
    if model.optimizer is not optimizer:  # mixed_float16: one that scales the loss, around it
        model.optimizer.build(model.trainable_variables)
    return model, optimizer.averages if spec.weight_average else model.weights


def batches_of(
    experiment: kinds.Experiment, splits: Splits, epochs: range, at_once: int = 1
) -> tf.data.Dataset:
    """Return the batches of ``epochs``, as the experiment has them, ``at_once`` in an element."""
    spec, heads = experiment.training, experiment.auxiliary_weights
    return training_batches(
        splits.train,
        classes=None if experiment.reconstructs else len(splits.class_names),
        batch_size=spec.batch_size,
        seed=experiment.seed_of("order"),
        augmentation_seed=experiment.seed_of("augmentation"),
        epochs=epochs,
        augmentation=spec.augmentation,
        shuffle=spec.shuffle,
        heads=(kinds.MAIN_HEAD, *heads) if heads else (),
        at_once=at_once,
    )


def _train(trainer: Trainer, experiment: kinds.Experiment, splits: Splits, keeper: Keeper) -> None:
    """Train the epochs that are left; ``keeper`` ends it."""
    spec, history = experiment.training, keeper.progress.history
    epochs = range(len(history), spec.epochs)
    batches = batches_of(experiment, splits, epochs, trainer.at_once)
    try:
        trainer.train(batches, epochs, len(splits.train), spec.batch_size, keeper)
    except KeyboardInterrupt:
        done = len(history)
        when = f"after epoch {done} of {spec.epochs}" if done else "before the first epoch ended"
        raise Interrupted(f"stopped {when}") from None
    assert keeper.stops, "training ended before its last epoch"


def _objective(experiment: kinds.Experiment) -> dict[str, Any]:
    """Return the losses and metrics that ``compile`` takes: with several heads, those of each.

    The loss in the history is the mean cross-entropy of the true labels over examples. So label
    smoothing needs a metric of its own, and so do several heads: Keras 3.15 averages their losses
    over batches, in which the last, smaller batch counts as much as any other.
    """
    model, weights = experiment.model, experiment.auxiliary_weights
    if isinstance(model, kinds.Autoencoder):
        return {"loss": keras.losses.MeanSquaredError()}
    smoothing = experiment.training.label_smoothing
    summed = experiment.training.loss_over_outputs == "sum"
    apart = weights or smoothing or summed
    loss: Callable[[], keras.losses.Loss]
    if model.output == "softmax":
        loss = partial(keras.losses.CategoricalCrossentropy, label_smoothing=smoothing)
        cross_entropy = keras.metrics.CategoricalCrossentropy
    else:
        loss = SummedCrossEntropy if summed else keras.losses.BinaryCrossentropy
        cross_entropy = keras.metrics.BinaryCrossentropy

    def metrics() -> list[keras.metrics.Metric]:
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        return [accuracy, cross_entropy(name="cross_entropy")] if apart else [accuracy]

    if not weights:
        return {"loss": loss(), "metrics": metrics()}
    every = {kinds.MAIN_HEAD: 1.0, **weights}
    return {
        "loss": {head: loss() for head in every},
        "loss_weights": every,
        "metrics": {head: metrics() for head in every},
    }


class SummedCrossEntropy(keras.losses.BinaryCrossentropy):
    """The sum over the outputs of their binary cross-entropies, where Keras takes the mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return super().call(y_true, y_pred) * y_pred.shape[-1]
