"""The predict command: pictures in, labels out. Importing this is quick: ``--help`` reads it."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from kerascw.errors import CallError, choices

if TYPE_CHECKING:
    from kerascw.data.image_files import Invert, Picture
    from kerascw.export.load import LoadedModel

__all__ = ["Answer", "Guess", "command", "predict_files"]

_BATCH = 1000


@dataclass(frozen=True)
class Guess:
    """One of the classes a picture may belong to, with its probability of 0 to 1."""

    class_id: int
    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What the model says of one picture; the most probable class comes first."""

    file: str
    predictions: list[Guess]


def predict_files(
    model_path: str | Path,
    files: Iterable[str],
    top: int = 3,
    output_format: str = "table",
    invert: "Invert" = "auto",
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Predict the pictures in ``files`` and write them to ``out``; return the exit code.

    It is 0, or 1 if a file could not be read: each of those gets a line on ``err``, and all
    others are predicted.

    Parameters
    ----------
    model_path : see :func:`kerascw.export.load.load_model`.
    files : see :func:`kerascw.data.image_files.read_pictures`, and there for ``invert``.
    top : how many classes of each picture, the most probable first; all where there are fewer.
    output_format : ``table`` to read, ``json`` (a list of file and predictions) or ``csv`` (one
        line a class, with a header).
    out, err : standard output and standard error if not given.

    Raises
    ------
    CallError
        A bad model or option; nothing is written then.
    """
    out, err = out or sys.stdout, err or sys.stderr
    if top < 1:
        raise CallError(f"--top: {top} is less than 1")
    if output_format not in WRITERS:
        raise CallError(f"--format: {output_format!r}; choose {choices(WRITERS)}")
    if invert not in INVERT:
        raise CallError(f"--invert: {invert!r}; choose {choices(INVERT)}")
    from kerascw.data.image_files import Unreadable, read_pictures
    from kerascw.export.load import load_model

    model = load_model(model_path)
    unreadable = 0

    def readable() -> Iterator["Picture"]:
        nonlocal unreadable
        for picture in read_pictures(
            files, model.input_shape, light_on_dark=model.light_on_dark, invert=invert
        ):
            if isinstance(picture, Unreadable):
                unreadable += 1
                print(f"kerascw: {_printable(picture.name)}: {picture.reason}", file=err)
            else:
                yield picture

    answers = list(_answers(model, readable(), top))
    WRITERS[output_format](answers, out)
    if output_format == "table" and answers and not unreadable:  # read by people, not by programs
        command = f"python -m kerascw predict {model_path} FOLDER --format csv > answers.csv"
        print(f"next: {command}", file=err)
    return 1 if unreadable else 0


def _answers(model: "LoadedModel", pictures: Iterator["Picture"], top: int) -> Iterator[Answer]:
    import numpy as np

    while batch := list(islice(pictures, _BATCH)):
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
        name = _printable(answer.file)
        for guess in answer.predictions:
            # Text: a name with [brackets] is no markup
            table.add_row(Text(name), Text(guess.label), f"{guess.probability:.1%}")
            name = ""  # once a picture
    console(out).print(table)


def _write_json(answers: list[Answer], out: TextIO) -> None:
    json.dump([asdict(answer) for answer in answers], out, indent=2)
    out.write("\n")


def _write_csv(answers: list[Answer], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "rank", "class_id", "label", "probability"])
    for answer in answers:
        for rank, guess in enumerate(answer.predictions, start=1):
            writer.writerow([_printable(answer.file), rank, *astuple(guess)])


WRITERS: dict[str, Callable[[list[Answer], TextIO], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
}
INVERT = ("auto", "yes", "no")


def _printable(name: str) -> str:
    """Return the name with what would not print escaped: line ends, control codes, odd bytes.

    >>> _printable("two lines" + chr(10) + ".png") == "two lines" + chr(92) + "n.png"
    True
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--top", type=int, default=3, show_default=True, help="How many classes to show.")
@click.option("--format", "output_format", type=click.Choice(list(WRITERS)), default="table",
              show_default=True, help="How to show them.")  # fmt: skip
@click.option("--invert", type=click.Choice(INVERT), default="auto", show_default=True,
              help="Make negatives: auto inverts what is dark on light for a model that learned "
              "light on dark, and leaves arrays alone.")  # fmt: skip
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    files: tuple[str, ...],
    top: int,
    output_format: str,
    invert: "Invert",
) -> None:
    """Classify pictures with an exported MODEL, such as saved_models/fashion.

    MODEL is a folder that export wrote, or a .keras, .onnx or .tflite file of it. ONNX and LiteRT
    models answer in a second, without TensorFlow: pip install 'kerascw[light]'.

    FILE is a picture (PNG, JPEG, BMP, GIF), an array of them (.npy, .npz), a folder, or - for a
    picture on standard input.
    """
    context.exit(predict_files(model, files, top, output_format, invert))
