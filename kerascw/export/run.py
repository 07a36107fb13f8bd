"""Export a kept run, once for each format."""

from contextlib import suppress
from pathlib import Path

from kerascw.data.load import splits_for
from kerascw.errors import CallError, DataError
from kerascw.export.card import card_of
from kerascw.export.formats import check_format
from kerascw.export.load import changed_file, document_beside, read_document
from kerascw.export.runtimes import Format, with_article
from kerascw.export.write import exclusive, export
from kerascw.runs.store import Run

CHECK_IMAGES = 256
"""Test images on which an export is compared with the live model."""


def run_label(run: Run) -> str:
    """Name a run's export: dataset, model and key, and that it is of the sample where it is."""
    return f"{run.name}-sample" if run.experiment.data.sample else run.name


def export_run(
    run: Run,
    folder: Path,
    *,
    data_dir: str | Path | None = None,
    form: Format = "saved_model",
) -> Path:
    """Export the run's model to ``folder/<version>/``, or return where it is there undamaged.

    Formats other than the SavedModel go to ``folder/<format>/<version>/``: a serving system takes
    what is in ``folder`` for versions of a SavedModel. Several processes that export the same run
    at once make one version.

    Raises CallError: the run kept no weights, or its model is not a classifier; and what
    :func:`kerascw.export.write.export` raises.
    """
    if run.experiment.reconstructs:
        raise CallError(
            f"run {run.name}: an autoencoder gives images, not classes; {with_article(form)} for "
            "predict needs a classifier"
        )
    if run.metrics["kept_epoch"] is None:
        raise CallError(f"run {run.name} diverged and kept no weights: nothing to export")
    check_format(form)  # before the model is loaded
    if form != "saved_model":
        folder = folder / form
    with exclusive(folder):
        for path in sorted(folder.glob(str("[0-9]*" / document_beside(form)))):
            version = folder / path.relative_to(folder).parts[0]
            with suppress(DataError, OSError):  # a damaged version is not this run's
                document = read_document(path)
                of_run = document.get("card", {}).get("run") == run.name
                if of_run and changed_file(version, document) is None:
                    return version
        splits = splits_for(run.experiment.data, data_dir)
        return export(
            run.model(),
            folder,
            class_names=splits.class_names,
            card=card_of(run),
            check_images=splits.test.images[:CHECK_IMAGES],
            form=form,
        )
