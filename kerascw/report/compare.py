"""Any kept runs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kerascw.lab.verdict import figure_of
from kerascw.report.figure_files import write_figures
from kerascw.runs.store import Run

_FIGURES = (
    *("train.loss", "train.accuracy", "validation.loss", "validation.accuracy"),
    *("test.loss", "test.accuracy"),
)


def compare_runs(runs: Mapping[str, Sequence[Run]], folder: Path, console: Console) -> None:
    """Print a table of all runs' figures, and draw their curves over one another."""
    folds = {run.experiment.fold for own in runs.values() for run in own}
    extra = ["fold"] if folds - {None} else []
    columns = ("run", *extra, "seed", "epochs", "parameters", *_FIGURES)
    table = Table(*columns, box=None, pad_edge=False)
    for label, own in runs.items():
        for run in own:
            figures = [figure_of(run, name) for name in _FIGURES]
            table.add_row(
                label,
                *(["-" if (fold := run.experiment.fold) is None else str(fold)] if extra else []),
                str(run.experiment.seed),
                str(run.metrics["epochs_trained"]),
                f"{run.metrics['parameters']:,}",
                *("-" if value is None else f"{value:.4f}" for value in figures),
            )
    from kerascw.report.study_figures import every_curve

    console.print(table)
    for name in write_figures(every_curve(runs), folder):
        console.print(f"curves: {folder / name}.png, {name}.svg")
