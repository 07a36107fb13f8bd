"""The predict command: images in, labels out. Importing this is quick: ``--help`` reads it."""

import csv
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from kerascw.errors import CallError, choices, counted, printable

if TYPE_CHECKING:
    from kerascw.data.image_files import Invert, Picture
    from kerascw.export.load import LoadedModel

__all__ = ["Answer", "Guess", "command", "predict_files"]

_BATCH = 1000


@dataclass(frozen=True)
class Guess:
    """One of the classes an image may belong to, with its probability of 0 to 1."""

    class_id: int
    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The model's answer for one image; the most probable class comes first."""

    file: str
    predictions: list[Guess]


def predict_files(
    model_path: str | Path,
    files: Iterable[str],
    top: int = 3,
    output_format: str = "table",
    invert: "Invert" = "auto",
    runs: Path = Path("runs"),
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Predict the images in ``files`` and write the answers to ``out``; return the exit code.

    It is 0, or 1 if an image could not be read: each of those gets a line on ``err``, and all
    others are predicted. Files of a folder that are no images by their
    names get one line together. The first line on ``err`` names the model and its version.

    Parameters
    ----------
    model_path : see :func:`kerascw.export.load.load_model`; or the name of a run in ``runs``, or
        the beginning of its key.
    files : see :func:`kerascw.data.image_files.read_pictures`, and there for ``invert``.
    top : how many classes of each image, the most probable first; all where there are fewer.
    output_format : ``table`` to read, ``json`` (a list of file and predictions) or ``csv`` (one
        line a class, with a header).
    out, err : standard output and standard error if not given.

    Raises
    ------
    CallError
        A bad model or option; nothing is written then.
    DataError
        A damaged model.
    """
    out, err = out or sys.stdout, err or sys.stderr
    if top < 1:
        raise CallError(f"--top: {top} is less than 1")
    if output_format not in WRITERS:
        raise CallError(f"--format: {output_format!r}; choose {choices(WRITERS)}")
    if invert not in INVERT:
        raise CallError(f"--invert: {invert!r}; choose {choices(INVERT)}")
    from kerascw.data.image_files import LeftOut, Unreadable, read_pictures
    from kerascw.export.load import load_model

    model = load_model(_path_of(model_path, runs))
    print(f"model: {printable(model.title)}", file=err)
    unreadable, left_out = 0, list[str]()

    def readable() -> Iterator["Picture"]:
        nonlocal unreadable
        for picture in read_pictures(
            files,
            model.input_shape,
            light_on_dark=model.light_on_dark,
            invert=invert,
            fit=model.fit,
        ):
            if isinstance(picture, LeftOut):
                left_out.append(printable(picture.name))
            elif isinstance(picture, Unreadable):
                unreadable += 1
                print(f"kerascw: {printable(picture.name)}: {picture.reason}", file=err)
            else:
                yield picture

    answers = list(_answers(model, readable(), top))
    WRITERS[output_format](answers, out)
    if left_out:
        named = ", ".join(left_out[:3]) + f" and {len(left_out) - 3:,} more" * (len(left_out) > 3)
        count = counted(
            len(left_out), "file is no image by its name", "files are no images by name"
        )
        print(f"kerascw: {count}, left out: {named}", file=err)
    if output_format == "table" and answers and not unreadable:  # read by people, not by programs
        words = f"predict {shlex.quote(str(model_path))} FOLDER --format csv > answers.csv"
        print(f"next: python -m kerascw {words}", file=err)
    return 1 if unreadable else 0


def _path_of(model: str | Path, runs: Path) -> Path:
    """Return the path of a model, or of the run that is meant where there is no such path."""
    path = Path(model)
    if os.path.exists(path) or len(path.parts) != 1 or not os.path.isdir(runs):
        return path
    # here and not above: a small model predicts sooner without the specs that runs need
    from kerascw.runs.store import Store

    try:
        return Store(runs).find(str(model)).folder
    except CallError as error:
        raise CallError(f"{model}: no such file or folder, and {error}") from None


def _answers(model: "LoadedModel", images: Iterator["Picture"], top: int) -> Iterator[Answer]:
    import numpy as np

    while batch := list(islice(images, _BATCH)):
        predictions = model.predict(np.stack([picture.array for picture in batch]))
        for picture, probabilities in zip(batch, predictions.probabilities, strict=True):
            order = np.argsort(-probabilities, kind="stable")[:top]
            guesses = [
                Guess(
                    class_id,
                    model.class_names[class_id] if model.class_names else str(class_id),
                    float(f"{probabilities[class_id]:.6g}"),  # float32 has no more digits
                )
                for class_id in order.tolist()
            ]
            yield Answer(picture.name, guesses)


def _write_table(answers: list[Answer], out: TextIO) -> None:
    from rich.table import Table
    from rich.text import Text

    from kerascw.console import console

    if not answers:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")  # a long name goes on in the next line, whole
    table.add_column("label", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    for answer in answers:
        name = printable(answer.file)
        for guess in answer.predictions:
            # Text: a name with [brackets] is no markup
            table.add_row(Text(name), Text(printable(guess.label)), f"{guess.probability:.1%}")
            name = ""  # once for each image
    console(out).print(table)


def _write_json(answers: list[Answer], out: TextIO) -> None:
    json.dump([asdict(answer) for answer in answers], out, indent=2)
    out.write("\n")


def _write_csv(answers: list[Answer], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "rank", "class_id", "label", "probability"])
    for answer in answers:
        for rank, guess in enumerate(answer.predictions, start=1):
            class_id, label, probability = astuple(guess)
            writer.writerow([_cell(answer.file), rank, class_id, _cell(label), probability])


def _cell(text: str) -> str:
    """Escape a CSV cell that a spreadsheet would run as a formula, and what would not print.

    >>> _cell("=1+1"), _cell("-")
    ("'=1+1", '-')
    """
    formula = text[:1] in ("=", "+", "-", "@") and text != "-"  # - is standard input
    return f"'{printable(text)}" if formula else printable(text)


WRITERS: dict[str, Callable[[list[Answer], TextIO], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
}
INVERT = ("auto", "yes", "no")


@click.command(
    "predict", epilog="\b\npython -m kerascw predict saved_models/fashion photos/ --top 1"
)
@click.argument("model")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--top", type=int, default=3, show_default=True, help="How many classes to show.")
@click.option("--format", "output_format", type=click.Choice(list(WRITERS)), default="table",
              show_default=True, help="How to show them.")  # fmt: skip
@click.option("--invert", type=click.Choice(INVERT), default="auto", show_default=True,
              help="Make negatives: auto inverts what is dark on light for a model that learned "
              "light on dark, and leaves arrays alone.")  # fmt: skip
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"),
              show_default=True, help="The folder that keeps the runs.")  # fmt: skip
@click.pass_context
def command(
    context: click.Context,
    model: str,
    files: tuple[str, ...],
    top: int,
    output_format: str,
    invert: "Invert",
    runs: Path,
) -> None:
    """Classify images with an exported MODEL, such as saved_models/fashion.

    MODEL is a folder that export wrote, or a .keras, .onnx or .tflite file of it; or a run: its
    folder, its name or the beginning of its key. ONNX and LiteRT models answer in a second,
    without TensorFlow: pip install 'kerascw[light]'.

    FILE is an image (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF), an array of them (.npy, .npz), a
    folder, or - for an image on standard input. The first line on standard error names the model
    and its version.
    """
    context.exit(predict_files(model, files, top, output_format, invert, runs))
