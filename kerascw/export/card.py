"""What a model's card holds: facts of its run that travel with every export, as plain JSON."""

from typing import Any

import numpy as np

from kerascw.data.catalogue import CATALOG
from kerascw.evaluation.calibration import Calibration
from kerascw.runs.store import Run

_TEST = (  # what is taken of the test set's figures
    *("examples", "accuracy", "accuracy_interval_95", "loss", "calibration_error"),
    *("confusion", "per_class"),
)


def card_of(run: Run) -> dict[str, Any]:
    """Gather the facts about a run's model; ``test`` is None where there is no test figure.

    ``calibration``: what its validation set says, None where there is none. ``light_on_dark``: it
    learned light things on black. ``fit``: how images of another shape were
    fitted (:func:`kerascw.data.image_files.read_pictures`).
    """
    data, environment, metrics = run.experiment.data, run.environment, run.metrics
    test, calibration = metrics.get("test"), calibration_of(run)
    return {
        "run": run.name,
        "experiment": run.experiment.model_dump(mode="json"),
        "data": {n: environment["data"][n] for n in ("name", "title", "source", "fingerprint")},
        "light_on_dark": data.folder is None and CATALOG[data.name].light_on_dark,
        "fit": "pad" if data.folder is None else data.folder.fit,
        "parameters": metrics["parameters"],
        "layers": metrics.get("layers", []),  # older runs have none
        "calibration": None if calibration is None else calibration.as_card(),
        "test": None if test is None else {name: test[name] for name in _TEST if name in test},
        "command": environment["command"],
        "commit": environment["commit"],
        "versions": {"python": environment["python"]} | environment["packages"],
    }


def calibration_of(run: Run) -> Calibration | None:
    """Fit temperature and score quantiles to a run's kept validation probabilities.

    None of a run without a validation set or weights, and of an autoencoder.
    """
    file = run.folder / "predictions.npz"
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as kept:
        if "validation_probabilities" not in kept:
            return None
        probabilities, labels = kept["validation_probabilities"], kept["validation_labels"]
    return Calibration.fitted(probabilities, labels, softmax=run.experiment.output == "softmax")
