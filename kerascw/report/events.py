"""TensorBoard events of a kept run: its pictures, and the rest where a run has no events at all.

A run writes its figures as it trains (:mod:`kerascw.training.events`), and never draws. So its
pictures are in an events file of their own, written when somebody looks.
"""

import json
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.runs.run import final_event
from kerascw.runs.store import Run
from kerascw.training.events import PATTERN, Event, RunEvents, event_of, image

PICTURES = 30
"""About so many test images are shown with their predictions, equally many of each class."""

PICTURES_FILE = ".pictures"
"""Ends the name of an events file that has only pictures."""


def picture_event(run: Run, splits: Splits | None, seconds: float | None = None) -> Event:
    """Draw confusion matrices, and test images with what the model made of them.

    They stand at the step of the epoch whose weights are kept; a run that kept none has none.

    Parameters
    ----------
    splits : the splits of the run's experiment; without them no images of the data are shown.
    seconds : when the run ended, since 1970; None: now.
    """
    from kerascw.report import event_pictures as draw

    metrics, pictures = run.metrics, {}
    if metrics["kept_epoch"] is not None:
        with np.load(run.folder / "predictions.npz") as file:
            arrays = dict(file)
        names = tuple(metrics["class_names"])
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
    values = [image(tag, *draw.png(picture)) for tag, picture in pictures.items()]
    seconds = time.time() if seconds is None else seconds
    return event_of(values, metrics["kept_epoch"] or 0, seconds)


def write_missing(run: Run, folder: Path, splits: Splits | None) -> bool:
    """Write what a kept run's events lack into ``folder``; return whether all of them did."""
    ended = (run.folder / "metrics.json").stat().st_mtime
    had_none = not any(folder.glob(PATTERN))
    if had_none:
        with zipfile.ZipFile(run.folder / "model.keras") as file:
            config = json.loads(file.read("config.json"))["config"]
        events = RunEvents(folder, run.experiment)
        events.begin(lambda: config, run.history, run.environment["training_seconds"], now=ended)
        events.end(lambda: [final_event(run.metrics, ended)])
        if events.failed:
            return False
    if not any(folder.glob(f"*{PICTURES_FILE}")):
        _write_pictures(folder, picture_event(run, splits, ended))
    return had_none


def _write_pictures(folder: Path, event: Any) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}{PICTURES_FILE}"
    temporary = folder / f".{name.replace('tfevents', 'writing')}"
    with temporary.open("wb") as file:
        RecordWriter(file).write(event.SerializeToString())
    temporary.rename(folder / name)


def _confusion(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes)


def _some_of_each_class(labels: np.ndarray, classes: int) -> np.ndarray:
    from kerascw.evaluation.metrics import first_of_each_class

    return first_of_each_class(labels, max(1, PICTURES // classes))[: 2 * PICTURES]
