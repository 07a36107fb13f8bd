"""Links that show TensorBoard the runs of a study by the names of their variants.

A run's events stay where they are while it trains and after, ``tensorboard/<run>`` in the store's
folder: the run's own folder is renamed when it is whole, and TensorBoard would take it for two.
"""

import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

from kerascw.experiment.spec import Experiment
from kerascw.runs.store import Store

EVENTS = "tensorboard"
"""In the folder of a study: a link a run, ``<variant>/seed <n>``."""


def link_names(runs: Mapping[str, Iterable[tuple[Experiment, str]]]) -> dict[str, str]:
    """Return what each run is called for TensorBoard: link name to run name.

    Parameters
    ----------
    runs : for every variant its experiments, each with the name of its run.
    """
    links: dict[str, str] = {}
    for variant, several in runs.items():
        name = variant.replace("/", "-").replace(os.sep, "-").strip(". ") or "variant"
        for experiment, run in several:
            fold = "" if experiment.fold is None else f", fold {experiment.fold}"
            link = first = f"{name}/seed {experiment.seed}{fold}"
            for number in count(2):
                if link not in links:
                    break
                link = f"{first} ({number})"
            links[link] = run
    return links


def link_events(
    folder: Path,
    store: Store,
    links: Mapping[str, str],
    *,
    more: bool = False,
    begun: float | None = None,
) -> None:
    """Make ``folder`` hold a link to the events of each run, whether they are there yet or not.

    Links that it held before are taken away, unless these are ``more``. Where the system refuses,
    a warning says so, and nothing else depends on them. The folder's time of change is when the
    study was ``begun``, in seconds since 1970; None: now.
    """
    try:
        if not more and folder.is_dir():
            for link in [path for path in folder.glob("*/*") if path.is_symlink()]:
                if str(link.relative_to(folder)) not in links:
                    link.unlink(missing_ok=True)
            for variant in folder.iterdir():
                if variant.is_dir() and not any(variant.iterdir()):
                    shutil.rmtree(variant, ignore_errors=True)
        for name, run in links.items():
            link, events = folder / name, store.events_folder(run)
            # a link to nothing has TensorBoard complain at every look
            events.mkdir(parents=True, exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            # relative: the store's folder may be moved as a whole
            target = os.path.relpath(events.resolve(), link.parent.resolve())
            if not (link.is_symlink() and os.readlink(link) == target):
                link.unlink(missing_ok=True)
                link.symlink_to(target, target_is_directory=True)
        os.utime(folder, None if begun is None else (begun, begun))
    except OSError as error:
        warnings.warn(f"no TensorBoard folder of the study: {error}", stacklevel=2)
