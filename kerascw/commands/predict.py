"""The predict command: images in, labels out. Importing this is quick: ``--help`` reads it."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerascw.commands.options import runs_option, share_option
from kerascw.errors import CallError, counted, first_of, printable

if TYPE_CHECKING:
    from kerascw.data.image_files import Invert, Picture
    from kerascw.export.load import LoadedModel

_BATCH = 1000

Answer = dict[str, Any]
"""``file`` and its ``predictions``, the most probable class first: ``class_id``, ``label`` and
``probability``."""


def _write_table(answers: list[Answer]) -> None:
    from kerascw.console import console
    from kerascw.report.tables import Cell, Table, print_table

    rows = [
        # the name once for each image
        (
            printable(answer["file"]) if at == 0 else "",
            printable(guess["label"]),
            Cell(f"{guess['probability']:.1%}"),
        )
        for answer in answers
        for at, guess in enumerate(answer["predictions"])
    ]
    if rows:
        columns = ("file", "label", "probability")
        print_table(Table("predictions", columns, rows, text=(0, 1)), console())


def _write_json(answers: list[Answer]) -> None:
    click.echo(json.dumps(answers, indent=2))


def _write_csv(answers: list[Answer]) -> None:
    from kerascw.lab.sheet import sheet

    rows = [
        [answer["file"], rank, *guess.values()]
        for answer in answers
        for rank, guess in enumerate(answer["predictions"], start=1)
    ]
    click.echo(sheet([["file", "rank", "class_id", "label", "probability"], *rows]), nl=False)


WRITERS: dict[str, Callable[[list[Answer]], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
}


@click.command(
    "predict", epilog="\b\npython -m kerascw predict saved_models/fashion photos/ --top 1"
)
@click.argument("model")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--top", type=int, default=3, help="How many classes to show.")
@click.option("--format", "output_format", type=click.Choice(list(WRITERS)), default="table",
              help="How to show them.")  # fmt: skip
@click.option("--invert", type=click.Choice(["auto", "yes", "no"]), default="auto",
              help="Make negatives: auto inverts what is dark on light for a model that learned "
              "light on dark, and leaves arrays alone.")  # fmt: skip
@click.option(
    "--evaluate",
    is_flag=True,
    help="Score the answers: each image lies in a folder with its class's name.",
)
@click.option(
    "--calibrated",
    is_flag=True,
    help="Scale the probabilities by the temperature that was fitted on the validation set.",
)
@share_option(
    "--coverage",
    "Show each image's prediction set in place of --top classes: the right class is in this "
    "share of the sets, such as 0.95 or 95%.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Write NAME-explained.png into the current folder: where the evidence lies.",
)
@click.option("--layer", help="Of --explain.  [default: the last convolution]")
@runs_option
@click.pass_context
def command(
    context: click.Context,
    model: str,
    files: tuple[str, ...],
    top: int,
    output_format: str,
    invert: "Invert",
    evaluate: bool,
    calibrated: bool,
    coverage: float | None,
    explain: bool,
    layer: str | None,
    runs: Path,
) -> None:
    """Classify images with an exported MODEL, such as saved_models/fashion.

    MODEL is a folder that export wrote, or a .keras, .onnx or .tflite file of it; or a run: its
    folder, its name or the beginning of its key. The highest version answers; MODEL@3 takes
    version 3. ONNX and LiteRT models answer in a second, without TensorFlow:
    pip install 'kerascw[light]'.

    FILE is an image (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF), an array of them (.npy, .npz), a
    folder, or - for an image on standard input. The first line on standard error names the model
    and its version.

    --explain takes image files and a Keras model: a kept run, or a .keras file of an export. It
    draws Grad-CAM, HiResCAM and occlusion for the most probable class.

    --evaluate prints the accuracy with its 95 % confidence interval and the classes that are
    confused, and writes a page with the confusion matrix and the mistakes to RUNS/evaluations/.
    """
    if top < 1:
        raise CallError(f"--top: {top} is less than 1")
    if coverage is not None and evaluate:
        raise CallError("--coverage: not with --evaluate, which scores single answers")
    if layer is not None and not explain:
        raise CallError("--layer: only with --explain")
    if explain and evaluate:
        raise CallError("--explain: not with --evaluate")
    from kerascw.data.image_files import IMAGE_SUFFIXES, LeftOut, Unreadable, read_pictures
    from kerascw.export.load import load_model

    for file in files if explain else ():
        if os.path.isdir(file) or Path(file).suffix.lower() not in IMAGE_SUFFIXES:
            raise CallError(f"--explain: {printable(file)} is no image file; name image files")
    loaded = load_model(_path_of(model, runs))
    if calibrated:
        loaded.temperature()  # what it lacks is said before images are read
    if coverage is not None:
        loaded.calibration.threshold(coverage)
    live = None
    if explain:
        from kerascw.evaluation.explain import feature_layer

        live = loaded.live()
        feature_layer(live, layer)
    click.echo(f"model: {printable(loaded.title)}", err=True)
    unreadable, left_out = list[str](), list[str]()

    def readable() -> Iterator["Picture"]:
        for picture in read_pictures(
            files,
            loaded.input_shape,
            light_on_dark=loaded.light_on_dark,
            invert=invert,
            fit=loaded.fit,
        ):
            if isinstance(picture, LeftOut):
                left_out.append(printable(picture.name))
            elif isinstance(picture, Unreadable):
                unreadable.append(picture.name)
                click.echo(f"kerascw: {printable(picture.name)}: {picture.reason}", err=True)
            else:
                yield picture

    answers: list[Answer] = []
    if evaluate:
        _evaluate(loaded, list(readable()), files, top, output_format, runs, calibrated)
    else:
        images = list(readable()) if explain else readable()
        answers = list(_answers(loaded, iter(images), top, calibrated, coverage))
        WRITERS[output_format](answers)
        if isinstance(images, list) and images:
            _explain(loaded, live, layer, images, answers)
    if left_out:
        count = counted(
            len(left_out), "file is no image by its name", "files are no images by name"
        )
        click.echo(f"kerascw: {count}, left out: {first_of(left_out)}", err=True)
    if output_format == "table" and answers and not unreadable:  # read by people, not by programs
        words = f"predict {shlex.quote(model)} FOLDER --format csv > answers.csv"
        click.echo(f"next: python -m kerascw {words}", err=True)
    context.exit(1 if unreadable else 0)


def _evaluate(
    model: "LoadedModel",
    images: list["Picture"],
    files: tuple[str, ...],
    top: int,
    output_format: str,
    runs: Path,
    calibrated: bool,
) -> None:
    """Print the model's figures on labelled images, and write their page."""
    import numpy as np

    from kerascw.console import console
    from kerascw.report.evaluation import evaluate, evaluation_tables, labels_of, write_evaluation
    from kerascw.report.figure_files import file_name
    from kerascw.report.tables import csv_of, print_table
    from kerascw.runs.store import check_writable

    if not images:
        raise CallError("--evaluate: no image was read")
    check_writable(runs, "--runs")
    names = [image.name for image in images]
    labels, arrays = labels_of(names, model.class_names), np.stack([i.array for i in images])
    metrics = evaluate(model, arrays, labels, min(top, len(model.class_names)), calibrated)
    of = f"{model.title.partition(' (')[0]}, {Path(files[0]).absolute().name}"
    folder = runs / "evaluations" / file_name(of)
    report = write_evaluation(model, arrays, labels, names, metrics, folder)
    tables = evaluation_tables(metrics)
    if output_format == "json":
        click.echo((folder / "metrics.json").read_text(encoding="utf-8"), nl=False)
    elif output_format == "csv":
        click.echo(csv_of(tables["classes"]), nl=False)
    else:
        low, high = metrics["accuracy_interval_95"]
        click.echo(
            f"accuracy {metrics['accuracy']:.4f} (95 % CI {low:.4f} to {high:.4f}): "
            f"{metrics['correct']:,} of {counted(len(labels), 'image')} are right"
        )
        among = metrics["top_k"]
        if among["k"] > 1:
            low, high = among["interval_95"]
            click.echo(
                f"among the {among['k']} most probable: {among['accuracy']:.4f} "
                f"(95 % CI {low:.4f} to {high:.4f})"
            )
        for table in tables.values():
            if table.rows:
                print_table(table, console())
    click.echo("too good if the model was trained on any of these images", err=True)
    click.echo(f"report: {report}", err=True)


