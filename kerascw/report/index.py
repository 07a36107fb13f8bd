"""index.html of a folder of runs: everything kept, with a search box; read from summaries alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from heapq import nlargest
from pathlib import Path
from urllib.parse import quote

from kerascw.console import command_text
from kerascw.errors import KerascwError, counted
from kerascw.quiet import garbage_uncollected
from kerascw.report.page import page
from kerascw.runs.store import MANIFEST, Run, Store, summary_of, written_in
from kerascw.runs.summary import Kind, Summary, read_summary, replace_text, write_summary

INDEX = "index.html"
A_PAGE = 1_000
"""Entries on one page: a browser sorts and searches them at once."""

_PLACES: dict[Kind, tuple[str, str]] = {
    "run": ("", MANIFEST),
    "study": ("studies", "study.json"),
    "search": ("searches", "search.json"),
}
"""Where folders of each kind are in the store's, and the file that shows that they are whole."""

Derive = Callable[[Path], Summary]
"""Summarises what is kept in a folder."""


@dataclass(frozen=True)
class Entry:
    """One row: a run, a study or a search."""

    summary: Summary
    folder: Path
    written: float  # seconds since 1970
    study: str = ""  # of a run: the studies that it belongs to
    fault: str = ""  # why it cannot be read

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.written).strftime("%Y-%m-%d %H:%M")

    @property
    def is_drawn(self) -> bool:
        return (self.folder / "report.html").is_file()

    def link(self, index: Path) -> str:
        """Return the address of its page from the index: relative, so that both can be moved."""
        return quote((self.folder / "report.html").relative_to(index).as_posix())


@garbage_uncollected()  # a third of the time of 40,000 entries
def entries_of(store: Store, of_search: Derive, newest: int | None = None) -> list[Entry]:
    """List everything that is kept, the newest first; damaged entries have a fault.

    What an earlier version kept has no ``summary.json``: it is written now. Searches are kept by a
    room above this one, so ``of_search`` summarises them. Of more runs the ``newest`` are listed.
    """

    def of_study(folder: Path) -> Summary:
        from kerascw.lab.run import summary_of_study  # what has a summary is listed without NumPy

        return summary_of_study(folder, store)

    ways: dict[Kind, Derive] = {
        "run": lambda folder: summary_of(Run(folder)),
        "study": of_study,
        "search": of_search,
    }
    kept = {kind: written_in(store.folder / place, file) for kind, (place, file) in _PLACES.items()}
    if newest is not None:
        kept["run"] = nlargest(newest, kept["run"])
    found = [_entry(kind, Path(path), at, ways) for kind, own in kept.items() for at, path in own]
    studies: dict[str, list[str]] = {}  # by the names of their runs
    for entry in sorted(found, key=lambda entry: entry.summary.name):
        for name in entry.summary.runs:
            studies.setdefault(name, []).append(entry.summary.name)
    for at, entry in enumerate(found):
        own = studies.get(entry.summary.name, []) if entry.summary.kind == "run" else []
        found[at] = replace(entry, study=", ".join(dict.fromkeys(own)) or entry.summary.study)
    return sorted(found, key=lambda entry: (-entry.written, entry.summary.name))


def _entry(kind: Kind, folder: Path, written: float, ways: Mapping[Kind, Derive]) -> Entry:
    summary = read_summary(folder)
    if summary is not None:
        return Entry(summary, folder, written)
    try:
        summary = ways[kind](folder)
    except (KerascwError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        return Entry(Summary(kind=kind, name=folder.name), folder, written, fault=str(error))
    with suppress(OSError):  # a folder that can only be read is listed all the same
        write_summary(folder, summary)
    return Entry(summary, folder, written)


@garbage_uncollected()  # a third of the time of 40,000 entries
def write_index(store: Store, entries: Sequence[Entry]) -> Path:
    """Write index.html over everything that the store's folder keeps; return it.

    Of more than :data:`A_PAGE` entries the older are on pages of their own, index-2.html and so on.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    well = [entry for entry in entries if not entry.fault]
    pages = [well[at : at + A_PAGE] for at in range(0, len(well), A_PAGE)] or [[]]
    names = [INDEX, *(f"index-{number}.html" for number in range(2, len(pages) + 1))]
    for name, own in zip(names, pages, strict=True):
        text = page(
            "index.html",
            folder=store.folder.resolve().name,
            index=store.folder,
            entries=own,
            of=len(well),
            pages=names,
            here=name,
            damaged=[entry for entry in entries if entry.fault] if name == INDEX else [],
            kinds=_counts(own),
            command=partial(command_text, runs=store.folder),
        )
        replace_text(store.folder / name, text)
    for old in store.folder.glob("index-*.html"):
        if old.name not in names:
            old.unlink()
    return store.folder / INDEX


def _counts(entries: Sequence[Entry]) -> dict[Kind, int]:
    """Count what can be read of each kind that there is."""
    kinds = [entry.summary.kind for entry in entries if not entry.fault]
    return {kind: kinds.count(kind) for kind in _PLACES if kind in kinds}


def counts_text(entries: Sequence[Entry]) -> str:
    """Return how many of each kind there are, such as ``5 runs, 1 study``."""
    plural: dict[Kind, str] = {"study": "studies", "search": "searches"}
    return ", ".join(counted(n, kind, plural.get(kind)) for kind, n in _counts(entries).items())
