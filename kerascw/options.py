"""What several commands share: options, settings, and how they end when they are stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import click

from kerascw.errors import CallError, Interrupted

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="A folder with the dataset's files (also: KERASCW_DATA_DIR).",
)
runs_option = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder that keeps the runs.",
)
size_option = click.option(
    "--size", type=click.IntRange(min=1), help="folder: pixels a side. [default: auto]"
)
bad_files_option = click.option(
    "--bad-files",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="folder: what to do about pictures that cannot be read.",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=1, help="Runs side by side."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD.PATH=VALUE",
    help="Change any field of the experiment, such as model.filters=16,32. Repeatable.",
)


def setting(text: str) -> tuple[str, str]:
    """Return field path and value of one ``--set``."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise CallError(f"--set {text!r}: write FIELD.PATH=VALUE, such as training.epochs=3")
    return path, value


class Stoppable(Protocol):
    """A progress view."""

    def stop(self) -> None:
        """Take it away."""


@contextmanager
def interruptible(progress: Stoppable) -> Iterator[None]:
    """End the progress view whatever happens, and say of Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on from there") from None
    except Interrupted as stop:
        raise Interrupted(f"{stop}; the same command goes on from there") from None
    finally:
        progress.stop()
