"""Hyperparameter search by KerasTuner over experiments of the engine.

:func:`hypermodel` gives a space to any KerasTuner tuner; :mod:`tuning.search` is what the command
``tune`` runs.
"""

from typing import Any


def hypermodel(space: str, **options: Any) -> Any:
    """Build a KerasTuner hypermodel from a space: :class:`tuning.hypermodel.SpaceHyperModel`."""
    from kerascw.quiet import import_tensorflow

    import_tensorflow()
    from tuning.hypermodel import SpaceHyperModel

    return SpaceHyperModel(space, **options)
