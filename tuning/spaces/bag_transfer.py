"""Which learning rate, optimiser and dropout suit the model whose weights are carried over?

    python -m kerascw tune bag-transfer                  # quick: 12 trials, some minutes
    python -m kerascw tune bag-transfer --budget full    # 30 epochs on all images: an hour or two

The grid of "Convolutional Bag", part 5, on Fashion-MNIST-2 (the classes Pullover, Dress, Shirt,
Sneaker and Ankle boot): 2 rates, 2 optimisers, 3 dropouts. Published best: SGD at 0.001 with
dropout 0.3, 0.9206 on test. The study ``bag-transfer`` goes on from the best cell's weights.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.studies.bag_learning import GRID_DROPOUTS, GRID_OPTIMIZERS, GRID_RATES, cell
from tuning.space import Budget

QUESTION = "Which rate, optimiser and dropout tell five garments apart best?"
OBJECTIVE = "validation_loss"  # of the last epoch, as the report chooses
ORACLE = "grid"
BUDGETS = {"quick": Budget(trials=None, epochs=3, fraction=0.1), "full": Budget(trials=None)}


def base() -> Experiment:
    """Return the published best cell."""
    return cell("sgd", 0.001, 0.3)


def space(hp: Any, base: Experiment) -> Experiment:
    """Return one cell of the grid."""
    own = cell(
        hp.Choice("optimizer", list(GRID_OPTIMIZERS)),
        hp.Choice("learning_rate", list(GRID_RATES)),
        hp.Choice("dropout", list(GRID_DROPOUTS)),
    )
    return override(base, {"model": own.model, "training.optimizer": own.training.optimizer})
