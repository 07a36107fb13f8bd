"""The command ``verify``: train a kept run anew, and compare."""

from pathlib import Path

import click

from kerascw.commands.options import data_dir_option, interruptible, runs_option


@click.command("verify")
@click.argument("run_name", metavar="RUN")
@data_dir_option
@runs_option
def command(run_name: str, data_dir: Path | None, runs: Path) -> None:
    """Train RUN anew from its own files, and say whether the result is the same."""
    from kerascw.commands.terminal import TrainingProgress
    from kerascw.console import console, next_step
    from kerascw.data.load import dataset_for
    from kerascw.errors import KerascwError
    from kerascw.runs.environment import set_threads
    from kerascw.runs.store import Store
    from kerascw.runs.verify import verify
    from kerascw.training.devices import cores

    store = Store(runs)
    run = store.find(run_name)
    dataset = dataset_for(run.experiment.data, data_dir)
    set_threads(run.environment.get("threads") or cores())
    terminal = console()
    progress = TrainingProgress(terminal)
    with interruptible(progress):
        verification = verify(run, dataset, store, progress)
    terminal.print(f"{verification.outcome}: {verification.reason}", style="bold")
    for line in verification.environment or ("the environment is the same",):
        terminal.print(f"  {line}")
    if verification.outcome == "different":
        raise KerascwError(f"run {run.name} does not come out again")
    next_step(terminal, f"report {run.name} --open", runs)
