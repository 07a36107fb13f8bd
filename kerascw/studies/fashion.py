"""The flagship: how well does a small convnet do on Fashion-MNIST in minutes, on two cores?

python -m kerascw run fashion --seeds 3
"""

from kerascw.spec import (
    AdamW,
    ConvNet,
    DataSpec,
    Dropout,
    Experiment,
    Flip,
    Holdout,
    OneCycle,
    TrainingSpec,
)
from kerascw.studies import Quick, Study


def recipe() -> Experiment:
    """Return the flagship recipe."""
    return Experiment(
        data=DataSpec(name="fashion_mnist", holdout=Holdout(how="first", count=5000)),
        model=ConvNet(
            filters=(32, 64, 64, 64),
            padding="same",
            pool_after=(1, 3, 4),
            batch_norm=True,
            batch_norm_momentum=0.9,
            dropout=(Dropout(after="flatten", rate=0.2),),
        ),
        training=TrainingSpec(
            epochs=12,
            batch_size=128,
            optimizer=AdamW(learning_rate=6e-3, weight_decay=0.02),
            schedule=OneCycle(warmup=0.25),
            label_smoothing=0.05,
            augmentation=(Flip(probability=0.5),),
        ),
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
