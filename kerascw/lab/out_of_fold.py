"""Probabilities of every training image by a kept model that has not seen it."""

import numpy as np

from kerascw.data.dataset import Dataset
from kerascw.data.splits import held_out
from kerascw.errors import KerascwError
from kerascw.lab.derive import with_fold
from kerascw.runs.store import Run, Store


def kept_predictions(dataset: Dataset, store: Store) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Return the predictions of the best kept run with folds on the whole dataset; None: no such.

    They are of the training and of the test images, float ``[n, classes]`` and ``[m, classes]``,
    with their source. All folds of one seed make a set; the best has the highest accuracy on what
    it held out. The test images have the mean over the folds.
    """
    sets: dict[str, dict[int, Run]] = {}
    for run in store.all():
        try:
            experiment, data = run.experiment, run.experiment.data
            if (
                experiment.fold is None
                or experiment.reconstructs
                or run.metrics["status"] == "diverged"
                or data.classes is not None
                or data.exclude is not None
                or run.environment["data"]["fingerprint"] != dataset.fingerprint
            ):
                continue
        except (KerascwError, KeyError, TypeError):  # a damaged run predicts nothing
            continue
        sets.setdefault(with_fold(experiment, 0).canonical_json(), {})[experiment.fold] = run
    whole = [own for own in sets.values() if len(own) == next(iter(own.values())).experiment.folds]
    if not whole:
        return None
    best = max(
        whole, key=lambda own: sum(r.metrics["validation"]["accuracy"] for r in own.values())
    )
    inside = np.zeros((len(dataset.train), len(dataset.entry.class_names)), np.float32)
    outside = np.zeros((len(dataset.test), len(dataset.entry.class_names)), np.float32)
    for run in best.values():
        with np.load(run.folder / "predictions.npz") as kept:
            inside[held_out(dataset, run.experiment.data)] = kept["validation_probabilities"]
            outside += kept["test_probabilities"] / len(best)
    name = next(iter(best.values())).name
    return inside, outside, f"the {len(best)} folds of {name}"
