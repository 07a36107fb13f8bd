"""``python -m kerascw variance``: where the noise of a study's result comes from."""

from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import (
    data_dir_option,
    interruptible,
    jobs_option,
    runs_option,
    setting,
    settings_option,
)


@click.command()
@click.argument("study")
@click.option("--variant", help="Which of its variants.  [default: the first]")
@click.option("--seeds", type=click.IntRange(min=3), default=10, show_default=True,
              help="How many of each source.")  # fmt: skip
@click.option("--epochs", type=int, help="training.epochs")
@data_dir_option
@jobs_option
@settings_option
@runs_option
def command(
    study: str,
    variant: str | None,
    seeds: int,
    epochs: int | None,
    data_dir: Path | None,
    jobs: int,
    settings: tuple[str, ...],
    runs: Path,
) -> None:
    """Train a variant of STUDY with each source of randomness varied alone, and with all.

    The sources are initial weights, dropout, order of images, augmentation and validation split:
    those that the variant has. Prints and draws the standard deviation of the test accuracy over
    each. Runs that are kept are not trained again.
    """
    import kerascw
    from kerascw.commands.terminal import StudyProgress, show_study
    from kerascw.console import console, next_step
    from kerascw.studies import study_named
    from kerascw.studies.variance import variance, variance_answers

    terminal = console()
    changes: dict[str, Any] = dict(setting(text) for text in settings)
    if epochs is not None:
        changes["training.epochs"] = epochs
    progress = StudyProgress(terminal, sample=False)
    with interruptible(progress):
        product = kerascw.run(
            variance(study_named(study), variant),
            seeds=seeds,
            jobs=jobs,
            data_dir=data_dir,
            runs=runs,
            models=None,
            settings=changes,
            watcher=progress,
        )
    show_study(product, terminal)
    for answer in variance_answers(product.runs):
        terminal.print(f"{answer.question} {answer.answer}", highlight=False)
    terminal.print(f"study report: {product.folder / 'report.html'}")
    next_step(terminal, f"report {product.plan.label} --open", runs)
