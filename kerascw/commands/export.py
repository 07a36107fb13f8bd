"""The export command: a kept run's model to a file format. ``--help`` loads no TensorFlow."""

from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import data_dir_option, runs_option
from kerascw.export.runtimes import FORMATS, TITLES, with_article


@click.command("export", epilog="\b\npython -m kerascw export RUN --format litert")
@click.argument("run_name", metavar="RUN")
@click.option("--format", "form", type=click.Choice(FORMATS), default="saved_model",
              help="What to write.")  # fmt: skip
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where to: FOLDER/VERSION for a SavedModel, FOLDER/FORMAT/VERSION for others. "
    "[default: models/RUN]",
)
@data_dir_option
@runs_option
def command(
    run_name: str, form: Any, output: Path | None, data_dir: Path | None, runs: Path
) -> None:
    """Export the model of RUN (a folder, a name or the beginning of a key).

    Pixels are scaled inside: it takes raw images. Another process loads it with the format's own
    runtime, and its answers are compared with the live model's before the export gets its name.

    onnx and litert need: pip install 'kerascw[export]'.
    """
    from kerascw.console import command_text, console
    from kerascw.export.run import export_run, run_label
    from kerascw.runs.store import Store, check_writable

    run = Store(runs).find(run_name)
    folder = output or Path("models", run_label(run))
    check_writable(folder, "--output")
    with console().status(f"exporting and proving {with_article(form)}"):
        path = export_run(run, folder, data_dir=data_dir, form=form)
    click.echo(f"{TITLES[form]}: {path}")
    click.echo(f"next: {command_text('predict', path, 'IMAGE...')}", err=True)
