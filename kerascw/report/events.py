"""Images among a run's TensorBoard events, drawn from what is kept of the run."""

import json
import zipfile
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.evaluation.metrics import first_of_each_class
from kerascw.runs.store import Run, Store
from kerascw.training.events import IMAGES, PATTERN, RunEvents, write_images

EXAMPLES = 30
"""About so many test images are shown with their predictions, as many of every class."""


def closing_events(run: Run, splits: Splits | None) -> bool:
    """Add images to the TensorBoard events of a kept run; return whether they were added.

    Nothing is added to a run without events, with images already, or without kept weights. Whoever
    draws a run's report calls this too.

    Parameters
    ----------
    splits : the data of the run's experiment; without them only confusion matrices are drawn.
    """
    folder = Store(run.folder.parent).events_folder(run.name)
    kept = run.metrics["kept_epoch"]
    if kept is None or not any(folder.glob(PATTERN)) or any(folder.glob(f"*{IMAGES}")):
        return False
    write_images(folder, event_images(run, splits), kept)
    return True


def write_missing(run: Run, splits: Splits | None) -> bool:
    """Write a kept run's events where there are none, and its images; return whether any were."""
    folder = Store(run.folder.parent).events_folder(run.name)
    if any(folder.glob(PATTERN)):
        return closing_events(run, splits)
    with zipfile.ZipFile(run.folder / "model.keras") as file:
        config = json.loads(file.read("config.json"))["config"]
    events = RunEvents(folder, run.experiment)
    events.begin(lambda: config, run.history, run.environment["training_seconds"])
    events.end(run.metrics)
    closing_events(run, splits)
    return not events.failed


def event_images(run: Run, splits: Splits | None) -> dict[str, bytes]:
    """Draw confusion matrices, and test images with predictions or reconstructions: PNG by tag."""
    from kerascw.report import figures
    from kerascw.report.charts import confusion
    from kerascw.report.figure_files import png_of

    with np.load(run.folder / "predictions.npz") as file:
        arrays = dict(file)
    names = tuple(run.metrics["class_names"])
    drawn: dict[str, Any] = {}
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
        shown = arrays["test_reconstructed"]
        drawn["reconstructions/test"] = figures.reconstructions(
            np.asarray(splits.test.images[shown]),
            arrays["test_reconstructions"],
            splits.test.labels[shown],
            names,
        )
    return {tag: png_of(figure) for tag, figure in drawn.items()}
