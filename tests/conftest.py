import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from kerascw.data import Dataset, load_data
from kerascw.spec import Adam, ConvNet, DataSpec, Dropout, Experiment, Flip, Holdout, TrainingSpec


@pytest.fixture(scope="session")
def sample() -> Dataset:
    return load_data("fashion_mnist", sample=True)


@pytest.fixture
def small() -> Experiment:
    """A quick experiment that uses everything with a state: batch norm, dropout, Adam, flips."""
    return Experiment(
        data=DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=300), fraction=0.15),
        model=ConvNet(
            filters=(6, 8),
            pool_after=(1, 2),
            batch_norm=True,
            batch_norm_momentum=0.9,
            dropout=(Dropout(after="flatten", rate=0.3),),
            dense=(16,),
        ),
        training=TrainingSpec(
            epochs=4, batch_size=32, optimizer=Adam(learning_rate=3e-3), augmentation=(Flip(),)
        ),
    )
