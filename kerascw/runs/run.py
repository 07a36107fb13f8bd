"""Run one experiment: train what is not trained yet, keep it, never lose it."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.data import Dataset, Part, Splits, split
from kerascw.experiment import spec
from kerascw.models import check_model
from kerascw.models.summary import layer_table
from kerascw.runs.environment import describe, energy_counters, have_threads, joules_since
from kerascw.runs.store import Run, Store, write_history, write_json
from kerascw.training.events import RunEvents
from kerascw.training.watcher import Watcher

if TYPE_CHECKING:
    from kerascw.training.fit import Fitted
    from kerascw.training.predictor import Predictor
    from kerascw.training.traced import Traced

CHECKPOINT = "checkpoint.npz"


def run_name(experiment: spec.Experiment, dataset: Dataset, source: str | None = None) -> str:
    """Name the run's folder; the last part of the name is the experiment's key.

    ``source`` is the name of the run that a warm start begins with, which stands for its data.
    """
    assert (source is None) == (experiment.start is None), "a warm start has a source"
    key = experiment.key("\n".join(filter(None, [dataset.fingerprint, source])))
    return f"{file_name(experiment.data)}-{experiment.model.kind}-{key}"


def file_name(data: spec.DataSpec) -> str:
    """Return the dataset's name in a form that files and folders can have.

    >>> file_name(spec.DataSpec(name="fashion_mnist"))
    'fashion_mnist'
    """
    name = data.name if data.folder is None else Path(data.folder.path).name
    name = name.removesuffix(".csv").removesuffix(".npz")
    return re.sub(r"[^\w.]+", "_", name).strip("_.") or "folder"


def run_experiment(
    experiment: spec.Experiment,
    dataset: Dataset,
    store: Store,
    watcher: Watcher | None = None,
    *,
    source: Run | None = None,
) -> Run:
    """Return the experiment's run, training it only if the store does not have it.

    ``source`` is the run of ``experiment.start.source``, for a warm start.

    Raises CallError: the model cannot be built for these images, or the split cannot be made;
    Interrupted: the user stopped it; call again to go on.
    """
    epochs = experiment.training.epochs
    run = train_until(epochs, experiment, dataset, store, watcher, source=source)
    assert run is not None, "a run that is trained to its last epoch is kept"
    return run


def train_until(
    epochs: int,
    experiment: spec.Experiment,
    dataset: Dataset,
    store: Store,
    watcher: Watcher | None = None,
    *,
    source: Run | None = None,
    splits: Splits | None = None,
) -> Run | None:
    """Train the experiment's first ``epochs`` epochs, if they are not trained yet.

    ``splits`` are those of ``experiment.data``, if they were made already.

    Returns the run if it has ended by then, else None: it stays unfinished in the store, and
    :func:`run_experiment`, or this function with more epochs, goes on from there.
    """
    from kerascw.training.fit import fit

    name = run_name(experiment, dataset, None if source is None else source.name)
    run = store.get(name)
    if run is not None:
        return run
    splits = splits or split(dataset, experiment.data)
    check_model(experiment.model, splits.train.shape, len(splits.class_names))
    with store.claim(name) as working:
        run = store.get(name)
        if run is not None:  # another process trained it while this one waited
            working.rmdir()
            return run
        have_threads()
        energy = energy_counters()
        events = RunEvents(store.events_folder(name), experiment)
        fitted = fit(
            experiment,
            splits,
            working / CHECKPOINT,
            watcher,
            source=None if source is None else source.model(),
            until=None if epochs >= experiment.training.epochs else epochs,
            events=events,
            traced=traced(),
        )
        if fitted is None:
            return None
        joules = joules_since(energy)
        metrics = _write(fitted, experiment, dataset, splits, working, source, joules)
        events.end(metrics)
        return store.finish(working, scratch=CHECKPOINT)


@cache
def traced() -> "Traced":
    """Return the models that this process has traced."""
    from kerascw.training.traced import Traced

    return Traced()


def history_so_far(name: str, store: Store) -> list[dict[str, float]]:
    """Return the history of a kept or unfinished run; [] before its first epoch ended."""
    from kerascw.training.checkpoint import read_history

    run = store.get(name)
    return read_history(store.unfinished(name) / CHECKPOINT) if run is None else run.history


def _write(
    fitted: "Fitted",
    experiment: spec.Experiment,
    dataset: Dataset,
    splits: Splits,
    working: Path,
    source: Run | None,
    joules: float | None,
) -> dict[str, Any]:
    """Score the fitted model and write every file of its run; return the metrics."""
    write_json(
        working / "experiment.json",
        {
            "key": working.name.rsplit("-", 1)[-1],
            "source": None if source is None else source.name,
            "recipe_version": experiment.recipe_version,
            "experiment": experiment.model_dump(mode="json"),
        },
    )
    first = [] if fitted.untrained is None else [{"epoch": 0} | fitted.untrained]
    write_history(working / "history.csv", first + fitted.history)
    metrics = _evaluate(fitted, splits, working, experiment)
    write_json(working / "metrics.json", metrics)
    images = len(splits.train) * len(fitted.history)
    write_json(
        working / "environment.json",
        describe(dataset)
        | {
            "training_seconds": round(fitted.seconds, 3),
            "training_images_per_second": round(images / max(fitted.seconds, 1e-9), 1),
            "processor_joules": joules,  # of the whole machine, since training began or went on
        },
    )
    fitted.model.save(working / "model.keras", include_optimizer=False)
    return metrics


def _evaluate(
    fitted: "Fitted", splits: Splits, working: Path, experiment: spec.Experiment
) -> dict[str, Any]:
    """Score the kept weights: the parts that selection saw, then the test set, once.

    A test set that was trained on is not scored.
    """
    metrics: dict[str, Any] = {
        "status": "diverged" if fitted.ended == "diverged" else "finished",
        "ended": fitted.ended,
        "epochs_trained": len(fitted.history),
        "kept_epoch": fitted.kept_epoch,
        "parameters": fitted.model.count_params(),
        # the moving statistics of batch norm, which no gradient reaches
        "non_trainable_parameters": sum(
            int(np.prod(weight.shape)) for weight in fitted.model.non_trainable_weights
        ),
        "layers": layer_table(fitted.model),
        "class_names": splits.class_names,
        "scored_on_test": 0,
    }
    if fitted.ended == "diverged":
        metrics["reason"] = f"a figure of epoch {len(fitted.history)} is not finite"
    predictions: dict[str, np.ndarray] = {}
    if fitted.kept_epoch is not None:
        predict, model = fitted.predict, experiment.model
        parts = splits.parts()
        if experiment.data.test_in_training:
            del parts["test"]
        if isinstance(model, spec.Autoencoder):
            figures, predictions = _score_pictures(predict, parts, splits.class_names)
        else:
            figures, predictions = _score_classes(predict, parts, splits.class_names, model.output)
        metrics |= figures | {"scored_on_test": int("test" in figures)}
    with (working / "predictions.npz").open("wb") as file:
        np.savez_compressed(file, **predictions)  # type: ignore[arg-type]
    return metrics


Scores = tuple[dict[str, Any], dict[str, np.ndarray]]
"""The figures of each part, and the arrays that predictions.npz keeps."""


def _score_classes(
    predict: "Predictor", parts: dict[str, Part], class_names: tuple[str, ...], output: spec.Output
) -> Scores:
    from kerascw.evaluation.metrics import agreement, full_report, summary

    figures: dict[str, Any] = {}
    heads: dict[str, dict[str, Any]] = {}
    predictions: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        every = predict.every_head(part.images)
        main = every.pop(spec.MAIN_HEAD)
        for head, probabilities in every.items():
            heads.setdefault(head, {})[name] = {
                **summary(probabilities, part.labels, output),
                "agreement": agreement([main, probabilities]),
            }
            if name == "test":
                predictions[f"test_{head}_probabilities"] = probabilities
        if name == "test":
            figures["test"] = full_report(main, part.labels, class_names, output)
        else:
            figures[name] = summary(main, part.labels, output)
        if every:
            figures[name]["agreement_of_all_heads"] = agreement([main, *every.values()])
            figures[name]["agreement_of_auxiliary_heads"] = agreement(list(every.values()))
        if name != "train":
            predictions |= {f"{name}_probabilities": main, f"{name}_labels": part.labels}
            if part.files is not None:
                predictions[f"{name}_files"] = part.files
    return figures | ({"heads": heads} if heads else {}), predictions


KEPT_A_CLASS = 8
"""Of so many test pictures of each class the reconstructions are kept: of all they would take as
much as the pictures do."""


def _score_pictures(
    predict: "Predictor", parts: dict[str, Part], class_names: tuple[str, ...]
) -> Scores:
    from kerascw.evaluation import metrics

    errors = {
        name: metrics.reconstruction_errors(predict, part.images) for name, part in parts.items()
    }
    figures: dict[str, Any] = {
        name: metrics.reconstruction_summary(own) for name, own in errors.items() if name != "test"
    }
    if "test" not in parts:
        return figures, {}
    test = parts["test"]
    figures["test"] = metrics.reconstruction_report(errors["test"], test.labels, class_names)
    first = metrics.first_of_each_class(test.labels, KEPT_A_CLASS)
    return figures, {
        "test_errors": errors["test"].astype(np.float32),
        "test_labels": test.labels,
        "test_reconstructed": first,  # positions in the test set
        "test_reconstructions": metrics.as_pixels(predict(test.images[first])),
    }
