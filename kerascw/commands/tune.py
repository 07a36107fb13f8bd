"""The command ``tune``: search a space, name a winner over fresh seeds, report, export."""

from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import (
    data_dir_option,
    data_option,
    interruptible,
    models_option,
    runs_option,
    sample_option,
    setting,
    settings_option,
)
from kerascw.errors import CallError
from tuning.space import ORACLES

_EXAMPLES = (
    "\b\npython -m kerascw tune --list\n"
    "python -m kerascw tune my_space.py --oracle bayesian --trials 20"
)


@click.command(epilog=_EXAMPLES)
@click.argument("space", metavar="SPACE|FILE.py", required=False)
@click.option("--list", "listing", is_flag=True, help="List the spaces that have a name.")
@click.option(
    "--oracle", type=click.Choice(ORACLES), help="Who chooses. [default: the space's own]"
)
@click.option(
    "--trials", type=click.IntRange(min=1), help="How many. [default: as the budget has it]"
)
@click.option(
    "--executions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train every trial over so many seeds.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the oracle."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trials side by side, the cores divided among them.",
)
@click.option(
    "--finalists",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="So many of the best are run over fresh seeds.",
)
@click.option(
    "--budget",
    type=click.Choice(["quick", "full"]),
    help="quick: fewer trials, fewer epochs. [default: the space's own]",
)
@click.option("--name", help="The search's folder in runs/searches. [default: from the options]")
@data_option
@data_dir_option
@sample_option
@settings_option
@models_option
@runs_option
def tune(space: str | None, listing: bool, runs: Path, models: Path, **options: Any) -> None:
    """Search SPACE, a named one or a file, with KerasTuner; what is kept is not trained again.

    The best trials are run over fresh seeds, and their mean on validation names the winner; only
    its test figure is told.

    On several machines that share the folder --runs, set KerasTuner's variables and run the same
    command on each: KERASTUNER_TUNER_ID (chief, tuner0, tuner1, ...), KERASTUNER_ORACLE_IP and
    KERASTUNER_ORACLE_PORT (the chief's).
    """
    if listing or space == "list":
        list_spaces()
        return
    if space is None:
        raise CallError("tune: which space? see tune --list, or name a file that ends in .py")
    run(space, runs, models, **options)


def list_spaces() -> None:
    """Print a line for every named space: question, objective, oracle, trials."""
    from rich.table import Table

    from kerascw.console import console
    from tuning.space import load_space, named_spaces

    table = Table(
        "space", "question", "objective", "oracle", "trials: quick", "full", "default", box=None
    )
    for name in named_spaces():
        space = load_space(name)
        trials = ["all" if space.budgets[b].trials is None else str(space.budgets[b].trials)
                  for b in ("quick", "full")]  # fmt: skip
        table.add_row(
            name, space.question, space.objective, space.oracle, *trials, space.default_budget
        )
    console().print(table)


def run(
    space: str,
    runs: Path,
    models: Path,
    *,
    workers: int,
    data: str | None,
    data_dir: Path | None,
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """Search, and show what came of it; or be a worker, where KerasTuner's variables say so."""
    from kerascw.console import console
    from kerascw.runs.store import Store
    from kerascw.training.devices import cores
    from tuning.progress import SearchProgress
    from tuning.search import planned_search, run_search
    from tuning.workers import role, work

    place, terminal, store = role(), console(), Store(runs)
    if place is not None and workers > 1:
        raise CallError(
            f"--workers {workers}: KerasTuner's variables make this process a {place}; start each "
            "worker by its own command"
        )
    other = None
    if data is not None:
        from kerascw.data import data_named

        other = data_named(data)
    arguments = {
        "space": space,
        "data": other,
        "data_dir": None if data_dir is None else str(data_dir.resolve()),
        "settings": dict(setting(text) for text in settings),
        **options,
    }
    plan = planned_search(**arguments)
    progress = SearchProgress(terminal)
    if place == "worker":
        with interruptible(progress):
            work(plan, store, cores(), data_dir, say=terminal.print)
        return
    if options["sample"]:
        terminal.print("bundled sample, not the dataset", style="bold yellow reverse")
    with interruptible(progress):
        result = run_search(
            plan,
            store,
            workers=workers,
            data_dir=data_dir,
            watcher=progress,
            arguments=arguments,
        )
    _show(result, store, plan.space.name, models, data_dir, terminal)


def _show(
    result: Any, store: Any, name: str, models: Path, data_dir: Path | None, terminal: Any
) -> None:
    from kerascw.console import next_step
    from kerascw.runs.environment import command_line
    from tuning.report import show_search, write_search
    from tuning.search import winning_runs

    winner = winning_runs(result, store)[0]
    exported = None
    if not winner.experiment.reconstructs:  # a SavedModel for predict needs a classifier
        from kerascw.export.run import export_run

        exported = export_run(winner, models / name, data_dir=data_dir)
    show_search(result, terminal)
    terminal.print(f"search report: {write_search(result, result.folder, command_line())}")
    if exported is not None:
        terminal.print(f"SavedModel: {exported}")
        next_step(terminal, f"predict {exported.parent} IMAGE...")
    else:
        next_step(terminal, f"report {result.label} --open", store.folder)
