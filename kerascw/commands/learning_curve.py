"""``python -m kerascw learning-curve``: a model on growing parts of a dataset.

Importing this is quick: ``--help`` reads it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerascw.commands.options import (
    bad_files_option,
    data_dir_option,
    interruptible,
    jobs_option,
    runs_option,
    sample_option,
    setting,
    settings_option,
    size_option,
)
from kerascw.errors import CallError

if TYPE_CHECKING:
    from rich.console import Console

    from kerascw.experiment.spec import DataSpec, Experiment
    from kerascw.runs.store import Run, Store

RANDOM = "random"

FIGURES = ("validation.loss", "test.accuracy", "train.loss")
"""Of the tables. The first is compared; the second, which no choice has seen, has the power law."""

_RESERVED = {"data.fraction": "--fractions", "seed": "--seeds", "start": "--init"}


@click.command("learning-curve")
@click.option("--dataset", required=True, metavar="NAME|folder:PATH", help="See data list.")
@click.option(
    "--model",
    "study",
    required=True,
    metavar="STUDY",
    help="The study whose first variant gives model and training.",
)
@click.option(
    "--fractions",
    default="5,10,20,50,100",
    show_default=True,
    help="Of the training pictures, in per cent: nested stratified subsets.",
)
@click.option(
    "--init",
    "initialisations",
    default=RANDOM,
    show_default=True,
    metavar="LIST",
    help="Initial weights: random, a kept run, a study (its first variant is trained first), or "
    "the path of an experiment.json. The first is what the others are compared with.",
)
@click.option("--freeze", is_flag=True, help="Keep the weights that are taken over as they are.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@jobs_option
@click.option("--epochs", type=int, help="training.epochs")
@click.option("--batch-size", type=int, help="training.batch_size")
@click.option("--learning-rate", type=float, help="training.optimizer.learning_rate")
@settings_option
@size_option
@bad_files_option
@data_dir_option
@sample_option
@runs_option
def learning_curve(
    dataset: str,
    study: str,
    fractions: str,
    initialisations: str,
    freeze: bool,
    seeds: int,
    jobs: int,
    settings: tuple[str, ...],
    size: int | None,
    bad_files: Any,
    data_dir: Path | None,
    sample: bool,
    runs: Path,
    **shortcuts: Any,
) -> None:
    """Train a model on growing parts of a dataset, from several initial weights, over seeds.

    Says which initial weights are better, up to which fraction that is shown, and how many more
    pictures would buy a point of accuracy. What is kept already is not trained again.
    """
    from kerascw.console import console, next_step
    from kerascw.data import data_named
    from kerascw.lab.curves import curves_of, percent
    from kerascw.lab.event_links import EVENTS, link_events, link_names
    from kerascw.lab.learning_answers import learning_curve_answers
    from kerascw.lab.plan import SHORTCUTS
    from kerascw.runs.environment import command_line
    from kerascw.runs.many import name_of, run_many
    from kerascw.runs.store import Store

    parts = fractions_of(fractions)
    changes = {SHORTCUTS[name]: value for name, value in shortcuts.items() if value is not None}
    changes |= dict(setting(text) for text in settings)
    for path in changes:
        if (option := _RESERVED.get(path) or _RESERVED.get(path.partition(".")[0])) is not None:
            raise CallError(f"--set {path}: use {option}")
    terminal, store = console(), Store(runs)
    # a study of that name first: what is wrong with the call is said before any data are read
    base = _classifier(study)
    sources = _sources(initialisations, store, sample)
    warm = [name for name, source in sources.items() if source is not None]
    if freeze and not warm:
        raise CallError("--freeze: --init names random weights only; there are none to keep")
    data = data_named(dataset, size=(size, size) if size else None, bad_files=bad_files)
    base, cautions = _on_dataset(base, data, data_dir, sample, changes)
    _check_fractions(parts, base, data_dir)
    experiments = planned(base, sources, parts, seeds, data_dir, jobs, freeze)
    if sample:
        terminal.print("bundled sample, not the dataset", style="bold yellow reverse")
        cautions.append("The bundled sample, not the dataset.")
    if warm:
        cautions.append(
            f"All seeds start from the same weights of {' and '.join(warm)}: the intervals do not "
            "hold how the weights of another seed would have done."
        )

    from kerascw.commands.terminal import StudyProgress

    progress = StudyProgress(terminal)
    places = [(name, f) for name, by_fraction in experiments.items() for f in by_fraction]
    flat = [(name, f, e) for name, f in places for e in experiments[name][f]]
    folder = store.folder / "learning-curves" / label_of(dataset, study, experiments)
    named = {
        f"{name}, {percent(f)}": [(e, name_of(e, data_dir)) for e in experiments[name][f]]
        for name, f in places
    }
    link_events(folder / EVENTS, store, link_names(named))
    with interruptible(progress):
        done = run_many(
            [experiment for *_, experiment in flat],
            store,
            data_dir=data_dir,
            jobs=jobs,
            watcher=progress,
        )
    if rate := progress.rate():
        terminal.print(rate)
    results: dict[str, dict[float, list[Run]]] = {
        name: {fraction: [] for fraction in by_fraction}
        for name, by_fraction in experiments.items()
    }
    for (name, fraction, _), run in zip(flat, done, strict=True):
        results[name][fraction].append(run)

    from kerascw.report.learning_curve import write_learning_curve

    answers = learning_curve_answers(results, FIGURES[0], accuracy=FIGURES[1])
    title = f"Learning curve of {study} on {done[0].environment['data']['title']}"
    terminal.print(f"\n{title}", style="bold")
    for caution in cautions:
        terminal.print(caution, style="yellow")
    for figure in FIGURES[:2]:
        _show(figure, curves_of(results, figure), terminal)
    count = f"{seeds} seed{'s' if seeds > 1 else ''}"
    terminal.print(f"Mean over {count} ± half the 95 % t-interval.")
    for answer in answers:
        terminal.print(f"{answer.question} {answer.answer}")
    page = write_learning_curve(
        folder,
        title=title,
        runs=results,
        figures=FIGURES,
        answers=answers,
        cautions=cautions,
        accuracy=FIGURES[1],
        command=command_line(),
    )
    terminal.print(f"report: {page}")
    terminal.print(f"table: {folder / 'table.csv'}")
    next_step(terminal, f"report {folder.name} --open", runs)


Experiments = dict[str, dict[float, list["Experiment"]]]
"""By initialisation and fraction, one a seed."""


def fractions_of(text: str) -> list[float]:
    """Return the fractions of a list in per cent, the smallest first.

    >>> fractions_of("100, 5,2.5")
    [0.025, 0.05, 1.0]
    """
    found = set()
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0 < value <= 100:
            raise CallError(
                f"--fractions: {part.strip()!r} is no per cent above 0 and up to 100; write them "
                "with commas between, such as 5,10,20,50,100"
            )
        found.add(value / 100)
    return sorted(found)


def planned(
    base: "Experiment",
    sources: Mapping[str, "Experiment | None"],
    fractions: Iterable[float],
    seeds: int,
    data_dir: Path | None,
    jobs: int,
    freeze: bool = False,
) -> Experiments:
    """Return all experiments: every initialisation at every fraction over the seeds.

    ``sources`` is what each initialisation begins with, None for random weights.

    Raises
    ------
    CallError
        A source of which no layer fits.
    """
    from kerascw.experiment.settings import override
    from kerascw.experiment.spec import WarmStart

    fractions = list(fractions)
    experiments: Experiments = {}
    for name, source in sources.items():
        start = None
        if source is not None:
            layers = shared_layers(base, source, data_dir, jobs)
            if not layers:
                raise CallError(
                    f"--init {name}: no layer but the output has the same name and shape of "
                    "weights in both models"
                )
            start = WarmStart(source=source, layers=layers, frozen=freeze)
        initialised = base.model_copy(update={"start": start})
        experiments[name] = {
            fraction: [
                override(initialised, {"data.fraction": fraction, "seed": seed})
                for seed in range(seeds)
            ]
            for fraction in fractions
        }
    return experiments


def shared_layers(
    base: "Experiment", source: "Experiment", data_dir: Path | None, jobs: int = 1
) -> tuple[str, ...]:
    """Return the layers that both models have with weights of equal shapes, but for the output."""
    from kerascw.data.load import dataset_for
    from kerascw.quiet import import_tensorflow
    from kerascw.runs.environment import set_threads
    from kerascw.training.devices import cores

    import_tensorflow()
    set_threads(max(1, cores() // jobs))  # before a model is built, for the runs trained here
    from kerascw.models import build_model

    shapes = []
    for experiment in (base, source):
        entry = dataset_for(experiment.data, data_dir).entry
        classes = len(experiment.data.classes or entry.class_names)
        model = build_model(experiment.model, entry.shape, classes)
        shapes.append(
            {
                layer.name: [tuple(weight.shape) for weight in layer.weights]
                for layer in model.layers
                if layer.weights and layer.name != "probabilities"
            }
        )
    here, there = shapes
    return tuple(name for name, weights in here.items() if there.get(name) == weights)


def label_of(dataset: str, study: str, experiments: Experiments) -> str:
    """Return what names the sweep's folder: another sweep goes to another one."""
    from kerascw.runs.run import file_name

    every = [(name, e) for name, by_f in experiments.items() for es in by_f.values() for e in es]
    text = "\n".join(f"{name} {experiment.canonical_json()}" for name, experiment in every)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{study}-{file_name(every[0][1].data)}-{digest}"


