"""Time and memory as work grows: by jobs, and of many short runs beside a long one.

    python benchmarks/growth.py [--data-dir DIR]

On Fashion-MNIST. First eight runs of an epoch on 5,400 images, by jobs: seconds, and the resident
memory of all processes together at its highest. Then the 60 short runs of study bag-pretraining
without its autoencoder's variants (5 %, 10 %, ..., 100 % of the training data, three seeds, five
epochs), start-up and scoring included, beside one long run of the same model, of which training
alone is timed: images trained a second.
"""

import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from harness import machine, markdown, numbers, options, save

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


def images_trained(run: Run) -> int:
    """Count the images that a run's training saw, each once an epoch."""
    return int(run.metrics["train"]["examples"] * run.metrics["epochs_trained"])


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

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            runs = run_many(experiments, Store(folder), data_dir=data_dir, jobs=jobs)
            seconds = time.perf_counter() - began
            assert all(run.metrics and run.environment for run in runs)  # read while it is there
    finally:
        over.set()
        thread.join()
    return seconds, highest, runs


def by_jobs(jobs: int, runs: int, data_dir: Path | None, sample: bool) -> dict[str, float]:
    """Measure the seconds of several runs with that many jobs, and the most memory of all."""
    base = study_named("mnist-convnet").variants()["convnet (test 1)"]
    changes = {
        "data.name": "fashion_mnist",
        "data.sample": sample,
        "data.holdout": Holdout(how="first", count=600 if sample else 6_000),
        "data.fraction": 0.1,
        "training.epochs": 1,
    }
    experiments = [override(base, changes | {"seed": seed}) for seed in range(runs)]
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
    rows = [
        (jobs, f"{one['seconds']:.1f}", f"{one['megabytes']:,.0f}")
        for jobs, one in found["jobs"].items()
    ]
    header = ("jobs", f"seconds for {found['runs']} runs", "memory of all processes, MB")
    sweep = "{runs} short runs, --jobs {jobs}: {ratio:.2f} of the rate of one long run.\n"
    return f"{markdown(header, rows)}\n{sweep.format(**found['sweep'])}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--jobs", type=numbers, default=(1, 2, 4))
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--sample", action="store_true", help="the bundled sample, to try this")
    given = parser.parse_args()
    import_tensorflow()
    have_threads()
    print(machine(), flush=True)
    where = given.data_dir, given.sample
    found = {
        "jobs": {jobs: by_jobs(jobs, given.runs, *where) for jobs in given.jobs},
        "runs": given.runs,
        "sweep": short_beside_long(*where),
    }
    print(table(found))
    save(given.results, "growth", found)


if __name__ == "__main__":
    main()
