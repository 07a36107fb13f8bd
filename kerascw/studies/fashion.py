"""The flagship: how well does a small convnet do on Fashion-MNIST in minutes, on two cores?

    python -m kerascw run fashion --seeds 3

It is trained by the recipe ``best-small``, for 12 epochs in place of its 40. docs/speed.md says
what each part of it is worth, by runs on Fashion-MNIST that chose between them on validation
images.
"""

from kerascw.experiment import spec
from kerascw.experiment.recipes import recipe_named
from kerascw.lab.study import Quick, Study


def recipe() -> spec.Experiment:
    """Return the flagship: a short ``best-small`` on Fashion-MNIST, 5,000 images held out."""
    data = spec.DataSpec(name="fashion_mnist", holdout=spec.Holdout(how="first", count=5000))
    small = recipe_named("best-small")
    return spec.Experiment.model_validate(
        {"data": data, "model": small.model, "training": small.training | {"epochs": 12}}
    )


STUDY = Study(
    name="fashion",
    question="How well does a small convnet do on Fashion-MNIST in minutes, on two cores?",
    dataset="fashion_mnist",
    variants=lambda: {"fashion": recipe()},
    expected={"quick": "1 min", "full": "5 min"},
    quick=Quick(epochs=3, fraction=0.2, seeds=1),
    default_budget="full",
    full_seeds=1,
    figures=("validation.accuracy", "test.accuracy", "test.loss"),
    exports="fashion",
)
