"""``python -m kerascw variance``: where the noise of a study's result comes from."""

from typing import Any

import click

from kerascw.commands import options as shared


@click.command()
@click.argument("study")
@click.option("--variant", help="Which of its variants.  [default: the first]")
@click.option("--seeds", type=click.IntRange(min=3), default=10,
              help="How many of each source.")  # fmt: skip
@shared.epochs_option
@shared.data_dir_option
@shared.jobs_option
@shared.settings_option
@shared.runs_option
def command(study: str, variant: str | None, **options: Any) -> None:
    """Train a variant of STUDY with each source of randomness varied alone, and with all.

    The sources are initial weights, dropout, order of images, augmentation and validation split:
    those that the variant has. Prints and draws the standard deviation of the test accuracy over
    each. Runs that are kept are not trained again.
    """
    import kerascw
    from kerascw.commands.run import show_product
    from kerascw.commands.terminal import StudyProgress
    from kerascw.console import console
    from kerascw.studies import study_named
    from kerascw.studies.variance import variance

    terminal, sources = console(), variance(study_named(study), variant)
    progress = StudyProgress(terminal)
    with shared.interruptible(progress.stop):
        product = kerascw.run(sources, models=None, watcher=progress, **options)
    show_product(product, terminal, runs=options["runs"])
