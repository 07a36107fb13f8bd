"""``python -m kerascw learning-curve``: a model on growing parts of a dataset.

Importing this is quick: ``--help`` reads it.
"""

from pathlib import Path
from typing import Any

import click

from kerascw.commands import options as shared
from kerascw.errors import CallError

_RESERVED = {"data.fraction": "--fractions", "seed": "--seeds", "start": "--init"}


@click.command("learning-curve")
@click.option("--dataset", required=True, metavar="NAME|folder:PATH", help="See data list.")
@click.option(
    "--model",
    required=True,
    metavar="STUDY",
    help="The study whose first variant gives model and training.",
)
@click.option(
    "--fractions",
    default="5%,10%,20%,50%,100%",
    help="Of the training images: nested stratified subsets.",
)
@click.option(
    "--init",
    "initialisations",
    default="random",
    metavar="LIST",
    help="Initial weights: random, a kept run, a study (its first variant is trained first), or "
    "the path of an experiment.json. The others are compared with the first.",
)
@click.option("--freeze", is_flag=True, help="Do not train the layers that are taken over.")
@click.option("--seeds", type=click.IntRange(min=1), default=5)
@shared.jobs_option
@shared.epochs_option
@shared.settings_option
@shared.dataset_options
@shared.runs_option
def command(
    dataset: str,
    fractions: str,
    jobs: int,
    settings: dict[str, Any],
    reading: dict[str, Any],
    data_dir: Path | None,
    runs: Path,
    epochs: int | None,
    **options: Any,
) -> None:
    """Train a model on growing parts of a dataset, from one or more initial weights, over seeds.

    Says which initial weights are better, up to which fraction the difference is significant, and
    how many more images would gain a percentage point of accuracy. Runs that are kept are not
    trained again.
    """
    from kerascw.commands.run import show_product
    from kerascw.commands.terminal import StudyProgress
    from kerascw.console import console
    from kerascw.data import data_named
    from kerascw.lab.plan import settings_with
    from kerascw.lab.run import run_study
    from kerascw.report.product import Product
    from kerascw.runs.store import Store, check_writable
    from kerascw.studies import all_studies
    from kerascw.studies.learning_curve import planned_curve

    changes = settings_with({"epochs": epochs}, settings)
    for path in changes:
        if (option := _RESERVED.get(path) or _RESERVED.get(path.partition(".")[0])) is not None:
            raise CallError(f"--set {path}: use {option}")
    shares = fractions_of(fractions)
    data = data_named(dataset, **reading)
    check_writable(runs, "--runs")
    terminal, store = console(), Store(runs)
    plan = planned_curve(
        all_studies(), store, data=data, fractions=shares, data_dir=data_dir, changes=changes,
        **options,
    )  # fmt: skip
    progress = StudyProgress(terminal, sample=plan.sample)
    with shared.interruptible(progress.stop):
        result = run_study(plan, store, data_dir=data_dir, jobs=jobs, watcher=progress)
    product = Product(plan, result.runs, data_dir)
    product.report()
    show_product(product, terminal, runs=runs)


def fractions_of(text: str) -> list[float]:
    """Return the fractions of a list, the smallest first.

    >>> fractions_of("100%, 0.05,2.5%")
    [0.025, 0.05, 1.0]
    """
    return sorted({shared.share(part, "--fractions") for part in text.split(",")})
