"""``python -m kerascw tensorboard``: look at runs while they train, and after.

Importing this is quick: ``--help`` reads it. Nor does serving import TensorFlow.
"""

import contextlib
import errno
import io
import json
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kerascw.commands.options import data_dir_option, runs_option
from kerascw.errors import CallError, KerascwError, choices

if TYPE_CHECKING:
    from kerascw.data import Splits
    from kerascw.runs.store import Run, Store

_STUDIES = ("studies", "learning-curves")
"""The folders of the store that hold a folder for each study as it was run."""

_SHOWN = 10
"""An error names at most so many of what there is."""


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

    A study's runs go by the names of their variants.
    """
    from kerascw.console import runs_words
    from kerascw.runs.store import Store

    with contextlib.ExitStack() as stack:
        shown = chosen(name, Store(runs), Path(stack.enter_context(tempfile.TemporaryDirectory())))
        written = catch_up(shown.kept, Store(runs), data_dir)
        if written:
            click.echo(f"wrote the events of {written} run{'s' if written > 1 else ''}")
        with _until_interrupted() as wait:
            url = serve(shown.folder, host, port)
            click.echo(f"TensorBoard with {shown.title}: {url}")
            click.echo("Ctrl-C ends it.")
            wait()
        click.echo(f"next: python -m kerascw report --all --open{runs_words(runs)}")


@dataclass(frozen=True)
class Shown:
    """What TensorBoard is to show: a folder of events, and the kept runs among them."""

    title: str
    folder: Path
    kept: list["Run"]


def chosen(name: str | None, store: "Store", scratch: Path) -> Shown:
    """Return what a name stands for: a study as it was run last, a run, or None for all runs.

    ``scratch`` is an empty folder to make links in.

    Raises
    ------
    CallError
        There is no such thing; the message lists what there is.
    """
    from kerascw.lab.event_links import link_events

    if name is None:
        everything = store.events_folder("")
        kept = store.all()
        if not kept and not any(everything.glob("*/*tfevents*")):
            raise CallError(f"no runs in {store.folder}; next: python -m kerascw run digits")
        return Shown(f"all runs in {store.folder}", everything, kept)
    study = _study_folder(name, store)
    if study is not None:
        return _shown_study(study, store)
    run = _run_name(name, store)
    link_events(scratch, store, {run: run})
    return Shown(f"run {run}", scratch, _kept([run], store))


def catch_up(runs: list["Run"], store: "Store", data_dir: Path | None) -> int:
    """Write the events of kept runs that have none, such as older ones, and the pictures of all.

    Returns how many runs had no events. Pictures of the data are left out where there is no
    copy of the data: nothing is downloaded.
    """
    from kerascw.report.events import PICTURES_FILE, write_missing

    written = 0
    for run in runs:
        folder = store.events_folder(run.name)
        if not any(folder.glob(f"*{PICTURES_FILE}")):
            written += write_missing(run, folder, _splits_at_hand(run, data_dir))
    return written


def serve(folder: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in a thread of this process; return its address.

    It goes without TensorFlow, which a page of it would import otherwise, with notices on standard
    error: a module of that name is how TensorBoard's own builds say so (``tensorboard.compat``).

    Raises
    ------
    KerascwError
        The port is taken, or the host is none of this machine's.
    """
    without_tensorflow = "tensorboard.compat.notf"
    sys.modules.setdefault(without_tensorflow, ModuleType(without_tensorflow))
    from tensorboard import program
    from tensorboard.util import tb_logging

    _check_address(host, port)
    tb_logging.get_logger().setLevel("ERROR")
    board = program.TensorBoard()
    board.configure(
        logdir=str(folder),
        host=host,
        port=port,
        reload_interval=5.0,  # seconds
        samples_per_plugin={"scalars": 10_000},  # epochs: of more it takes a sample
    )
    try:
        # it says there that it reads with its own server, which is nothing to act on
        with contextlib.redirect_stderr(io.StringIO()):
            return str(board.launch())
    except program.TensorBoardServerException as error:
        raise KerascwError(error.msg) from None


