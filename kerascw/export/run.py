"""Export a kept run, once a format."""

import json
from pathlib import Path
from typing import Any

from kerascw.data import split
from kerascw.data.load import dataset_for
from kerascw.errors import CallError
from kerascw.export.formats import check_installed
from kerascw.export.load import document_beside
from kerascw.export.runtimes import Format, with_article
from kerascw.export.write import export
from kerascw.runs.store import Run

CHECK_PICTURES = 256


def export_run(
    run: Run,
    folder: Path,
    *,
    data_dir: str | Path | None = None,
    form: Format = "saved_model",
) -> Path:
    """Return ``folder/<version>/`` with the run's model, exporting it only if it is not there.

    Formats other than the SavedModel go to ``folder/<format>/<version>/``: a serving system takes
    what is in ``folder`` for versions of a SavedModel. The export is proved on the first 256 test
    pictures; see :func:`kerascw.export.write.export`.

    Raises
    ------
    CallError
        The run kept no weights, or it is no classifier's.
    KerascwError
        The exported model does not answer as the live one does, or what writes or opens this
        format is not installed.
    """
    if run.experiment.reconstructs:
        raise CallError(
            f"run {run.name}: an autoencoder gives pictures, not classes; {with_article(form)} for "
            "predict needs a classifier"
        )
    if run.metrics["kept_epoch"] is None:
        raise CallError(f"run {run.name} diverged and kept no weights: nothing to export")
    check_installed(form)  # before the model is loaded
    if form != "saved_model":
        folder = folder / form
    for document in sorted(folder.glob(str("[0-9]*" / document_beside(form)))):
        if json.loads(document.read_text()).get("card", {}).get("run") == run.name:
            return folder / document.relative_to(folder).parts[0]
    splits = split(dataset_for(run.experiment.data, data_dir), run.experiment.data)
    return export(
        run.model(),
        folder,
        class_names=splits.class_names,
        card=card_of(run, data_dir),
        check_images=splits.test.images[:CHECK_PICTURES],
        form=form,
    )


def card_of(run: Run, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Return what there is to know of a run's model, as JSON has it."""
    data, test = run.environment["data"], run.metrics["test"]
    dataset = dataset_for(run.experiment.data, data_dir)
    figures = (
        *("examples", "accuracy", "accuracy_interval_95", "loss", "calibration_error"),
        *("confusion", "per_class"),
    )
    return {
        "run": run.name,
        "experiment": run.experiment.model_dump(mode="json"),
        "data": {name: data[name] for name in ("name", "title", "source", "fingerprint")},
        "light_on_dark": dataset.entry.light_on_dark,
        "parameters": run.metrics["parameters"],
        "test": {name: test[name] for name in figures if name in test},
        "command": run.environment["command"],
        "commit": run.environment["commit"],
        "versions": {"python": run.environment["python"]} | run.environment["packages"],
    }
