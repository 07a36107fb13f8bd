"""Named recipes: ways to train, some with a model, that any study can use in place of its own.

    python -m kerascw list --recipes
    python -m kerascw run fashion --recipe best

A recipe sets those fields of ``training`` that it names, for every variant of the study, and its
model takes the place of every variant's where it has one. The data stay the study's: what is held
out, the classes, the scaling of the pixels. Settings (``--set``) go on top of the recipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerascw.errors import CallError, choices
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    AdamW,
    Autoencoder,
    ConvNet,
    DenseNet,
    Dropout,
    Experiment,
    Flip,
    OneCycle,
)


@dataclass(frozen=True)
class Recipe:
    """A way to train.

    ``training`` has the fields of :class:`~kerascw.experiment.spec.TrainingSpec` that it sets; the
    others stay as the study has them. ``measured`` says what came of it, over how many seeds.
    """

    name: str
    purpose: str
    measured: str
    training: Mapping[str, Any]
    model: ConvNet | DenseNet | None = None

    def check(self, study: str, variants: Mapping[str, Experiment]) -> None:
        """Raise a :class:`CallError` where the variants of ``study`` cannot take this recipe."""
        where = f"--recipe {self.name}: study {study}"
        for name, experiment in variants.items():
            if isinstance(experiment.model, Autoencoder):
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

    def of(self, experiment: Experiment) -> Experiment:
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

# docs/speed.md says what each part earned

_TRAINING: dict[str, Any] = {
    "schedule": OneCycle(warmup=0.25),
    "l2": 0.0,
    "keep": "last",  # the rate has come down by then
    "patience": None,
}
"""What all recipes share."""

_WITH_MODEL: dict[str, Any] = _TRAINING | {
    # the fastest arithmetic of the processor; studies, which reproduce reports, stay in float32
    "precision": "auto",
    "label_smoothing": 0.05,
    "augmentation": (Flip(probability=0.5),),
}
"""What the recipes with a model of their own share."""

BEST = Recipe(
    name="best",
    purpose="the highest accuracy in minutes, of images that mean the same in a mirror",
    measured="Fashion-MNIST, 1 seed: test 0.9441 (0.9394 to 0.9484)",
    model=ConvNet(
        filters=(32, 96, 96, 192, 192),
        padding="same",
        pool_after=(1, 3, 5),
        batch_norm=True,
        batch_norm_momentum=0.9,
        norm_after_pool=True,
        dropout=(Dropout(after="flatten", rate=0.2),),
        mirror_average=True,
    ),
    training=_WITH_MODEL
    | {
        "epochs": 12,
        "batch_size": 128,
        "optimizer": AdamW(learning_rate=5e-3, weight_decay=0.02),
        "weight_average": 0.998,
    },
)

_FAST_MODEL = ConvNet(
    filters=(16, 32, 64, 64),
    padding="same",
    pool_after=(1, 2, 3),
    batch_norm=True,
    batch_norm_momentum=0.9,
    norm_after_pool=True,
)

FAST = Recipe(
    name="fast",
    purpose="a good accuracy in a minute, of images that mean the same in a mirror",
    measured="Fashion-MNIST on all 60,000, 3 seeds: test 0.9310",
    model=_FAST_MODEL.model_copy(update={"mirror_average": True}),
    training=_WITH_MODEL
    | {
        "epochs": 8,
        "batch_size": 128,
        "optimizer": AdamW(learning_rate=8e-3, weight_decay=0.02),
    },
)

FASTEST = Recipe(
    name="fastest",
    purpose="a good accuracy in seconds; also of signs, which a mirror changes",
    measured="3 seeds: Fashion-MNIST test 0.9200; MNIST, 1 epoch, 0.9930",
    model=_FAST_MODEL,
    training=_WITH_MODEL
    | {
        "epochs": 3,
        "batch_size": 64,
        "optimizer": AdamW(learning_rate=8e-3, weight_decay=0.02),
        "augmentation": (),
    },
)

ONE_CYCLE = Recipe(
    name="one-cycle",
    purpose="the study's own models and epochs, trained as the others are",
    measured="bag-cnn, 10 epochs, 1 seed: validation 0.9885, by its own 0.9875",
    training=_TRAINING
    | {
        "optimizer": AdamW(learning_rate=3e-3, weight_decay=0.02),
        "batch_size": 128,
    },
)

RECIPES = {recipe.name: recipe for recipe in (BEST, FAST, FASTEST, ONE_CYCLE)}
