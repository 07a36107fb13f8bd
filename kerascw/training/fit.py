"""Fit one experiment, from its beginning or from its checkpoint."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascw.data import Part, Splits, mean_and_deviation
from kerascw.data.pipeline import batch_sizes, training_batches
from kerascw.data.rows import Rows
from kerascw.errors import Interrupted
from kerascw.evaluation.metrics import loss_and_accuracy, reconstruction_errors
from kerascw.experiment.spec import MAIN_HEAD, Autoencoder, DataSpec, Experiment
from kerascw.models import Scaling, build_model, by_head
from kerascw.training import checkpoint
from kerascw.training.checkpoint import Progress
from kerascw.training.devices import has_gpu, strategy
from kerascw.training.events import RunEvents
from kerascw.training.optimizer import build_optimizer, rate_of_next_epoch
from kerascw.training.shards import thread_count, train_in_shards
from kerascw.training.warm_start import warm_start
from kerascw.training.watcher import Silent, Watcher

STEPS_PER_EXECUTION = 16
"""Training steps in one call from Python: 1.4 times the rate of one step a call at batch 64, and
the same results, bit for bit. More gained nothing."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model with its kept weights, and how it came to them."""

    model: keras.Model
    history: list[dict[str, float]]
    kept_epoch: int | None  # None: diverged before any epoch was worth keeping
    ended: str  # "all epochs", "patience" or "diverged"
    seconds: float
    untrained: dict[str, float] | None = None  # validation figures before any training


def scaling_of(
    spec: DataSpec, train: Part, raw_unit: int = 1, validation: Part | None = None
) -> Scaling:
    """Return the first layer's scaling; ``standard`` measures what ``standard_of`` names."""
    match spec.scaling:
        case "unit":
            return Scaling()
        case "raw":
            return Scaling(1 / raw_unit, 0.0)
        case "standard":
            # over uint8, exact: no float copy of the pictures
            measured = [train.images]
            if spec.standard_of == "training_and_validation" and validation is not None:
                measured.append(validation.images)
            mean, deviation = mean_and_deviation(*measured)
            return Scaling(1 / deviation, -mean / deviation)


class Predictor:
    """The model as one compiled function, traced once for all batches of a size.

    ``model.predict`` would do, but it takes ``steps_per_execution`` batches at a time and costs
    more than the pictures do on a small validation set.

    Batches of 100 stay in the processor's cache: with one thread 1.5 times the rate of batches of
    1,000 on small convnets. As in training, each thread takes one through all layers.
    """

    def __init__(self, model: keras.Model) -> None:
        (images,) = model.inputs
        self._call = tf.function(
            lambda batch: by_head(model(batch, training=False)),
            input_signature=[tf.TensorSpec(images.shape, images.dtype)],
        )
        self._call.get_concrete_function()  # traced here, and not in one of several threads

    def __call__(self, images: np.ndarray | Rows, batch_size: int = 100) -> np.ndarray:
        """Return float32 probabilities ``[n, classes]``, or reconstructions, of uint8 pictures."""
        return self.every_head(images, batch_size)[MAIN_HEAD]

    def every_head(self, images: np.ndarray | Rows, batch_size: int = 100) -> dict[str, np.ndarray]:
        """Return what the main head gives, and under their names what the auxiliary ones do."""
        starts = range(0, len(images), batch_size)
        with ThreadPoolExecutor(thread_count()) as pool:
            batches = list(pool.map(lambda at: self._call(images[at : at + batch_size]), starts))
        return {
            name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
        }