def _explain(
    model: "LoadedModel",
    live: Any,
    layer: str | None,
    images: list["Picture"],
    answers: list[Answer],
) -> None:
    """Draw each image with the evidence for its most probable class, in the current folder."""
    import numpy as np

    from kerascw.report.explained import explain, explained_image
    from kerascw.report.figures import save_png

    arrays = np.stack([picture.array for picture in images])
    guesses = [answer["predictions"][0] for answer in answers]
    classes = np.array([guess["class_id"] for guess in guesses])
    stems, taken = Counter(Path(picture.name).stem for picture in images), set[str]()
    maps = explain(live, arrays, classes, layer=layer, light_on_dark=model.light_on_dark)
    for at, (picture, guess) in enumerate(zip(images, guesses, strict=True)):
        own = {name: each[at] for name, each in maps.items()}
        figure = explained_image(picture.array, f"{guess['label']} {guess['probability']:.1%}", own)
        stem = Path(picture.name).stem
        if stems[stem] > 1:
            stem = f"{Path(picture.name).absolute().parent.name}-{stem}"
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        # not beside the image: its folder may be a class of a dataset
        file = Path(f"{name}-explained.png")
        temporary = file.with_name(f".{file.name}.writing")
        save_png(figure, temporary)
        temporary.replace(file)
        click.echo(f"explained: {printable(str(file))}", err=True)


def _path_of(model: str, runs: Path) -> Path:
    """Return the path of a model, or of the run that is meant where there is no such path."""
    path = Path(model)
    there = os.path.exists(path) or os.path.isdir(path.name.rpartition("@")[0])
    if there or len(path.parts) != 1 or not os.path.isdir(runs):
        return path
    # here and not above: a small model predicts sooner without the specs that runs need
    from kerascw.runs.store import Store

    try:
        return Store(runs).find(model).folder
    except CallError as error:
        raise CallError(f"{model}: no such file or folder, and {error}") from None


def _answers(
    model: "LoadedModel",
    images: Iterator["Picture"],
    top: int,
    calibrated: bool,
    coverage: float | None,
) -> Iterator[Answer]:
    import numpy as np

    while batch := list(islice(images, _BATCH)):
        arrays = np.stack([picture.array for picture in batch])
        predictions = model.predict(arrays, calibrated=calibrated, coverage=coverage)
        for at, (picture, probabilities) in enumerate(
            zip(batch, predictions.probabilities, strict=True)
        ):
            # of a set all classes, which are its most probable ones
            shown = top if predictions.sets is None else int(predictions.sets[at].sum())
            order = np.argsort(-probabilities, kind="stable")[:shown]
            guesses = [
                {
                    "class_id": class_id,
                    "label": model.class_names[class_id],
                    "probability": float(f"{probabilities[class_id]:.6g}"),  # float32 has no more
                }
                for class_id in order.tolist()
            ]
            yield {"file": picture.name, "predictions": guesses}
