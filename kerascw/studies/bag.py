"""Studies of "Convolutional Bag", parts 1 to 3: five classes of Fashion-MNIST.

    python -m kerascw run bag-cnn --budget full
    python -m kerascw run bag-variants
    python -m kerascw run bag-features --set pictures.layer=2 --set pictures.channels=0,1,2

Fashion-MNIST-1 is the classes T-shirt/top, Trouser, Coat, Sandal and Bag, relabelled 0 to 4; the
last 10,000 training pictures are held out. Pixels are 0 to 255, unscaled. The reports were made
with PyTorch, whose initial weights are kept here (initializer ``torch``).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kerascw.experiment.spec import (
    SGD,
    Adam,
    ConvNet,
    DataSpec,
    Dropout,
    Experiment,
    Holdout,
    OptimizerSpec,
    RMSprop,
    TrainingSpec,
)
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import Published, of_bag, report
from kerascw.lab.repeats import counted
from kerascw.lab.study import Answer, Quick, Runs, Study


def data() -> DataSpec:
    """Return Fashion-MNIST-1 as parts 1 to 3 use it."""
    return DataSpec(
        name="fashion_mnist",
        classes=(0, 1, 4, 5, 8),
        holdout=Holdout(how="last", count=10_000),
        scaling="raw",
    )


# --- part 1 ---------------------------------------------------------------------------------


def cnn() -> dict[str, Experiment]:
    """Return part 1: conv 10 and 20, dense 50; Adam 1e-3, batch 128, 31 epochs."""
    return {
        "bag-cnn": Experiment(
            data=data(),
            model=ConvNet(
                filters=(10, 20), padding="same", pool_after=(1, 2), dense=(50,),
                initializer="torch",
            ),
            training=TrainingSpec(
                epochs=31, batch_size=128, optimizer=Adam(learning_rate=1e-3), keep="last"
            ),
        )
    }  # fmt: skip


def cnn_published() -> dict[str, dict[str, Published]]:
    """Return the three accuracies of part 1."""
    facts = report("convolutional_bag")["part_1"]
    return {
        "bag-cnn": {
            f"{split}.accuracy": of_bag("part 1", split, "accuracy", facts[f"{split}_accuracy"])
            for split in ("train", "validation", "test")
        }
    }


def cnn_answers(runs: Runs) -> list[Answer]:
    """Return which pair is confused most, over the seeds, beside the published pair."""
    published = " and ".join(report("convolutional_bag")["part_1"]["most_confused"])
    pairs = [
        " and ".join(sorted((pair["truth"], pair["prediction"])))
        for run in runs["bag-cnn"]
        if (pair := most_confused_either_way(run)) is not None
    ]
    if not pairs:
        return []
    many = counted(len(pairs), runs["bag-cnn"])
    said = ", ".join(f"{pair} in {count} of {many}" for pair, count in Counter(pairs).most_common())
    return [
        Answer(
            "Which two classes are confused most, either way?",
            f"{said} (published, one seed: {published}).",
        )
    ]


def most_confused_either_way(run: Any) -> dict[str, Any] | None:
    """Return the pair with the most mistakes in both directions together, None without any."""
    if "test" not in run.metrics:
        return None
    names, confusion = run.metrics["class_names"], run.metrics["test"]["confusion"]
    pairs = [
        {"truth": names[i], "prediction": names[j], "count": confusion[i][j] + confusion[j][i]}
        for i in range(len(names))
        for j in range(i)
    ]
    worst = max(pairs, key=lambda pair: pair["count"])
    return worst if worst["count"] else None


BAG_CNN = Study(
    name="bag-cnn",
    question="How well does a two-layer convnet tell five garments apart?",
    dataset="fashion_mnist (5 classes)",
    variants=cnn,
    expected={"quick": "1 min", "full": "6 min"},
    quick=Quick(epochs=4, fraction=0.5),
    figures=("train.accuracy", "validation.accuracy", "test.accuracy", "test.loss"),
    published=cnn_published,
    deviations=("whether an activation follows the dense layer of 50 is not printed; ReLU here",),
    answers=cnn_answers,
)


# --- part 2 ---------------------------------------------------------------------------------

_LAYERS: dict[int, dict[str, Any]] = {
    2: {"filters": (20, 40), "padding": "same", "pool_after": (1, 2)},
    3: {"filters": (10, 50, 20), "padding": "same", "pool_after": (1, 2, 3)},
    # a padding of 3 on every side grows the maps, so that 4x4x20 is left after five pools
    5: {"filters": (10, 50, 40, 30, 20), "padding": 3, "pool_after": (1, 2, 3, 4, 5)},
}
_DROPOUT_AFTER: dict[int, tuple[int, ...]] = {2: (1,), 3: (1, 2), 5: (1, 2, 3, 4, 5)}


def convnet(layers: int, dropout: float) -> ConvNet:
    """Return the convnet of 2, 3 or 5 layers, with spatial dropout after its pools."""
    places = (
        (Dropout(after="pool", rate=dropout, kind="spatial", layers=_DROPOUT_AFTER[layers]),)
        if dropout
        else ()
    )
    return ConvNet(dense=(50,), dropout=places, initializer="torch", **_LAYERS[layers])


def optimizer_of(name: str, rate: float, momentum: float) -> OptimizerSpec:
    """Return an optimiser as the report names it; Adam has no momentum."""
    match name:
        case "adam":
            return Adam(learning_rate=rate)
        case "rmsprop":
            # PyTorch's momentum is none by default, as is Keras'
            return RMSprop(learning_rate=rate, momentum=momentum)
        case _:
            return SGD(learning_rate=rate, momentum=momentum)


def variants() -> dict[str, Experiment]:
    """Return the 21 rows of part 2, batch 256; rows 5 and 8 are one and the same experiment."""
    experiments = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        number, name, layers, dropout, optimizer, momentum, l2, rate, epochs = row[:9]
        experiments[f"{number} {name}"] = Experiment(
            data=data(),
            model=convnet(layers, dropout),
            training=TrainingSpec(
                epochs=epochs,
                batch_size=256,
                optimizer=optimizer_of(optimizer, rate, momentum),
                l2=l2,
                keep="last",
            ),
        )
    return experiments


def variants_published() -> dict[str, dict[str, Published]]:
    """Return loss and accuracy of the three parts for every row."""
    published = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        figures = iter(row[9:])
        published[f"{row[0]} {row[1]}"] = {
            f"{split}.{figure}": of_bag("part 2", split, figure, next(figures), digits)
            for split in ("train", "validation", "test")
            for figure, digits in (("loss", 3), ("accuracy", 4))
        }
    return published


def variants_answers(runs: Runs) -> list[Answer]:
    """Return whether the lowest validation loss names the lowest test loss, run by run."""
    held_out = {
        name: several for name, several in runs.items() if several[0].experiment.data.holdout
    }
    some = min(held_out.values(), key=len, default=[])
    agree, gaps, names = 0, [], []
    for at in range(len(some)):  # the same seed, and fold, of each
        losses = {
            name: tuple(run.metrics[part]["loss"] for part in ("validation", "test"))
            for name, several in held_out.items()
            if (run := several[at]).metrics["status"] == "finished"
        }
        if not losses:
            continue
        chosen = min(losses, key=lambda name: losses[name][0])
        best = min(losses, key=lambda name: losses[name][1])
        agree += losses[chosen][1] == losses[best][1]
        gaps.append(losses[chosen][1] - losses[best][1])
        names.append(chosen)
    if not gaps:
        return []
    return [
        Answer(
            "Was the lowest test loss that of the lowest validation loss?",
            f"In {agree} of {counted(len(gaps), some)}. Validation chose {', '.join(names)}; "
            f"choosing by validation cost {sum(gaps) / len(gaps):.4f} nats of test loss on "
            "average. (Published, one seed: yes, row 20.)",
        )
    ]


BAG_VARIANTS = Study(
    name="bag-variants",
    question="Which of 21 hand-made variants generalises best, and does validation find it?",
    dataset="fashion_mnist (5 classes)",
    variants=variants,
    expected={"quick": "5 min", "full": "9 h"},
    quick=Quick(epochs=4, fraction=0.1),
    figures=(
        *("train.loss", "train.accuracy", "validation.loss", "validation.accuracy"),
        *("test.loss", "test.accuracy"),
    ),
    baseline="2 Optim2",
    published=variants_published,
    deviations=("L2 goes into the gradients and into no loss, as described",),
    answers=variants_answers,
)


# --- part 3 ---------------------------------------------------------------------------------


def features() -> dict[str, Experiment]:
    """Return part 3: conv 10-50-20, spatial dropout 0.5, Adam 1e-4, 200 epochs."""
    return {
        "bag-features": Experiment(
            data=data(),
            model=convnet(3, 0.5),
            training=TrainingSpec(
                epochs=200, batch_size=256, optimizer=Adam(learning_rate=1e-4), keep="last"
            ),
        )
    }


def features_published() -> dict[str, dict[str, Published]]:
    """Return the figures of part 3, which are printed to three decimals."""
    facts = report("convolutional_bag")["part_3"]
    return {
        "bag-features": {
            f"{split}.{figure}": of_bag("part 3", split, figure, facts[f"{split}_{figure}"], 3)
            for split in ("train", "validation")
            for figure in ("accuracy", "loss")
        }
    }


def _feature_pictures(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.features import feature_pictures

    trained = _with_weights(runs["bag-features"])
    return feature_pictures(trained[0], options) if trained else {}


def _feature_answers(runs: Runs) -> list[Answer]:
    from kerascw.report.features import selectivity_answers

    trained = _with_weights(runs["bag-features"])
    return selectivity_answers(trained) if trained else []


def _with_weights(runs: Sequence[Any]) -> list[Any]:
    """Return the runs that did not diverge before they had weights worth keeping."""
    return [run for run in runs if run.metrics["kept_epoch"]]


BAG_FEATURES = Study(
    name="bag-features",
    question="What do the convolutions of a trained convnet respond to?",
    dataset="fashion_mnist (5 classes)",
    variants=features,
    expected={"quick": "1 min", "full": "1 h"},
    quick=Quick(epochs=8, fraction=0.4),
    figures=(
        *("train.accuracy", "validation.accuracy", "test.accuracy"),
        *("train.loss", "validation.loss", "test.loss"),
    ),
    published=features_published,
    pictures=_feature_pictures,
    shows=FeatureMaps(),
    answers=_feature_answers,
)

STUDIES = (BAG_CNN, BAG_VARIANTS, BAG_FEATURES)
