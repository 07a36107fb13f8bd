"""Hyperparameter search by KerasTuner over experiments of the engine.

:func:`hypermodel` gives a space to any KerasTuner tuner; :mod:`tuning.search` is what the command
``tune`` runs.
"""

from typing import Any


def hypermodel(space: str, **options: Any) -> Any:
    """Build a plain ``keras_tuner.HyperModel`` from a space, for any KerasTuner tuner.

    ``options`` are those of :class:`tuning.hypermodel.SpaceHyperModel`. How to use it::

        tuner = keras_tuner.RandomSearch(tuning.hypermodel("fashion", sample=True),
                                         objective="val_accuracy", max_trials=10)
        tuner.search()
    """
    from kerascw.quiet import import_tensorflow

    import_tensorflow()
    from tuning.hypermodel import SpaceHyperModel

    return SpaceHyperModel(space, **options)
