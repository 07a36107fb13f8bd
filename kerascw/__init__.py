"""A lab for small-image classification with Keras.

>>> import kerascw
>>> data = kerascw.load_data("fashion_mnist", sample=True)
>>> len(data.train), data.entry.class_names[9]
(6000, 'Ankle boot')

Importing this package does not import TensorFlow; each function imports what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascw.data import data_named, load_data
    from kerascw.data.load import Data
    from kerascw.experiment.settings import override
    from kerascw.experiment.spec import Custom, DataSpec, Experiment
    from kerascw.export.load import load_model
    from kerascw.lab.study import Answer, Budget, Quick, Study, study
    from kerascw.report.product import Product
    from kerascw.runs.many import StudyWatcher

__all__ = [
    "Answer",
    "Custom",
    "Experiment",
    "Quick",
    "Study",
    "build_model",
    "data_named",
    "load_data",
    "load_model",
    "override",
    "run",
    "study",
    "train",
]

_LATE = {
    "Custom": "kerascw.experiment.spec",
    "Experiment": "kerascw.experiment.spec",
    "data_named": "kerascw.data",
    "load_data": "kerascw.data",
    "load_model": "kerascw.export.load",
    "override": "kerascw.experiment.settings",
    **dict.fromkeys(("Answer", "Quick", "Study", "study"), "kerascw.lab.study"),
}
"""Imported when first asked for: Pydantic takes longer than a small model needs to predict."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(
    study: str | Study,
    *,
    budget: Budget | None = None,
    seeds: int | None = None,
    seed: int = 0,
    folds: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    until_decided: bool = False,
    difference: float | None = None,
    at_most: int | None = None,
    sample: bool = False,
    final: bool = False,
    data: Data | DataSpec | None = None,
    data_dir: str | Path | None = None,
    only: Sequence[str] = (),
    recipe: str | None = None,
    exclude: str | Path | None = None,
    runs: str | Path = "runs",
    models: str | Path | None = "models",
    settings: dict[str, Any] | None = None,
    watcher: StudyWatcher | None = None,
    **shortcuts: Any,
) -> Product:
    """Run a study: train, evaluate, draw its pages, export its model.

    This is what ``python -m kerascw run`` does. Runs that are kept already are not trained again.

    Raises KerascwError, of :mod:`kerascw.errors`: CallError, a wrong call, and DataError, before
    anything is trained; Interrupted, the user stopped a single run in its training; or itself, a
    run's process died twice, the cluster cannot be used, a kept file is damaged, the export failed.
    Stopped while several runs train, or at any other time, it raises KeyboardInterrupt. Either way
    what was trained is kept.

    Parameters
    ----------
    study : a study, its name (``python -m kerascw list`` shows them) or its file, ``my_study.py``.
    budget : ``quick`` or ``full``, the published protocol; the study's own choice by default.
    seeds, seed : the number of seeds, and the first.
    folds : cross-validate every variant over this many folds.
    jobs : how many runs to train side by side.
    cluster : the address of a Dask scheduler whose workers train instead.
    until_decided, difference, at_most : add seeds, up to ``at_most`` (30), until each difference to
        a baseline is significant or, where given, within ``difference``, which is of (0, 1]
        (:mod:`kerascw.lab.decide`); ``seeds`` is the number to begin with.
    sample : take the bundled sample of the dataset.
    final : then train on the validation set too, for the best number of epochs, and test that.
    data : another dataset: a name, a path or a tuple of arrays, as for :func:`load_data`.
    data_dir : a folder with the dataset's files.
    only : the variants to train, by name; none named: all.
    recipe : the name of a recipe to train by, such as ``best`` (:mod:`kerascw.experiment.recipes`).
    exclude : a CSV file of images to leave out, as ``data check`` writes it and you edit it.
    runs : the folder that keeps the runs.
    models : the folder that the model is exported to; None: no export.
    settings : fields of the experiment by dotted path, such as ``{"model.batch_norm": False}``,
        and of the study's further figures, such as ``{"pictures.layer": 2}``.
    watcher : is told how training goes on.
    shortcuts : ``epochs``, ``batch_size``, ``learning_rate``, ``fraction``, ``augment``,
        ``precision``.

    Returns
    -------
    The runs by variant; ``.run`` has the best validation figure, ``.run.metrics`` its figures.
    ``.report()`` draws the page again and returns it; ``.export(format)`` exports the model.

    Examples
    --------
    ``kerascw.run("fashion", epochs=3).run.metrics["test"]["accuracy"]``
    """
    import warnings

    from kerascw.data import data_named
    from kerascw.errors import CallError, option
    from kerascw.lab.decide import MOST, run_until_decided
    from kerascw.lab.plan import planned, settings_with
    from kerascw.lab.run import run_study
    from kerascw.report.product import Product
    from kerascw.report.study import check_pictures
    from kerascw.runs.store import Store, check_writable
    from kerascw.studies import study_named

    for name, value in (("difference", difference), ("at_most", at_most)):
        if value is not None and not until_decided:
            raise CallError(f"{option(name)}: only with {option('until_decided', True)}")
    if difference is not None and not 0 < difference <= 1:
        raise CallError(f"{option('difference')}: {difference}; more than 0 and at most 1")
    if jobs < 1:
        raise CallError(f"{option('jobs')}: {jobs}; at least 1 is needed")
    chosen = study_named(study) if isinstance(study, str) else study
    plan_of = partial(
        planned,
        chosen,
        budget=budget,
        seed=seed,
        folds=folds,
        sample=sample,
        data=None if data is None else data_named(data),
        data_dir=data_dir,
        only=only,
        recipe=recipe,
        exclude=exclude,
        settings=settings_with(shortcuts, settings),
    )
    trained = partial(
        run_study,
        store=Store(runs),
        data_dir=data_dir,
        final=final,
        jobs=jobs,
        cluster=cluster,
        watcher=watcher,
    )
    plan = plan_of(seeds=seeds)
    check_pictures(plan)
    check_writable(runs, "--runs")
    if models is not None:
        check_writable(models, "--models")
    if caution := plan.short_of_steps(data_dir):
        warnings.warn(caution, stacklevel=2)
    if until_decided:
        plan, result = run_until_decided(
            lambda count: plan_of(seeds=count),
            trained,
            first=seeds,
            difference=difference,
            at_most=MOST if at_most is None else at_most,
        )
    else:
        result = trained(plan)
    product = Product(plan, result.runs, data_dir, models or "models")
    product.report()
    if models is not None and product.exports:
        product.export()
    return product


