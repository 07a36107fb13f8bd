"""The command ``show``: the figures of a run, study or search, or what is kept."""

from pathlib import Path

import click

from kerascw.commands.options import runs_option
from kerascw.console import console, next_step
from kerascw.lab.run import kept_studies
from kerascw.report.index import entries_of
from kerascw.report.tables import Table, print_table
from kerascw.runs.store import Store
from kerascw.studies import is_study, origin_fault, recall
from tuning.records import find_search, read_search
from tuning.text import summary_of_search

NEWEST = 100
"""Runs that are listed."""


@click.command("show")
@click.argument("name", metavar="[RUN|STUDY|SEARCH]", required=False)
@runs_option
def command(name: str | None, runs: Path) -> None:
    """Print a RUN (folder, name or beginning of a key), STUDY or SEARCH, or list what is kept.

    Of more than 100 runs the newest 100 are listed.
    """
    store = Store(runs)
    if name is None:
        _list_kept(store)
        return
    from kerascw.commands.terminal import show_run, show_study  # a list is quicker without it

    terminal = console()
    if is_study(name, store):
        show_study(recall(name, store), terminal)
    elif (folder := find_search(runs, name)) is not None:
        from tuning.report import show_search

        show_search(read_search(folder), terminal)
    else:
        run = store.find(name)
        show_run(run, terminal)
        name = run.name
    next_step(terminal, "report", name, "--open", runs=runs)


def _list_kept(store: Store) -> None:
    """Print a line for everything that is kept, the newest last, and what cannot be read."""
    terminal, kept = console(), entries_of(store, summary_of_search, NEWEST)
    if not kept:
        terminal.print(f"No runs are kept in {store.folder}. Next: python -m kerascw run fashion")
        return
    columns = ("name", "kind", "dataset", "model", "figure", "measured", "over", "budget")
    whole = [entry.summary for entry in reversed(kept) if not entry.fault]
    rows = [
        (row.name, row.kind, row.dataset, row.model, row.figure, row.text, row.seeds, row.budget)
        for row in whole
    ]
    print_table(Table("kept", columns, rows, text=tuple(range(len(columns)))), terminal)
    for entry in kept:
        if entry.fault:
            terminal.print(f"{entry.summary.name} cannot be read: {entry.fault}", style="yellow")
    if sum(entry.summary.kind == "run" for entry in kept) == NEWEST:
        terminal.print(f"of the runs only the {NEWEST} newest are listed; report --all lists all")
    for _, content in kept_studies(store):
        if fault := origin_fault(content):
            terminal.print(fault, style="yellow")
    next_step(terminal, "report", "--all", "--open", runs=store.folder)
