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

from pydantic import ValidationError

from kerascw.errors import CallError, choices
from kerascw.experiment.settings import one_line
from kerascw.experiment.spec import (
    AdamW,
    Autoencoder,
    ConvNet,
    DenseNet,
    Dropout,
    Experiment,
    Flip,
    ModelSpec,
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
        models: dict[ModelSpec, str] = {}
        for name, experiment in variants.items():
            models.setdefault(experiment.model, name)
            if experiment.start is not None:
                raise CallError(
                    f"{where} begins {name!r} with another model's layers, and the recipe has a "
                    f"model of its own; choose {_without_model()}"
                )
        if len(models) > 1:
            first, second, *_ = models.values()
            raise CallError(
                f"{where} compares models ({first!r} and {second!r} differ), and the recipe has "
                f"one of its own; choose {_without_model()}"
            )

    def of(self, experiment: Experiment) -> Experiment:
        """Return the experiment with this recipe in place of its own training, and model.

        Raises
        ------
        CallError
            The two do not go together, with the field that does not.
        """
        tree = experiment.model_dump(mode="python")
        if self.model is not None:
            tree["model"] = self.model.model_dump(mode="python")
            tree["training"]["auxiliary_weights"] = (0.0,)
        for name, value in self.training.items():
            tree["training"][name] = value
        try:
            return Experiment.model_validate(tree)
        except ValidationError as error:
            raise CallError(one_line(error, f"--recipe {self.name}: ")) from None


def all_recipes() -> dict[str, Recipe]:
    """Return every recipe by its name."""
    return {recipe.name: recipe for recipe in RECIPES}


def recipe_named(name: str) -> Recipe:
    """Return a recipe, or raise a :class:`CallError` with the choices."""
    recipes = all_recipes()
    if name not in recipes:
        raise CallError(f"no recipe {name!r}; choose {choices(recipes)}")
    return recipes[name]


def _without_model() -> str:
    return f"one without: {choices(recipe.name for recipe in RECIPES if recipe.model is None)}"


# --- the recipes ----------------------------------------------------------------------------

# What each part earned, on Fashion-MNIST with 5,000 images held out. Selection looked at
# validation only; "images a second" are of one core's processor time (AVX-512, float32), other
# programs running beside it, so that only their ratios mean something.
#
# batch norm after the pooling   a quarter of the values to normalise: 3 epochs of `fast` take 22.7
#                                and 20.7 s of processor time, before the pooling 23.0 and 25.3
#                                (two seeds), which have 0.0020 and 0.0040 less accuracy
# width against epochs           images a second, epochs, validation accuracy (mirror average):
#                                  16 32 | 64 64       8,500   3: 0.928   10: 0.940
#                                  24 48 | 96 96       4,500   2: 0.923
#                                  32 64 | 128 128     3,150   4: 0.933
#                                  32 64 64 64         2,150   3: 0.931   (the flagship's)
#                                  32 96 96 192 192      750   6: 0.942   12: 0.945
#                                in little time a small net of more epochs does better than a larger
#                                one of fewer: `fast` has the smallest net, `best` the largest
# space-to-depth stem            64 64 128 at 14x14, 3 epochs: 0.923 at 2,600 images a second, so
#                                left out: its share of the processor's peak is no better
# mirror average                 +0.0015 (-0.0002 to 0.0032) accuracy, -0.0051 (-0.0064 to -0.0038)
#                                loss: nine trainings of six nets, each scored both ways
# weight average                 under one-cycle, whose rate ends at zero: accuracy +0.0000 (-0.0004
#                                to 0.0005), loss +0.0007 (0.0002 to 0.0012), the same nine, so no
#                                worth is shown; `fast` does without, `best` was measured with it.
#                                At a constant rate (2e-3, `fast` for 3 epochs, one seed) 0.99 is
#                                worth 0.0054 accuracy and 0.031 loss: it does what a schedule does
# one-cycle                      against that constant rate: +0.0074 (one seed)
# batch norm                     +0.021 (`fast` for 3 epochs, one seed; 3e-3 without it)
# label smoothing                after 3 epochs -0.0010 and +0.0014 (two seeds): no worth is shown;
#                                over the flagship's 12 epochs 0.0023 (kerascw/studies/fashion.py)
# flips                          in 3 epochs they cost: 0.9318 without flips and mirror average,
#                                0.9296 with them (batch 64, one seed), so `fastest` has neither
# random erasing                 0.5 of the images, up to a fifth: -0.0042 after 6 epochs of the
#                                largest net (one seed; loss 0.2010 against 0.1954), so left out
# batch 64 in place of 128       8 epochs 0.9384 where 10 epochs at 128, in as much time, give
#                                0.9406; but in 3 epochs, of few steps, it is worth 0.0036 (a seed)
# bfloat16                       in shards 1.24 to 1.65 times the rate of float32 on five convnets,
#                                where the processor has avx512_bf16 (docs/speed.md); `fastest`, 3
#                                seeds, validation: 0.9296 0.9228 0.9262, float32 0.9236 0.9264
#                                0.9258. Elsewhere it is slower, so the recipes say `auto`

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

RECIPES = (BEST, FAST, FASTEST, ONE_CYCLE)
