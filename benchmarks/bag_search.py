"""The 21 published rows of the bag or a Bayesian search of as many trials: which finds less loss?

    python benchmarks/bag_search.py [--budget quick] [--seeds 3] [--workers 2] [--runs runs]

For every search seed both forms are searched, ``bag-variants-grid`` and ``bag-variants``; the rows
of the grid are the same each time, its weights and order are not. Printed are the lowest validation
loss that each search met, the mean of its winner over fresh seeds, and what the search cost: epochs
of all trials, repeated ones not counted. Differences are paired by search seed. What is kept
already is not trained again, and a comparison that was stopped goes on.
"""

import argparse
import json
from pathlib import Path

from kerascw.commands.options import interruptible
from kerascw.console import console
from kerascw.evaluation.statistics import over_seeds, paired_difference
from kerascw.lab.table import difference_text, spread_text
from kerascw.runs.store import Store
from tuning.progress import SearchProgress
from tuning.records import SearchResult
from tuning.report import write_search
from tuning.search import planned_search, run_search

FORMS = {"published rows": "bag-variants-grid", "Bayesian search": "bag-variants"}
APART = 100
"""Of the training seeds of two searches, so that none trains what is fresh to another."""


def main() -> None:
    """Search, and print both forms side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--budget", choices=["quick", "full"], default="quick")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    store, terminal = Store(options.runs), console()
    results: dict[str, list[SearchResult]] = {form: [] for form in FORMS}
    for seed in range(options.seeds):
        for form, space in FORMS.items():
            arguments = {
                "space": space,
                "seed": seed,
                "budget": options.budget,
                "settings": {"seed": APART * seed},
                "name": f"{space}-compared-{options.budget}-seed{seed}",
            }
            progress = SearchProgress(terminal)
            with interruptible(progress):
                result = run_search(
                    planned_search(**arguments),
                    store,
                    workers=options.workers,
                    data_dir=options.data_dir,
                    watcher=progress,
                    arguments=arguments,
                )
            terminal.print(f"{form}, seed {seed}: {write_search(result, result.folder)}")
            results[form].append(result)
    show(results)


def show(results: dict[str, list[SearchResult]]) -> None:
    """Print the figures of both forms over the search seeds, and their paired differences."""
    figures = {"lowest validation loss met": lowest, "winner over fresh seeds": fresh}
    print(f"{'':<28}{'':<18}{'each search':<28}mean")
    for name, of in figures.items():
        values = {form: [of(result) for result in several] for form, several in results.items()}
        for form, each in values.items():
            text = " ".join(f"{value:.4f}" for value in each)
            print(f"{name:<28}{form:<18}{text:<28}{spread_text(over_seeds(each))}")
        rows, bayesian = values.values()
        print(f"{name:<28}{'difference':<18}{'':<28}"
              f"{difference_text(paired_difference(bayesian, rows))}")  # fmt: skip
    for form, several in results.items():
        print(f"epochs trained by {form}: {' '.join(str(cost(result)) for result in several)}")


def lowest(result: SearchResult) -> float:
    """Return the best score of the search."""
    assert result.best is not None
    assert result.best.score is not None
    return result.best.score


def fresh(result: SearchResult) -> float:
    """Return the winner's mean over fresh seeds."""
    assert result.winner is not None
    assert result.winner.mean is not None
    return result.winner.mean


def cost(result: SearchResult) -> int:
    """Return the epochs that the search trained."""
    trained = {
        json.dumps(record.experiment, sort_keys=True): record.experiment["training"]["epochs"]
        for record in result.records
        if record.experiment
    }
    return sum(trained.values()) * result.spec.executions


if __name__ == "__main__":
    main()
