"""Memory of a search's main process over many trials: does it stay flat?

    python benchmarks/search_memory.py [--trials 60] [--output runs/search-memory.png]

Searches over digits (small perceptrons of one epoch) in a folder that is thrown away. Whenever a
trial ends, the resident memory of the main process, which has the oracle, and of those that train
is noted. The latter are replaced after RUNS_PER_PROCESS runs. Prints a table, and draws it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from harness import Memory

from kerascw.runs.environment import processor
from kerascw.runs.many import RUNS_PER_PROCESS
from kerascw.runs.store import Store
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


class Watcher(SearchWatcher):
    """Notes the memory of all processes whenever a trial ends."""

    def __init__(self) -> None:
        self.memory = Memory()

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        self.memory.note()


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--oracle", default="random")
    parser.add_argument("--output", type=Path, default=Path("runs/search-memory.png"))
    options = parser.parse_args()
    watcher = Watcher()
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "digits.py"
        space.write_text(SPACE)
        plan = planned_search(
            str(space), oracle=options.oracle, trials=options.trials, finalists=1, batch=4
        )
        run_search(plan, Store(Path(folder) / "runs"), watcher=watcher)
    print(f"{processor()}; {options.trials} trials of {options.oracle} search, "
          f"{RUNS_PER_PROCESS} runs a process")  # fmt: skip
    watcher.memory.print("trial")
    own = watcher.memory.own
    slope = np.polyfit(np.arange(len(own)), own, 1)[0]
    print(f"main process: {slope:+.3f} MB a trial")
    watcher.memory.draw(options.output, "trials ended")


if __name__ == "__main__":
    main()
