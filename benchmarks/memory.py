"""Memory of a study's processes over many runs: does it stay flat?

    python benchmarks/memory.py [--runs 60] [--jobs 1] [--model mlp] [--output runs/memory.png]

Trains so many small runs (one epoch on 60 pictures) into a folder that is thrown away. Whenever a
run is finished, the resident memory of the processes that train and of the study's own process is
noted. A process trains RUNS_PER_PROCESS runs and is replaced. Prints a table, and draws it.
"""

import argparse
import tempfile
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from kerascw.engine.environment import processor
from kerascw.engine.many import RUNS_PER_PROCESS, run_many
from kerascw.engine.store import Run, Store
from kerascw.spec import Experiment
from kerascw.training.watcher import Silent

MODELS = {
    "mlp": {"kind": "mlp", "dense": [8]},
    "convnet": {"kind": "convnet", "filters": [32, 64, 64], "pool_after": [1, 2], "dense": [64]},
}


class Memory(Silent):
    """Notes the memory of all processes whenever a run is finished, in MB."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.workers: list[dict[int, float]] = []

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """Nothing to note."""

    def finished(self, run: Run) -> None:
        """Note them."""
        me = psutil.Process()
        self.own.append(me.memory_info().rss / 1e6)
        self.workers.append(
            {
                child.pid: child.memory_info().rss / 1e6
                for child in me.children()
                if any("popen_loky" in word for word in child.cmdline())
            }
        )


def draw(memory: Memory, path: Path) -> None:
    """Draw a line for every process."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    numbers = range(1, len(memory.own) + 1)
    axes.plot(numbers, memory.own, color="#767676", label="the study's own process")
    for pid in dict.fromkeys(pid for workers in memory.workers for pid in workers):
        seen = [(n, w[pid]) for n, w in zip(numbers, memory.workers, strict=True) if pid in w]
        axes.plot(*zip(*seen, strict=True), marker=".", label=f"worker {pid}")
    axes.set(xlabel="runs finished", ylabel="resident memory (MB)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--output", type=Path, default=Path("runs/memory.png"))
    options = parser.parse_args()
    experiments = [
        Experiment.model_validate(
            {
                "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
                "model": MODELS[options.model],
                "training": {"epochs": 1, "keep": "last"},
                "seed": seed,
            }
        )
        for seed in range(options.runs)
    ]
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder:
        run_many(experiments, Store(folder), jobs=options.jobs, watcher=memory)
    print(f"{processor()}; {options.runs} runs of {options.model}, --jobs {options.jobs}, "
          f"{RUNS_PER_PROCESS} runs a process")  # fmt: skip
    print("runs   workers (process: MB)                own MB")
    for number, (workers, own) in enumerate(zip(memory.workers, memory.own, strict=True), start=1):
        if number == 1 or number % 5 == 0:
            shown = ", ".join(f"{pid}: {size:.0f}" for pid, size in workers.items())
            print(f"{number:>4}   {shown:<36} {own:.0f}")
    thirds = [memory.workers[at : at + options.runs // 3] for at in (0, 2 * options.runs // 3)]
    first, last = (max(size for workers in part for size in workers.values()) for part in thirds)
    print(f"largest worker: {first:.0f} MB in the first third, {last:.0f} MB in the last")
    print(f"own process: {memory.own[0]:.0f} MB after the first run, {memory.own[-1]:.0f} MB "
          "after the last")  # fmt: skip
    draw(memory, options.output)
    print(f"figure: {options.output}")


if __name__ == "__main__":
    main()
