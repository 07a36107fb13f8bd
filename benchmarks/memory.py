"""Memory over many runs, over a search's trials, or of loading the largest dataset.

    python benchmarks/memory.py runs [--count 60] [--output runs/memory.png]
    python benchmarks/memory.py search [--count 60] [--output runs/search-memory.png]
    python benchmarks/memory.py svhn [--scale 1.0]

``runs`` trains small models (one epoch on 60 images), ``search`` searches over small perceptrons
of scikit-learn's digits. Whenever a run or trial ends, the resident memory of this process and of
those that train is noted; the latter are replaced after RUNS_PER_PROCESS runs. Both print a table
and draw it. ``svhn`` writes the three files of SVHN at their official sizes (times ``--scale``)
with random images, and in a fresh process loads them, holds out a tenth and makes batches. All
use a folder that is thrown away.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import machine

from kerascw.experiment.spec import DataSpec, Experiment, Holdout
from kerascw.quiet import import_tensorflow
from kerascw.runs.many import RUNS_PER_PROCESS, run_many
from kerascw.runs.store import Run, Store
from tuning.plan import planned_search
from tuning.records import TrialRecord
from tuning.search import SearchWatcher, run_search

SPACE = """
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment

def base():
    return Experiment.model_validate({
        "data": {"name": "digits", "holdout": {"how": "stratified", "count": 200}},
        "model": {"kind": "mlp", "dense": [8]},
        "training": {"epochs": 1},
    })

def space(hp, base):
    rate = hp.Float("rate", 1e-4, 0.1, sampling="log")
    width = hp.Int("width", 4, 128, sampling="log")
    return override(base, {"training.optimizer.learning_rate": rate, "model.dense": [width]})
"""
SVHN = {"train": 73_257, "test": 26_032, "extra": 531_131}
"""Images of each file."""


class Memory(SearchWatcher):
    """Resident memory in MB of this process and of those that train, after each run or trial."""

    def __init__(self, what: str) -> None:
        self.what = what  # run or trial
        self.own: list[float] = []
        self.workers: list[dict[int, float]] = []  # by process number

    def finished(self, run: Run) -> None:
        if self.what == "run":
            self.note()

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        self.note()

    def note(self) -> None:
        """Note what all of them have now."""
        import psutil

        me = psutil.Process()
        self.own.append(me.memory_info().rss / 1e6)
        self.workers.append(
            {
                child.pid: child.memory_info().rss / 1e6
                for child in me.children()
                if any("popen_loky" in word for word in child.cmdline())
            }
        )

    def print(self) -> None:
        """Print the first note and every fifth."""
        print(f"{self.what:>5}   main MB   training (process: MB)")
        for number, (workers, own) in enumerate(zip(self.workers, self.own, strict=True), start=1):
            if number == 1 or number % 5 == 0:
                shown = ", ".join(f"{pid}: {size:.0f}" for pid, size in workers.items())
                print(f"{number:>5}   {own:>7.0f}   {shown}")
        slope = np.polyfit(np.arange(len(self.own)), self.own, 1)[0]
        print(f"main process: {self.own[0]:.0f} MB after the first {self.what}, "
              f"{self.own[-1]:.0f} MB after the last ({slope:+.3f} MB a {self.what})")  # fmt: skip
        third = max(1, len(self.workers) // 3)
        first, last = (
            max((size for workers in share for size in workers.values()), default=0.0)
            for share in (self.workers[:third], self.workers[-third:])
        )
        print(f"largest worker: {first:.0f} MB in the first third, {last:.0f} MB in the last")

    def draw(self, path: Path) -> None:
        """Draw a line for every process into ``path``."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        numbers = range(1, len(self.own) + 1)
        axes.plot(numbers, self.own, color="#1b1b1b", label="main process")
        for pid in dict.fromkeys(pid for workers in self.workers for pid in workers):
            seen = [(n, w[pid]) for n, w in zip(numbers, self.workers, strict=True) if pid in w]
            axes.plot(*zip(*seen, strict=True), marker=".", label=f"process {pid}: trains")
        axes.set(xlabel=f"{self.what}s ended", ylabel="resident memory (MB)")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        print(f"figure: {path}")


def train(count: int, folder: Path, memory: Memory) -> None:
    """Train that many runs."""
    tree = {
        "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
        "model": {"kind": "mlp", "dense": [8]},
        "training": {"epochs": 1, "keep": "last"},
    }
    experiments = [Experiment.model_validate(tree | {"seed": seed}) for seed in range(count)]
    run_many(experiments, Store(folder), watcher=memory)


def search(count: int, folder: Path, memory: Memory) -> None:
    """Search over that many trials."""
    space = folder / "digits.py"
    space.write_text(SPACE)
    plan = planned_search(str(space), oracle="random", trials=count, finalists=1, batch=4)
    run_search(plan, Store(folder / "runs"), watcher=memory)


def write_svhn(folder: Path, scale: float) -> None:
    """Write SVHN's files with random images."""
    from scipy.io import savemat

    random = np.random.default_rng(0)
    for name, official in SVHN.items():
        count = int(official * scale)
        # in MATLAB's column order, in which savemat writes without a copy
        pixels = random.integers(0, 256, (count, 3, 32, 32), np.uint8).transpose(3, 2, 1, 0)
        labels = random.integers(1, 11, (count, 1), np.uint8)
        savemat(folder / f"{name}_32x32.mat", {"X": pixels, "y": labels})


def load_svhn(folder: Path) -> None:
    """Load, split and make batches of two epochs; print the memory after each step."""
    from kerascw.data import load_data, split

    def say(step: str) -> None:
        status = Path("/proc/self/status").read_text()
        now, peak = (
            int(found[1]) * 1024 / 1e9
            for name in ("VmRSS", "VmHWM")
            if (found := re.search(rf"{name}:\s+(\d+) kB", status))
        )
        print(f"{step:<34} {now:>5.2f} GB   peak {peak:>5.2f} GB", flush=True)

    dataset = load_data("svhn_extra", data_dir=folder)
    say(f"load_data: {len(dataset.train):,} and {len(dataset.test):,}")
    holdout = Holdout(how="random", count=len(dataset.train) // 10)
    train = split(dataset, DataSpec(name="svhn_extra", holdout=holdout)).train
    say(f"split: {len(train):,} to train on")
    import_tensorflow()
    import tensorflow as tf

    from kerascw.data.pipeline import training_batches

    epoch = tf.Variable(0)
    batches = training_batches(train, classes=10, batch_size=64, seed=0, epoch=epoch)
    for number in range(2):
        epoch.assign(number)
        for images, _ in batches.take(300):
            assert images.shape[1:] == (32, 32, 3), images.shape
        say(f"epoch {number}: 300 batches of 64")


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mode", choices=["runs", "search", "svhn"])
    parser.add_argument("--count", type=int, default=60, help="runs or trials")
    parser.add_argument("--output", type=Path, default=Path("runs/memory.png"))
    parser.add_argument("--scale", type=float, default=1.0, help="of SVHN's official sizes")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        load_svhn(given.load)
        return
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.mode == "svhn":
            write_svhn(folder, given.scale)
            subprocess.run([sys.executable, __file__, "svhn", "--load", folder], check=True)
            return
        memory = Memory("run" if given.mode == "runs" else "trial")
        work = train if given.mode == "runs" else search
        work(given.count, folder, memory)
    print(f"{given.count} {memory.what}s, {RUNS_PER_PROCESS} runs a process")
    memory.print()
    memory.draw(given.output)


if __name__ == "__main__":
    main()
