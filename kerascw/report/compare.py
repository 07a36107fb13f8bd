"""Any kept runs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from kerascw.lab.verdict import figure_of
from kerascw.report.tables import Cell, Table, count, number, print_table
from kerascw.runs.store import Run

_FIGURES = tuple(
    f"{split}.{name}" for split in ("train", "validation", "test") for name in ("loss", "accuracy")
)


def compare_runs(runs: Mapping[str, Sequence[Run]], folder: Path, console: Console) -> None:
    """Print a table of all runs' figures, and draw their curves over one another."""
    from kerascw.report.curves import every_curve
    from kerascw.report.figure_files import write_figures

    folded = any(run.experiment.fold is not None for own in runs.values() for run in own)
    columns = ("run", *(["fold"] if folded else []), "seed", "epochs", "parameters", *_FIGURES)
    rows = [
        [
            Cell(label),
            *([count(run.experiment.fold)] if folded else []),
            number(run.experiment.seed, "d"),
            number(run.metrics["epochs_trained"], "d"),
            count(run.metrics["parameters"]),
            *(number(figure_of(run, name)) for name in _FIGURES),
        ]
        for label, own in runs.items()
        for run in own
    ]
    print_table(Table("compared", columns, rows), console)
    for name in write_figures(every_curve(runs), folder, clear=False):
        console.print(f"curves: {folder / name}.png, {name}.svg")