def fit(
    experiment: Experiment,
    splits: Splits,
    checkpoint_path: Path,
    watcher: Watcher | None = None,
    *,
    source: keras.Model | None = None,
    until: int | None = None,
    events: RunEvents | None = None,
) -> Fitted | None:
    """Fit the experiment's model, going on from ``checkpoint_path`` if that is there.

    ``source`` is the model whose weights the experiment's warm start takes.

    The checkpoint is replaced after every epoch. On CPU, the history and the weights of a run that
    was killed and called again are those of an uninterrupted run, bit for bit.

    ``until`` pauses after so many epochs, all of which are in the checkpoint: None is returned if
    there are more to come.

    Raises
    ------
    Interrupted
        The user stopped it; the whole epochs so far are in the checkpoint.
    """
    watcher = watcher or Silent()
    spec, train = experiment.training, splits.train
    classes = len(splits.class_names)
    build = partial(
        build_model,
        experiment.model,
        train.shape,
        classes,
        scaling=scaling_of(experiment.data, train, splits.raw_unit, splits.validation),
        seed=experiment.seed,
    )
    heads = experiment.auxiliary_weights
    gpu, several = has_gpu(), strategy()
    # TensorFlow's own way, in which Keras' layers do what shards do by themselves on CPUs
    plain = gpu or several is not None or spec.precision != "float32"
    with nullcontext() if several is None else several.scope():
        model = build(for_training=True, precision=spec.precision)
        for head, weight in heads.items():
            # not even weight decay moves what no loss is taken of
            model.get_layer(head).trainable = weight > 0
        if several is not None:
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True  # statistics of the whole batch
        if experiment.start is not None:
            assert source is not None, "a warm start has a source"
            warm_start(model, source, experiment.start)
        optimizer = build_optimizer(spec, math.ceil(len(train) / spec.batch_size), fused=not plain)
        optimizer.build(model.trainable_variables)
        if spec.weight_average:
            optimizer.follow(model.weights)
        if not plain:
            train_in_shards(
                model,
                thread_count(),
                batch_sizes(len(train), spec.batch_size),
                idle=frozenset(head for head, weight in heads.items() if not weight),
            )
        model.compile(
            optimizer,
            **_objective(experiment),
            # TensorFlow 2.21 fails to run a loop of steps on several devices
            steps_per_execution=STEPS_PER_EXECUTION if several is None else 1,
            jit_compile=gpu and several is None,  # XLA halves the rate on CPUs
        )
        if model.optimizer is not optimizer:  # mixed_float16: one that scales the loss, around it
            model.optimizer.build(model.trainable_variables)
    progress = checkpoint.restore(checkpoint_path, model) or Progress()
    epoch = tf.Variable(0, dtype=tf.int32, trainable=False)
    keeper = _Keeper(experiment, splits, progress, epoch, checkpoint_path, watcher, until)
    if spec.weight_average:
        keeper.averages = optimizer.averages
    differs = getattr(experiment.model, "mirror_average", False) or spec.precision != "float32"
    if spec.weight_average or several is not None or differs:
        keeper.product = build()
    if events is not None:
        events.begin(model.get_config, progress.history, progress.seconds)
        keeper.events = events
    watcher.started(experiment, len(train), len(progress.history))
    if not keeper.stops:
        keeper.score_untrained(model)
        batches = training_batches(
            train,
            classes=None if experiment.reconstructs else classes,
            batch_size=spec.batch_size,
            seed=experiment.seed,
            epoch=epoch,
            augmentation=spec.augmentation,
            shuffle=spec.shuffle,
        )
        if heads:  # all see the same labels
            batches = batches.map(
                lambda images, labels: (images, dict.fromkeys([MAIN_HEAD, *heads], labels))
            )
        try:
            model.fit(
                batches,
                epochs=spec.epochs,
                initial_epoch=len(progress.history),
                shuffle=False,  # the pipeline's order is the order
                callbacks=[keeper],
                verbose=0,
            )
        except KeyboardInterrupt:
            done = len(progress.history)
            raise Interrupted(f"stopped after epoch {done} of {spec.epochs}") from None
    assert keeper.stops, "model.fit returned before its last epoch"
    if keeper.ended is None:
        return None
    # one that was never compiled: its file then loads in Keras alone, without our schedules
    result = build()
    result.set_weights(progress.kept_weights or keeper.weights(model))
    return Fitted(
        result,
        progress.history,
        progress.kept_epoch,
        keeper.ended,
        progress.seconds,
        progress.untrained,
    )


def _objective(experiment: Experiment) -> dict[str, Any]:
    """Return what is minimised, and what else of the training part the history has.

    With several heads each has a loss and metrics of its own, by name. The loss that is reported is
    the cross-entropy of the true labels, over examples: so label smoothing needs a metric of its
    own, and several heads do, whose losses Keras 3.15 averages over batches, the last, smaller one
    counting as much as any.

    Mixup and cutmix mix the labels: loss and accuracy in training are then of mixed ones, and an
    answer is right that names the class of the largest share.
    """
    spec, model = experiment.training, experiment.model
    if isinstance(model, Autoencoder):
        return {"loss": keras.losses.MeanSquaredError()}
    output, smoothing = model.output, spec.label_smoothing
    summed = spec.loss_over_outputs == "sum"

    def loss() -> keras.losses.Loss:
        if output == "sigmoid":
            return SummedCrossEntropy() if summed else keras.losses.BinaryCrossentropy()
        return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)

    def metrics() -> list[keras.metrics.Metric]:
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        if output == "sigmoid" and (weights or summed):
            return [accuracy, keras.metrics.BinaryCrossentropy(name="cross_entropy")]
        if smoothing or weights:
            return [accuracy, keras.metrics.CategoricalCrossentropy(name="cross_entropy")]
        return [accuracy]

    weights = experiment.auxiliary_weights
    if not weights:
        return {"loss": loss(), "metrics": metrics()}
    heads = [MAIN_HEAD, *weights]
    return {
        "loss": {head: loss() for head in heads},
        "loss_weights": {MAIN_HEAD: 1.0, **weights},
        "metrics": {head: metrics() for head in heads},
    }


