"""Named recipes: ways to train, some with a model, that any study can use in place of its own.

    python -m kerascw list --recipes
    python -m kerascw run fashion --recipe best

A recipe sets those fields of ``training`` that it names, for every variant of the study, and its
model takes the place of every variant's where it has one. The data stay the study's: what is held
out, the classes, the scaling of the pixels. Settings (``--set``) go on top of the recipe. Each is
in ``recipes.toml``.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerascw.errors import CallError, choices
from kerascw.experiment import spec
from kerascw.experiment.settings import override


class Recipe(spec.Spec):
    """A way to train.

    ``training`` has the fields of :class:`~kerascw.experiment.spec.TrainingSpec` that it sets; the
    others stay as the study has them. ``measured`` says what came of it, over how many seeds.
    """

    name: str
    purpose: str
    measured: str
    training: dict[str, Any]
    model: spec.ConvNet | None = None

    def check(self, study: str, variants: Mapping[str, spec.Experiment]) -> None:
        """Raise a :class:`CallError` where the variants of ``study`` cannot take this recipe."""
        where = f"--recipe {self.name}: study {study}"
        for name, experiment in variants.items():
            if isinstance(experiment.model, spec.Autoencoder):
                raise CallError(f"{where} has an autoencoder ({name}); recipes are for classifiers")
        if self.model is None:
            return
        different = len({experiment.model for experiment in variants.values()}) > 1
        if different or any(experiment.start for experiment in variants.values()):
            without = choices(name for name, recipe in RECIPES.items() if recipe.model is None)
            raise CallError(
                f"{where} compares models, or begins with another model's layers, and the recipe "
                f"has a model of its own; choose one without: {without}"
            )

    def of(self, experiment: spec.Experiment) -> spec.Experiment:
        """Return the experiment with this recipe in place of its own training, and model.

        Raises CallError: the two do not go together, with the field that does not.
        """
        changes = {f"training.{name}": value for name, value in self.training.items()}
        if self.model is not None:
            experiment = experiment.model_copy(update={"model": self.model})
            changes["training.auxiliary_weights"] = (0.0,)
        return override(experiment, changes, f"--recipe {self.name}: ")


def recipe_named(name: str) -> Recipe:
    """Return a recipe, or raise a :class:`CallError` with the choices."""
    if name not in RECIPES:
        raise CallError(f"no recipe {name!r}; choose {choices(RECIPES)}")
    return RECIPES[name]


# --- the recipes ----------------------------------------------------------------------------

_TRAINING: dict[str, Any] = {
    "schedule": {"kind": "one_cycle", "warmup": 0.25},
    "l2": 0.0,
    "weight_average": 0.0,
    "keep": "last",  # the rate has come down by then
    "patience": None,
}
"""What all recipes share."""

_WITH_MODEL: dict[str, Any] = {
    # the fastest arithmetic of the processor; studies, which reproduce reports, stay in float32
    "precision": "auto",
    "label_smoothing": 0.05,
    "loss_over_outputs": "mean",
    "shuffle": True,
    "augmentation": [{"kind": "flip", "probability": 0.5}],
}
"""What the recipes with a model of their own share."""

_MODEL: dict[str, Any] = {
    "padding": "same",
    "first_filters": "whitening",
    "later_filters": "identity",
    "batch_norm": True,
    "batch_norm_momentum": 0.9,
    "norm_after_pool": True,
}
"""What their models share."""


def _recipe(name: str, facts: dict[str, Any]) -> Recipe:
    shared = _TRAINING
    if "model" in facts:
        shared = shared | _WITH_MODEL
        facts = facts | {"model": _MODEL | facts["model"]}
    return Recipe(name=name, **facts | {"training": shared | facts["training"]})


RECIPES = {
    name: _recipe(name, facts)
    for name, facts in tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    ).items()
}
