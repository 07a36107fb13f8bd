"""The command ``show``: the figures of a run or study, or what is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import runs_option

if TYPE_CHECKING:
    from rich.console import Console

    from kerascw.report.index import Entry


NEWEST = 100
"""Runs that are listed."""


@click.command("show")
@click.argument("name", metavar="[RUN|STUDY]", required=False)
@runs_option
def command(name: str | None, runs: Path) -> None:
    """Print RUN (a folder, a name or the beginning of a key) or STUDY, or list what is kept.

    Of more than 100 runs the newest 100 are listed.
    """
    from kerascw.console import console, next_step
    from kerascw.runs.store import Store
    from kerascw.studies import is_study, origin_fault, recall

    terminal, store = console(), Store(runs)
    if name is not None:
        from kerascw.commands.terminal import show_run, show_study

        if is_study(name, store):
            show_study(recall(name, store), terminal)
            next_step(terminal, f"report {name} --open", runs)
            return
        run = store.find(name)
        show_run(run, terminal)
        next_step(terminal, f"report {run.name} --open", runs)
        return
    from kerascw.commands.report import entries
    from kerascw.lab.run import kept_studies

    kept = entries(store, NEWEST)
    if not kept:
        terminal.print(f"No runs are kept in {store.folder}. Next: python -m kerascw run fashion")
        return
    _list_kept(kept, terminal)
    if sum(entry.summary.kind == "run" for entry in kept) == NEWEST:
        terminal.print(f"of the runs only the {NEWEST} newest are listed; report --all lists all")
    for _, content in kept_studies(store):
        if fault := origin_fault(content):
            terminal.print(fault, style="yellow", soft_wrap=True)
    next_step(terminal, "report --all --open", runs)


def _list_kept(entries: Sequence["Entry"], console: "Console") -> None:
    """Print a line for everything that is kept, the newest last, and what cannot be read."""
    from rich.table import Table

    columns = ("name", "kind", "dataset", "model", "figure", "measured", "over", "budget")
    table = Table(*columns, box=None, pad_edge=False)
    for entry in reversed(entries):
        row = entry.summary
        if not entry.fault:
            table.add_row(row.name, row.kind, row.dataset, row.model, row.figure, row.text,
                          row.seeds, row.budget)  # fmt: skip
    console.print(table)
    for entry in entries:
        if entry.fault:
            console.print(f"{entry.summary.name} cannot be read: {entry.fault}", style="yellow")