def train(
    data: Data | DataSpec,
    *,
    recipe: str | None = None,
    backbone: str | None = None,
    weights: str = "imagenet",
    minutes: float | None = None,
    sample: bool = False,
    exclude: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    data_dir: str | Path | None = None,
    runs: str | Path = "runs",
    seeds: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    final: bool = False,
    models: str | Path | None = "models",
    watcher: StudyWatcher | None = None,
    **shortcuts: Any,
) -> Product:
    """Train a model on a dataset of your own: this is what ``python -m kerascw train`` does.

    Raises what :func:`run` raises.

    Parameters
    ----------
    data : a folder, a file, a tuple of arrays or a name, as for :func:`load_data`.
    recipe : how to train (``python -m kerascw list --recipes``); fitted to the number of images.
    backbone : a network of ``keras.applications``, such as ``mobilenet_v3_small``, whose output
        layer is trained first, and then all of it.
    weights : of the backbone: ``imagenet``, ``random`` or a file.
    minutes : about how long to train, in place of the recipe's epochs.
    sample, exclude, settings, ..., shortcuts : as for :func:`run`.

    Returns
    -------
    As :func:`run`; ``.advice()`` says what the model confuses and what would help.

    Examples
    --------
    ``kerascw.train("flowers/", minutes=5).export("litert")``
    """
    from kerascw.data import data_named
    from kerascw.lab.plan import settings_with
    from kerascw.studies.train import for_backbone, training

    changes = settings_with(shortcuts, settings)
    spec = data_named(data)
    if backbone is not None and spec is not data:  # of a spec the size was asked for
        spec = for_backbone(spec)
    study = training(
        spec,
        recipe=recipe,
        backbone=backbone,
        weights=weights,
        minutes=minutes,
        sample=sample,
        settings=changes,
        data_dir=data_dir,
        runs=runs,
    )
    return run(
        study,
        seeds=seeds,
        seed=seed,
        jobs=jobs,
        sample=sample,
        exclude=exclude,
        final=final,
        data_dir=data_dir,
        runs=runs,
        models=models,
        settings=changes,
        watcher=watcher,
    )


def build_model(spec: Any, *arguments: Any, **named: Any) -> Any:
    """Build a Keras model from its spec, or from a dictionary with the spec's fields.

    See :func:`kerascw.models.build_model`.

    Raises CallError: a field that does not exist or has a wrong value, or a spec that gives no
    model.
    """
    from kerascw import models
    from kerascw.experiment.settings import validated
    from kerascw.experiment.spec import ModelSpec
    from kerascw.quiet import import_tensorflow

    import_tensorflow()  # before Keras does it, with its notices
    if isinstance(spec, dict):
        spec = validated(ModelSpec, spec, "model.")
    return models.build_model(spec, *arguments, **named)
