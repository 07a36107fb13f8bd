"""Which of the 21 published rows has the lowest validation loss?

    python -m kerascw tune bag-variants-grid                  # quick: 21 trials, some minutes
    python -m kerascw tune bag-variants-grid --budget full    # the published epochs: hours

The hand search of "Convolutional Bag", part 2, as a grid with one hyperparameter: the row.
Published best by validation loss: row 20, 0.048. Rows 5 and 8 are the same experiment, as are
rows 2 and 4 at the quick budget.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.studies import bag
from tuning.space import Budget
from tuning.spaces.bag_variants import OBJECTIVE, base

QUESTION = "Which of 21 hand-made variants has the lowest validation loss?"
ORACLE = "grid"
BUDGETS = {"quick": Budget(trials=None, epochs=4, fraction=0.1), "full": Budget(trials=None)}
__all__ = ["BUDGETS", "OBJECTIVE", "ORACLE", "QUESTION", "base", "space"]


def space(hp: Any, base: Experiment) -> Experiment:
    """Return a published row, on the base's data and with its batch size."""
    rows = bag.variants()
    row = rows[hp.Choice("row", list(rows))]
    return override(
        base,
        {
            "model": row.model,
            "training.optimizer": row.training.optimizer,
            "training.l2": row.training.l2,
            "training.epochs": row.training.epochs,
        },
    )
