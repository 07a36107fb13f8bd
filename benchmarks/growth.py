"""Time and memory as work grows: at 1,000, 10,000 and 60,000 pictures, and at 1, 2 and 4 jobs.

    python benchmarks/growth.py [--data-dir DIR]

First loading, drawing an epoch's order, training an epoch and evaluating a held-out tenth, at each
size, with the 93,322-parameter convnet of the convnet lab at batch 64 on Fashion-MNIST: seconds,
and as a share of the epoch's training (loading is once a process, the others once an epoch). The
smaller sets are the first pictures of the large one, which is the only one that is loaded. Then
eight runs of an epoch on 5,400 pictures, by jobs: seconds, and the resident memory of all processes
together at its highest.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
from in_turn import RESULTS

from kerascw.experiment.spec import Experiment, Holdout
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import have_threads, processor
from kerascw.runs.store import Store, write_json
from kerascw.studies import study_named
from kerascw.training.devices import cores

SIZES = (1_000, 10_000, 60_000)
JOBS = (1, 2, 4)
RUNS = 8


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Return the least seconds of so many times, and what came out."""
    least, result = float("inf"), None
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - began)
    return least, result


def by_size(count: int, data_dir: str | None) -> dict[str, float | None]:
    """Return seconds of each part of the work on so many pictures, and the memory after it."""
    import tensorflow as tf

    from kerascw.data import Part, load_data
    from kerascw.data.pipeline import training_batches
    from kerascw.models import build_model
    from kerascw.training.fit import compiled
    from kerascw.training.predictor import Predictor
    from kerascw.training.prepare import device_for

    load, dataset = timed(lambda: load_data("fashion_mnist", data_dir=data_dir))
    part = Part(dataset.train.images[:count], dataset.train.labels[:count])
    held = dataset.train.images[: count // 10]
    experiment = study_named("mnist-convnet").variants()["convnet (test 1)"]
    network = build_model(experiment.model, seed=0, for_training=True)
    size = experiment.training.batch_size
    model, _ = compiled(experiment, network, device_for("float32"), count)
    seed = tf.constant([0, 0])
    shuffle, _ = timed(
        lambda: tf.random.experimental.stateless_shuffle(tf.range(count), seed).numpy(), 3
    )
    batches = training_batches(part, classes=10, batch_size=size, seed=0, epoch=tf.Variable(0))

    def epoch() -> None:
        model.fit(batches, shuffle=False, verbose=0)

    epoch()
    train, _ = timed(epoch, 2)
    predict = Predictor(model)
    predict(held[:100])
    evaluate, _ = timed(lambda: predict(held), 3)
    return {
        "load": load if count == len(dataset.train) else None,
        "shuffle": shuffle,
        "evaluate": evaluate,
        "train": train,
        "megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def by_jobs(jobs: int, data_dir: str | None) -> dict[str, float]:
    """Return seconds of several runs with so many jobs, and the highest memory of all processes."""
    from kerascw.runs.many import run_many

    base = study_named("mnist-convnet").variants()["convnet (test 1)"]
    experiments: list[Experiment] = [
        base.model_copy(
            update={
                "data": base.data.model_copy(
                    update={
                        "name": "fashion_mnist",
                        "holdout": Holdout(how="first", count=6_000),
                        "fraction": 0.1,
                    }
                ),
                "training": base.training.model_copy(update={"epochs": 1}),
                "seed": seed,
            }
        )
        for seed in range(RUNS)
    ]
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
            seconds, _ = timed(
                lambda: run_many(experiments, Store(folder), data_dir=data_dir, jobs=jobs)
            )
    finally:
        over.set()
        thread.join()
    return {"seconds": seconds, "megabytes": highest}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    import_tensorflow()
    have_threads()
    print(f"{processor()}, {cores()} cores")
    sizes = {count: by_size(count, options.data_dir) for count in SIZES}
    for count, found in sizes.items():
        parts = ", ".join(
            f"{name} {found[name] * 1e3:,.1f} ms ({found[name] / found['train']:.1%})"
            for name in ("load", "shuffle", "evaluate")
            if found[name] is not None
        )
        print(f"{count:>7,} pictures: epoch {found['train']:.2f} s, {parts}, "
              f"{found['megabytes']:,.0f} MB", flush=True)  # fmt: skip
    jobs = {}
    for count in JOBS:
        jobs[count] = by_jobs(count, options.data_dir)
        print(f"--jobs {count}: {jobs[count]['seconds']:.1f} s for {RUNS} runs, "
              f"{jobs[count]['megabytes']:,.0f} MB", flush=True)  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "growth.json", {"sizes": sizes, "jobs": jobs, "runs": RUNS})


if __name__ == "__main__":
    main()
