"""``python -m kerascw robustness``: a run's accuracy on corrupted test images."""

from pathlib import Path

import click

from kerascw.commands.options import data_dir_option, runs_option
from kerascw.errors import CallError


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--baseline", metavar="RUN", help="A run to compare with, on the same images.")
@click.option("--strengths", default="1,2,3,4,5", help="Of 1 (weak) to 5.")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=2000,
    help="At most so many test images, drawn at random.",
)
@data_dir_option
@runs_option
def command(
    run_name: str,
    baseline: str | None,
    strengths: str,
    images: int,
    data_dir: Path | None,
    runs: Path,
) -> None:
    """Score RUN on test images under fifteen corruptions, from noise to an occluding patch.

    The mean corruption error is the mean over corruptions and strengths; with --baseline it is
    also given relative to that run's. The same call gives the same images. The page, with a curve
    for each corruption, and the figures as CSV go to RUNS/robustness/.

    This uses the test set of a finished run: do not choose a model by it.
    """
    levels = _levels(strengths)
    import numpy as np

    from kerascw.console import console
    from kerascw.data import split
    from kerascw.data.load import dataset_for
    from kerascw.errors import KerascwError
    from kerascw.evaluation.corruptions import SEED
    from kerascw.lab.pictures import data_dir_of
    from kerascw.quiet import import_tensorflow
    from kerascw.report.robustness import (
        check_tested,
        measure,
        robustness_tables,
        write_robustness,
    )
    from kerascw.report.tables import print_table
    from kerascw.runs.environment import have_threads
    from kerascw.runs.store import Store, check_writable

    store, terminal = Store(runs), console()
    check_writable(runs, "--runs")
    run = store.find(run_name)
    other = None if baseline is None else store.find(baseline)
    check_tested(run, other)
    data = run.experiment.data
    dataset = dataset_for(data, data_dir_of(run, data_dir))
    if dataset.fingerprint != run.environment["data"]["fingerprint"]:
        raise KerascwError(f"{dataset.location}: its images have changed since run {run.name}")
    test = split(dataset, data).test
    chosen = np.random.default_rng(SEED).permutation(len(test))[:images]
    test = test.take(np.sort(chosen))
    import_tensorflow()
    have_threads()
    with console().status("corrupting and predicting") as status:
        found = measure(run, test, levels, other, status.update)
    page = write_robustness(found, run, test, runs / "robustness" / run.name)
    print_table(robustness_tables(found)["corruptions"], terminal)
    terminal.print(
        f"mean corruption error {found.errors[0].mean():.4f}, error without corruption "
        f"{1 - found.clean[0] / len(test):.4f} ({len(test):,} test images of a finished run: not "
        "for choosing a model)"
    )
    if found.relative is not None:
        terminal.print(
            f"relative to {found.names[1]}: {found.relative.mean():.3f}; below 1 is more robust"
        )
    terminal.print(f"report: {page}")


def _levels(text: str) -> tuple[int, ...]:
    from kerascw.evaluation.corruptions import STRENGTHS

    levels = sorted({part.strip() for part in text.split(",")})
    if not set(levels) <= {str(each) for each in STRENGTHS}:
        raise CallError(f"--strengths {text}: write numbers from 1 to 5, such as 1,3,5")
    return tuple(map(int, levels))
