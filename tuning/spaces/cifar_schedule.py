"""How much is a searched learning rate schedule worth to a small convnet on CIFAR-10?

    python -m kerascw tune cifar-schedule --data-dir DIR

"Image Based Deep Learning Techniques", question 2: SGD whose learning rate is multiplied by gamma
after every so many epochs; learning rate 0.01 to 0.1, step 1 to 9, gamma 0.01 to 0.99, 50 trials of
10 epochs. Published best: trial 48, learning rate 0.0786, step 5, gamma 0.0688, with 0.7006 on
validation in the search and 0.6971 when it was trained again. The study ``cifar-cnn`` trains that
one beside the untuned.

The report searched with Optuna's TPE, which KerasTuner has not: its nearest is the Bayesian oracle.
"""

from typing import Any

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.studies import image_techniques
from tuning.space import Budget

QUESTION = "Which learning rate and which steps down suit a small convnet on CIFAR-10?"
OBJECTIVE = "validation_accuracy"
ORACLE = "bayesian"
BUDGETS = {"quick": Budget(trials=16, epochs=3, fraction=0.2), "full": Budget(trials=50)}


def base() -> Experiment:
    """Return the convnet with the schedule it began with."""
    return image_techniques.cnn()["untuned"]


def space(hp: Any, base: Experiment) -> Experiment:
    """Return it with another rate and other steps."""
    return override(
        base,
        {
            "training.optimizer.learning_rate": hp.Float(
                "learning_rate", 0.01, 0.1, sampling="log"
            ),
            "training.schedule.every": hp.Int("step", 1, 9),
            "training.schedule.factor": hp.Float("gamma", 0.01, 0.99),
        },
    )
