"""``python -m kerascw robustness``: accuracy of a run, or of a study, on corrupted images."""

from pathlib import Path

import click

from kerascw.commands.options import data_dir_option, runs_option
from kerascw.console import console
from kerascw.data import split
from kerascw.data.corruption_sets import read_corrupted
from kerascw.data.load import dataset_for
from kerascw.errors import CallError, KerascwError
from kerascw.lab.pictures import data_dir_of
from kerascw.quiet import import_tensorflow
from kerascw.report.robustness import (
    Models,
    check_takes,
    drawn,
    measure,
    models_of,
    robustness_tables,
    write_robustness,
)
from kerascw.report.tables import print_table
from kerascw.runs.environment import have_threads
from kerascw.runs.store import Store, check_writable
from kerascw.studies import is_study, recall


@click.command()
@click.argument("name", metavar="RUN|STUDY")
@click.option(
    "--baseline", metavar="RUN", help="Of a run: one to compare with, on the same images."
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=2000,
    help="At most so many test images, drawn at random.",
)
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    help="A folder with MNIST-C, Fashion-MNIST-C or CIFAR-10-C, to score as well.",
)
@data_dir_option
@runs_option
def command(
    name: str,
    baseline: str | None,
    images: int,
    published: Path | None,
    data_dir: Path | None,
    runs: Path,
) -> None:
    """Score RUN, or every classifier of a kept STUDY, on test images under fifteen corruptions.

    The corruptions are from noise to an occluding patch; the mean error under corruption is over
    all of them and their strengths, of a study over its seeds, with the difference to its baseline
    paired by seed. The same call gives the same images, made once for all models. The page, with a
    curve for each corruption, and the figures as CSV and JSON go to RUNS/robustness/.

    This uses the test set of finished runs: do not choose a model by it.
    """
    store, terminal = Store(runs), console()
    check_writable(runs, "--runs")
    models = _models(name, baseline, store)
    corrupted = None if published is None else read_corrupted(published)
    run = models.first
    dataset = dataset_for(run.experiment.data, data_dir_of(run, data_dir))
    if dataset.fingerprint != run.environment["data"]["fingerprint"]:
        raise KerascwError(f"{dataset.location}: its images have changed since run {run.name}")
    test = split(dataset, run.experiment.data).test
    if corrupted is not None:
        check_takes(models, test, corrupted)
    test = test.take(drawn(len(test), images))
    import_tensorflow()
    have_threads()
    with terminal.status("corrupting and predicting") as status:
        found = measure(models, test, corrupted, images, status.update)
    page = write_robustness(found, test, runs / "robustness" / models.title.split()[-1])
    tables = robustness_tables(found)
    shown = [] if len(models.variants) > 1 else ["corruptions"]
    for each in (*shown, "variants"):
        print_table(tables[each], terminal)
    if corrupted is not None:
        terminal.print(corrupted.title)
        print_table(tables["published"], terminal)
    for variant, fault in models.left_out.items():
        terminal.print(f"{variant} is left out: {fault}", style="yellow")
    terminal.print(f"{len(test):,} test images of finished runs: not for choosing a model")
    terminal.print(f"report: {page}")


def _models(name: str, baseline: str | None, store: Store) -> Models:
    if is_study(name, store):
        if baseline is not None:
            raise CallError(
                f"--baseline {baseline}: only of a run; {name} is a study, with its own"
            )
        result = recall(name, store)
        return models_of(f"study {result.plan.label}", result.runs, result.study.base_of)
    runs = [store.find(each) for each in (name, baseline) if each is not None]
    first, last = runs[0].name, runs[-1].name
    bases = {first: last} if last != first else {}
    own = {run.name: [run] for run in runs}
    return models_of(f"run {first}", own, bases.get, every=True)
