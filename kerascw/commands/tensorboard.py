"""``python -m kerascw tensorboard``: look at runs while they train, and after.

Importing this is quick: ``--help`` reads it. Serving does not import TensorFlow; writing events
that are missing does.
"""

import contextlib
import io
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import data_dir_option, runs_option
from kerascw.errors import CallError, KerascwError, choices, counted

if TYPE_CHECKING:
    from kerascw.data import Splits
    from kerascw.runs.store import Run, Store

_EVENTS = "*/*tfevents*"
"""Files of events in the folder of all runs' events."""

_LOOK = 2.0
"""Seconds between two looks at the runs that a study has begun since."""


@click.command("tensorboard")
@click.argument("name", metavar="[STUDY|RUN]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="0: any that is free. [default: 6006, or the next that is free]",
)
@click.option("--host", default="localhost", show_default=True, help="The address to listen at.")
@data_dir_option
@runs_option
def command(
    name: str | None, port: int | None, host: str, data_dir: Path | None, runs: Path
) -> None:
    """Show STUDY, RUN or all runs in TensorBoard, also while they train. Ctrl-C ends it.

    The runs of a study are named by variant and seed.
    """
    from kerascw.console import runs_words
    from kerascw.runs.store import Store

    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shown = chosen(name, Store(runs), scratch)
        shown.link()
        written = catch_up(shown.kept(), data_dir)
        if written:
            click.echo(f"wrote the events of {counted(written, 'run')}")
        url = serve(shown.folder, host, port)
        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        click.echo(f"TensorBoard with {shown.title}: {url}")
        click.echo("Ctrl-C ends it.")
        while not over.wait(_LOOK):
            shown.link()
        click.echo(f"next: python -m kerascw report --all --open{runs_words(runs)}")


@dataclass
class Shown:
    """What TensorBoard is to show: the folder that it reads, and how to name the runs in it."""

    title: str
    folder: Path
    store: "Store"
    links: Callable[[], dict[str, str]] | None = None  # link name to run name; None: all runs

    def link(self) -> None:
        """Make a link to the events of each run in the folder, where there is none yet."""
        for name, run in (self.links() if self.links else {}).items():
            link, events = self.folder / name, self.store.events_folder(run)
            if not link.is_symlink():
                # TensorBoard complains at every look of a link to nothing
                events.mkdir(parents=True, exist_ok=True)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(events.resolve(), target_is_directory=True)

    def kept(self) -> list["Run"]:
        """List the runs that are kept among those shown."""
        names = set(self.links().values()) if self.links else None
        return [run for run in self.store.all() if names is None or run.name in names]


def chosen(name: str | None, store: "Store", scratch: Path) -> Shown:
    """Find what a name stands for: a study as it was run last, a run, or None for all runs.

    ``scratch`` is an empty folder to make links in. A :class:`CallError` lists what there is.
    """
    if name is None:
        everything = store.events_folder("")
        if not store.all() and not any(everything.glob(_EVENTS)):
            raise CallError(f"no runs in {store.folder}; next: python -m kerascw run digits")
        return Shown(f"all runs in {store.folder}", everything, store)
    study = _study_folder(name, store)
    if study is not None:
        return Shown(f"study {study.name}", scratch, store, lambda: link_names(study))
    run = _run_name(name, store)
    return Shown(f"run {run}", scratch, store, lambda: {run: run})


def catch_up(runs: list["Run"], data_dir: Path | None) -> int:
    """Write the events and images that kept runs lack; return how many runs got some.

    Images of the data are left out where there is no copy of the data: nothing is downloaded.
    """
    from kerascw.report.events import lacks_events, write_missing

    lacking = [run for run in runs if lacks_events(run)]
    if lacking:
        from kerascw.quiet import import_tensorflow

        import_tensorflow()
    return sum(write_missing(run, _splits_at_hand(run, data_dir)) for run in lacking)


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


# --- what a name stands for -----------------------------------------------------------------


def _study_folder(name: str, store: "Store") -> Path | None:
    """Find the folder of a study as it was run, or of the study as it was run last."""
    from kerascw.lab.run import KEPT, PLANNED
    from kerascw.studies import all_studies

    label = re.compile(re.escape(name) + r"(-(full|quick)(-sample)?(-[0-9a-f]{6})?)?")
    begun = {
        file.parent: file.stat().st_mtime
        for kind in (KEPT, PLANNED)
        for file in store.folder.glob(f"studies/*/{kind}")
        if label.fullmatch(file.parent.name)
    }
    if begun:
        return max(begun, key=lambda folder: (folder.name == name, begun[folder]))
    if name in all_studies():
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    return None


def link_names(study: Path) -> dict[str, str]:
    """Name the runs of a study by variant and seed: link name to run name."""
    from kerascw.lab.run import KEPT, PLANNED
    from kerascw.runs.summary import read_json

    if (study / PLANNED).is_file():
        planned = read_json(study / PLANNED)
    else:  # run by an earlier version: runs stand for their seeds
        kept = read_json(study / KEPT)["runs"]
        planned = {variant: {run: run for run in runs} for variant, runs in kept.items()}
    links: dict[str, str] = {}
    for variant, repeats in planned.items():
        folder = variant.replace("/", "-").strip(". ") or "variant"
        for run, repeat in repeats.items():
            names = (f"{folder}/{repeat}{f' ({n})' if n > 1 else ''}" for n in count(1))
            links[next(name for name in names if name not in links)] = run
    return links


def _run_name(name: str, store: "Store") -> str:
    """Find the name of a run that is kept or being trained."""
    try:
        return store.find(name).name
    except CallError as error:
        begun = sorted(path.parent.name for path in store.events_folder("").glob(_EVENTS))
        fit = [run for run in begun if run.startswith(name) or f"-{name}" in run]
        if len(fit) == 1:
            return fit[0]
        if "is one of" in str(error):
            raise
    studies = sorted(folder.name for folder in store.folder.glob("studies/*"))
    there = [*studies[-10:], *begun[-10:]]
    among = f"there are {choices(there)}" if there else "there is none"
    raise CallError(f"no study and no run {name!r} in {store.folder}; {among}")


def _splits_at_hand(run: "Run", data_dir: Path | None) -> "Splits | None":
    """Load the run's data if a copy with the same images is on this machine, else None."""
    from kerascw.data import split
    from kerascw.data.catalogue import CATALOG
    from kerascw.data.load import dataset_for
    from kerascw.data.sources import locate

    spec = run.experiment.data
    try:
        if not (spec.sample or spec.folder):
            copies = locate(CATALOG[spec.name], data_dir)
            if not any(kind != "sample" and "(incomplete" not in place for kind, place in copies):
                return None  # TFDS would download it
        dataset = dataset_for(spec, data_dir)
    except (KerascwError, KeyError):
        return None
    same = dataset.fingerprint == run.environment["data"]["fingerprint"]
    return split(dataset, spec) if same else None
