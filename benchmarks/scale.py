"""A store of very many runs, and a study of very many runs that hardly train.

    python benchmarks/scale.py [--runs 100000] [--experiments 1000] [--results FOLDER]

First a run is trained and copied under many names (its files are linked, its summary is its own).
In a store of 100 such runs and in one of ``--runs``: seconds to get a run by its name and by the
beginning of its key, of ``show``, and of ``report --all``, start-up included. Then a dense network
takes one step from each of ``--experiments`` seeds: seconds a run beside those that TensorFlow
trains, in one process, in two, and by two workers of a Dask cluster on this machine.
"""

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import LocalCluster
from harness import machine, markdown, options, save, seconds_of

from kerascw.experiment.spec import DataSpec, DenseNet, Experiment, TrainingSpec
from kerascw.runs.many import run_many
from kerascw.runs.store import Run, Store
from kerascw.runs.summary import SUMMARY, write_summary

SMALL = 100
TIMES = 20
LINKS = 50_000
"""To one file: ext4 allows 65,000."""


def experiments(count: int) -> list[Experiment]:
    """Return experiments of one step each."""
    data = DataSpec(name="digits", fraction=0.02)
    training = TrainingSpec(epochs=1, batch_size=64, keep="last")
    return [
        Experiment(data=data, model=DenseNet(dense=(8,)), training=training, seed=seed)
        for seed in range(count)
    ]


def copied(run: Run, folder: Path, count: int) -> None:
    """Fill a store with copies of a run under other keys."""
    begin = run.name.rpartition("-")[0]
    for number in range(count):
        if number % LINKS == 0:
            source = shutil.copytree(run.folder, folder.with_name(f"{folder.name}-from-{number}"))
            files = [file for file in source.iterdir() if file.name != SUMMARY]
        name = f"{begin}-{hashlib.sha256(str(number).encode()).hexdigest()[:16]}"
        copy = folder / name
        copy.mkdir(parents=True)
        for file in files:
            os.link(file, copy / file.name)
        write_summary(copy, run.summary.model_copy(update={"name": name}))


def command(*words: object) -> float:
    """Time a command from start to end."""
    call = [sys.executable, "-m", "kerascw", *map(str, words)]
    return seconds_of(lambda: subprocess.run(call, check=True, stdout=subprocess.DEVNULL))


def in_store(run: Run, folder: Path, count: int) -> dict[str, float]:
    """Measure what a store of ``count`` runs takes."""
    copied(run, folder, count)
    names = sorted(os.listdir(folder))[:: max(1, count // TIMES)][:TIMES]
    store = Store(folder)
    return {
        "get": statistics.median(seconds_of(lambda name=name: store.get(name)) for name in names),
        "find": statistics.median(
            seconds_of(lambda name=name: store.find(name.rpartition("-")[2][:12])) for name in names
        ),
        "show": command("show", "--runs", folder),
        "report --all": command("report", "--all", "--runs", folder),
        "index, MB": (folder / "index.html").stat().st_size / 1e6,
    }


def overhead(count: int, scratch: Path, **how: Any) -> float:
    """Return the seconds that a run takes beside training."""
    store = Store(scratch / "-".join(map(str, how.values())).replace("/", "_"))
    began = time.perf_counter()
    runs = run_many(experiments(count), store, **how)
    seconds = time.perf_counter() - began
    trained = sum(run.environment["training_seconds"] for run in runs)
    return (seconds - trained / how.get("jobs", 2)) / count


def table(found: dict[str, Any]) -> str:

    def shown(seconds: float) -> str:
        return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.1f}"

    each = list(found["stores"].values())
    rows = [(what, *(shown(one[what]) for one in each)) for what in each[0]]
    header = ("seconds", *(f"{int(count):,} runs" for count in found["stores"]))
    beside = [(way, f"{seconds * 1000:.0f}") for way, seconds in found["overhead"].items()]
    title = f"{found['experiments']:,} runs of one step, milliseconds a run beside training"
    return f"{markdown(header, rows)}\n{markdown((title, ''), beside)}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--experiments", type=int, default=1_000)
    given = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (run,) = run_many(experiments(1), Store(folder / "one"))
        stores = {
            str(count): in_store(run, folder / f"store-{count}", count)
            for count in sorted({SMALL, given.runs})
        }
        each = {
            "one process": overhead(given.experiments, folder, jobs=1),
            "--jobs 2": overhead(given.experiments, folder, jobs=2),
        }
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            where = cluster.scheduler_address
            each["Dask, 2 workers"] = overhead(given.experiments, folder, cluster=where)
    found = {"stores": stores, "experiments": given.experiments, "overhead": each}
    print(table(found))
    save(given.results, "scale", found)


if __name__ == "__main__":
    main()
