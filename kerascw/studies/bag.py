"""Studies of "Convolutional Bag", parts 1 to 3: five classes of Fashion-MNIST.

    python -m kerascw run bag-cnn --budget full
    python -m kerascw run bag-variants
    python -m kerascw run bag-features --set pictures.layer=2 --set pictures.channels=0,1,2

Fashion-MNIST-1 is the classes T-shirt/top, Trouser, Coat, Sandal and Bag, relabelled 0 to 4; the
last 10,000 training images are held out. Pixels are 0 to 255, unscaled. The reports were made with
PyTorch, whose initial weights and constants of Adam and RMSprop are kept here.

The report's training figures are averages over the last epoch, while the weights change and dropout
drops; ours beside them are the same, from the history.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerascw.evaluation.statistics import over_seeds, paired_difference
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
from kerascw.lab.effects import effect_text
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import Published, of_bag, report
from kerascw.lab.repeats import counted, numbered, values_of
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.table import difference_text


def data() -> DataSpec:
    """Return Fashion-MNIST-1 as parts 1 to 3 use it."""
    return DataSpec(
        name="fashion_mnist",
        classes=(0, 1, 4, 5, 8),
        holdout=Holdout(how="last", count=10_000),
        scaling="raw",
    )


_OURS = {"train": "last_epoch.train_", "validation": "validation.", "test": "test."}
"""What stands beside the figures of each split, without the figure's name."""


def optimizer_of(name: str, rate: float, momentum: float = 0.0) -> OptimizerSpec:
    """Return an optimiser as the report names it, with PyTorch's constants."""
    match name:
        case "adam":
            return Adam(learning_rate=rate, epsilon=1e-8)
        case "rmsprop":
            return RMSprop(
                learning_rate=rate, momentum=momentum, rho=0.99, epsilon=1e-8, epsilon_in_root=False
            )
        case _:
            return SGD(learning_rate=rate, momentum=momentum)


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
                epochs=31, batch_size=128, optimizer=optimizer_of("adam", 1e-3), keep="last"
            ),
        )
    }  # fmt: skip


def cnn_published() -> dict[str, dict[str, Published]]:
    """Return the three accuracies of part 1."""
    facts = report("convolutional_bag")["part_1"]
    return {
        "bag-cnn": {
            _OURS[split] + "accuracy": of_bag(
                "part 1", split, "accuracy", facts[f"{split}_accuracy"]
            )
            for split in _OURS
        }
    }


def cnn_answers(runs: Runs) -> list[Answer]:
    """Return which pair is confused most, over the seeds, and how alike its images are."""
    published = " and ".join(report("convolutional_bag")["part_1"]["most_confused"])
    worst = [
        (run, pair)
        for run in runs["bag-cnn"]
        if (pair := most_confused_either_way(run)) is not None
    ]
    if not worst:
        return []
    many = counted(len(worst), runs["bag-cnn"])
    names = Counter(
        " and ".join(sorted((pair["truth"], pair["prediction"]))) for _, pair in worst
    ).most_common()
    counts = ", ".join(f"{pair} in {count} of {many}" for pair, count in names)
    first, second = names[0][0].split(" and ")
    shown = next(
        (run, pair) for run, pair in worst if {pair["truth"], pair["prediction"]} == {first, second}
    )
    return [
        Answer(
            "Which two classes are confused most, either way?",
            f"{counts} (published, one seed: {published}).",
        ),
        _why_confused(*shown),
    ]


def _why_confused(run: Any, pair: dict[str, Any]) -> Answer:
    """Return whether the pair's pixels are alike in similar regions, as the report supposes."""
    from kerascw.lab.pictures import splits_of
    from kerascw.report.confused import likeness

    first, second = (run.metrics["class_names"].index(pair[of]) for of in ("truth", "prediction"))
    found = likeness(run, splits_of(run), first, second)
    confused = (
        ""
        if found.nearest_other_confused is None
        else f" Of those that seed {run.experiment.seed} takes for the other, "
        f"{found.nearest_other_confused:.0%} do."
    )
    return Answer(
        "Why these two? Are their pixel values alike in the same regions, as the report supposes?",
        f"The mean images of {pair['truth']} and {pair['prediction']} correlate at "
        f"{found.correlation:.2f}, the {_ordinal(found.rank)} highest of {found.pairs} pairs of "
        f"classes. Of their test images, {found.nearest_other:.1%} have their nearest training "
        f"image, pixel by pixel, in the other class.{confused}",
    )