def _check_address(host: str, port: int | None) -> None:
    """Say what TensorBoard's server would say on standard error before it ends the process."""
    try:
        family, *_, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise KerascwError(
                f"--port {port}: is taken; choose another, or 0 for a free one"
            ) from None
        reason = error.strerror or error
        raise KerascwError(f"--host {host}, --port {port or 0}: {reason}") from None


@contextlib.contextmanager
def _until_interrupted() -> Iterator[Callable[[], None]]:
    """Give a function that waits for Ctrl-C, or for the signal to terminate, and returns then."""
    over = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: over.set()) for number in numbers]

    def wait() -> None:
        while not over.wait(0.5):  # a wait without end would not let Windows see the signal
            pass

    try:
        yield wait
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# --- what a name stands for -----------------------------------------------------------------


def _study_folder(name: str, store: "Store") -> Path | None:
    """Return the folder of a study as it was run, or of the study as it was run last."""
    from kerascw.studies import all_studies

    folders = [
        folder
        for parent in _STUDIES
        for folder in store.folder.glob(f"{parent}/*")
        if _begun(folder) is not None
    ]
    exact = [folder for folder in folders if folder.name == name]
    if name not in all_studies():
        return exact[0] if exact else None
    label = re.compile(re.escape(name) + r"-(full|quick)(-sample)?(-[0-9a-f]{6})?")
    fit = exact or [folder for folder in folders if label.fullmatch(folder.name)]
    if not fit:
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    return max(fit, key=lambda folder: _begun(folder) or 0.0)


def _begun(folder: Path) -> float | None:
    """Return when the study in this folder was run last, None where none was."""
    from kerascw.lab.event_links import EVENTS

    files = [path for path in (folder / EVENTS, folder / "study.json") if path.exists()]
    return max((path.stat().st_mtime for path in files), default=None)


def _shown_study(study: Path, store: "Store") -> Shown:
    from kerascw.lab.event_links import EVENTS, link_events, link_names

    links = study / EVENTS
    if (study / "study.json").is_file():  # one that was run before there were links, too
        remembered = json.loads((study / "study.json").read_text())["runs"]
        named = link_names(
            {
                variant: [(run.experiment, run.name) for run in _kept(names, store)]
                for variant, names in remembered.items()
            }
        )
        link_events(links, store, named, more=True, begun=_begun(study))
    names = [path.resolve().name for path in links.glob("*/*")]
    return Shown(f"study {study.name}", links, _kept(names, store))


def _run_name(name: str, store: "Store") -> str:
    """Return the name of the run that is meant, a kept one or one that is being trained."""
    try:
        return store.find(name).name
    except CallError as error:
        begun = sorted(path.parent.name for path in store.events_folder("").glob("*/*tfevents*"))
        fit = [
            run for run in begun if run.startswith(name) or run.rsplit("-", 1)[-1].startswith(name)
        ]
        if len(fit) == 1:
            return fit[0]
        if "is one of" in str(error):
            raise
    there = [folder.name for parent in _STUDIES for folder in store.folder.glob(f"{parent}/*")]
    there = [*sorted(there)[-_SHOWN:], *begun[-_SHOWN:]]
    among = f"there are {choices(there)}" if there else "there is none"
    raise CallError(f"no study and no run {name!r} in {store.folder}; {among}")


def _kept(names: list[str], store: "Store") -> list["Run"]:
    from kerascw.runs.store import MANIFEST, Run

    folders = [store.folder / name for name in names]
    return [Run(folder) for folder in folders if (folder / MANIFEST).is_file()]


def _splits_at_hand(run: "Run", data_dir: Path | None) -> "Splits | None":
    """Return the run's data where a copy is at hand, with the same pictures; None elsewhere."""
    from kerascw.data import split
    from kerascw.data.catalogue import CATALOG
    from kerascw.data.load import dataset_for
    from kerascw.data.sources import locate

    spec = run.experiment.data
    try:
        if not (spec.sample or spec.folder):
            copies = locate(CATALOG[spec.name], data_dir)
            if not any(kind != "sample" and "(incomplete" not in place for kind, place in copies):
                return None
        dataset = dataset_for(spec, data_dir)
        if dataset.fingerprint != run.environment["data"]["fingerprint"]:
            return None
        return split(dataset, spec)
    except (KerascwError, KeyError):
        return None
