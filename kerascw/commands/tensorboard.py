"""``python -m kerascw tensorboard``: look at runs while they train, and after.

Importing this is quick: ``--help`` reads it. Nothing here imports TensorFlow.
"""

import contextlib
import io
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import runs_option
from kerascw.errors import CallError, KerascwError, choices

if TYPE_CHECKING:
    from kerascw.runs.store import Store

_LOOK = 2.0
"""Seconds between two looks at the runs that a study has begun since."""


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
    from kerascw.console import runs_words
    from kerascw.runs.store import Store

    store = Store(runs)
    title, links = chosen(name, store)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if links else store.events_folder("")
        link_events(folder, links, store)
        url = serve(folder, host, port)
        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        click.echo(f"TensorBoard with {title}: {url}")
        click.echo("Ctrl-C ends it.")
        while not over.wait(_LOOK):
            link_events(folder, links, store)
        click.echo(f"next: python -m kerascw report --all --open{runs_words(runs)}")


Links = Callable[[], dict[str, str]] | None
"""Names the runs that are shown: link name to run name. None: all runs, by their own names."""


def chosen(name: str | None, store: "Store") -> tuple[str, Links]:
    """Find what a name stands for: a study as it was run last, a run, or None for all runs.

    A :class:`CallError` lists what there is.
    """
    begun = sorted(path.name for path in store.events_folder("").glob("*"))
    if name is None:
        if not begun:
            raise CallError(f"no runs in {store.folder}; next: python -m kerascw run digits")
        return f"all runs in {store.folder}", None
    study = _study_folder(name, store)
    if study is not None:
        return f"study {study.name}", lambda: link_names(study)
    fit = [run for run in begun if run.startswith(name) or f"-{name}" in run]
    if len(fit) == 1 or name in begun:
        run = name if name in begun else fit[0]
        return f"run {run}", lambda: {run: run}
    if fit:
        raise CallError(f"run {name!r} is one of {choices(fit)}")
    studies = sorted(folder.name for folder in store.folder.glob("studies/*"))
    there = [*studies[-10:], *begun[-10:]]
    among = f"there are {choices(there)}" if there else "there is none"
    raise CallError(f"no study and no run {name!r} in {store.folder}; {among}")


def _study_folder(name: str, store: "Store") -> Path | None:
    """Find the folder of a study as it was run, or of the study as it was run last."""
    from kerascw.lab.run import PLANNED
    from kerascw.studies import all_studies

    label = re.compile(re.escape(name) + r"(-(full|quick)(-sample)?(-[0-9a-f]{6})?)?")
    begun = {
        file.parent: file.stat().st_mtime
        for file in store.folder.glob(f"studies/*/{PLANNED}")
        if label.fullmatch(file.parent.name)
    }
    if begun:
        return max(begun, key=lambda folder: (folder.name == name, begun[folder]))
    if name in all_studies():
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    return None


def link_names(study: Path) -> dict[str, str]:
    """Name the runs of a study by variant and seed: link name to run name."""
    from kerascw.lab.run import PLANNED
    from kerascw.runs.summary import read_json

    links: dict[str, str] = {}
    for variant, repeats in read_json(study / PLANNED).items():
        folder = variant.replace("/", "-").strip(". ") or "variant"
        for run, repeat in repeats.items():
            names = (f"{folder}/{repeat}{f' ({n})' if n > 1 else ''}" for n in count(1))
            links[next(name for name in names if name not in links)] = run
    return links


def link_events(folder: Path, links: Links, store: "Store") -> None:
    """Make a link to the events of each run in the folder, where there is none yet."""
    for name, run in (links() if links else {}).items():
        link, events = folder / name, store.events_folder(run)
        if not link.is_symlink():
            # TensorBoard complains at every look of a link to nothing
            events.mkdir(parents=True, exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(events.resolve(), target_is_directory=True)


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
