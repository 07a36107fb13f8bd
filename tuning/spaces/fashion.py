"""Is there a better flagship than the recipe of `run fashion`, at the same cost?

    python -m kerascw tune fashion                                # quick: 15 trials, some minutes
    python -m kerascw tune fashion --oracle hyperband --budget full
    python -m kerascw tune fashion --budget full                  # 30 trials: hours

The defaults are the recipe's own values, which a random or Bayesian search need not try: compare
its winner with ``python -m kerascw run fashion --seeds 5``, which reaches 0.9381 ± 0.0017 on test
with 5,000 images held out. Filters are not searched: the flagship is to train in minutes.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from tuning.space import Budget

QUESTION = "Is there a better recipe than the flagship's, at the same cost?"
OBJECTIVE = "validation_accuracy"
ORACLE = "bayesian"
BUDGETS = {"quick": Budget(trials=15, epochs=3, fraction=0.2), "full": Budget(trials=30)}


def space(hp: Any, base: Experiment) -> Experiment:
    """Return the flagship with other rates and another regularisation."""
    changes: dict[str, Any] = {
        "training.optimizer.learning_rate": hp.Float(
            "learning_rate", 1e-3, 3e-2, sampling="log", default=8e-3
        ),
        "training.optimizer.weight_decay": hp.Float(
            "weight_decay", 1e-3, 0.2, sampling="log", default=0.02
        ),
        "training.schedule.warmup": hp.Float("warmup", 0.05, 0.5, default=0.25),
        "training.label_smoothing": hp.Float("label_smoothing", 0.0, 0.15, default=0.05),
        "training.batch_size": hp.Choice("batch_size", [64, 128, 256], default=128),
    }
    rate = hp.Float("dropout", 0.0, 0.5, default=0.0)
    changes["model.dropout"] = [{"after": "flatten", "rate": rate}] if rate else []
    flips = hp.Float("flips", 0.0, 0.5, default=0.5)  # the share of images that is mirrored
    pixels = hp.Int("shift", 0, 4, default=2)
    changes["training.augmentation"] = [
        *([{"kind": "flip", "probability": flips}] if flips else []),
        *([{"kind": "shift", "pixels": pixels}] if pixels else []),
    ]
    return override(base, changes)
