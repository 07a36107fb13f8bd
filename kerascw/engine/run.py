"""Run one experiment: train what is not trained yet, keep it, never lose it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.data import Dataset, Splits, split
from kerascw.engine.store import Run, Store, write_history, write_json
from kerascw.models import check_model
from kerascw.spec import RECIPE_VERSION, DataSpec, Experiment, Output
from kerascw.training.watcher import Watcher

if TYPE_CHECKING:
    from kerascw.training.fit import Fitted

CHECKPOINT = "checkpoint.npz"


def run_name(experiment: Experiment, dataset: Dataset) -> str:
    """Return the name of the run's folder; its last part is the experiment's key."""
    key = experiment.key(dataset.fingerprint)
    return f"{file_name(experiment.data)}-{experiment.model.kind}-{key}"


def file_name(data: DataSpec) -> str:
    """Return the dataset's name as files and folders can have it.

    >>> file_name(DataSpec(name="fashion_mnist"))
    'fashion_mnist'
    """
    name = data.name if data.folder is None else Path(data.folder.path).name
    return re.sub(r"[^\w.]+", "_", name).strip("_.") or "folder"


def run_experiment(
    experiment: Experiment,
    dataset: Dataset,
    store: Store,
    watcher: Watcher | None = None,
    *,
    draw: bool = True,
) -> Run:
    """Return the experiment's run, training it only if the store does not have it.

    ``draw`` adds the figures and report.html, which takes longer than a small run trains.

    Raises
    ------
    CallError
        The model cannot be built for these pictures, or the split cannot be made.
    Interrupted
        The user stopped it; call again to go on.
    """
    name = run_name(experiment, dataset)
    run = store.get(name)
    splits = split(dataset, experiment.data)
    if run is None:
        run = _claim_and_train(name, experiment, dataset, splits, store, watcher)
    if draw and not (run.folder / "report.html").is_file():
        from kerascw.views.report import draw_run

        draw_run(run, splits)
    return run


def _claim_and_train(
    name: str,
    experiment: Experiment,
    dataset: Dataset,
    splits: Splits,
    store: Store,
    watcher: Watcher | None,
) -> Run:
    check_model(experiment.model, splits.train.shape)
    with store.claim(name) as working:
        run = store.get(name)
        if run is not None:  # another process trained it while this one waited
            working.rmdir()
            return run
        return _train(experiment, dataset, splits, store, working, watcher)


def _train(
    experiment: Experiment,
    dataset: Dataset,
    splits: Splits,
    store: Store,
    working: Path,
    watcher: Watcher | None,
) -> Run:
    from kerascw.engine.environment import describe
    from kerascw.training.fit import fit

    fitted = fit(experiment, splits, working / CHECKPOINT, watcher)
    write_json(
        working / "experiment.json",
        {
            "key": experiment.key(dataset.fingerprint),
            "recipe_version": RECIPE_VERSION,
            "experiment": experiment.model_dump(mode="json"),
        },
    )
    write_history(working / "history.csv", fitted.history)
    metrics = _evaluate(fitted, splits, working, experiment.model.output)
    write_json(working / "metrics.json", metrics)
    images = len(splits.train) * len(fitted.history)
    write_json(
        working / "environment.json",
        describe(dataset)
        | {
            "training_seconds": round(fitted.seconds, 3),
            "training_images_per_second": round(images / max(fitted.seconds, 1e-9), 1),
        },
    )
    fitted.model.save(working / "model.keras", include_optimizer=False)
    return store.finish(working, scratch=CHECKPOINT)


def _evaluate(fitted: "Fitted", splits: Splits, working: Path, output: Output) -> dict[str, Any]:
    """Score the kept weights: the parts that selection saw, then the test set, once."""
    from kerascw.evaluation.metrics import full_report, summary
    from kerascw.training.fit import Predictor

    metrics: dict[str, Any] = {
        "status": "diverged" if fitted.ended == "diverged" else "finished",
        "ended": fitted.ended,
        "epochs_trained": len(fitted.history),
        "kept_epoch": fitted.kept_epoch,
        "parameters": fitted.model.count_params(),
        "class_names": splits.class_names,
        "scored_on_test": 0,
    }
    if fitted.ended == "diverged":
        metrics["reason"] = f"a figure of epoch {len(fitted.history)} is not finite"
    predictions = {}
    if fitted.kept_epoch is not None:
        predict = Predictor(fitted.model)
        metrics["train"] = summary(predict(splits.train.images), splits.train.labels, output)
        if splits.validation is not None:
            predictions["validation_probabilities"] = predict(splits.validation.images)
            predictions["validation_labels"] = splits.validation.labels
            metrics["validation"] = summary(
                predictions["validation_probabilities"], splits.validation.labels, output
            )
        predictions["test_probabilities"] = predict(splits.test.images)
        predictions["test_labels"] = splits.test.labels
        metrics["test"] = full_report(
            predictions["test_probabilities"], splits.test.labels, splits.class_names, output
        )
        metrics["scored_on_test"] = 1
    with (working / "predictions.npz").open("wb") as file:
        np.savez_compressed(file, **predictions)  # type: ignore[arg-type]
    return metrics
