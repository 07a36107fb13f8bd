"""The last TensorBoard events of a run: final figures and pictures, from what is kept of it."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.runs.store import Run
from kerascw.training.events import PATTERN, Event, RunEvents, event_of, image, scalar, session_end

PICTURES = 30
"""About so many test pictures are shown with their predictions, of every class as many."""


def closing_events(run: Run, splits: Splits | None, seconds: float | None = None) -> list[Event]:
    """Return the events that end a run: figures of the kept weights, pictures, its status.

    They stand at the step of the epoch whose weights are kept. A run that diverged before any were
    has a status only.

    Parameters
    ----------
    splits : the data of the run's experiment; without them no pictures of the data are shown.
    seconds : when the run ended, since 1970; None: now.
    """
    from kerascw.report import event_pictures as draw

    metrics = run.metrics
    seconds = time.time() if seconds is None else seconds
    values: list[Any] = []
    kept = metrics["kept_epoch"]
    if kept is not None:
        values += _final_figures(metrics)
        with np.load(run.folder / "predictions.npz") as file:
            arrays = dict(file)
        names = tuple(metrics["class_names"])
        pictures = {}
        for part in ("validation", "test"):
            if f"{part}_probabilities" in arrays:
                probabilities, labels = arrays[f"{part}_probabilities"], arrays[f"{part}_labels"]
                pictures[f"confusion/{part}"] = draw.confusion(
                    _confusion(probabilities, labels, len(names)), names
                )
        if splits is not None and "test_probabilities" in arrays:
            shown = _some_of_each_class(splits.test.labels, len(names))
            pictures["predictions/test"] = draw.predictions(
                splits.test.images[shown],
                arrays["test_probabilities"][shown],
                splits.test.labels[shown],
                names,
            )
        if splits is not None and "test_reconstructed" in arrays:
            shown = arrays["test_reconstructed"]
            pictures["reconstructions/test"] = draw.reconstructions(
                splits.test.images[shown], arrays["test_reconstructions"]
            )
        values += [image(tag, *draw.png(picture)) for tag, picture in pictures.items()]
    values.append(session_end(metrics["status"] == "finished", seconds))
    return [event_of(values, kept or 0, seconds)]


def write_missing(run: Run, folder: Path, splits: Splits | None) -> bool:
    """Write a kept run's events into ``folder`` where there are none; return whether it was so."""
    if any(folder.glob(PATTERN)):
        return False
    ended = (run.folder / "metrics.json").stat().st_mtime
    with zipfile.ZipFile(run.folder / "model.keras") as file:
        config = json.loads(file.read("config.json"))["config"]
    events = RunEvents(folder, run.experiment)
    events.begin(lambda: config, run.history, run.environment["training_seconds"], now=ended)
    events.end(lambda: closing_events(run, splits, ended))
    return not events.failed


def _final_figures(metrics: dict[str, Any]) -> list[Any]:
    """Return a scalar for each part's loss and accuracy, of every head.

    A figure that is not finite is null in metrics.json.
    """
    heads = {"": metrics} | {f"{head}_": own for head, own in metrics.get("heads", {}).items()}
    return [
        scalar(f"{head}final/{part}_{figure}", float("nan") if value is None else value)
        for head, own in heads.items()
        for part in ("train", "validation", "test")
        for figure in ("loss", "accuracy")
        for value in [own.get(part, {}).get(figure, "none")]
        if value != "none"
    ]


def _confusion(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes)


def _some_of_each_class(labels: np.ndarray, classes: int) -> np.ndarray:
    from kerascw.evaluation.metrics import first_of_each_class

    return first_of_each_class(labels, max(1, PICTURES // classes))[: 2 * PICTURES]
