"""What a sweep of short runs costs beside one long run: images trained per second of both.

    python benchmarks/sweep.py [--seeds 3] [--epochs 5] [--jobs 2] [--images 500000]

The sweep is study bag-pretraining at full budget without its autoencoder's variants: random weights
on 5 %, 10 %, ..., 100 % of the training data, with that many seeds each (60 runs); start-up of the
processes, tracing and scoring are included. The long run is the same model on all of the training
data, for as many epochs as give about ``--images``, in one process with all cores; its rate is that
of training alone. Both are measured in turn, and the ratio is of their medians.
"""

import tempfile

from harness import in_turn, machine, options, save, seconds_of, spread

from kerascw.commands.terminal import images_trained
from kerascw.experiment.settings import override
from kerascw.runs.many import run_many
from kerascw.runs.store import Store
from kerascw.studies.bag_learning import pretraining

WHOLE = 24_975  # images of the training set


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--runs", type=int, help="the first of them only: to try this script")
    given = parser.parse_args()
    sweep = [
        override(experiment, {"training.epochs": given.epochs, "seed": seed})
        for name, experiment in pretraining().items()
        if name.startswith("random, ")
        for seed in range(given.seeds)
    ]
    whole = override(sweep[-1], {"training.epochs": max(1, given.images // WHOLE)})
    sweep = sweep[: given.runs]

    def long_run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            (run,) = run_many([whole], Store(folder), data_dir=given.data_dir)
            return images_trained(run) / run.environment["training_seconds"]

    def short_runs() -> float:
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            seconds = seconds_of(
                lambda: runs.extend(
                    run_many(sweep, store, data_dir=given.data_dir, jobs=given.jobs)
                )
            )
            return sum(images_trained(run) for run in runs) / seconds

    rates = in_turn({"one long run": long_run, "sweep": short_runs}, given.rounds)
    found = {name: spread(values) for name, values in rates.items()}
    ratio = found["sweep"]["median"] / found["one long run"]["median"]
    print(f"{machine()}; {len(sweep)} runs of {given.epochs} epochs, --jobs {given.jobs}; "
          f"{given.rounds} rounds")  # fmt: skip
    for name, rate in found.items():
        print(f"{name:<14} {rate['median']:8,.0f} images/s")
    print(f"ratio          {ratio:8.2f}")
    save(
        given.results,
        "sweep",
        {"runs": len(sweep), "jobs": given.jobs, "rates": found, "ratio": ratio},
    )


if __name__ == "__main__":
    main()
