"""The command ``run``: arguments, a progress view, and :func:`kerascw.run`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kerascw.commands import options as shared
from kerascw.errors import CallError, KerascwError
from kerascw.training.devices import VARIABLE as DEVICES


@click.command()
@click.argument("study", metavar="STUDY|FILE.py")
@click.option(
    "--budget",
    type=click.Choice(["quick", "full"]),
    help="full: the published protocol; quick: minutes. [default: the study's own, see list]",
)
@click.option("--seeds", type=click.IntRange(min=1), help="How many seeds. [default: see list]")
@click.option("--seed", type=shared.SEED, default=0, help="The (first) seed.")
@click.option(
    "--only",
    multiple=True,
    metavar="VARIANT",
    help="Train this variant, not all that ``list STUDY`` names. Repeatable.",
)
@click.option(
    "--folds",
    type=int,
    metavar="K",
    help="Cross-validate: every variant over K stratified folds of the training set, with one "
    "seed unless --seeds says more.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Add seeds until each difference to a baseline is significant, or within --difference, by "
    "intervals that may be looked at again and again.",
)
@click.option(
    "--difference",
    type=shared.Finite(0, 1, min_open=True),
    help="Of test accuracy: variants closer than this count as equivalent (with --until-decided).",
)
@click.option(
    "--at-most",
    type=click.IntRange(min=3),
    help="How many seeds at most (with --until-decided).  [default: 30]",
)
@shared.jobs_option
@click.option("--cluster", metavar="ADDRESS", help="Train on the workers of a Dask scheduler.")
@shared.epochs_option
@click.option("--batch-size", type=int, help="training.batch_size")
@click.option("--learning-rate", type=float, help="training.optimizer.learning_rate")
@shared.share_option("--fraction", "data.fraction: of the training set, such as 10% or 0.1.")
@click.option(
    "--recipe", metavar="NAME", help="Train by this recipe (list --recipes), not the study's."
)
@shared.augment_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16", "auto"]),
    help="training.precision: what layers compute in; auto: bfloat16 where the processor has "
    "instructions for it. [default: float32, or the recipe's]",
)
@shared.settings_option
@click.option(
    "--devices",
    type=click.Choice(["one", "all"]),
    default="one",
    envvar=DEVICES,
    help=f"all: a part of every batch on each GPU (also: {DEVICES}).",
)
@shared.final_option
@shared.exclude_option
@shared.data_option
@shared.dataset_options
@click.option(
    "--or-sample", is_flag=True, help="Use the bundled sample if no source has the dataset."
)
@shared.models_option
@shared.runs_option
def command(
    study: str,
    devices: str,
    data: str | None,
    reading: dict[str, Any],
    or_sample: bool,
    **options: Any,
) -> None:
    """Run STUDY: train, evaluate, draw, export. Runs that are kept are not trained again.

    FILE.py is a file of your own that has STUDY = kerascw.Study(...): see docs/adding.md.
    ``list STUDY`` says more about a study, and what --set pictures.FIELD changes in its figures.
    """
    import kerascw
    from kerascw.commands.terminal import StudyProgress
    from kerascw.console import console
    from kerascw.data import data_named
    from kerascw.studies import study_named
    from kerascw.training.devices import take

    if devices == "all":
        for option, given in (("--jobs", options["jobs"] > 1), ("--cluster", options["cluster"])):
            if given:
                raise CallError(f"--devices all: each run takes all of them; leave {option} out")
    take(devices)
    terminal, chosen = console(), study_named(study)
    if or_sample and not options["sample"]:
        options["sample"] = _is_nowhere(chosen, options["data_dir"], terminal)
    if data is not None:
        options["data"] = data_named(data, **reading)
    progress = StudyProgress(terminal, sample=options["sample"])
    with shared.interruptible(progress.stop):
        result = kerascw.run(chosen, watcher=progress, **options)
    show_product(result, terminal, runs=options["runs"])


def show_product(result: Any, terminal: Any, *, runs: Path, advice: Sequence[str] = ()) -> None:
    """Print what came of it, where its files are, and what to do next."""
    from kerascw.commands.terminal import show_run, show_study
    from kerascw.console import next_step

    product = result.product
    if result.has_page:
        show_study(result, terminal)
        terminal.print(f"study report: {result.folder / 'report.html'}")
        terminal.print(f"study table: {result.folder / 'table.csv'}")
    if result.plan.export_name or len(result.every_run) == 1:
        if len(result.every_run) > 1:
            again = "" if product == result.run else ", trained again on all training data"
            terminal.print(f"\nThe run that validation chooses{again}:")
        page = result.draw_product()
        show_run(product, terminal)
        terminal.print(f"report: {page}")
    for sentence in advice:
        terminal.print(sentence)
    if result.exports:
        folder = result.export()
        terminal.print(f"SavedModel: {folder}")
        next_step(terminal, "predict", folder.parent, "IMAGE...")
        return
    if result.plan.export_name and product.experiment.reconstructs:
        terminal.print("no SavedModel: an autoencoder gives images, not classes")
    shown = result.plan.label if result.has_page else product.name
    next_step(terminal, "report", shown, "--open", runs=runs)
    if all(run.metrics["kept_epoch"] is None for run in result.every_run):
        rate = product.experiment.training.optimizer.learning_rate
        raise KerascwError(
            f"{product.name} diverged ({product.metrics['reason']}) and kept no weights: try a "
            f"lower training.optimizer.learning_rate; it was {rate:g}"
        )


def _is_nowhere(study: Any, data_dir: Path | None, terminal: Any) -> bool:
    """Return whether no source has the study's dataset, and print where it was looked for."""
    from kerascw.data.load import dataset_for
    from kerascw.data.sources import NotFoundError

    try:
        dataset_for(next(iter(study.variants().values())).data, data_dir)  # it stays loaded
    except NotFoundError as error:  # a damaged copy is an error, not a reason for the sample
        terminal.print(str(error), style="yellow")
        return True
    return False
