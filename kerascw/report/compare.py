"""Any kept runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kerascw.lab.run import is_study, recall
from kerascw.lab.verdict import figure_of
from kerascw.runs.store import Run, Store

_FIGURES = (
    *("train.loss", "train.accuracy", "validation.loss", "validation.accuracy"),
    *("test.loss", "test.accuracy"),
)


def gather(names: Sequence[str], store: Store) -> dict[str, list[Run]]:
    """Return the runs that are named, each study's variants apart.

    Raises
    ------
    CallError
        A name that is neither a study that was run nor a kept run.
    """
    gathered: dict[str, list[Run]] = {}
    for name in names:
        if is_study(name, store):
            result = recall(name, store)
            for variant, runs in result.runs.items():
                label = variant if len(names) == 1 or variant == name else f"{name}: {variant}"
                gathered[label] = runs
        else:
            run = store.find(name)
            gathered[run.name] = [run]
    return gathered


def compare_runs(runs: dict[str, list[Run]], folder: Path, console: Console) -> None:
    """Print a table of all runs' figures, and draw their curves over one another."""
    folds = {run.experiment.fold for several in runs.values() for run in several}
    extra = ["fold"] if folds - {None} else []
    columns = ("run", *extra, "seed", "epochs", "parameters", *_FIGURES)
    table = Table(*columns, box=None, pad_edge=False)
    for label, several in runs.items():
        for run in several:
            figures = [figure_of(run, name) for name in _FIGURES]
            table.add_row(
                label,
                *(["-" if (fold := run.experiment.fold) is None else str(fold)] if extra else []),
                str(run.experiment.seed),
                str(run.metrics["epochs_trained"]),
                f"{run.metrics['parameters']:,}",
                *("-" if value is None else f"{value:.4f}" for value in figures),
            )
    from kerascw.report.figure_files import write_figures
    from kerascw.report.study_figures import every_curve

    console.print(table)
    for name in write_figures(every_curve(runs), folder):
        console.print(f"curves: {folder / name}.png, {name}.svg")
