"""What a sweep of short runs costs beside one long run: images trained per second of both.

    python benchmarks/sweep.py [--seeds 3] [--epochs 5] [--jobs 2] [--images 500000]

The sweep is study bag-pretraining at full budget without its autoencoder's variants: random weights
on 5 %, 10 %, ..., 100 % of the training data, with so many seeds each (60 runs); start-up of the
processes, tracing and scoring are included. The long run is the same model on all of the training
data, for as many epochs as give about ``--images``, in one process with all cores; its rate is that
of training alone. Both are measured in turn, and the ratio is of their medians.
"""

import argparse
import statistics
import tempfile
import time

from harness import RESULTS, spread

from kerascw.commands.terminal import images_trained
from kerascw.experiment.settings import override
from kerascw.runs.environment import processor
from kerascw.runs.many import run_many
from kerascw.runs.store import Store, write_json
from kerascw.studies.bag_learning import pretraining
from kerascw.training.devices import cores


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    sweep = [
        override(experiment, {"training.epochs": options.epochs, "seed": seed})
        for name, experiment in pretraining().items()
        if name.startswith("random, ")
        for seed in range(options.seeds)
    ]
    whole = sweep[-1]
    rates: dict[str, list[float]] = {"one long run": [], "sweep": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            epochs = max(1, options.images // 24_975)
            (run,) = run_many(
                [override(whole, {"training.epochs": epochs})],
                Store(folder),
                data_dir=options.data_dir,
            )
            rates["one long run"].append(images_trained(run) / run.environment["training_seconds"])
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            runs = run_many(sweep, Store(folder), data_dir=options.data_dir, jobs=options.jobs)
            seconds = time.perf_counter() - began
            rates["sweep"].append(sum(images_trained(run) for run in runs) / seconds)
    print(f"{processor()}, {cores()} cores; {len(sweep)} runs of {options.epochs} epochs, "
          f"--jobs {options.jobs}; {options.rounds} rounds")  # fmt: skip
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, median in medians.items():
        print(f"{name:<14} {median:8,.0f} images/s")
    print(f"ratio          {medians['sweep'] / medians['one long run']:8.2f}")
    RESULTS.mkdir(exist_ok=True)
    write_json(
        RESULTS / "sweep.json",
        {
            "runs": len(sweep),
            "jobs": options.jobs,
            "rates": {name: spread(values) for name, values in rates.items()},
            "ratio": medians["sweep"] / medians["one long run"],
        },
    )


if __name__ == "__main__":
    main()
