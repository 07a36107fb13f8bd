"""Images among a run's TensorBoard events, drawn from what is kept of the run."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.evaluation.metrics import first_of_each_class
from kerascw.runs.store import Run, Store
from kerascw.training.events import IMAGES, PATTERN, RunEvents, write_images

EXAMPLES = 30
"""About so many test images are shown with their predictions, as many of every class."""


def lacks_events(run: Run) -> bool:
    """Return whether a run has no events, or none of its images."""
    folder = _folder_of(run)
    return not (any(folder.glob(PATTERN)) and any(folder.glob(f"*{IMAGES}")))


def write_missing(run: Run, splits: Splits | None) -> bool:
    """Write what a kept run's events lack; return whether it could be written.

    Images stand at the epoch whose weights are kept. Without the ``splits`` of the run's
    experiment only confusion matrices are drawn.
    """
    folder = _folder_of(run)
    if not any(folder.glob(PATTERN)):
        with zipfile.ZipFile(run.folder / "model.keras") as file:
            config = json.loads(file.read("config.json"))["config"]
        events = RunEvents(folder, run.experiment)
        events.begin(lambda: config, run.history, run.environment["training_seconds"])
        events.end(run.metrics)
        if events.failed:
            return False
    if not any(folder.glob(f"*{IMAGES}")):
        write_images(folder, event_images(run, splits), run.metrics["kept_epoch"] or 0)
    return True


def _folder_of(run: Run) -> Path:
    return Store(run.folder.parent).events_folder(run.name)


def event_images(run: Run, splits: Splits | None) -> dict[str, bytes]:
    """Draw confusion matrices, and test images with predictions or reconstructions: PNG by tag.

    A run that diverged before any weights were kept has none.
    """
    from kerascw.report import figures
    from kerascw.report.charts import confusion
    from kerascw.report.figure_files import render
    from kerascw.report.run import reconstruction_grid

    if run.metrics["kept_epoch"] is None:
        return {}
    names = tuple(run.metrics["class_names"])
    drawn: dict[str, Any] = {}
    with np.load(run.folder / "predictions.npz") as file:
        arrays = dict(file)
    for split in ("validation", "test"):
        if f"{split}_probabilities" in arrays:
            labels, guesses = arrays[f"{split}_labels"], arrays[f"{split}_probabilities"].argmax(1)
            counts = np.bincount(labels * len(names) + guesses, minlength=len(names) ** 2)
            drawn[f"confusion/{split}"] = confusion(counts.reshape(len(names), -1), names)
    if splits is not None and "test_probabilities" in arrays:
        shown = first_of_each_class(splits.test.labels, max(1, EXAMPLES // len(names)))
        drawn["predictions/test"] = figures.predictions(
            splits.test, arrays["test_probabilities"], names, shown[: 2 * EXAMPLES], columns=10
        )
    if splits is not None and "test_reconstructed" in arrays:
        drawn["reconstructions/test"] = reconstruction_grid(run, splits)
    return {tag: render(figure)[".png"] for tag, figure in drawn.items()}
