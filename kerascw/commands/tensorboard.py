"""``python -m kerascw tensorboard``: look at runs while they train, and after.

Importing this is quick: ``--help`` reads it. Nothing here imports TensorFlow.
"""

import contextlib
import io
import re
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import runs_option
from kerascw.errors import CallError, KerascwError, choices

if TYPE_CHECKING:
    from kerascw.runs.store import Store


@click.command("tensorboard")
@click.argument("name", metavar="[STUDY|RUN]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="0: any that is free. [default: 6006, or the next that is free]",
)
@click.option("--host", default="localhost", help="The address to listen at.")
@runs_option
def command(name: str | None, port: int | None, host: str, runs: Path) -> None:
    """Show STUDY, RUN or all runs in TensorBoard, also while they train. Ctrl-C ends it.

    The runs of a study are named by variant and seed.
    """
    from kerascw.console import command_text
    from kerascw.runs.store import Store

    title, folder = chosen(name, Store(runs))
    url = serve(folder, host, port)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    click.echo(f"TensorBoard with {title}: {url}")
    click.echo("Ctrl-C ends it.")
    over.wait()
    click.echo(f"next: {command_text('report', '--all', '--open', runs=runs)}")


def chosen(name: str | None, store: "Store") -> tuple[str, Path]:
    """Find what a name stands for: a study as it was run last, a run, or None for all runs.

    Returns it in words, and the folder of its events. A :class:`CallError` lists what there is.
    """
    begun = sorted(path.name for path in store.events_folder("").glob("*"))
    if name is None:
        if not begun:
            raise CallError(f"no runs in {store.folder}; next: python -m kerascw run digits")
        return f"all runs in {store.folder}", store.events_folder("")
    links = _links_of(name, store)
    if links is not None:
        return f"study {links.parent.name}", links
    fit = [run for run in begun if run.startswith(name) or f"-{name}" in run]
    if len(fit) == 1 or name in begun:
        run = name if name in begun else fit[0]
        return f"run {run}", store.events_folder(run)
    if fit:
        raise CallError(f"run {name!r} is one of {choices(fit)}")
    studies = sorted(folder.name for folder in store.folder.glob("studies/*"))
    there = [*studies[-10:], *begun[-10:]]
    among = f"there are {choices(there)}" if there else "there is none"
    raise CallError(f"no study and no run {name!r} in {store.folder}; {among}")


def _links_of(name: str, store: "Store") -> Path | None:
    """Find the links of a study as it was run, or of the study as it was run last."""
    from kerascw.lab.run import LINKS
    from kerascw.studies import all_studies

    label = re.compile(re.escape(name) + r"(-(full|quick)(-sample)?(-[0-9a-f]{6})?)?")
    every = store.folder.glob(f"studies/*/{LINKS}")
    begun = [links for links in every if label.fullmatch(links.parent.name)]
    if begun:
        return max(begun, key=lambda links: (links.parent.name == name, links.stat().st_mtime))
    if name in all_studies():
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    return None


def serve(folder: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in a thread of this process; return its address.

    A :class:`KerascwError` says that the port is taken, or that the host is not this machine's.
    """
    # it then runs without TensorFlow, which would print notices on standard error
    without_tensorflow = "tensorboard.compat.notf"
    sys.modules.setdefault(without_tensorflow, ModuleType(without_tensorflow))
    from tensorboard import program
    from tensorboard.util import tb_logging

    tb_logging.get_logger().setLevel("ERROR")
    board = program.TensorBoard()
    board.configure(
        logdir=str(folder),
        host=host,
        port=port,
        reload_interval=5.0,  # seconds
        samples_per_plugin={"scalars": 10_000},  # epochs: of more it takes a sample
    )
    said = io.StringIO()
    try:
        # it says there that it reads with its own server, which nobody has to act on
        with contextlib.redirect_stderr(said):
            return str(board.launch())
    except program.TensorBoardPortInUseError:
        raise KerascwError(
            f"--port {port}: is taken; choose another, or 0 for a free one"
        ) from None
    except (program.TensorBoardServerException, SystemExit) as error:
        reason = said.getvalue().strip().splitlines()[-1:] or [str(error)]
        raise KerascwError(f"--host {host}, --port {port or 0}: {reason[0]}") from None
