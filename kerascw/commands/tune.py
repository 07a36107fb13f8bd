"""The command ``tune``: search a space, name a winner over fresh seeds, report, export."""

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kerascw.commands import options as shared
from kerascw.console import console, next_step
from kerascw.data.image_files import Fit
from kerascw.data.load import data_named
from kerascw.errors import CallError
from kerascw.export.run import export_run
from kerascw.runs.environment import command_line
from kerascw.runs.store import Run, Store, check_writable
from tuning.plan import planned_search
from tuning.records import SearchResult, SearchSpec, TrialRecord
from tuning.report import show_search, write_search
from tuning.search import SearchWatcher, run_search, winning_run
from tuning.space import ORACLES, load_space, named_spaces
from tuning.text import settings_text

_EXAMPLES = (
    "\b\npython -m kerascw tune --list\n"
    "python -m kerascw tune my_space.py --oracle bayesian --trials 20"
)


@click.command(epilog=_EXAMPLES)
@click.argument("space", metavar="SPACE|FILE.py", required=False)
@click.option("--list", "listing", is_flag=True, help="List the spaces that have a name.")
@click.option(
    "--oracle", type=click.Choice(ORACLES), help="What chooses. [default: the space's own]"
)
@click.option(
    "--trials", type=click.IntRange(min=1), help="How many. [default: as the budget has it]"
)
@click.option("--seed", type=shared.SEED, default=0, help="Of the oracle.")
@shared.jobs_option
@click.option("--cluster", metavar="ADDRESS", help="Train on the workers of a Dask scheduler.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Ask for so many trials before any result is known. Part of the search, unlike --jobs. "
    "[default: 1 for bayesian, else 16]",
)
@click.option(
    "--finalists",
    type=click.IntRange(min=1),
    default=3,
    help="Train so many of the best again over fresh seeds.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    default=3,
    help="How many fresh seeds each finalist is trained over.",
)
@click.option(
    "--budget",
    type=click.Choice(["quick", "full"]),
    default="quick",
    help="quick: fewer trials, epochs and images, as the space has it.",
)
@shared.data_option
@shared.data_dir_option
@shared.fit_option
@shared.sample_option
@shared.settings_option
@shared.models_option
@shared.runs_option
def command(
    space: str | None,
    listing: bool,
    runs: Path,
    models: Path,
    jobs: int,
    cluster: str | None,
    data: str | None,
    data_dir: Path | None,
    fit: Fit | None,
    **options: Any,
) -> None:
    """Search SPACE, a named one or a file, with KerasTuner's oracles.

    The best trials are trained again over fresh seeds, and their mean on the validation set names
    the winner; only the winner is scored on the test set. The same command goes on with a search
    that was stopped: no trial is trained twice.
    """
    if listing:
        list_spaces()
        return
    if space is None:
        raise CallError("tune: which space? see tune --list, or name a file that ends in .py")
    if "KERASTUNER_TUNER_ID" in os.environ:
        raise CallError(
            "KERASTUNER_TUNER_ID is set: tune trains side by side with --jobs or --cluster; for "
            "KerasTuner's chief and workers see tuning.hypermodel"
        )
    check_writable(runs, "--runs")
    check_writable(models, "--models")
    terminal, store = console(), Store(runs)
    plan = planned_search(
        space,
        data=None if data is None else data_named(data, fit=fit),
        data_dir=data_dir,
        **options,
    )
    if plan.spec.sample:
        terminal.print("bundled sample, not the dataset", style="bold yellow reverse")
    progress = SearchProgress(terminal)
    with shared.interruptible():
        result = run_search(
            plan, store, jobs=jobs, cluster=cluster, data_dir=data_dir, watcher=progress
        )
    _show(result, store, models / plan.export_name, data_dir, terminal)


def list_spaces() -> None:
    """Print a line for every named space: question, objective, oracle, trials."""
    table = Table("space", "question", "objective", "oracle", "trials: quick", "full", box=None)
    for name in named_spaces():
        space = load_space(name)
        trials = [str(space.budgets[b].trials or "all") for b in ("quick", "full")]
        table.add_row(name, space.question, space.objective, space.oracle, *trials)
    console().print(table)


def _show(
    result: SearchResult, store: Store, folder: Path, data_dir: Path | None, terminal: Console
) -> None:
    """Export the winner into ``folder``, write the page, and print both and the answers."""
    winner = winning_run(result, store)
    exported = None
    if not winner.experiment.reconstructs:  # a SavedModel for predict needs a classifier
        exported = export_run(winner, folder, data_dir=data_dir)
    show_search(result, terminal)
    terminal.print(f"search report: {write_search(result, result.folder, command_line())}")
    if exported is not None:
        terminal.print(f"SavedModel: {exported}")
        next_step(terminal, "predict", exported.parent, "IMAGE...")
    else:
        next_step(terminal, "report", result.label, "--open", runs=store.folder)


class SearchProgress(SearchWatcher):
    """A line for every trial that ends, and for every run of a finalist."""

    _spec: SearchSpec  # searching() comes first

    def __init__(self, terminal: Console) -> None:
        self._console = terminal
        self._done = self._runs = self._of_runs = 0
        self._best: TrialRecord | None = None

    def searching(self, spec: SearchSpec, jobs: int) -> None:
        """Print what is searched."""
        self._spec = spec
        side_by_side = "" if jobs == 1 else f", {jobs} jobs"
        self._console.print(
            f"{spec.space}: {spec.oracle} search, seed {spec.seed}, {spec.trials or 'all'} trials"
            f", asked {spec.batch} at a time{side_by_side}; "
            f"{'highest' if spec.maximizes else 'lowest'} {spec.objective}"
        )
        if jobs > spec.batch:
            self._console.print(
                f"asked {spec.batch} at a time, most trials leave some of {jobs} jobs idle; "
                f"--batch {jobs} asks for more, which is another search"
            )

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        """Print a trial's line; those of earlier sittings are counted only."""
        self._done += 1
        first = self._best or record
        self._best = min(first, record, key=lambda trial: self._spec.rank(trial.score))
        best = "none yet"
        if self._best.score is not None:
            best = f"{self._best.score:.4f} (trial {self._best.trial_id})"
        if not recalled:
            of = f"/{self._spec.trials}" if self._spec.trials else ""
            seconds = "" if record.seconds is None else f", {record.seconds:.1f} s"
            self._console.print(
                f"[{self._done}{of}] trial {record.trial_id}: {_outcome(record)}{seconds}   "
                f"{settings_text(record):.60}   best {best}"
            )

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """Say how many runs over fresh seeds there are."""
        self._runs, self._of_runs = kept, runs
        already = f", {kept} of them kept" if kept else ""
        self._console.print(f"finalists over fresh seeds: {runs} runs{already}")

    def finished(self, run: Run) -> None:
        """Print a run's line: its validation figure, never its test figure."""
        self._runs += 1
        kept, objective = run.metrics["kept_epoch"], self._spec.objective
        figure = f"{objective} {run.history[kept - 1][objective]:.4f}" if kept else "diverged"
        self._console.print(
            f"[{self._runs}/{self._of_runs}] {run.name} seed {run.experiment.seed}: {figure}, "
            f"{run.environment['training_seconds']:.1f} s"
        )


def _outcome(record: TrialRecord) -> str:
    if record.score is None:
        return f"{record.status} ({record.reason})"
    same = f", as trial {record.duplicate_of}" if record.duplicate_of else ""
    rung = "" if record.rung is None else f", {record.epochs} epochs"
    return f"{record.score:.4f}{rung}{same}"
