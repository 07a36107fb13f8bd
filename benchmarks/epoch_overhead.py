"""What an epoch takes beside its steps: ours, with autotuning on, and in Keras' ``fit``.

    python benchmarks/epoch_overhead.py [--images 1000,10000,60000] [--epochs 50]

Trains bag-cnn's model as :func:`kerascw.training.fit.fit` does, on random images: with the pipeline
as it is, with tf.data's autotuning on again, as it is by default, and the first by Keras' ``fit``
in place of our loop. An epoch lasts from its beginning to the next one's; its steps from when they
are called to when they return. The rest is the overhead: iterators made and destroyed, metrics
read, callbacks. Validation and the checkpoint are left out. The first epoch, which traces the step,
is not counted.
"""

import statistics
import time
from typing import Any

from harness import machine, numbers, options, save
from throughput import architectures, random_images

from kerascw.quiet import import_tensorflow

import_tensorflow()

import keras
import tensorflow as tf

from kerascw.data import Part
from kerascw.data.pipeline import training_batches
from kerascw.models import build_model
from kerascw.runs.environment import have_threads
from kerascw.training.fit import compiled
from kerascw.training.loop import Trainer
from kerascw.training.prepare import device_for

GOAL, GOAL_SLOWEST = 0.03, 1.1
"""Of every epoch's share of overhead; of the slowest epoch to the median one."""


class Clock(keras.callbacks.Callback):
    """Notes when each epoch begins, and the seconds in its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[float] = []
        self.steps: list[float] = []

    def begin(self, epoch: int, logs: Any = None) -> None:
        self.begins.append(time.perf_counter())
        self.steps.append(0.0)
        self._began = self.begins[-1]

    def images(self, epoch: int, count: int) -> None:
        now = time.perf_counter()
        # our loop calls the next step as soon as this one has returned
        self.steps[-1], self._began = self.steps[-1] + now - self._began, now

    def end(self, epoch: int, figures: dict[str, float]) -> bool:
        return False

    # the same in Keras' fit, which says when it calls a step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.images(batch, 0)

    on_epoch_begin = begin


WAYS = {"as it is": {}, "autotune on": {"autotune": True}, "Keras' fit": {"by_keras": True}}


def measured(
    count: int, epochs: int, *, autotune: bool = False, by_keras: bool = False
) -> dict[str, float]:
    """Train that many epochs on ``count`` images; return seconds and shares of overhead."""
    experiment, _, _ = architectures()["bag-cnn"]
    spec, device = experiment.training, device_for("float32")
    part = Part(*random_images((28, 28, 1), 5, count))
    network = build_model(experiment.model, part.shape, 5, seed=0, for_training=True)
    model, _ = compiled(experiment, network, device, count)
    numbers = range(epochs + 1)
    batches = training_batches(
        part,
        classes=5,
        batch_size=spec.batch_size,
        seed=0,
        epochs=range(1) if by_keras else numbers,
    )
    if autotune:
        again = tf.data.Options()
        again.autotune.enabled = True
        batches = batches.with_options(again)
    clock = Clock()
    if by_keras:
        model.compile(model.optimizer, "categorical_crossentropy", steps_per_execution=16)
        model.fit(batches, epochs=len(numbers), shuffle=False, verbose=0, callbacks=[clock])
    else:
        Trainer(model, device).train(batches, numbers, count, spec.batch_size, clock)
    ends = [*clock.begins[1:], time.perf_counter()]
    seconds = [end - begin for begin, end in zip(clock.begins, ends, strict=True)][1:]
    shares = [1 - step / whole for step, whole in zip(clock.steps[1:], seconds, strict=True)]
    return {
        "steps": statistics.median(clock.steps[1:]),
        "epoch": statistics.median(seconds),
        "slowest": max(seconds),
        "share": 1 - sum(clock.steps[1:]) / sum(seconds),
        "largest_share": max(shares),
        "epochs_within_goal": sum(share < GOAL for share in shares),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--images", type=numbers, default=(1_000, 10_000, 60_000))
    parser.add_argument("--epochs", type=int, default=50)
    given = parser.parse_args()
    have_threads()
    print(f"{machine()}, {given.epochs} epochs each")
    found: dict[int, dict[str, dict[str, float]]] = {count: {} for count in given.images}
    for count in given.images:
        for name, way in WAYS.items():
            one = found[count][name] = measured(count, given.epochs, **way)
            print(
                f"{count:>7,} images, {name:<12}  steps {one['steps']:.3f} s, epoch "
                f"{one['epoch']:.3f} s (slowest {one['slowest'] / one['epoch']:.2f} times), beside "
                f"steps {one['share']:.1%} (at most {one['largest_share']:.1%}; under {GOAL:.0%} "
                f"in {one['epochs_within_goal']} epochs)",
                flush=True,
            )
    print(f"goal: under {GOAL:.0%} in every epoch, none beyond {GOAL_SLOWEST} times the median")
    save(given.results, "epoch_overhead", {"epochs": given.epochs, "images": found})


if __name__ == "__main__":
    main()
