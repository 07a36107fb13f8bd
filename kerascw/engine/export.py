"""Export a kept run as a SavedModel, once."""

import json
from pathlib import Path

from kerascw.data import split
from kerascw.engine.many import dataset_for
from kerascw.engine.store import Run
from kerascw.errors import CallError
from kerascw.export import export
from kerascw.saved_model import EXTRA_FILE

CHECK_PICTURES = 256


def export_run(run: Run, folder: Path, *, data_dir: str | Path | None = None) -> Path:
    """Return ``folder/<version>/`` with the run's model, exporting it only if it is not there.

    The export is proved on the first 256 test pictures; see :func:`kerascw.export.export`.

    Raises
    ------
    CallError
        The run kept no weights, or it is no classifier's.
    KerascwError
        The exported model does not answer as the live one does.
    """
    if run.experiment.reconstructs:
        raise CallError(
            f"run {run.name}: an autoencoder gives pictures, not classes; a SavedModel for predict "
            "needs a classifier"
        )
    if run.metrics["kept_epoch"] is None:
        raise CallError(f"run {run.name} diverged and kept no weights: nothing to export")
    for card_file in sorted(folder.glob(str("[0-9]*" / EXTRA_FILE))):
        if json.loads(card_file.read_text()).get("card", {}).get("run") == run.name:
            return card_file.parent.parent
    spec, data = run.experiment.data, run.environment["data"]
    dataset = dataset_for(spec, data_dir)
    splits = split(dataset, spec)
    test = {
        name: run.metrics["test"][name]
        for name in ("examples", "accuracy", "accuracy_interval_95", "loss", "calibration_error")
    }
    card = {
        "run": run.name,
        "experiment": run.experiment.model_dump(mode="json"),
        "data": {name: data[name] for name in ("name", "title", "source", "fingerprint")},
        "light_on_dark": dataset.entry.light_on_dark,
        "parameters": run.metrics["parameters"],
        "test": test,
        "command": run.environment["command"],
        "commit": run.environment["commit"],
    }
    return export(
        run.model(),
        folder,
        class_names=splits.class_names,
        card=card,
        check_images=splits.test.images[:CHECK_PICTURES],
    )
