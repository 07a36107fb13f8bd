"""Memory of a search's main process over many trials: does it stay flat?

    python benchmarks/search_memory.py [--trials 60] [--output runs/search-memory.png]

Searches over digits (small perceptrons of one epoch) in a folder that is thrown away. Whenever a
trial ends, the resident memory of the main process, which has the oracle, and of the one that
trains is noted. The latter is replaced after RUNS_PER_PROCESS runs. Prints a table, and draws it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import psutil
from matplotlib.figure import Figure

from kerascw.engine.environment import processor
from kerascw.engine.many import RUNS_PER_PROCESS, open_trainers
from kerascw.engine.store import Store
from kerascw.quiet import import_tensorflow
from tuning.records import TrialRecord
from tuning.search import planned_search

SPACE = """
from kerascw.settings import override
from kerascw.spec import Experiment

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


class Memory:
    """Notes the memory of all processes whenever a trial ends, in MB."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.workers: list[dict[int, float]] = []

    def began(self, record: TrialRecord) -> None:
        """Nothing to note."""

    def ended(self, record: TrialRecord, recalled: bool) -> None:
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
    axes.plot(numbers, memory.own, color="#1b1b1b", label="main process: oracle, records, terminal")
    for pid in dict.fromkeys(pid for workers in memory.workers for pid in workers):
        seen = [(n, w[pid]) for n, w in zip(numbers, memory.workers, strict=True) if pid in w]
        axes.plot(*zip(*seen, strict=True), marker=".", label=f"process {pid}: trains")
    axes.set(xlabel="trials ended", ylabel="resident memory (MB)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--oracle", default="random")
    parser.add_argument("--output", type=Path, default=Path("runs/search-memory.png"))
    options = parser.parse_args()
    import_tensorflow()
    from tuning.tuner import SpaceTuner

    memory = Memory()
    with tempfile.TemporaryDirectory() as folder, open_trainers(1) as trainers:
        space = Path(folder) / "digits.py"
        space.write_text(SPACE)
        plan = planned_search(str(space), oracle=options.oracle, trials=options.trials)
        SpaceTuner(plan, Store(Path(folder) / "runs"), trainers, watcher=memory).search()
    print(f"{processor()}; {options.trials} trials of {options.oracle} search, "
          f"{RUNS_PER_PROCESS} runs a process")  # fmt: skip
    print("trial   main MB   training (process: MB)")
    for number, (workers, own) in enumerate(zip(memory.workers, memory.own, strict=True), start=1):
        if number == 1 or number % 5 == 0:
            shown = ", ".join(f"{pid}: {size:.0f}" for pid, size in workers.items())
            print(f"{number:>5}   {own:>7.0f}   {shown}")
    slope = np.polyfit(np.arange(len(memory.own)), memory.own, 1)[0]
    print(f"main process: {memory.own[0]:.0f} MB after the first trial, {memory.own[-1]:.0f} MB "
          f"after the last, {slope:+.3f} MB a trial")  # fmt: skip
    draw(memory, options.output)
    print(f"figure: {options.output}")


if __name__ == "__main__":
    main()
