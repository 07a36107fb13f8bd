"""The commands. Each is thin, and imports what it needs when it runs: ``--help`` must be quick."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from kerascw.errors import Interrupted, KerascwError

_ELSEWHERE = {"data": "kerascw.data.commands:data", "predict": "kerascw.predict:command"}
"""Commands that live beside what they show, imported when they are called."""


class _Group(click.Group):
    """Imports commands late, and ends our own errors with one line and their exit code."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *_ELSEWHERE])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _ELSEWHERE:
            module, attribute = _ELSEWHERE[name].split(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(context, name)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KerascwError as error:
            click.echo(f"kerascw: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kerascw")
def main() -> None:
    r"""Study small-image classification with convnets, and use what was trained.

    \b
    python -m kerascw run fashion
    python -m kerascw predict saved_models/fashion picture.png
    """
    # TensorFlow's start-up notices would bury our own lines; its errors still show
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # its default; unset, it prints a notice


_runs = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder that keeps the runs.",
)


@main.command()
@click.argument("study")
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="How many seeds to run.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The (first) seed.")
@click.option("--epochs", type=int, help="training.epochs")
@click.option("--batch-size", type=int, help="training.batch_size")
@click.option("--learning-rate", type=float, help="training.optimizer.learning_rate")
@click.option("--fraction", type=float, help="data.fraction: train on this part only.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD.PATH=VALUE",
    help="Change any field of the experiment, such as model.filters=16,32. Repeatable.",
)
@click.option(
    "--final",
    is_flag=True,
    help="Then train on validation too, for the epochs found best, and test that.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="A folder with the dataset's files (also: KERASCW_DATA_DIR).",
)
@click.option("--sample", is_flag=True, help="Use the bundled sample, not the dataset.")
@click.option(
    "--or-sample", is_flag=True, help="Use the bundled sample if no source has the dataset."
)
@click.option(
    "--saved-models",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("saved_models"),
    show_default=True,
    help="The folder that exported models go to.",
)
@_runs
def run(
    study: str,
    seeds: int,
    seed: int,
    settings: tuple[str, ...],
    final: bool,
    data_dir: Path | None,
    sample: bool,
    or_sample: bool,
    saved_models: Path,
    runs: Path,
    **shortcuts: Any,
) -> None:
    """Run STUDY: train, evaluate, draw, export. What is kept already is not trained again."""
    from rich.console import Console

    from kerascw.engine.store import Store
    from kerascw.engine.study import SHORTCUTS, planned, run_study
    from kerascw.studies import study_named

    chosen = study_named(study)
    changes: dict[str, Any] = {
        SHORTCUTS[name]: value for name, value in shortcuts.items() if value is not None
    }
    changes |= dict(_setting(text) for text in settings)
    console = Console(highlight=False)
    if or_sample and not sample:
        sample = _fall_back_to_sample(chosen.dataset, data_dir, console)
    plan = planned(chosen, seeds=seeds, seed=seed, sample=sample, settings=changes)
    if sample:
        console.rule("[bold yellow]bundled sample, not the dataset[/bold yellow]")
        console.print(
            "6,000 training and 1,000 test pictures: the figures do not compare with published "
            "ones.", style="yellow",
        )  # fmt: skip

    from kerascw.quiet import import_tensorflow
    from kerascw.views.terminal import TrainingProgress, show_run, show_seeds

    import_tensorflow()
    progress = TrainingProgress(console)
    try:
        result = run_study(
            chosen, plan, Store(runs), data_dir=data_dir, final=final, watcher=progress
        )
    except Interrupted as stop:
        raise Interrupted(f"{stop}; the same command goes on from there") from None
    finally:
        progress.stop()
    if len(result.runs) > 1 or seeds > 1:
        show_seeds(result.runs, console)
        console.print("The chosen run (best by validation):" if seeds > 1 else "")
    show_run(result.run, console)
    console.print(f"report: {result.run.folder / 'report.html'}", soft_wrap=True)
    if chosen.exports:
        from kerascw.engine.export import export_run

        folder = export_run(result.run, saved_models / chosen.exports, data_dir=data_dir)
        console.print(f"SavedModel: {folder}", soft_wrap=True)
        console.print(f"next: python -m kerascw predict {folder.parent} PICTURE...", soft_wrap=True)


def _setting(text: str) -> tuple[str, str]:
    from kerascw.errors import CallError

    path, equals, value = text.partition("=")
    if not equals or not path:
        raise CallError(f"--set {text!r}: write FIELD.PATH=VALUE, such as training.epochs=3")
    return path, value


def _fall_back_to_sample(name: str, data_dir: Path | None, console: Any) -> bool:
    from kerascw.data import load_data
    from kerascw.errors import DataError

    try:
        load_data(name, data_dir=data_dir)
    except DataError as error:
        console.print(str(error), style="yellow", soft_wrap=True)
        return True
    return False


@main.command("list")
def list_studies() -> None:
    """List the studies: question, dataset, runs, expected time."""
    from rich.console import Console
    from rich.table import Table

    from kerascw.studies import all_studies

    table = Table("study", "question", "dataset", "runs a seed", "time a seed", box=None)
    for study in all_studies().values():
        table.add_row(
            study.name, study.question, study.dataset, str(len(study.variants())), study.expected
        )
    Console(highlight=False).print(table)


@main.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@_runs
def show(run_name: str | None, runs: Path) -> None:
    """Print RUN (a folder, a name or the beginning of a key), or list what is kept."""
    from rich.console import Console

    from kerascw.engine.store import Store
    from kerascw.views.terminal import list_runs, show_run

    console = Console(highlight=False)
    if run_name is None:
        list_runs(Store(runs), console)
    else:
        show_run(Store(runs).find(run_name), console)
