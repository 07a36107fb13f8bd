"""Studies of "Image Based Deep Learning Techniques": CIFAR-10.

    python -m kerascw run cifar-mlp --data-dir DIR
    python -m kerascw run cifar-cnn --budget full --jobs 2 --data-dir DIR
    python -m kerascw run cifar-cnn --data folder:PATH

Pixels in [0, 1]; 10,000 training pictures are held out, drawn so that every class keeps its share.
"""

from kerascw.experiment.spec import (
    SGD,
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    Holdout,
    InverseTime,
    Step,
    TrainingSpec,
)
from kerascw.lab.published import Published, report
from kerascw.lab.study import Quick, Study


def data() -> DataSpec:
    """Return CIFAR-10, 40,000 to train and 10,000 to validate."""
    return DataSpec(name="cifar10", holdout=Holdout(how="stratified", count=10_000))


# --- question 1 -----------------------------------------------------------------------------


def mlp() -> dict[str, Experiment]:
    """Return both published schedules: as published, a picture at a time, and with batches."""
    experiments = {}
    for name, facts in report("image_techniques")["mlp"].items():
        for output, batch_size in (("sigmoid", 1), ("softmax", 64)):
            experiments[f"{name}, {output}, batch {batch_size}"] = Experiment(
                data=data(),
                model=DenseNet.model_validate(
                    {"dense": (10,), "output": output, "initializer": "torch"}
                ),
                training=TrainingSpec(
                    epochs=facts["epochs"],
                    batch_size=batch_size,
                    optimizer=SGD(learning_rate=facts["learning_rate"]),
                    schedule=InverseTime(every=facts["every"], decay=facts["decay"]),
                    keep="last",
                ),
            )
    return experiments


def mlp_published() -> dict[str, dict[str, Published]]:
    """Return the two accuracies and losses, which are of other pictures than ours."""
    facts = report("image_techniques")
    other = "the report trains on all 60,000 pictures, the test set included, and scores on these"
    return {
        f"{name}, sigmoid, batch 1": {
            f"train.{figure}": Published(
                printed[figure], f"{facts['title']}, question 1", not_comparable=other
            )
            for figure in ("accuracy", "loss")
        }
        for name, printed in facts["mlp"].items()
    }


CIFAR_MLP = Study(
    name="cifar-mlp",
    question="How far does a dense network with ten hidden units get on CIFAR-10?",
    dataset="cifar10",
    variants=mlp,
    expected={"quick": "1 min", "full": "6 min"},
    quick=Quick(epochs=4, fraction=0.1),
    full_seeds=1,
    figures=(
        *("train.accuracy", "validation.accuracy", "test.accuracy"),
        *("train.loss", "validation.loss", "test.loss"),
    ),
    baseline="tuned, softmax, batch 64",
    published=mlp_published,
    deviations=(
        "trained on a training part alone, with validation and test apart; the report trains on "
        "training and test pictures together and prints the accuracy on these",
        "the loss of ten sigmoids is their mean binary cross-entropy, and not to be compared with "
        "the cross-entropy of softmax",
        "scaling and initial weights are not printed; [0, 1] and PyTorch's here",
    ),
)


# --- question 2 -----------------------------------------------------------------------------


def cnn() -> dict[str, Experiment]:
    """Return the convnet with the schedule it began with, and with the best of the search."""
    return {
        name: Experiment(
            data=data(),
            model=ConvNet(
                filters=(16, 32),
                padding="same",
                pool_after=(1, 2),
                dense=(128,),
                initializer="torch",
            ),
            training=TrainingSpec(
                epochs=10,
                batch_size=32,
                optimizer=SGD(learning_rate=facts["learning_rate"]),
                schedule=Step(every=facts["every"], factor=facts["factor"]),
                keep="last",
            ),
        )
        for name, facts in report("image_techniques")["cnn"].items()
    }


def cnn_published() -> dict[str, dict[str, Published]]:
    """Return the accuracies on training and validation; no test figure is printed."""
    facts = report("image_techniques")
    return {
        name: {
            f"{part}.accuracy": Published(
                printed[f"{part}_accuracy"], f"{facts['title']}, question 2", digits=digits
            )
            for part, digits in (("train", 5), ("validation", 4))
        }
        for name, printed in facts["cnn"].items()
    }


CIFAR_CNN = Study(
    name="cifar-cnn",
    question="How much is a searched rate schedule worth to a small convnet on CIFAR-10?",
    dataset="cifar10",
    variants=cnn,
    expected={"quick": "1 min", "full": "2 min"},
    quick=Quick(epochs=3, fraction=0.2),
    full_seeds=1,
    figures=("train.accuracy", "validation.accuracy", "test.accuracy", "test.loss"),
    baseline="untuned",
    published=cnn_published,
    deviations=(
        "the tuned model starts from fresh weights; the report's goes on from trained ones",
        "the 10,000 pictures of validation are drawn with every class's share; the report does "
        "not say how its own were",
        "scaling and initial weights are not printed; [0, 1] and PyTorch's here",
    ),
)

STUDIES = (CIFAR_MLP, CIFAR_CNN)
