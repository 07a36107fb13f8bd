"""The command ``compare``: any kept runs side by side."""

from collections.abc import Sequence
from pathlib import Path

import click

from kerascw.commands.options import folder_option, runs_option
from kerascw.console import console, next_step
from kerascw.errors import CallError, KerascwError
from kerascw.lab.verdict import figure_of
from kerascw.report.figure_files import write_figures
from kerascw.report.tables import Cell, Table, count, number, print_table
from kerascw.runs.store import Run, Store, check_writable
from kerascw.studies import is_study, recall

_FIGURES = tuple(
    f"{split}.{name}" for split in ("train", "validation", "test") for name in ("loss", "accuracy")
)


@click.command("compare")
@click.argument("names", metavar="RUN|STUDY...", nargs=-1, required=True)
@folder_option("--output", "runs/compare", "The folder for the figures.")
@runs_option
def command(names: tuple[str, ...], output: Path, runs: Path) -> None:
    """Compare runs, or all runs of studies: table and overlaid curves."""
    from kerascw.report.curves import every_curve

    store, terminal = Store(runs), console()
    check_writable(output, "--output")
    compared = gather(names, store)
    folded = any(run.experiment.fold is not None for own in compared.values() for run in own)
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
        for label, own in compared.items()
        for run in own
    ]
    print_table(Table("compared", columns, rows), terminal)
    for name in write_figures(every_curve(compared), output, clear=False):
        terminal.print(f"curves: {output / name}.png, {name}.svg")
    next_step(terminal, "report", names[0], "--open", runs=runs)


def gather(names: Sequence[str], store: Store) -> dict[str, list[Run]]:
    """Return the runs that are named, each study's variants apart.

    What is damaged is reported on standard error and left out.

    Raises CallError: a name that is neither a study that was run nor a kept run; KerascwError:
    everything named is damaged.
    """
    gathered: dict[str, list[Run]] = {}
    for name in names:
        try:
            if is_study(name, store):
                for variant, runs in recall(name, store).runs.items():
                    label = variant if len(names) == 1 or variant == name else f"{name}: {variant}"
                    gathered[label] = runs
            else:
                run = store.find(name)
                _ = run.metrics, run.experiment, run.history  # what the table reads
                gathered[run.name] = [run]
        except CallError:
            raise
        except (KerascwError, OSError, ValueError) as error:
            click.echo(f"kerascw: {name} is left out: {error}", err=True)
    if not gathered:
        raise KerascwError("nothing is left to compare")
    return gathered
