"""``python -m kerascw prune``: delete runs that nothing kept refers to, and what is damaged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from kerascw.commands.options import models_option, runs_option, saved_models_option
from kerascw.errors import KerascwError, counted
from kerascw.export.load import DOCUMENT, read_document
from kerascw.lab.run import kept_studies
from kerascw.runs.store import Store, find_fault
from tuning.records import read_search, searches_folder


@click.command()
@click.option("--yes", is_flag=True, help="Delete; without it, only list what would go.")
@models_option
@saved_models_option
@runs_option
def command(yes: bool, models: Path, saved_models: Path, runs: Path) -> None:
    """List the runs that no study, search or exported model names, and damaged ones.

    --yes deletes them. Runs whose weights another kept run began with stay, and so do unfinished
    runs: the command that began them goes on from there.
    """
    store = Store(runs)
    studies = dict(kept_studies(store))
    for file in store.folder.glob("studies/*/study.json"):
        if file not in studies:
            raise KerascwError(f"{file}: damaged, so which runs it needs is not known")
    named = {name for kept in studies.values() for own in kept["runs"].values() for name in own}
    named |= {*_exported([models, saved_models]), *_searched(store.folder)}
    kept = store.all()
    faults = {run.name: fault for run in kept if (fault := find_fault(run.folder))}
    # sources of sources, too
    sources = {run.name: run.source for run in kept if run.name not in faults}
    for name in list(named):
        while (source := sources.get(name)) is not None:
            named.add(source)
            name = source
    going = {
        run.folder: faults.get(run.name, "no study, search or exported model names it")
        for run in kept
        if run.name in faults or run.name not in named
    }
    set_aside = sorted((store.folder / ".damaged").glob("*"))
    going |= dict.fromkeys(set_aside, "damaged, set aside")
    size = sum(_bytes_of(folder) for folder in going)
    for folder, reason in going.items():
        click.echo(f"{folder}: {reason}")
    what = f"{counted(len(going), 'folder')}, {size / 1e6:,.1f} MB"
    if not going:
        click.echo(f"nothing to delete: {counted(len(kept), 'run')}, each named and whole")
    elif not yes:
        click.echo(f"{what}; delete with: prune --yes")
    else:
        for folder in going:
            # only its own: a run under this name may be in training again
            if folder.parent == store.folder:
                with store.claim(folder.name) as working:
                    shutil.rmtree(folder, ignore_errors=False)
                    shutil.rmtree(store.events_folder(folder.name), ignore_errors=True)
                    if not any(working.iterdir()):
                        working.rmdir()
            elif folder.is_dir():
                shutil.rmtree(folder)
            else:
                folder.unlink()
        click.echo(f"deleted {what}")


def _exported(folders: list[Path]) -> Iterator[str]:
    """Name the runs that exported models were made from."""
    for folder in folders:
        for path in folder.rglob(DOCUMENT):
            name = read_document(path).get("card", {}).get("run")
            if isinstance(name, str):
                yield name


def _searched(runs: Path) -> Iterator[str]:
    """Name the runs of searches: of their trials, and of their finalists."""
    for path in searches_folder(runs).glob("*/search.json"):
        result = read_search(path.parent)
        yield from (record.run for record in result.records)
        yield from (name for finalist in result.finalists for name in finalist.runs)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
