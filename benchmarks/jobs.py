"""How much faster a study is with two jobs than with one.

    python benchmarks/jobs.py [--study bag-variants] [--rounds 1]

Runs the study at quick budget into a fresh folder each time, in turn (1 2 1 2 ...), and
prints the time of each and the ratio. Processes start anew each time; what that costs is in it.
"""

import argparse
import statistics
import tempfile
import time

from kerascw.lab.plan import planned
from kerascw.lab.run import run_study
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import processor
from kerascw.runs.store import Store
from kerascw.studies import study_named
from kerascw.training.devices import cores


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--study", default="bag-variants")
    parser.add_argument("--data-dir")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    plan = planned(study_named(options.study), budget="quick")
    import_tensorflow()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    runs = 0
    for _ in range(options.rounds):
        for jobs, taken in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                result = run_study(plan, Store(folder), data_dir=options.data_dir, jobs=jobs)
                taken.append(time.perf_counter() - began)
                runs = len({run.name for run in result.every_run})
    print(f"{options.study}, quick budget, {runs} runs; {processor()}, {cores()} cores")
    medians = {jobs: statistics.median(taken) for jobs, taken in seconds.items()}
    for jobs, median in medians.items():
        print(f"--jobs {jobs}   {median:6.1f} s")
    print(f"ratio      {medians[1] / medians[2]:.2f}")


if __name__ == "__main__":
    main()
