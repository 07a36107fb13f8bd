"""The command ``report``: draw the page of what is kept again, and open it."""

import webbrowser
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import data_dir_option, runs_option, settings_option
from kerascw.console import console, next_step
from kerascw.data.load import splits_for
from kerascw.errors import CallError
from kerascw.lab.pictures import PICTURES, data_dir_of
from kerascw.lab.plan import pictures_of
from kerascw.report.index import counts_text, entries_of, write_index
from kerascw.report.run import draw_run
from kerascw.report.study import check_pictures, write_study
from kerascw.runs.store import Store, check_writable
from kerascw.studies import is_study, recall
from tuning.records import find_search, read_search
from tuning.report import write_search
from tuning.text import summary_of_search


@click.command()
@click.argument("name", metavar="RUN|STUDY|SEARCH", required=False)
@click.option("--all", "all_", is_flag=True, help="Write an index page over everything kept.")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@data_dir_option
@settings_option
@runs_option
def command(
    name: str | None,
    all_: bool,
    open_: bool,
    data_dir: Path | None,
    settings: dict[str, Any],
    runs: Path,
) -> None:
    """Draw the report of a run, study or search again, from what is kept.

    --set changes what the figures of a study show, such as pictures.layer=2.
    """
    if (name is None) != all_:
        raise CallError(
            "report: name a run, a study or a search, or write --all for an index over everything "
            "kept" + ("; not both" if all_ else "")
        )
    if all_ and settings:
        raise CallError(f"--set {next(iter(settings))}: not with --all, whose index has no figures")
    terminal, store = console(), Store(runs)
    check_writable(runs, "--runs")
    if name is None:
        kept = entries_of(store, summary_of_search)
        page, counts = write_index(store, kept), counts_text(kept)
        terminal.print(f"index of {counts or 'nothing yet'}: {page}")
        again = ["report", "--all", "--open"] if counts else ["run", "fashion"]
    else:
        what, page = _draw(name, store, data_dir, settings)
        terminal.print(f"{what}: {page}")
        again = ["report", name, "--open"]
    if open_:
        _open(page)
    else:
        next_step(terminal, *again, runs=runs)


def _draw(
    name: str, store: Store, data_dir: Path | None, settings: Mapping[str, Any]
) -> tuple[str, Path]:
    """Draw the page of what has this name; return what it is of, and the page.

    Raises CallError: there is nothing of this name, or its figures cannot be set like this.
    """
    if is_study(name, store):
        return "study report", _draw_study(name, store, data_dir, settings)
    if settings:
        raise CallError(f"--set {next(iter(settings))}: only for the figures of a study")
    if (folder := find_search(store.folder, name)) is not None:
        return "search report", write_search(read_search(folder), folder)
    run = store.find(name)
    splits = splits_for(run.experiment.data, data_dir_of(run, data_dir))
    return "report", draw_run(run, splits)


def _draw_study(
    name: str, store: Store, data_dir: Path | None, settings: Mapping[str, Any]
) -> Path:
    for path in settings:
        if path.partition(".")[0] != PICTURES:
            raise CallError(f"--set {path}: a report takes {PICTURES}.FIELD; run takes the others")
    result = recall(name, store)
    where = data_dir_of(result.every_run[0], data_dir)
    pictures = pictures_of(result.study, settings, where)
    result = replace(result, plan=replace(result.plan, pictures=pictures))
    check_pictures(result.plan)
    return write_study(result, store.study_folder(result.plan.label), None)


def _open(page: Path) -> None:
    """Show a page in the user's browser, or say in one line that there is none."""
    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        click.echo(f"kerascw: no browser to open {page} with; copy it to where there is one",
                   err=True)  # fmt: skip
