"""Which widths, normalisation and rate suit LeNet-5 on Fashion-MNIST?

    python -m kerascw tune lenet
    python -m kerascw tune lenet --oracle hyperband
    python -m kerascw tune lenet --budget full

The five published variants are corners of this space: 6 and 16 filters or 32 and 64, dense 120 and
84 or 200 and 140, batch norm or none, a constant rate or one that is halved every 5 epochs. The
study ``lenet-variants`` trains these five, and has their published figures.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.studies import lenet
from tuning.space import Budget

QUESTION = "Which widths, normalisation and rate suit LeNet-5 on Fashion-MNIST?"
OBJECTIVE = "validation_accuracy"
ORACLE = "bayesian"
BUDGETS = {"quick": Budget(trials=15, epochs=3, fraction=0.1), "full": Budget(trials=40)}


def base() -> Experiment:
    """Return the report's baseline."""
    return lenet.experiment("baseline")


def space(hp: Any, base: Experiment) -> Experiment:
    """Return a LeNet between the published variants, and somewhat beyond."""
    normalised = hp.Boolean("batch_norm")
    schedule = hp.Choice("schedule", ["constant", "halving"])
    with hp.conditional_scope("schedule", ["halving"]):
        every = hp.Int("halved_every", 2, 8, default=5)  # epochs; None where it is constant
    changes: dict[str, Any] = {
        "model.filters": [
            hp.Int("filters_1", 6, 32, sampling="log"),
            hp.Int("filters_2", 16, 64, sampling="log"),
        ],
        "model.dense": [hp.Int("dense_1", 120, 240, step=40), hp.Int("dense_2", 84, 168, step=28)],
        "model.batch_norm": normalised,
        "model.dense_batch_norm": normalised,
        "training.optimizer.learning_rate": hp.Float(
            "learning_rate", 3e-4, 1e-2, sampling="log", default=1e-3
        ),
        "training.schedule.kind": schedule,
    }
    if every is not None:
        changes["training.schedule.every"] = every
    return override(base, changes)
