"""A model's figures on labelled images that it was not tested on: a table, and a page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data.dataset import Part
from kerascw.errors import CallError, choices, printable
from kerascw.evaluation.metrics import full_report, wilson_interval
from kerascw.export.load import LoadedModel
from kerascw.report.page import write_page
from kerascw.report.tables import Table, count, percent
from kerascw.runs.store import write_json

SHOWN_MISTAKES = 32


def labels_of(names: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Return int64 ``[n]``: the class of each image by the folder that its file lies in.

    Case, and characters that are no letters or digits, make no difference: ``t-shirt_top`` is
    ``T-shirt/top``.

    Raises CallError: a folder that has no class's name.
    """
    folders = [_plain(Path(name).absolute().parent.name) for name in names]
    numbers = {_plain(name): number for number, name in enumerate(class_names)}
    if unknown := sorted(set(folders) - set(numbers)):
        raise CallError(
            f"--evaluate: {printable(unknown[0])} is no class of the model; each image must lie in "
            f"a folder with its class's name: {choices(class_names)}"
        )
    return np.array([numbers[folder] for folder in folders], np.int64)


def _plain(name: str) -> str:
    """Return a class's name as a folder can have it: letters and digits, if it has any."""
    return re.sub(r"[\W_]+", " ", name).strip().casefold() or name


def evaluate(
    model: LoadedModel,
    images: np.ndarray,
    labels: np.ndarray,
    top: int,
    calibrated: bool,
) -> dict[str, Any]:
    """Return a model's metrics on labelled images, as a run's test set has them.

    ``images`` are uint8 ``[n, h, w, c]``, ``labels`` int ``[n]``. ``top_k`` beside them has ``k``,
    the share of images whose class is among the k most probable, and its 95 % Wilson interval.
    """
    probabilities = model.predict(images, calibrated=calibrated).probabilities
    metrics = full_report(probabilities, labels, model.class_names, most=SHOWN_MISTAKES)
    first = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    among = int((first == labels[:, None]).any(axis=1).sum())
    interval = wilson_interval(among, len(labels))
    return metrics | {
        "top_k": {"k": top, "accuracy": among / len(labels), "interval_95": interval},
        "probabilities": probabilities,
    }


def evaluation_tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Return the figures of each class, and the pairs that are confused most."""
    scores = ("precision", "recall", "f1")
    classes = [
        (
            row["class"],
            *(percent(row[score] if row["examples"] else None) for score in scores),
            count(row["examples"]),
        )
        for row in metrics["per_class"]
    ]
    confused = [
        (pair["truth"], pair["prediction"], count(pair["count"]), percent(pair["share_of_truth"]))
        for pair in metrics["most_confused"]
    ]
    columns = ("truth", "taken for", "times", "share of the true class")
    return {
        "classes": Table("classes", ("class", "precision", "recall", "F1", "images"), classes),
        "confused": Table("confused", columns, confused, text=(0, 1)),
    }


def write_evaluation(
    model: LoadedModel,
    images: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    metrics: Mapping[str, Any],
    folder: Path,
) -> Path:
    """Write report.html, metrics.json, figures and tables into ``folder``; return the page.

    ``names`` are the files of the images. Arrays are as :func:`evaluate` takes them.
    """
    from kerascw.report import charts, figures

    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in metrics.items() if name != "probabilities"}
    mistakes = [{"file": names[m["position"]]} | m for m in kept["most_confident_mistakes"]]
    write_json(folder / "metrics.json", kept | {"most_confident_mistakes": mistakes})
    says = f"confusion matrix, {kept['correct']} of {kept['examples']} on the diagonal"
    drawn: dict[str, tuple[Any, str]] = {
        "confusion": (charts.confusion(np.array(kept["confusion"]), model.class_names), says)
    }
    if mistakes:
        at = [mistake["position"] for mistake in mistakes]
        part, answers = Part(images, labels), metrics["probabilities"]
        drawn["mistakes"] = (
            figures.predictions(part, answers, model.class_names, at),
            "the most confident mistakes, titled with prediction and truth",
        )
    tables = evaluation_tables(kept)
    rows = [(m["file"], m["truth"], m["prediction"], percent(m["probability"])) for m in mistakes]
    columns = ("file", "truth", "taken for", "probability")
    tables["mistakes"] = Table("mistakes", columns, rows, text=(0, 1, 2))
    return write_page(
        folder, "evaluation.html", drawn, tables.values(), model=model, metrics=kept, tables=tables
    )
