"""Derive experiments: repeated over seeds and folds, on other data, on all training data."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kerascw.data import Dataset
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DataSpec, Exclude, Experiment, Holdout
from kerascw.runs.store import Run


def with_data(experiment: Experiment, **changes: Any) -> Experiment:
    """Change fields of the experiment's data; they are not checked."""
    return experiment.model_copy(update={"data": experiment.data.model_copy(update=changes)})


def with_training(experiment: Experiment, **changes: Any) -> Experiment:
    """Change fields of the experiment's training; they are not checked."""
    training = experiment.training.model_copy(update=changes)
    return experiment.model_copy(update={"training": training})


# --- over seeds and folds -------------------------------------------------------------------


def repeated(experiment: Experiment, seeds: Iterable[int]) -> list[Experiment]:
    """Repeat the experiment with every seed, and if it holds out a fold, with each of its folds.

    The folds are the same with every seed: they are drawn from ``data.holdout.seed``.

    Raises CallError: an experiment with folds that starts from another one's weights.
    """
    if experiment.folds is None:
        return [with_seed(experiment, seed) for seed in seeds]
    if experiment.start is not None:
        raise CallError(
            "data.holdout.how: fold, but the variant starts from the weights of another "
            "experiment, which has learned from images of every fold"
        )
    return [
        with_fold(with_seed(experiment, seed), fold)
        for seed in seeds
        for fold in range(experiment.folds)
    ]


def cross_validated(experiment: Experiment, folds: int) -> Experiment:
    """Hold out a fold, in place of what the experiment held out.

    Raises CallError: fewer than two folds.
    """
    if folds < 2:
        raise CallError(f"--folds: {folds}; at least 2 are needed")
    old = experiment.data.holdout
    holdout = Holdout(how="fold", folds=folds, seed=0 if old is None else old.seed)
    return with_data(experiment, holdout=holdout)


def with_fold(experiment: Experiment, fold: int) -> Experiment:
    """Hold out another of the experiment's folds, counted from 0."""
    assert experiment.data.holdout is not None
    return with_data(experiment, holdout=experiment.data.holdout.model_copy(update={"fold": fold}))


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """Give the experiment another seed, and the source of its warm start the same."""
    if experiment.seeds.split and experiment.data.holdout is not None:
        own = experiment.data.holdout.model_copy(update={"seed": seed})
        experiment = with_data(experiment, holdout=own)
    seeded = experiment.model_copy(update={"seed": seed})
    return _with_source(seeded, lambda source: with_seed(source, seed))


def without(experiment: Experiment, exclude: Exclude) -> Experiment:
    """Leave images out, also of the source of a warm start: it must not have seen them either."""
    changed = with_data(experiment, exclude=exclude)
    return _with_source(changed, lambda source: without(source, exclude))


def _with_source(experiment: Experiment, change: Callable[[Experiment], Experiment]) -> Experiment:
    """Change the source of the experiment's warm start, if it has one."""
    if experiment.start is None:
        return experiment
    start = experiment.start.model_copy(update={"source": change(experiment.start.source)})
    return experiment.model_copy(update={"start": start})


# --- on other data --------------------------------------------------------------------------


def on_other_data(experiment: Experiment, data: DataSpec, dataset: Dataset) -> Experiment:
    """Replace the experiment's dataset by another, with all its classes.

    The holdout becomes the dataset's own validation set if it has one. Else it stays as it is if it
    leaves four fifths to train on; if not, it becomes a stratified tenth of the training set. The
    first images of a folder, which are in the order of their classes, become a stratified part of
    it, and what trains in the order of the files, in a new order every epoch: class by class it
    would learn the last one. Folds stay folds of the training set; the dataset's own validation set
    is then not used.
    """
    holdout, n = experiment.data.holdout, len(dataset.train)
    if holdout is not None and holdout.how != "fold":
        fits = holdout.count <= n // 5
        if dataset.validation is not None:
            holdout = Holdout(how="own")
        elif not fits or (data.folder and holdout.how == "first"):
            holdout = Holdout(how="stratified", count=holdout.count if fits else max(1, n // 10))
    if data.folder:
        experiment = with_training(experiment, shuffle=True)
    return with_data(
        experiment,
        name=data.name,
        folder=data.folder,
        classes=None,
        holdout=holdout,
        also=(),  # all classes are its own
        exclude=data.exclude,
    )


def of_sample(experiment: Experiment) -> Experiment:
    """Put the experiment on the bundled sample, holding out the same share of it.

    The sample has a tenth of the dataset's training images.
    """
    holdout = experiment.data.holdout
    if holdout is not None:
        holdout = holdout.model_copy(update={"count": max(1, holdout.count // 10)})
    return _with_source(with_data(experiment, sample=True, holdout=holdout), of_sample)


# --- on everything --------------------------------------------------------------------------


def retrained_on_everything(run: Run, epochs: int | None = None) -> Experiment:
    """Train the run's experiment on validation too, for its best number of epochs.

    ``epochs`` is another number to train for.
    """
    if run.experiment.data.holdout is None:
        raise CallError("--final: data.holdout is none, everything is trained on")
    epochs = epochs or run.metrics["kept_epoch"]
    if epochs is None:
        raise CallError(f"--final: run {run.name} diverged, no number of epochs was found")
    also = []  # what was held out is in the training set now
    for each in run.experiment.data.also:
        parts = dict.fromkeys("train" if part == "validation" else part for part in each.parts)
        also.append(each.model_copy(update={"parts": tuple(parts)}))
    changes = {
        "data.holdout": None, "data.also": also, "training.epochs": epochs,
        "training.keep": "last", "training.patience": None, "training.evaluate_first": False,
    }  # fmt: skip
    return override(run.experiment, changes, "--final: ")


def finals_of(runs: Sequence[Run]) -> list[Experiment]:
    """Derive what ``final`` trains of a variant: one experiment for each that held out.

    The folds of a seed share one, for the rounded mean of their best numbers of epochs.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if run.experiment.data.holdout and run.metrics["kept_epoch"]:
            e = run.experiment
            of_all_folds = with_fold(e, 0) if e.folds else e
            alike.setdefault(of_all_folds.canonical_json(), []).append(run)
    return [
        retrained_on_everything(
            several[0], round(sum(run.metrics["kept_epoch"] for run in several) / len(several))
        )
        for several in alike.values()
    ]
