"""The command ``compare``: any kept runs side by side."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import folder_option, runs_option
from kerascw.errors import CallError, KerascwError

if TYPE_CHECKING:
    from kerascw.runs.store import Run, Store


@click.command("compare")
@click.argument("names", metavar="RUN|STUDY...", nargs=-1, required=True)
@folder_option("--output", "runs/compare", "The folder for the figures.")
@runs_option
def command(names: tuple[str, ...], output: Path, runs: Path) -> None:
    """Compare runs, or all runs of studies: table and overlaid curves."""
    from kerascw.console import console, next_step
    from kerascw.report.compare import compare_runs
    from kerascw.runs.store import Store, check_writable

    store, terminal = Store(runs), console()
    check_writable(output, "--output")
    compare_runs(gather(names, store), output, terminal)
    next_step(terminal, f"report {shlex.quote(names[0])} --open", runs)


def gather(names: Sequence[str], store: "Store") -> dict[str, list["Run"]]:
    """Return the runs that are named, each study's variants apart.

    What is damaged is reported on standard error and left out.

    Raises CallError: a name that is neither a study that was run nor a kept run; KerascwError:
    everything named is damaged.
    """
    from kerascw.studies import is_study, recall

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
