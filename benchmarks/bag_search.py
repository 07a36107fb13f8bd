"""The 21 published rows of the bag or a Bayesian search of as many trials: which finds less loss?

    python benchmarks/bag_search.py [--budget quick] [--seeds 3] [--jobs 2] [--runs runs]

For every search seed both forms are searched, ``bag-variants-grid`` and ``bag-variants``; the rows
of the grid are the same each time, its weights and order are not. Printed are the lowest validation
loss of each search, the mean of its winner over fresh seeds, and what the search cost: epochs of
all trials, repeated ones counted once. Differences are paired by search seed. Runs that are kept
are not trained again, so a comparison that was stopped goes on.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerascw.commands.options import interruptible
from kerascw.commands.tune import SearchProgress
from kerascw.console import console
from kerascw.evaluation.statistics import over_seeds, paired_difference
from kerascw.lab.table import difference_text, spread_text
from kerascw.runs.store import Store
from tuning.plan import planned_search
from tuning.records import SearchResult
from tuning.report import write_search
from tuning.search import run_search

FORMS = {"published rows": "bag-variants-grid", "Bayesian search": "bag-variants"}
FIGURES: dict[str, Callable[[Any], float]] = {
    "lowest validation loss": lambda result: result.best.score,
    "winner over fresh seeds": lambda result: result.winner.mean,
}
APART = 100
"""Of the training seeds of two searches, so that none trains what is fresh to another."""


def main() -> None:
    """Search, and print both forms side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--budget", choices=["quick", "full"], default="quick")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, help="of each search; default: as the space has it")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data-dir")
    parser.add_argument("--sample", action="store_true", help="on the bundled sample")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    store, terminal = Store(options.runs), console()
    results: dict[str, list[SearchResult]] = {form: [] for form in FORMS}
    for seed in range(options.seeds):
        for form, space in FORMS.items():
            plan = planned_search(
                space,
                seed=seed,
                budget=options.budget,
                trials=options.trials,
                sample=options.sample,
                settings={"seed": APART * seed},
                name=f"{space}-compared-{options.budget}-seed{seed}",
            )
            progress = SearchProgress(terminal)
            with interruptible(progress):
                result = run_search(
                    plan, store, jobs=options.jobs, data_dir=options.data_dir, watcher=progress
                )
            terminal.print(f"{form}, seed {seed}: {write_search(result, result.folder)}")
            results[form].append(result)
    show(results)


def show(results: dict[str, list[SearchResult]]) -> None:
    """Print the figures of both forms over the search seeds, and their paired differences."""
    print(f"{'':<28}{'':<18}{'each search':<28}mean")
    for name, of in FIGURES.items():
        values = {form: [of(result) for result in several] for form, several in results.items()}
        for form, each in values.items():
            text = " ".join(f"{value:.4f}" for value in each)
            print(f"{name:<28}{form:<18}{text:<28}{spread_text(over_seeds(each))}")
        rows, bayesian = values.values()
        difference = difference_text(paired_difference(bayesian, rows))
        print(f"{name:<28}{'difference':<18}{'':<28}{difference}")
    for form, several in results.items():
        print(f"epochs trained by {form}: {' '.join(str(cost(result)) for result in several)}")


def cost(result: SearchResult) -> int:
    """Return the epochs that the search trained."""
    trained = {
        json.dumps(record.experiment, sort_keys=True): record.epochs or 0
        for record in result.records
        if record.experiment
    }
    return sum(trained.values()) * result.spec.executions


if __name__ == "__main__":
    main()
