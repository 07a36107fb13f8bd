"""Memory of a study's processes over many runs: does it stay flat?

    python benchmarks/memory.py [--runs 60] [--jobs 1] [--model mlp] [--output runs/memory.png]

Trains that many small runs (one epoch on 60 images) into a folder that is thrown away. Whenever a
run is finished, the resident memory of the processes that train and of the study's own process is
noted. A process trains RUNS_PER_PROCESS runs and is replaced. Prints a table, and draws it.
"""

import tempfile
from pathlib import Path

from harness import Memory, machine, options

from kerascw.experiment.spec import Experiment
from kerascw.runs.many import RUNS_PER_PROCESS, run_many
from kerascw.runs.store import Run, Store
from kerascw.training.watcher import Silent

MODELS = {
    "mlp": {"kind": "mlp", "dense": [8]},
    "convnet": {"kind": "convnet", "filters": [32, 64, 64], "pool_after": [1, 2], "dense": [64]},
}


class Watcher(Silent):
    """Notes the memory of all processes whenever a run is finished."""

    def __init__(self) -> None:
        self.memory = Memory()

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """Nothing to note."""

    def finished(self, run: Run) -> None:
        """Note it."""
        self.memory.note()


def main() -> None:
    """Measure, print and draw."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--output", type=Path, default=Path("runs/memory.png"))
    given = parser.parse_args()
    tree = {
        "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
        "model": MODELS[given.model],
        "training": {"epochs": 1, "keep": "last"},
    }
    experiments = [Experiment.model_validate(tree | {"seed": s}) for s in range(given.runs)]
    watcher = Watcher()
    with tempfile.TemporaryDirectory() as folder:
        run_many(experiments, Store(folder), jobs=given.jobs, watcher=watcher)
    print(f"{machine()}; {given.runs} runs of {given.model}, --jobs {given.jobs}, "
          f"{RUNS_PER_PROCESS} runs a process")  # fmt: skip
    watcher.memory.print("run")
    watcher.memory.draw(given.output, "runs finished")


if __name__ == "__main__":
    main()
