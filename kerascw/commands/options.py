"""Options that commands share, and how a command ends when it is stopped."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from kerascw.errors import CallError, Interrupted

SEED = click.IntRange(0, 2**31 - 1)
"""What TensorFlow takes for a seed."""


class Finite(click.FloatRange):
    """Numbers of a range; its end may be open, but infinity and NaN are refused."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def file_option(flag: str, default: str | None, says: str, *, exists: bool = False) -> Any:
    """Return an option that names a file."""
    file = click.Path(exists=exists, dir_okay=False, path_type=Path)
    return click.option(flag, type=file, default=default, help=says)


def folder_option(flag: str, default: str | None, says: str) -> Any:
    """Return an option that names a folder, which need not exist yet."""
    folder = click.Path(file_okay=False, path_type=Path)
    return click.option(flag, type=folder, default=default, help=says)


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="A folder with the dataset's files (also: KERASCW_DATA_DIR).",
)
runs_option = folder_option("--runs", "runs", "The folder that keeps the runs.")
data_option = click.option(
    "--data",
    metavar="NAME|PATH|tfds:NAME|FILE.py:FUNCTION",
    help="Another dataset: a name (see data list), a folder of images with a folder a class, a "
    ".csv file of path,label[,split], an .npz file of arrays, a dataset of TFDS, or a function "
    "that returns arrays.",
)
sample_option = click.option(
    "--sample", is_flag=True, help="Use the bundled sample, not the dataset."
)
models_option = folder_option("--models", "models", "The folder that exported models go to.")
saved_models_option = folder_option(
    "--saved-models", "saved_models", "The folder of the models that come with the repository."
)
size_option = click.option(
    "--size",
    type=click.IntRange(min=1),
    callback=lambda _, __, side: side and (side, side),
    help="Your images: pixels a side.  [default: auto]",
)
fit_option = click.option(
    "--fit",
    type=click.Choice(["pad", "crop", "stretch"]),
    help="Your images, where they have another shape: fill up with black, cut off what is outside "
    "the frame, or change the aspect ratio.  [default: crop; after folder: pad]",
)
bad_files_option = click.option(
    "--bad-files",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    help="Your images: what to do about files that cannot be read.",
)


def dataset_options(command: Any) -> Any:
    """Add the options of a dataset: its folder or its sample, and how one's own images are read.

    The command gets the latter as ``reading``, which :func:`kerascw.data.data_named` takes.
    """

    @size_option
    @fit_option
    @bad_files_option
    @data_dir_option
    @sample_option
    @wraps(command)
    def reading_together(*, size: Any, fit: Any, bad_files: Any, **options: Any) -> Any:
        return command(reading={"size": size, "fit": fit, "bad_files": bad_files}, **options)

    return reading_together


AUGMENT_SYNTAX = "KIND[:VALUE...],..."
AUGMENT_HELP = (
    "such as flip:0.25,shift:2. Kinds: flip, brightness, contrast, autocontrast, solarize, shift, "
    "rotate, zoom, erase, mixup, cutmix; lists of them: none, lenet, all."
)
epochs_option = click.option("--epochs", type=int, help="training.epochs")
augment_option = click.option(
    "--augment", metavar=AUGMENT_SYNTAX, help=f"training.augmentation, {AUGMENT_HELP}"
)
final_option = click.option(
    "--final",
    is_flag=True,
    help="Then train on the validation set too, for the best number of epochs, and test that.",
)
exclude_option = click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Leave images out: a CSV file as data check writes it, with the lines that you keep.",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=1, help="Runs side by side."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=lambda _, __, texts: dict(map(setting, texts)),
    metavar="FIELD.PATH=VALUE",
    help="Change any field of the experiment, such as model.filters=16,32. Repeatable.",
)


def share_option(flag: str, says: str) -> Any:
    """Return an option that takes a share, as :func:`share` reads it."""
    return click.option(
        flag,
        callback=lambda _, __, text: None if text is None else share(text, flag),
        metavar="SHARE",
        help=says,
    )


def setting(text: str) -> tuple[str, str]:
    """Split the text of one ``--set`` into field path and value."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise CallError(f"--set {text!r}: write FIELD.PATH=VALUE, such as training.epochs=3")
    return path, value


def share(text: str, flag: str) -> float:
    """Read a share of the training set: a percentage with its sign, or a number below 1.

    >>> share("2.5%", "--fraction"), share("0.1", "--fraction"), share("100 %", "--fraction")
    (0.025, 0.1, 1.0)
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / 100 if percent else float(number)
    except ValueError:
        value = math.nan
    # 1 might be the whole, or one per cent
    if rest or not 0 < value <= 1 or (value == 1 and not percent):
        raise CallError(
            f"{flag} {text.strip()!r}: write a percentage up to 100%, or a number below 1, such as "
            "5% or 0.05; more than 0"
        )
    return value


@contextmanager
def interruptible(stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """After Ctrl-C, say how to go on; ``stop`` ends the progress view in any case."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on from there") from None
    except Interrupted as interrupted:
        raise Interrupted(f"{interrupted}; the same command goes on from there") from None
    finally:
        stop()
