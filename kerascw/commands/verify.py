"""The command ``verify``: train a kept run, or rows of the published table, anew, and compare."""

import random
import tempfile
from pathlib import Path

import click

from kerascw.commands.options import data_dir_option, file_option, interruptible, runs_option
from kerascw.commands.terminal import StudyProgress
from kerascw.console import console, next_step
from kerascw.data.load import dataset_for
from kerascw.errors import CallError, KerascwError, counted
from kerascw.lab.claims import claims_of
from kerascw.report.results import read_results
from kerascw.runs.environment import set_threads
from kerascw.runs.store import Store
from kerascw.runs.verify import keep_verification, verify
from kerascw.studies import study_named
from kerascw.training.devices import cores


@click.command("verify")
@click.argument("run_name", metavar="[RUN]", required=False)
@click.option("--results", is_flag=True, help="Run rows of the table of results again instead.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many rows, drawn at random (with --results).  [default: all]",
)
@file_option("--file", "docs/results.json", "The file that keeps the results (with --results).")
@data_dir_option
@runs_option
def command(
    run_name: str | None,
    results: bool,
    sample: int | None,
    file: Path,
    data_dir: Path | None,
    runs: Path,
) -> None:
    """Train RUN anew from its own files, and say whether the result is the same.

    The outcome is kept with the run: verified here, or elsewhere if its processor was another one.
    --results trains the first seed of rows of the table of results (test figures over three seeds
    or more) and says how many came out again.
    """
    if results == (run_name is not None) or (sample and not results):
        raise CallError("verify: give either RUN, or --results and perhaps --sample")
    if run_name is None:
        _verify_results(file, sample, data_dir)
        return
    store = Store(runs)
    run = store.find(run_name)
    dataset = dataset_for(run.experiment.data, data_dir)
    set_threads(run.environment.get("threads") or cores())
    terminal = console()
    progress = StudyProgress(terminal)
    with interruptible(progress.stop):
        verification = verify(run, dataset, store, progress)
    badge = keep_verification(run, verification)
    terminal.print(f"{verification.outcome}: {verification.reason}", style="bold")
    terminal.print(f"  {badge}")
    for line in verification.environment or ("the environment is the same",):
        terminal.print(f"  {line}")
    if verification.outcome == "different":
        raise KerascwError(f"run {run.name} does not come out again")
    next_step(terminal, "report", run.name, "--open", runs=runs)


def _verify_results(file: Path, sample: int | None, data_dir: Path | None) -> None:
    entries = read_results(file)
    if not entries:
        raise CallError(f"{file}: holds no results")
    claims, reasons = claims_of(entries, study_named, data_dir)
    terminal = console()
    for label, reason in reasons.items():
        terminal.print(f"not run: {label} ({reason})")
    if not claims:
        raise CallError(f"{file}: none of its rows can be run here")
    chosen = random.sample(claims, min(sample or len(claims), len(claims)))
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:  # rows of one run are trained once
        for claim in chosen:
            verification = claim.judged(Store(folder), data_dir)
            outcomes.append(verification.outcome)
            terminal.print(f"{claim.name}: {verification.outcome}, {verification.reason}")
    came = len(outcomes) - outcomes.count("different")
    of = f"{counted(len(chosen), 'row')} ({len(claims):,} can be run here)"
    terminal.print(f"{came:,} of {of} came out again, {outcomes.count('identical'):,} identical")
    if came < len(chosen):
        raise KerascwError(f"{counted(len(chosen) - came, 'row')} did not come out again")
