"""What augmentation costs of the training throughput of LeNet's variant 4 at batch 32.

    python benchmarks/augmentation.py [--images 9600] [--rounds 7] [--alone]

The same compiled model is trained without and with augmentation in turn (A B A B ...) in one
process, so that whatever else the machine does meets both. The first round of each traces its
graph and is not counted. What is printed of each is the median rate, the cost (1 minus the ratio of
the medians, with the single rounds' as spread) and the extra processor time, which other work on
the machine disturbs less. ``--alone`` measures every kind of augmentation too, at its default
strength. The auxiliary heads, which are not trained, are left out: with them a step takes longer,
and augmentation a smaller share of it.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from kerascw.quiet import import_tensorflow

import_tensorflow()

import keras
import tensorflow as tf

from kerascw.data import Part, load_data
from kerascw.data.pipeline import training_batches
from kerascw.experiment.settings import KINDS, LENET
from kerascw.experiment.spec import AugmentationSpec
from kerascw.models import build_model
from kerascw.runs.environment import processor
from kerascw.studies.lenet import experiment
from kerascw.training.prepare import STEPS_PER_EXECUTION

BATCH = 32
GOAL = 0.15


def trained_model() -> keras.Model:
    """Return the model, compiled as :func:`kerascw.training.fit.fit` compiles it."""
    model = build_model(experiment("variant_4").model.model_copy(update={"auxiliary": ()}))
    model.compile(
        keras.optimizers.Adam(1e-3),
        "categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,
    )
    return model


def epoch_of(
    model: keras.Model, part: Part, augmentation: tuple[AugmentationSpec, ...]
) -> Callable[[], None]:
    """Return one epoch with this augmentation."""
    batches = training_batches(
        part,
        classes=10,
        batch_size=BATCH,
        seed=0,
        epoch=tf.Variable(0, dtype=tf.int32),
        augmentation=augmentation,
    )
    return partial(model.fit, batches, shuffle=False, verbose=0)


def measured(epoch: Callable[[], None]) -> tuple[float, float]:
    """Return wall and processor seconds of one epoch."""
    wall, busy = time.perf_counter(), time.process_time()
    epoch()
    return time.perf_counter() - wall, time.process_time() - busy


def compare(
    model: keras.Model,
    part: Part,
    name: str,
    augmentation: tuple[AugmentationSpec, ...],
    rounds: int,
) -> None:
    """Measure one augmentation against none, in turn, and print a line."""
    contenders = [epoch_of(model, part, ()), epoch_of(model, part, augmentation)]
    taken: list[list[tuple[float, float]]] = [[], []]
    for number in range(rounds + 1):
        for epoch, seconds in zip(contenders, taken, strict=True):
            found = measured(epoch)
            if number:
                seconds.append(found)
    walls = [[wall for wall, _ in several] for several in taken]
    busy = [statistics.median(cpu for _, cpu in several) for several in taken]
    without, augmented = (statistics.median(several) for several in walls)
    singles = sorted(1 - a / b for a, b in zip(*walls, strict=True))
    print(
        f"{name:<18} {len(part) / without:>7,.0f} {len(part) / augmented:>7,.0f} images/s   "
        f"cost {1 - without / augmented:>6.1%} ({singles[0]:.1%} to {singles[-1]:.1%})   "
        f"processor time {busy[1] / busy[0] - 1:+.1%}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=9_600)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    train = load_data("fashion_mnist").train
    part = Part(train.images[: options.images], train.labels[: options.images])
    model = trained_model()
    print(
        f"{processor()}, {os.cpu_count()} cores, {len(part):,} images, batch {BATCH}, "
        f"{options.rounds} rounds; rates without and with; goal: a cost of at most {GOAL:.0%}"
    )
    compare(model, part, "the report's five", LENET, options.rounds)
    for kind, spec in KINDS.items() if options.alone else ():
        compare(model, part, kind, (spec(),), options.rounds)


if __name__ == "__main__":
    main()
