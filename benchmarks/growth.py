"""Time and memory as work grows: at 1,000, 10,000 and 60,000 images, and at 1, 2 and 4 jobs.

    python benchmarks/growth.py [--data-dir DIR]

First loading, drawing an epoch's order, training an epoch and evaluating a held-out tenth, at each
size, with the 93,322-parameter convnet of the convnet lab at batch 64 on Fashion-MNIST: seconds,
and as a share of the epoch's training (loading is once a process, the others once an epoch). The
smaller sets are the first images of the large one, which is the only one that is loaded. Then
eight runs of an epoch on 5,400 images, by jobs: seconds, and the resident memory of all processes
together at its highest.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from harness import machine, options, save, seconds_of

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment, Holdout
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import have_threads
from kerascw.runs.store import Store
from kerascw.studies import study_named


def numbers(text: str) -> tuple[int, ...]:
    """Read an option's numbers, by comma."""
    return tuple(int(word) for word in text.split(","))


def least(work: Callable[[], object], times: int) -> float:
    """Time a call several times; return the least seconds."""
    return min(seconds_of(work) for _ in range(times))


def convnet() -> Experiment:
    """Return the experiment whose model and batch size are measured."""
    return study_named("mnist-convnet").variants()["convnet (test 1)"]


def by_size(count: int, data_dir: Path | None, sample: bool) -> dict[str, float | None]:
    """Measure the seconds of each part of the work on that many images, and the memory after."""
    import tensorflow as tf

    from kerascw.data import Part, load_data
    from kerascw.data.pipeline import training_batches
    from kerascw.models import build_model
    from kerascw.training.fit import compiled
    from kerascw.training.predictor import Predictor
    from kerascw.training.prepare import device_for

    load = seconds_of(lambda: load_data("fashion_mnist", data_dir=data_dir, sample=sample))
    dataset = load_data("fashion_mnist", data_dir=data_dir, sample=sample)
    part = Part(dataset.train.images[:count], dataset.train.labels[:count])
    held = dataset.train.images[: count // 10]
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
        predict(held)

    epoch()  # traces the graphs
    evaluate()
    return {
        "load": load if count == len(dataset.train) else None,
        "shuffle": least(shuffle, 3),
        "evaluate": least(evaluate, 3),
        "train": least(epoch, 2),
        "megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def by_jobs(jobs: int, runs: int, data_dir: Path | None, sample: bool) -> dict[str, float]:
    """Measure the seconds of several runs with that many jobs, and the most memory of all."""
    from kerascw.runs.many import run_many

    holdout = Holdout(how="first", count=600 if sample else 6_000)
    base = override(
        convnet(),
        {
            "data.name": "fashion_mnist",
            "data.sample": sample,
            "data.holdout": holdout,
            "data.fraction": 0.1,
            "training.epochs": 1,
        },
    )
    experiments = [base.model_copy(update={"seed": seed}) for seed in range(runs)]
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
        with tempfile.TemporaryDirectory() as folder:
            seconds = seconds_of(
                lambda: run_many(experiments, Store(folder), data_dir=data_dir, jobs=jobs)
            )
    finally:
        over.set()
        thread.join()
    return {"seconds": seconds, "megabytes": highest}


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__)
    parser.add_argument("--sizes", type=numbers, default=(1_000, 10_000, 60_000))
    parser.add_argument("--jobs", type=numbers, default=(1, 2, 4))
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--sample", action="store_true", help="the bundled sample")
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
    save(given.results, "growth", found)


if __name__ == "__main__":
    main()