class SummedCrossEntropy(keras.losses.BinaryCrossentropy):
    """The sum over the outputs of their binary cross-entropies, where Keras takes the mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return super().call(y_true, y_pred) * y_pred.shape[-1]


def column_prefix(head: str) -> str:
    """Return what the history's columns of a head begin with: nothing for the main one.

    >>> column_prefix("aux1")
    'aux1_'
    """
    return "" if head == MAIN_HEAD else f"{head}_"


class _Keeper(keras.callbacks.Callback):
    """After each epoch: validate, note, keep the best weights, write the checkpoint.

    Whether training has ended, and what is best, are functions of the history alone, so that a
    resumed run needs no callback state.
    """

    def __init__(
        self,
        experiment: Experiment,
        splits: Splits,
        progress: Progress,
        epoch: tf.Variable,
        path: Path,
        watcher: Watcher,
        until: int | None,
    ) -> None:
        super().__init__()
        self._until = until
        self._spec, self._splits, self._progress = experiment.training, splits, progress
        self._model_spec, self._heads = experiment.model, tuple(experiment.auxiliary_weights)
        self._epoch, self._path, self._watcher = epoch, path, watcher
        self._predict: Predictor | None = None
        self.events: RunEvents | None = None
        self.averages: list[keras.Variable] | None = None  # of the weights, where they are averaged
        self.product: keras.Model | None = None  # to score, where it is not the model in training
        self._began = time.monotonic()

    @property
    def ended(self) -> str | None:
        """Why training is over, or None while it is not."""
        history, spec = self._progress.history, self._spec
        if history and not all(math.isfinite(value) for value in history[-1].values()):
            return "diverged"
        if len(history) == spec.epochs:
            return "all epochs"
        kept = self._progress.kept_epoch
        if spec.patience and kept and len(history) - kept >= spec.patience:
            return "patience"
        return None

    @property
    def stops(self) -> bool:
        """Whether no further epoch is to be trained now."""
        paused = self._until is not None and len(self._progress.history) >= self._until
        return paused or self.ended is not None

    def score_untrained(self, model: keras.Model) -> None:
        """Score the validation set before the first epoch, where the experiment asks for it."""
        validation = self._splits.validation
        if self._spec.evaluate_first and not self._progress.history and validation is not None:
            self._progress.untrained = self._validated(validation, model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch.assign(epoch)
        rate = rate_of_next_epoch(self._spec, self._progress.history)
        if rate is not None:
            self.model.optimizer.learning_rate = rate
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        done = min((batch + 1) * self._spec.batch_size, len(self._splits.train))
        self._watcher.images(len(self._progress.history), done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {
            "epoch": epoch + 1,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
        }
        for head in (MAIN_HEAD, *self._heads):
            # Keras puts the head's name first where there are several
            own = f"{head}_" if self._heads else ""
            prefix = column_prefix(head)
            row[f"{prefix}train_loss"] = float(logs.get(f"{own}cross_entropy", logs[f"{own}loss"]))
            if f"{own}accuracy" in logs:
                row[f"{prefix}train_accuracy"] = float(logs[f"{own}accuracy"])
        if self._splits.validation is not None:
            row |= self._validated(self._splits.validation, self.model)
        progress = self._progress
        progress.history.append(row)
        if self._is_best(row):
            progress.kept_epoch = epoch + 1
            progress.kept_weights = self.weights(self.model)
        progress.seconds += time.monotonic() - self._began
        checkpoint.save(self._path, self.model, progress)
        if self.events is not None:
            self.events.epoch(row)
        self._watcher.epoch(row)
        if self.stops:
            self.model.stop_training = True

    def weights(self, model: keras.Model) -> list[np.ndarray]:
        """Return the weights that are scored and kept: the averages, or the model's own."""
        if self.averages is None:
            return model.get_weights()
        return [average.numpy() for average in self.averages]

    def _validated(self, part: Part, model: keras.Model) -> dict[str, float]:
        if self.product is not None:
            self.product.set_weights(self.weights(model))
        predict = self._predict = self._predict or Predictor(self.product or model)
        if isinstance(self._model_spec, Autoencoder):
            return {"validation_loss": float(reconstruction_errors(predict, part.images).mean())}
        row: dict[str, float] = {}
        every = predict.every_head(part.images)
        for head in (MAIN_HEAD, *self._heads):
            loss, accuracy = loss_and_accuracy(every[head], part.labels, self._model_spec.output)
            prefix = column_prefix(head)
            row |= {f"{prefix}validation_loss": loss, f"{prefix}validation_accuracy": accuracy}
        return row

    def _is_best(self, row: dict[str, float]) -> bool:
        keep, kept = self._spec.keep, self._progress.kept_epoch
        if not all(math.isfinite(value) for value in row.values()):
            return False
        if keep == "last" or kept is None:
            return True
        best = self._progress.history[kept - 1][keep]
        return row[keep] > best if keep == "validation_accuracy" else row[keep] < best