# --- what the options name -------------------------------------------------------------------


def _classifier(study: str) -> "Experiment":
    """Return the first variant of the study, from random weights."""
    from kerascw.errors import choices
    from kerascw.studies import all_studies

    studies = all_studies()
    if study not in studies:
        raise CallError(f"--model {study!r}: no such study; choose {choices(studies)}")
    name, experiment = next(iter(studies[study].variants().items()))
    if experiment.reconstructs:
        raise CallError(
            f"--model {study}: its first variant, {name}, is an autoencoder, which has no "
            "accuracy; choose a study of classifiers"
        )
    return experiment.model_copy(update={"start": None})


def _sources(text: str, store: "Store", sample: bool) -> dict[str, "Experiment | None"]:
    """Return what each initialisation of the list is called and begins with, in its order."""
    sources: dict[str, Experiment | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, source = (RANDOM, None) if part == RANDOM else _source(part, store, sample)
        if name in sources:
            raise CallError(f"--init: {name} is named twice")
        sources[name] = source
    if not sources:
        raise CallError("--init: names nothing; write random, a kept run, a study or a file")
    return sources


def _source(text: str, store: "Store", sample: bool) -> tuple[str, "Experiment"]:
    """Return a name and the experiment of a file, a study or a kept run."""
    from kerascw.data.catalogue import CATALOG
    from kerascw.errors import choices
    from kerascw.experiment.settings import read_experiment
    from kerascw.lab.derive import of_sample
    from kerascw.studies import all_studies

    path = Path(text)
    if path.is_file():
        experiment = read_experiment(path)
        if path.name == "experiment.json":
            return _short(path.resolve().parent.name), experiment
        return path.stem, experiment
    studies = all_studies()
    if text in studies:
        experiment = next(iter(studies[text].variants().values()))
        own = CATALOG.get(experiment.data.name)
        return text, of_sample(experiment) if sample and own and own.sample else experiment
    try:
        run = store.find(text)
    except CallError as error:
        raise CallError(
            f"--init {text!r} is neither random, a file nor a study ({choices(studies)}); {error}"
        ) from None
    return _short(run.name), run.experiment


def _short(name: str) -> str:
    """Return a run's name as tables have room for it.

    >>> _short("fashion_mnist-convnet-185e89c81b40bed4")
    'fashion_mnist-convnet-185e89'
    """
    stem, dash, key = name.rpartition("-")
    is_key = len(key) == 16 and all(digit in "0123456789abcdef" for digit in key)
    return f"{stem}{dash}{key[:6]}" if is_key else name


def _on_dataset(
    base: "Experiment",
    data: "DataSpec",
    data_dir: Path | None,
    sample: bool,
    changes: Mapping[str, Any],
) -> tuple["Experiment", list[str]]:
    """Return the experiment on the dataset, always with a validation part, and what to say."""
    from kerascw.data.load import dataset_for
    from kerascw.experiment.settings import override
    from kerascw.experiment.spec import Holdout
    from kerascw.lab.derive import on_other_data

    data = data.model_copy(update={"sample": sample})
    loaded = dataset_for(data, data_dir)
    said = []
    if base.data.holdout is None:
        count = max(1, len(loaded.train) // 10)
        holdout = Holdout(how="stratified", count=count)
        base = base.model_copy(update={"data": base.data.model_copy(update={"holdout": holdout})})
        said.append("The study holds nothing out; a part is held out here, to validate on.")
    base = on_other_data(base, data, loaded)
    base = base.model_copy(update={"data": base.data.model_copy(update={"sample": sample})})
    return override(base, dict(changes)), said


def _check_fractions(fractions: list[float], base: "Experiment", data_dir: Path | None) -> None:
    """Refuse two fractions that are the same pictures."""
    from kerascw.data import nested_subset, split
    from kerascw.data.load import dataset_for
    from kerascw.lab.curves import percent

    if base.data.holdout is None:
        raise CallError("data.holdout: none, but a learning curve needs a validation part")
    labels = split(dataset_for(base.data, data_dir), base.data).train.labels
    counts: dict[int, float] = {}
    for fraction in fractions:
        count = len(nested_subset(labels, fraction, base.data.fraction_seed))
        if count in counts:
            raise CallError(
                f"--fractions: {percent(counts[count])} and {percent(fraction)} of {len(labels):,} "
                f"training pictures are the same {count:,}; leave one out"
            )
        counts[count] = fraction


def _show(figure: str, curves: Mapping[str, Any], terminal: "Console") -> None:
    from rich.table import Table

    from kerascw.report.learning_curve import table_rows

    first, *others = curves
    table = Table(box=None, pad_edge=False, title=figure.replace(".", " "), title_justify="left")
    for column in ("fraction", "pictures", *curves):
        table.add_column(column, justify="right")
    for name in others:
        table.add_column(f"{name} less {first}")
    for row in table_rows(curves):
        table.add_row(row.fraction, row.pictures, *row.cells, *row.differences)
    terminal.print(table)
