"""The command ``report``: draw the page of what is kept again, and open it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import data_dir_option, picture_options, runs_option


@click.command()
@click.argument("name", metavar="RUN|STUDY|SEARCH", required=False)
@click.option("--all", "all_", is_flag=True, help="Write an index page over everything kept.")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@data_dir_option
@picture_options
@runs_option
def command(
    name: str | None, all_: bool, open_: bool, data_dir: Path | None, pictures: Any, runs: Path
) -> None:
    """Draw the report of a run, study or search again, from what is kept."""
    from kerascw.console import console, next_step
    from kerascw.errors import CallError

    if (name is None) != all_:
        raise CallError(
            "report: name a run, a study or a search, or write --all for an index over everything "
            "kept" + ("; not both" if all_ else "")
        )
    terminal = console()
    if name is None:
        from kerascw.report.index import counts_text, entries_of, write_index
        from kerascw.runs.store import Store

        entries = entries_of(Store(runs))
        page, said = write_index(Store(runs), entries), counts_text(entries)
        terminal.print(f"index of {said or 'nothing yet'}: {page}")
        again = "report --all --open" if said else "run fashion"
    else:
        what, page = draw(name, data_dir, pictures, runs)
        terminal.print(f"{what}: {page}")
        again = f"report {name} --open"
    if open_:
        open_page(page)
    else:
        next_step(terminal, again, runs)


def draw(name: str, data_dir: Path | None, pictures: Any, runs: Path) -> tuple[str, Path]:
    """Draw the page of what has this name; return what it is of, and the page.

    Raises
    ------
    CallError
        A name that is none of these, or pictures that it does not draw.
    """
    from kerascw.lab.run import is_study, recall
    from kerascw.runs.store import Store

    store = Store(runs)
    if is_study(name, store):
        from kerascw.report.options import data_dir_of
        from kerascw.report.study import write_study

        result = recall(name, store)
        options = replace(pictures, data_dir=data_dir_of(result.every_run[0], data_dir))
        options.check(result.study, result.every_run[0].experiment)
        folder = store.study_folder(result.plan.label)
        return "study report", write_study(result, folder, None, options)
    from tuning.records import SEARCH, read_search, searches_folder

    for folder in (Path(name), searches_folder(store.folder) / name):
        if (folder / SEARCH).is_file():
            from tuning.report import write_search

            return "search report", write_search(read_search(folder), folder)
    from kerascw.data import split
    from kerascw.report.options import data_dir_of
    from kerascw.report.run import draw_run
    from kerascw.runs.many import dataset_for

    run = store.find(name)
    data = run.experiment.data
    return "report", draw_run(run, split(dataset_for(data, data_dir_of(run, data_dir)), data))


def open_page(page: Path) -> None:
    """Show a page in the user's browser, or say in one line that there is none."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        click.echo(f"kerascw: no browser to open {page} with; copy it to where there is one",
                   err=True)  # fmt: skip
