"""The command ``show``: a run's figures, or what is kept."""

from pathlib import Path

import click

from kerascw.commands.options import runs_option


@click.command("show")
@click.argument("run_name", metavar="[RUN]", required=False)
@runs_option
def command(run_name: str | None, runs: Path) -> None:
    """Print RUN (a folder, a name or the beginning of a key), or list what is kept."""
    from kerascw.commands.terminal import list_kept, show_run
    from kerascw.console import console, next_step
    from kerascw.runs.store import Store

    terminal, store = console(), Store(runs)
    if run_name is not None:
        run = store.find(run_name)
        show_run(run, terminal)
        next_step(terminal, f"report {run.name} --open", runs)
        return
    from kerascw.commands.report import entries
    from kerascw.lab.run import kept_studies
    from kerascw.studies import origin_fault

    kept = entries(store)
    if not kept:
        terminal.print(f"No runs are kept in {store.folder}. Next: python -m kerascw run fashion")
        return
    list_kept(kept, terminal)
    for _, content in kept_studies(store):
        if fault := origin_fault(content):
            terminal.print(fault, style="yellow", soft_wrap=True)
    next_step(terminal, "report --all --open", runs)
