"""``python -m kerascw train``: a model for a dataset of one's own."""

from typing import Any

import click

from kerascw.commands import options as shared


@click.command()
@click.argument("data", metavar="DATA")
@click.option(
    "--recipe",
    metavar="NAME",
    help="How to train: see list --recipes.  [default: fast, which mirrors images; for digits, "
    "mnist and svhn fastest, which does not]",
)
@click.option(
    "--backbone",
    metavar="NETWORK",
    help="Transfer in place of a recipe: a pretrained network of keras.applications "
    "(mobilenet_v3_small, mobilenet_v3_large, efficientnet_b0, efficientnet_v2_b0), its new output "
    "layer first and then all of it.",
)
@click.option(
    "--weights",
    default="imagenet",
    metavar="FILE",
    help="Of the backbone: imagenet (from Keras' cache, or downloaded there), random, or a file.",
)
@click.option(
    "--minutes",
    type=shared.Finite(0, 10_080, min_open=True),
    help="About how long to train, a week at most, in place of the recipe's epochs.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="How many seeds.")
@click.option("--seed", type=shared.SEED, default=0, help="The (first) seed.")
@shared.jobs_option
@shared.epochs_option
@shared.augment_option
@shared.settings_option
@shared.final_option
@shared.exclude_option
@shared.dataset_options
@shared.models_option
@shared.runs_option
def command(data: str, reading: dict[str, Any], **options: Any) -> None:
    """Train a model on DATA, test it, draw its report and export it.

    DATA is a folder of images with a folder for each class (or train/ and test/ with such folders),
    a .csv file of path,label[,split], an .npz file of arrays, a name of ``data list``, or
    tfds:NAME. A validation set is held out, and a test set if there is none. Small datasets get
    smaller batches and more epochs.
    """
    import kerascw
    from kerascw.commands.run import show_product
    from kerascw.commands.terminal import StudyProgress
    from kerascw.console import console
    from kerascw.data import data_named
    from kerascw.studies.train import for_backbone

    terminal = console()
    spec = data_named(data, **reading)
    if options["backbone"] and reading["size"] is None:
        spec = for_backbone(spec)
    progress = StudyProgress(terminal, sample=options["sample"])
    with shared.interruptible(progress.stop):
        product = kerascw.train(spec, watcher=progress, **options)
    show_product(product, terminal, runs=options["runs"], advice=product.advice())
