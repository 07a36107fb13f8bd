"""Does a Bayesian search find a lower validation loss than 21 variants made by hand?

    python -m kerascw tune bag-variants                  # quick: 21 trials, some minutes
    python -m kerascw tune bag-variants --budget full    # 21 trials of up to 201 epochs: hours
    python -m kerascw tune bag-variants-grid             # the 21 published rows, for comparison

"Convolutional Bag", part 2: five classes of Fashion-MNIST, batch 256. The published rows lie in
this space, which has as many trials as the report has rows. The published best by validation loss
is row 20 (2 layers, dropout 0.25, SGD at 0.001, L2 0.0001, 200 epochs): 0.048, with a test accuracy
of 0.9641. At the quick budget all trials have 4 epochs.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.studies import bag
from tuning.space import Budget

QUESTION = "Which convnet, optimiser and regularisation give five garments the lowest loss?"
OBJECTIVE = "validation_loss"
ORACLE = "bayesian"
BUDGETS = {"quick": Budget(trials=21, epochs=4, fraction=0.1), "full": Budget(trials=21)}


def base() -> Experiment:
    """Return row 2 of the report."""
    return bag.variants()["2 Optim2"]


def space(hp: Any, base: Experiment) -> Experiment:
    """Return a variant, made as the report's own are."""
    optimizer = hp.Choice("optimizer", ["adam", "sgd", "rmsprop"])
    with hp.conditional_scope("optimizer", ["sgd", "rmsprop"]):
        momentum = hp.Float("momentum", 0.0, 0.95)  # None where it is Adam
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model = bag.convnet(hp.Choice("layers", [2, 3, 5]), hp.Float("dropout", 0.0, 0.5))
    return override(
        base,
        {
            "model": model,
            "training.optimizer": bag.optimizer_of(optimizer, rate, momentum or 0.0),
            "training.l2": hp.Choice("l2", [0.0, 1e-4, 1e-3, 1e-2]),
            # the loop of the report runs one epoch more than it is told
            "training.epochs": hp.Choice("epochs", [51, 101, 201]),
        },
    )
