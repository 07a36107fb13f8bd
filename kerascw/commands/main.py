"""The commands. Each is thin, and imports what it needs when it runs: ``--help`` must be quick."""

import importlib
import shlex
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import (
    AUGMENT_HELP,
    AUGMENT_SYNTAX,
    bad_files_option,
    data_dir_option,
    data_option,
    interruptible,
    jobs_option,
    picture_options,
    runs_option,
    sample_option,
    saved_models_option,
    setting,
    settings_option,
    size_option,
)
from kerascw.errors import KerascwError
from kerascw.training.devices import VARIABLE as DEVICES

_ELSEWHERE = {
    "data": "kerascw.commands.data:data",
    "export": "kerascw.commands.export:command",
    "fidelity": "kerascw.commands.fidelity:command",
    "learning-curve": "kerascw.commands.learning_curve:learning_curve",
    "predict": "kerascw.export.predict:command",
    "report": "kerascw.commands.report:command",
    "results": "kerascw.commands.results:command",
    "tensorboard": "kerascw.commands.tensorboard:command",
    "tune": "kerascw.commands.tune:tune",
    "zoo": "kerascw.commands.zoo:command",
}
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
        warnings.formatwarning = _one_line
        try:
            return super().invoke(context)
        except KerascwError as error:
            click.echo(f"kerascw: {error}", err=True)
            sys.exit(error.exit_code)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return a warning as users read it: our own without the place in the code."""
    return (
        f"kerascw: {message}\n" if category is UserWarning else f"{category.__name__}: {message}\n"
    )


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\npython -m kerascw run fashion\n"
    "python -m kerascw predict saved_models/fashion picture.png",
)
@click.version_option(package_name="kerascw")
def main() -> None:
    """Study small-image classification with convnets, and use what was trained."""


@main.command()
@click.argument("study")
@click.option(
    "--budget",
    type=click.Choice(["quick", "full"]),
    help="full: the published protocol; quick: minutes. [default: the study's own, see list]",
)
@click.option("--seeds", type=click.IntRange(min=1), help="How many seeds. [default: see list]")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The (first) seed.")
@click.option(
    "--folds",
    type=int,
    metavar="K",
    help="Cross-validate: every variant over K stratified folds of the training part, with one "
    "seed unless --seeds says more.",
)
@jobs_option
@click.option("--cluster", metavar="ADDRESS", help="Train on the workers of a Dask scheduler.")
@click.option("--epochs", type=int, help="training.epochs")
@click.option("--batch-size", type=int, help="training.batch_size")
@click.option("--learning-rate", type=float, help="training.optimizer.learning_rate")
@click.option("--fraction", type=float, help="data.fraction: train on this part only.")
@click.option(
    "--recipe", metavar="NAME", help="Train by this recipe (list --recipes) and not the study's."
)
@click.option("--augment", metavar=AUGMENT_SYNTAX, help=f"training.augmentation, {AUGMENT_HELP}")
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]),
    help="training.precision: what layers compute in. [default: float32]",
)
@settings_option
@click.option(
    "--devices",
    type=click.Choice(["one", "all"]),
    default="one",
    show_default=True,
    envvar=DEVICES,
    help=f"all: a part of every batch on each GPU (also: {DEVICES}).",
)
@click.option(
    "--final",
    is_flag=True,
    help="Then train on validation too, for the epochs found best, and test that.",
)
@data_option
@size_option
@bad_files_option
@click.option("--extra", is_flag=True, help="svhn: train on its extra pictures too.")
@data_dir_option
@sample_option
@click.option(
    "--or-sample", is_flag=True, help="Use the bundled sample if no source has the dataset."
)
@saved_models_option
@picture_options
@runs_option
def run(
    study: str,
    budget: Any,
    seeds: int | None,
    seed: int,
    folds: int | None,
    jobs: int,
    cluster: str | None,
    recipe: str | None,
    settings: tuple[str, ...],
    devices: str,
    final: bool,
    data: str | None,
    size: int | None,
    bad_files: Any,
    extra: bool,
    data_dir: Path | None,
    sample: bool,
    or_sample: bool,
    saved_models: Path,
    pictures: Any,
    runs: Path,
    **shortcuts: Any,
) -> None:
    """Run STUDY: train, evaluate, draw, export. What is kept already is not trained again."""
    from kerascw.console import console, next_step
    from kerascw.errors import CallError
    from kerascw.lab.run import SHORTCUTS, planned, run_study
    from kerascw.runs.run import file_name
    from kerascw.runs.store import Store
    from kerascw.studies import study_named
    from kerascw.training.devices import take

    if extra and study != "svhn":
        raise CallError(f"--extra: study {study} has no extra pictures; svhn has")
    if devices == "all":
        for option, given in (("--jobs", jobs > 1), ("--cluster", cluster is not None)):
            if given:
                raise CallError(f"--devices all: each run takes all of them; leave {option} out")
    take(devices)
    chosen = study_named("svhn-extra" if extra else study)
    changes: dict[str, Any] = {
        SHORTCUTS[name]: value for name, value in shortcuts.items() if value is not None
    }
    changes |= dict(setting(text) for text in settings)
    terminal = console()
    if or_sample and not sample:
        sample = _fall_back_to_sample(
            next(iter(chosen.variants().values())).data, data_dir, terminal
        )
    other = None
    if data is not None:
        from kerascw.data import data_named

        other = data_named(data, size=(size, size) if size else None, bad_files=bad_files)
    plan = planned(
        chosen,
        budget=budget,
        seeds=seeds,
        seed=seed,
        folds=folds,
        sample=sample,
        data=other,
        data_dir=data_dir,
        recipe=recipe,
        settings=changes,
    )
    if sample:
        terminal.print("bundled sample, not the dataset", style="bold yellow reverse")
        terminal.print(
            "6,000 training and 1,000 test pictures: the figures do not compare with published "
            "ones.",
            style="yellow",
        )
    from kerascw.commands.terminal import StudyProgress, show_run, show_study

    options = replace(pictures, data_dir=data_dir)
    options.check(chosen, next(iter(plan.experiments.values()))[0])
    progress = StudyProgress(terminal)
    store = Store(runs)
    with interruptible(progress):
        result = run_study(
            plan,
            store,
            data_dir=data_dir,
            final=final,
            jobs=jobs,
            cluster=cluster,
            watcher=progress,
        )
    from kerascw.report.study import write_study
    from kerascw.runs.environment import command_line

    if rate := progress.rate():
        terminal.print(rate)
    if result.has_page:
        folder = store.study_folder(plan.label)
        with terminal.status("measuring and drawing"):
            page = write_study(result, folder, command_line(), options)
        show_study(result, terminal)  # its answers speak of what was drawn
        terminal.print(f"study report: {page}")
        terminal.print(f"study table: {folder / 'table.csv'}")
    exports = chosen.exports if other is None else file_name(other)
    if exports or len(result.every_run) == 1:
        if len(result.every_run) > 1:
            terminal.print("\nThe run that validation chooses"
                           f"{', trained again on everything' if final else ''}:")  # fmt: skip
        show_run(result.product, terminal)
        terminal.print(f"report: {result.product.folder / 'report.html'}")
    if exports and result.product.experiment.reconstructs:
        terminal.print("no SavedModel: an autoencoder gives pictures, not classes")
    elif exports:
        from kerascw.export.run import export_run

        folder = export_run(result.product, saved_models / exports, data_dir=data_dir)
        terminal.print(f"SavedModel: {folder}")
        next_step(terminal, f"predict {folder.parent} PICTURE...")
        return
    shown = plan.label if result.has_page else result.product.name
    next_step(terminal, f"report {shown} --open", runs)


def _fall_back_to_sample(spec: Any, data_dir: Path | None, terminal: Any) -> bool:
    from kerascw.data.sources import NotFoundError
    from kerascw.runs.many import dataset_for

    try:
        dataset_for(spec, data_dir)  # it stays loaded for the run
    except NotFoundError as error:  # a damaged copy is an error, not a reason for the sample
        terminal.print(str(error), style="yellow")
        return True
    return False


@main.command("list")
@click.option("--recipes", is_flag=True, help="List the recipes that run --recipe takes.")
def list_studies(recipes: bool) -> None:
    """List the studies: question, dataset, runs, expected time."""
    from rich.table import Table

    from kerascw.console import console, next_step
    from kerascw.experiment.recipes import all_recipes
    from kerascw.lab.study import BUDGETS
    from kerascw.studies import all_studies

    if recipes:
        table = Table("recipe", "for", "model", "epochs", "measured", box=None)
        for recipe in all_recipes().values():
            epochs = str(recipe.training.get("epochs", "the study's"))
            model = "the study's" if recipe.model is None else "its own"
            table.add_row(recipe.name, recipe.purpose, model, epochs, recipe.measured)
        console().print(table)
        return
    table = Table(
        "study", "question", "dataset", "runs a seed", "budget", "seeds", "time", box=None
    )
    for study in all_studies().values():
        for number, budget in enumerate(BUDGETS):
            runs = sum(e.folds or 1 for e in study.variants().values())
            names = (study.name, study.question, study.dataset, str(runs))
            default = " (default)" if budget == study.default_budget else ""
            table.add_row(
                *(names if number == 0 else ("", "", "", "")),
                f"{budget}{default}",
                str(study.seeds(budget)),
                study.expected[budget],
            )
    terminal = console()
    terminal.print(table)
    next_step(terminal, "run STUDY")


@main.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@runs_option
def show(run_name: str | None, runs: Path) -> None:
    """Print RUN (a folder, a name or the beginning of a key), or list what is kept."""
    from kerascw.commands.terminal import list_runs, show_run
    from kerascw.console import console, next_step
    from kerascw.runs.store import Store

    terminal = console()
    if run_name is None:
        if list_runs(Store(runs), terminal):
            next_step(terminal, "report --all --open", runs)
    else:
        run = Store(runs).find(run_name)
        show_run(run, terminal)
        next_step(terminal, f"report {run.name} --open", runs)


@main.command()
@click.argument("run_name", metavar="RUN")
@data_dir_option
@runs_option
def verify(run_name: str, data_dir: Path | None, runs: Path) -> None:
    """Train RUN anew from its own files, and say whether the same came out."""
    from kerascw.commands.terminal import TrainingProgress
    from kerascw.console import console, next_step
    from kerascw.errors import KerascwError
    from kerascw.quiet import import_tensorflow
    from kerascw.runs.environment import set_threads
    from kerascw.runs.many import dataset_for
    from kerascw.runs.store import Store
    from kerascw.runs.verify import verify as verify_run
    from kerascw.training.devices import cores

    store = Store(runs)
    run = store.find(run_name)
    dataset = dataset_for(run.experiment.data, data_dir)
    import_tensorflow()
    set_threads(run.environment.get("threads") or cores())
    terminal = console()
    progress = TrainingProgress(terminal)
    try:
        verification = verify_run(run, dataset, store, progress)
    finally:
        progress.stop()
    terminal.print(f"{verification.outcome}: {verification.reason}", style="bold")
    for line in verification.environment or ("the environment is the same",):
        terminal.print(f"  {line}")
    if verification.outcome == "different":
        raise KerascwError(f"run {run.name} does not come out again")
    next_step(terminal, f"report {run.name} --open", runs)


@main.command()
@click.argument("names", metavar="RUN|STUDY...", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/compare"),
    show_default=True,
    help="The folder for the figures.",
)
@runs_option
def compare(names: tuple[str, ...], output: Path, runs: Path) -> None:
    """Put runs, or all runs of studies, side by side: table and overlaid curves."""
    from kerascw.console import console, next_step
    from kerascw.report.compare import compare_runs, gather
    from kerascw.runs.store import Store

    store, terminal = Store(runs), console()
    compare_runs(gather(names, store), output, terminal)
    next_step(terminal, f"report {shlex.quote(names[0])} --open", runs)
