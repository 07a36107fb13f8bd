"""A lab for small-image classification with Keras.

>>> import kerascw
>>> data = kerascw.load_data("fashion_mnist", sample=True)
>>> len(data.train), data.entry.class_names[9]
(6000, 'Ankle boot')

Importing this package does not import TensorFlow; what needs it imports it when called.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascw.data import Dataset
    from kerascw.experiment.settings import override
    from kerascw.experiment.spec import Experiment
    from kerascw.export.load import LoadedModel
    from kerascw.lab.run import StudyResult
    from kerascw.lab.study import Budget

__all__ = ["Experiment", "build_model", "load_data", "load_model", "override", "run"]

_LATE = {"Experiment": "kerascw.experiment.spec", "override": "kerascw.experiment.settings"}
"""Imported when first asked for: Pydantic takes longer than a small model needs to predict."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run(
    study: str,
    *,
    budget: Budget | None = None,
    seeds: int | None = None,
    seed: int = 0,
    folds: int | None = None,
    jobs: int = 1,
    sample: bool = False,
    final: bool = False,
    data: Any = None,
    data_dir: str | Path | None = None,
    recipe: str | None = None,
    runs: str | Path = "runs",
    settings: dict[str, Any] | None = None,
    **shortcuts: Any,
) -> StudyResult:
    """Run a study, as ``python -m kerascw run`` does; what is kept already is not trained again.

    Parameters
    ----------
    budget : ``quick`` or ``full``, the published protocol; the study's own choice if not given.
    seeds, seed : how many seeds, and the first.
    folds : cross-validate every variant over so many folds.
    jobs : how many runs to train side by side.
    sample : take the bundled sample of the dataset.
    final : go on to train on validation too, for the epochs found best.
    data : another dataset: a name, a path or a tuple of arrays, as for :func:`load_data`.
    data_dir : a folder with the dataset's files.
    recipe : the name of a recipe to train by, such as ``best`` (:mod:`kerascw.experiment.recipes`).
    runs : the folder that keeps the runs.
    settings : fields of the experiment by dotted path, such as ``{"model.batch_norm": False}``.
    shortcuts : ``epochs``, ``batch_size``, ``learning_rate``, ``fraction``, ``augment``.

    Returns
    -------
    The runs by variant; ``.run`` is the one that validation chooses, ``.run.metrics`` its figures.

    Raises
    ------
    kerascw.errors.CallError, kerascw.errors.DataError, kerascw.errors.Interrupted

    Examples
    --------
    ``kerascw.run("fashion", epochs=3).run.metrics["test"]["accuracy"]``
    """
    from kerascw.data import data_named
    from kerascw.errors import CallError, choices
    from kerascw.lab.run import SHORTCUTS, planned, run_study
    from kerascw.runs.store import Store
    from kerascw.studies import study_named

    changes = dict(settings or {})
    for name, value in shortcuts.items():
        if name not in SHORTCUTS:
            raise CallError(f"{name}: no such option; choose {choices(SHORTCUTS)}, or settings")
        changes[SHORTCUTS[name]] = value
    chosen = study_named(study)
    plan = planned(
        chosen,
        budget=budget,
        seeds=seeds,
        seed=seed,
        folds=folds,
        sample=sample,
        data=None if data is None else data_named(data),
        data_dir=data_dir,
        recipe=recipe,
        settings=changes,
    )
    return run_study(plan, Store(runs), data_dir=data_dir, final=final, jobs=jobs)


def load_data(
    data: Any, *, data_dir: str | Path | None = None, sample: bool = False, **options: Any
) -> Dataset:
    """Load a dataset by name, from a path or from arrays: see :func:`kerascw.data.load_data`."""
    from kerascw.data import load

    return load.load_data(data, data_dir=data_dir, sample=sample, **options)


def build_model(spec: Any, *arguments: Any, **named: Any) -> Any:
    """Build a Keras model from its spec: see :func:`kerascw.models.build_model`."""
    from kerascw import models

    return models.build_model(spec, *arguments, **named)


def load_model(path: str | Path) -> LoadedModel:
    """Load an exported model for prediction: see :func:`kerascw.export.load.load_model`."""
    from kerascw.export import load as saved_model

    return saved_model.load_model(path)
