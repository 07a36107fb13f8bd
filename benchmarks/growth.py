"""Time and memory as work grows: by images, by jobs, and of many short runs beside a long one.

    python benchmarks/growth.py [--data-dir DIR]

On Fashion-MNIST. First loading, drawing an epoch's order, training an epoch and evaluating a
held-out tenth, with the 93,322-parameter convnet of the convnet lab at batch 64: seconds, and as a
share of the epoch's training (loading is once a process, the others once an epoch). The smaller
sets are the first images of the large one, which is the only one that is loaded. Then eight runs of
an epoch on 5,400 images, by jobs: seconds, and the resident memory of all processes together at its
highest. Last the 60 short runs of study bag-pretraining without its autoencoder's variants (5 %,
10 %, ..., 100 % of the training data, three seeds, five epochs), start-up and scoring included,
beside one long run of the same model, of which training alone is timed: images trained a second.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from harness import machine, numbers, options, save, seconds_of

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment, Holdout
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import have_threads
from kerascw.runs.many import run_many
from kerascw.runs.store import Run, Store
from kerascw.studies import study_named
from kerascw.studies.bag_learning import pretraining

SWEEP_JOBS = 2
LONG_EPOCHS = 20  # of 24,975 images


def least(work: Callable[[], object], times: int) -> float:
    """Time a call several times; return the least seconds."""
    return min(seconds_of(work) for _ in range(times))


def images_trained(run: Run) -> int:
    """Count the images that a run's training saw, each once an epoch."""
    examples: int = run.metrics.get("train", {}).get("examples", 0)
    return examples * int(run.metrics["epochs_trained"])


def convnet() -> Experiment:
    """Return the experiment whose model and batch size are measured."""
    return study_named("mnist-convnet").variants()["convnet (test 1)"]


def by_size(count: int, data_dir: Path | None, sample: bool) -> dict[str, float | None]:
    """Measure the seconds of each kind of work on that many images, and the memory after."""
    import tensorflow as tf

    from kerascw.data import Part, load_data
    from kerascw.data.pipeline import training_batches
    from kerascw.models import build_model
    from kerascw.training.fit import compiled
    from kerascw.training.predictor import Predictor
    from kerascw.training.prepare import device_for

    load = seconds_of(lambda: load_data("fashion_mnist", data_dir=data_dir, sample=sample))
    train = load_data("fashion_mnist", data_dir=data_dir, sample=sample).train
    part = Part(train.images[:count], train.labels[:count])
    experiment = convnet()
    network = build_model(experiment.model, seed=0, for_training=True)
    size = experiment.training.batch_size
    model, _ = compiled(experiment, network, device_for("float32"), count)
    batches = training_batches(part, classes=10, batch_size=size, seed=0, epoch=tf.Variable(0))
    predict = Predictor(network)

    def shuffle() -> None:
        tf.random.experimental.stateless_shuffle(tf.range(count), tf.constant([0, 0])).numpy()

    def epoch() -> None:
        model.fit(batches, shuffle=False, verbose=0)

    def evaluate() -> None:
        predict(train.images[: count // 10])

    epoch()  # traces the graphs
    evaluate()
    return {
        "load": load if count == len(train) else None,
        "shuffle": least(shuffle, 3),
        "evaluate": least(evaluate, 3),
        "train": least(epoch, 2),
        "megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def by_jobs(jobs: int, runs: int, data_dir: Path | None, sample: bool) -> dict[str, float]:
    """Measure the seconds of several runs with that many jobs, and the most memory of all."""
    base = override(
        convnet(),
        {
            "data.name": "fashion_mnist",
            "data.sample": sample,
            "data.holdout": Holdout(how="first", count=600 if sample else 6_000),
            "data.fraction": 0.1,
            "training.epochs": 1,
        },
    )
    highest, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        me = psutil.Process()
        while not over.wait(0.2):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            highest = max(highest, total / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        experiments = [base.model_copy(update={"seed": seed}) for seed in range(runs)]
        with tempfile.TemporaryDirectory() as folder:
            seconds = seconds_of(
                lambda: run_many(experiments, Store(folder), data_dir=data_dir, jobs=jobs)
            )
    finally:
        over.set()
        thread.join()
    return {"seconds": seconds, "megabytes": highest}


def short_beside_long(data_dir: Path | None, sample: bool) -> dict[str, Any]:
    """Measure the images a second of 60 short runs, as a ratio to those of one long run."""
    short = [
        override(experiment, {"training.epochs": 5, "seed": seed})
        for name, experiment in pretraining().items()
        if name.startswith("random, ")
        for seed in range(3)
    ]
    if sample:  # to try this script
        changes = {"data.sample": True, "data.holdout": Holdout(how="last", count=1_000)}
        short = [override(short[-1], changes)]
    epochs = {"training.epochs": 1 if sample else LONG_EPOCHS}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        (long,) = run_many([override(short[-1], epochs)], store, data_dir=data_dir)
        rate = images_trained(long) / long.environment["training_seconds"]
        began = time.perf_counter()
        runs = run_many(short, store, data_dir=data_dir, jobs=SWEEP_JOBS)
        seconds = time.perf_counter() - began
        ratio = sum(images_trained(run) for run in runs) / seconds / rate
    return {"runs": len(runs), "jobs": SWEEP_JOBS, "ratio": ratio}


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__)
    parser.add_argument("--sizes", type=numbers, default=(1_000, 10_000, 60_000))
    parser.add_argument("--jobs", type=numbers, default=(1, 2, 4))
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--sample", action="store_true", help="the bundled sample, to try this")
    given = parser.parse_args()
    import_tensorflow()
    have_threads()
    print(machine())
    found: dict[str, Any] = {"sizes": {}, "jobs": {}, "runs": given.runs}
    for count in given.sizes:
        one = found["sizes"][count] = by_size(count, given.data_dir, given.sample)
        shares = ", ".join(
            f"{name} {one[name] * 1e3:,.1f} ms ({one[name] / one['train']:.1%})"
            for name in ("load", "shuffle", "evaluate")
            if one[name] is not None
        )
        print(f"{count:>7,} images: epoch {one['train']:.2f} s, {shares}, "
              f"{one['megabytes']:,.0f} MB", flush=True)  # fmt: skip
    for jobs in given.jobs:
        one = found["jobs"][jobs] = by_jobs(jobs, given.runs, given.data_dir, given.sample)
        print(f"--jobs {jobs}: {one['seconds']:.1f} s for {given.runs} runs, "
              f"{one['megabytes']:,.0f} MB", flush=True)  # fmt: skip
    sweep = found["sweep"] = short_beside_long(given.data_dir, given.sample)
    print(f"{sweep['runs']} short runs, --jobs {SWEEP_JOBS}: {sweep['ratio']:.2f} of the rate of "
          "one long run")  # fmt: skip
    save(given.results, "growth", found)


if __name__ == "__main__":
    main()
