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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from harness import machine, markdown, numbers, options, save, seconds_of

from kerascw.commands.terminal import images_trained
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

    def least(work: Callable[[], object], times: int) -> float:
        work()  # traces the graphs
        return min(seconds_of(work) for _ in range(times))

    order, seed = tf.range(count), tf.constant([0, 0])
    return {
        "load": load if count == len(train) else None,
        "shuffle": least(lambda: tf.random.experimental.stateless_shuffle(order, seed).numpy(), 3),
        "evaluate": least(lambda: predict(train.images[: count // 10]), 3),
        "train": least(lambda: model.fit(batches, shuffle=False, verbose=0), 2),
        "megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def timed(
    experiments: list[Experiment], data_dir: Path | None, jobs: int
) -> tuple[float, float, list[Run]]:
    """Train into a folder that is thrown away; return seconds, the most memory in MB, and runs."""
    highest, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        me = psutil.Process()
        while not over.wait(0.2):
            with suppress(psutil.NoSuchProcess):
                every = [me, *me.children(recursive=True)]
                highest = max(highest, sum(each.memory_info().rss for each in every) / 1e6)

    thread, runs = threading.Thread(target=watch), []
    thread.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = seconds_of(
                lambda: runs.extend(
                    run_many(experiments, Store(folder), data_dir=data_dir, jobs=jobs)
                )
            )
            assert all(run.metrics and run.environment for run in runs)  # read while it is there
    finally:
        over.set()
        thread.join()
    return seconds, highest, runs


def by_jobs(jobs: int, runs: int, data_dir: Path | None, sample: bool) -> dict[str, float]:
    """Measure the seconds of several runs with that many jobs, and the most memory of all."""
    changes = {
        "data.name": "fashion_mnist",
        "data.sample": sample,
        "data.holdout": Holdout(how="first", count=600 if sample else 6_000),
        "data.fraction": 0.1,
        "training.epochs": 1,
    }
    experiments = [override(convnet(), changes | {"seed": seed}) for seed in range(runs)]
    seconds, megabytes, _ = timed(experiments, data_dir, jobs)
    return {"seconds": seconds, "megabytes": megabytes}


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
    _, _, (long,) = timed([override(short[-1], epochs)], data_dir, 1)
    rate = images_trained(long) / long.environment["training_seconds"]
    seconds, _, runs = timed(short, data_dir, SWEEP_JOBS)
    ratio = sum(images_trained(run) for run in runs) / seconds / rate
    return {"runs": len(runs), "jobs": SWEEP_JOBS, "ratio": ratio}


def table(found: dict[str, Any]) -> str:
    """Lay out the figures as Markdown."""

    def share(one: dict[str, float], work: str) -> str:
        return "" if one[work] is None else f"{one[work] / one['train']:.1%}"

    sizes = [
        (
            f"{int(count):,}",
            f"{one['train']:.2f}",
            *(share(one, work) for work in ("load", "shuffle", "evaluate")),
            f"{one['megabytes']:,.0f}",
        )
        for count, one in found["sizes"].items()
    ]
    jobs = [
        (jobs, f"{one['seconds']:.1f}", f"{one['megabytes']:,.0f}")
        for jobs, one in found["jobs"].items()
    ]
    header = ("images", "epoch, s", "loading", "shuffling", "evaluating a tenth", "memory, MB")
    sweep = "{runs} short runs, --jobs {jobs}: {ratio:.2f} of the rate of one long run.\n"
    return "\n".join(
        (
            sweep.format(**found["sweep"]),
            markdown(header, sizes),
            markdown(
                ("jobs", f"seconds for {found['runs']} runs", "memory of all processes, MB"), jobs
            ),
        )
    )


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
    print(machine(), flush=True)
    where = given.data_dir, given.sample
    found = {
        "sizes": {count: by_size(count, *where) for count in given.sizes},
        "jobs": {jobs: by_jobs(jobs, given.runs, *where) for jobs in given.jobs},
        "runs": given.runs,
        "sweep": short_beside_long(*where),
    }
    print(table(found))
    save(given.results, "growth", found)


if __name__ == "__main__":
    main()
