"""Training images per second: kerascw against a plain ``model.fit`` on in-memory arrays.

    python benchmarks/throughput.py [--images 20000] [--rounds 5]

Both train the 93,322-parameter convnet of the convnet lab (32-64-64, 3x3, two pools, dense 64) at
batch 64 with RMSprop, on the same pictures, in turn (A B A B ...) in one process, so that whatever
else the machine does meets both. The first round of each traces its graph and is not counted. What
is printed is the median rate of each and the ratio of the medians, with the ratios of the single
rounds as spread.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from kerascw.quiet import import_tensorflow

import_tensorflow()

import keras
import tensorflow as tf

from kerascw.data import Part, load_data
from kerascw.data.pipeline import training_batches
from kerascw.engine.environment import processor
from kerascw.models import build_model
from kerascw.spec import ConvNet
from kerascw.training.fit import STEPS_PER_EXECUTION

BATCH = 64
SPEC = ConvNet(filters=(32, 64, 64), pool_after=(1, 2), dense=(64,))


def plain(part: Part) -> Callable[[], None]:
    """Return one epoch as a notebook has it: float pictures in memory, Keras' own loop."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    assert model.count_params() == 93_322
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = part.images.astype("float32") / 255
    return lambda: model.fit(images, part.labels, batch_size=BATCH, verbose=0)


def ours(part: Part) -> Callable[[], None]:
    """Return one epoch with kerascw's model, pipeline and settings."""
    model = build_model(SPEC)
    assert model.count_params() == 93_322
    model.compile(
        "rmsprop",
        "categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,
    )
    batches = training_batches(
        part, classes=10, batch_size=BATCH, seed=0, epoch=tf.Variable(0, dtype=tf.int32)
    )
    return lambda: model.fit(batches, shuffle=False, verbose=0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    train = load_data("fashion_mnist").train
    part = Part(train.images[: options.images], train.labels[: options.images])
    contenders = {"plain model.fit": plain(part), "kerascw": ours(part)}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(options.rounds + 1):
        for name, epoch in contenders.items():
            began = time.perf_counter()
            epoch()
            if number:
                rates[name].append(len(part) / (time.perf_counter() - began))
    print(f"{processor()}, {os.cpu_count()} cores, {len(part):,} images, batch {BATCH}, "
          f"{options.rounds} rounds")  # fmt: skip
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name:<16} {medians[name]:>8,.0f} images/s  ({min(values):,.0f} to "
              f"{max(values):,.0f})")  # fmt: skip
    singles = sorted(b / a for a, b in zip(*rates.values(), strict=True))
    print(f"ratio            {medians['kerascw'] / medians['plain model.fit']:.2f}  "
          f"(single rounds {singles[0]:.2f} to {singles[-1]:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
