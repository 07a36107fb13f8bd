"""``python -m kerascw results``: measured beside published, for all studies in one table."""

from pathlib import Path

import click

from kerascw.commands.options import file_option, runs_option


@click.command()
@click.argument("studies", nargs=-1)
@file_option("--file", "docs/results.json", "The file that keeps the results.")
@file_option(
    "--into",
    None,
    "Write the table into this page, between its two marks, instead of printing it.",
    exists=True,
)
@click.option(
    "--test-only",
    is_flag=True,
    help="Only published figures of the test set, measured over three seeds or more.",
)
@runs_option
def command(
    studies: tuple[str, ...], file: Path, into: Path | None, test_only: bool, runs: Path
) -> None:
    """Print the table of results, measured beside published, in Markdown.

    STUDIES that were run are put into the file first: by name, or by their folder's name in
    runs/studies/.
    """
    from kerascw.errors import CallError, counted
    from kerascw.report.results import add_results, markdown, read_results, replaced
    from kerascw.runs.store import Store, check_writable
    from kerascw.runs.summary import replace_text
    from kerascw.studies import recall

    if into is not None:
        check_writable(into.parent, "--into")
    if studies:
        store = Store(runs)
        check_writable(file.parent, "--file")
        add_results([recall(name, store) for name in studies], file)
    entries = read_results(file)
    if not entries:
        raise CallError(f"{file}: holds no results; next: python -m kerascw results STUDY")
    table = markdown(entries, test_only)
    if into is None:
        click.echo(table, nl=False)
        return
    replace_text(into, replaced(into.read_text(encoding="utf-8"), table, str(into)))
    click.echo(f"{into}: table of {counted(len(entries), 'kept result')}")