def _ordinal(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _confused_pictures(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.confused import confused_pictures

    for run in runs["bag-cnn"]:
        pair = most_confused_either_way(run)
        if pair is not None:
            names = run.metrics["class_names"]
            first, second = (names.index(pair[of]) for of in ("truth", "prediction"))
            return confused_pictures(run, first, second, options)
    return {}


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


_DEVIATIONS = (
    "Keras' Adam adds epsilon before its bias correction, PyTorch's after it",
    "our losses and accuracies are means over images; the report's are means over batches, where "
    "the last, smaller one counts as much as any; its accuracies are corrected for that",
)

BAG_CNN = Study(
    name="bag-cnn",
    question="How well does a two-layer convnet tell five garments apart?",
    dataset="fashion_mnist (5 classes)",
    variants=cnn,
    expected={"quick": "1 min", "full": "6 min"},
    quick=Quick(epochs=4, fraction=0.5),
    figures=("last_epoch.train_accuracy", "validation.accuracy", "test.accuracy", "test.loss"),
    published=cnn_published,
    deviations=_DEVIATIONS,
    answers=cnn_answers,
    pictures=_confused_pictures,
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


def variants() -> dict[str, Experiment]:
    """Return the 21 rows of part 2, batch 256; rows 5 and 8 are one and the same experiment.

    Each is trained for an epoch more than its row says: the report's loop is ``range(epochs + 1)``.
    """
    experiments = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        number, name, layers, dropout, optimizer, momentum, l2, rate, epochs = row[:9]
        experiments[f"{number} {name}"] = Experiment(
            data=data(),
            model=convnet(layers, dropout),
            training=TrainingSpec(
                epochs=epochs + 1,
                batch_size=256,
                optimizer=optimizer_of(optimizer, rate, momentum),
                l2=l2,
                keep="last",
            ),
        )
    return experiments


def variants_published() -> dict[str, dict[str, Published]]:
    """Return loss and accuracy of the three splits for every row."""
    published = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        figures = iter(row[9:])
        published[f"{row[0]} {row[1]}"] = {
            _OURS[split] + figure: of_bag("part 2", split, figure, next(figures), digits)
            for split in _OURS
            for figure, digits in (("loss", 3), ("accuracy", 4))
        }
    return published


_CHANGES = {
    "the optimiser": ((2, 1), (3, 1), (21, 20)),
    "the number of epochs": ((4, 2), (5, 2)),
    "the learning rate": ((6, 5), (7, 5)),
    "the number of conv layers": ((9, 5), (10, 5)),
    "L2 regularisation": ((11, 10), (12, 10), (13, 10), (19, 5)),
    "dropout": ((14, 10), (15, 10), (20, 19)),
    "momentum": ((16, 10), (17, 10), (18, 5)),
}
"""What the report changes one at a time: for each thing, rows with the row each was derived from.
Row 8 repeats row 5."""


def derived_from(variant: str) -> str | None:
    """Return the row that a row changes one thing of, None of the first and of a repeated one."""
    names = {int(name.split()[0]): name for name in variants()}
    for rows in _CHANGES.values():
        for row, base in rows:
            if names[row] == variant:
                return names[base]
    return None


def variants_answers(runs: Runs) -> list[Answer]:
    """Return whether validation finds the lowest test loss, and what each change does."""
    answers = _chosen_by_validation(runs)
    numbered_rows = {int(name.split()[0]): name for name in runs if name.split()[0].isdigit()}
    for thing, rows in _CHANGES.items():
        effects = [
            f"row {name} against row {base}: {text}"
            for row, of in rows
            if (name := numbered_rows.get(row))
            and (base := numbered_rows.get(of))
            and (text := effect_text(runs, name, base, "validation.loss"))
        ]
        if effects:
            answers.append(
                Answer(
                    f"What does changing {thing} do to the validation loss?",
                    f"{'; '.join(effects)}. Below zero is better.",
                )
            )
    return answers


def _chosen_by_validation(runs: Runs) -> list[Answer]:
    """Return how often the lowest validation loss names the lowest test loss, run by run."""
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
    mean_gap = sum(gaps) / len(gaps)
    return [
        Answer(
            "Was the lowest test loss that of the lowest validation loss?",
            f"In {agree} of {counted(len(gaps), some)}. Validation chose {', '.join(names)}; "
            f"choosing by validation cost {mean_gap:.4f} nats of test loss on "
            f"average.{_why_not(held_out, names, mean_gap)} (Published, one seed: yes, row 20.)",
        )
    ]


def _why_not(runs: Runs, chosen: list[str], gap: float) -> str:
    """Return the gap beside the spread of the chosen rows' test loss from seed to seed."""
    deviations = [
        over_seeds(losses).deviation
        for name in set(chosen)
        if len(losses := values_of(runs[name], "test.loss")) > 1
    ]
    if not deviations:
        return ""
    spread = sum(deviations) / len(deviations)
    verdict = (
        "so that which row is lowest is within what the seed alone changes"
        if gap < spread
        else "so that the seed alone does not explain it"
    )
    return (
        f" The test loss of a chosen row has a standard deviation of {spread:.4f} over the seeds, "
        f"{verdict}."
    )


BAG_VARIANTS = Study(
    name="bag-variants",
    question="Which of 21 hand-made variants generalises best, and does validation find it?",
    dataset="fashion_mnist (5 classes)",
    variants=variants,
    expected={"quick": "5 min", "full": "9 h"},
    quick=Quick(epochs=4, fraction=0.1),
    figures=(
        *("last_epoch.train_loss", "last_epoch.train_accuracy"),
        *("validation.loss", "validation.accuracy", "test.loss", "test.accuracy"),
    ),
    baseline="the row it was derived from",
    baseline_of=derived_from,
    published=variants_published,
    deviations=(
        *_DEVIATIONS,
        "rows 5 and 8 have the same settings and different figures: one experiment here",
    ),
    answers=variants_answers,
)


# --- part 3 ---------------------------------------------------------------------------------


def features() -> dict[str, Experiment]:
    """Return part 3: conv 10-50-20, spatial dropout 0.5, Adam 1e-4, 201 epochs."""
    return {
        "bag-features": Experiment(
            data=data(),
            model=convnet(3, 0.5),
            training=TrainingSpec(
                epochs=201, batch_size=256, optimizer=optimizer_of("adam", 1e-4), keep="last"
            ),
        )
    }


def features_published() -> dict[str, dict[str, Published]]:
    """Return the figures of part 3, which are printed to three decimals."""
    facts = report("convolutional_bag")["part_3"]
    return {
        "bag-features": {
            _OURS[split] + figure: of_bag("part 3", split, figure, facts[f"{split}_{figure}"], 3)
            for split in ("train", "validation")
            for figure in ("accuracy", "loss")
        }
    }


def _feature_pictures(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.features import feature_pictures

    trained = _with_weights(runs["bag-features"])
    return feature_pictures(trained[0], options) if trained else {}


def _feature_answers(runs: Runs) -> list[Answer]:
    from kerascw.lab.pictures import splits_of
    from kerascw.report.features import activity, selectivity_answers

    trained = _with_weights(runs["bag-features"])
    if not trained:
        return []
    splits = splits_of(trained[0])
    names = trained[0].metrics["class_names"]
    measured = [activity(run, splits) for run in trained]
    return [
        _by_depth(measured),
        _by_class(measured, names),
        *selectivity_answers(trained),
    ]


def _by_depth(measured: Sequence[Any]) -> Answer:
    """Return whether channels grow selective with depth, as going from edges to parts implies."""
    medians = np.array(
        [[np.median(own.selectivity(k)) for k in range(len(own.mean))] for own in measured]
    )
    layers = ", ".join(f"conv {k + 1}: {m:.2f}" for k, m in enumerate(medians.mean(axis=0)))
    grown = difference_text(paired_difference(medians[:, -1].tolist(), medians[:, 0].tolist()))
    return Answer(
        "Do channels go from edges to parts of clothes, that is, grow selective with depth?",
        f"Median selectivity of a layer's channels (0: alike for all classes, 1: one class alone), "
        f"mean over {numbered(len(measured), 'seed')}: {layers}; last less first {grown}.",
    )


def _by_class(measured: Sequence[Any], names: Sequence[str]) -> Answer:
    """Return which class has the largest and which the smallest mean activation, by layer."""
    layers = []
    for k in range(len(measured[0].mean)):
        strongest = Counter(names[own.mean[k].argmax()] for own in measured)
        weakest = Counter(names[own.mean[k].argmin()] for own in measured)
        layers.append(f"conv {k + 1}: strongest {_counts(strongest)}, weakest {_counts(weakest)}")
    return Answer(
        "Are trousers the strongest and bags the weakest, as the report sees?",
        f"By mean activation on the test set, in how many of {numbered(len(measured), 'seed')}: "
        f"{'; '.join(layers)}.",
    )


def _counts(several: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in several.most_common())


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
        *("last_epoch.train_accuracy", "validation.accuracy", "test.accuracy"),
        *("last_epoch.train_loss", "validation.loss", "test.loss"),
    ),
    published=features_published,
    deviations=_DEVIATIONS,
    pictures=_feature_pictures,
    shows=FeatureMaps(),
    answers=_feature_answers,
)

STUDIES = (BAG_CNN, BAG_VARIANTS, BAG_FEATURES)
