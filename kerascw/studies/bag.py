"""Studies of "Convolutional Bag", parts 1 to 3: five classes of Fashion-MNIST.

    python -m kerascw run bag-cnn --budget full
    python -m kerascw run bag-variants
    python -m kerascw run bag-features --set pictures.layer=2 --set pictures.channels=0,1,2

Fashion-MNIST-1 is the classes T-shirt/top, Trouser, Coat, Sandal and Bag, relabelled 0 to 4; the
last 10,000 training images are held out. Pixels are 0 to 255, unscaled. The reports were made with
PyTorch, whose initial weights and constants of Adam and RMSprop are kept here.

The report's training figures are averages over the last epoch, while the weights change and with
dropout on; ours beside them are the same, from the history.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
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
from kerascw.lab.effects import effect_text, with_weights
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import Published, of_bag, report
from kerascw.lab.repeats import counted, numbered, values_of
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.table import difference_text
from kerascw.runs.store import Run


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
    """Conv 10 and 20, dense 50; Adam 1e-3, batch 128, 31 epochs."""
    model = ConvNet(
        filters=(10, 20), padding="same", pool_after=(1, 2), dense=(50,), initializer="torch"
    )
    training = TrainingSpec(
        epochs=31, batch_size=128, optimizer=optimizer_of("adam", 1e-3), keep="last"
    )
    return {"bag-cnn": Experiment(data=data(), model=model, training=training)}


def cnn_published() -> dict[str, dict[str, Published]]:
    """The three accuracies of part 1."""
    facts = report("convolutional_bag")["part_1"]
    return {
        "bag-cnn": {
            f"{ours}accuracy": of_bag("part 1", split, "accuracy", facts[f"{split}_accuracy"])
            for split, ours in _OURS.items()
        }
    }


def cnn_answers(runs: Runs) -> list[Answer]:
    """Which pair of classes is confused most, over the seeds, and how alike its images are."""
    published = " and ".join(report("convolutional_bag")["part_1"]["most_confused"])
    worst = [(run, pair) for run in runs["bag-cnn"] if (pair := most_confused(run)) is not None]
    if not worst:
        return []
    names = worst[0][0].metrics["class_names"]
    many = counted(len(worst), runs["bag-cnn"])
    pairs = Counter(pair for _, pair in worst).most_common()
    counts = ", ".join(
        f"{' and '.join(sorted(names[at] for at in pair))} in {count} of {many}"
        for pair, count in pairs
    )
    run = next(run for run, pair in worst if pair == pairs[0][0])
    return [
        Answer(
            "Which two classes are confused most, either way?",
            f"{counts} (published, one seed: {published}).",
        ),
        _why_confused(run, *pairs[0][0]),
    ]


def most_confused(run: Run) -> tuple[int, int] | None:
    """Return the two classes with the most mistakes in both directions, None without any."""
    if "test" not in run.metrics:
        return None
    mistakes = np.array(run.metrics["test"]["confusion"])
    mistakes = np.tril(mistakes + mistakes.T, -1)
    second, first = np.unravel_index(mistakes.argmax(), mistakes.shape)
    return (int(first), int(second)) if mistakes.any() else None


def _why_confused(run: Run, first: int, second: int) -> Answer:
    """Whether the pair's pixels are alike in the same regions, as the report supposes."""
    from kerascw.lab.pictures import splits_of
    from kerascw.report.confused import likeness

    names = run.metrics["class_names"]
    found = likeness(run, splits_of(run), first, second)
    confused = ""
    if found.nearest_other_confused is not None:
        confused = (
            f" Of the images that the network of seed {run.experiment.seed} takes for the other "
            f"class, {found.nearest_other_confused:.0%} do."
        )
    return Answer(
        "Why these two? Are their pixel values alike in the same regions, as the report supposes?",
        f"The mean images of {names[first]} and {names[second]} have a correlation of "
        f"{found.correlation:.2f}, number {found.rank} of the {found.pairs} pairs of classes. Of "
        f"their test images, {found.nearest_other:.1%} have their nearest training image, pixel "
        f"by pixel, in the other class.{confused}",
    )


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
    place = Dropout(after="pool", rate=dropout, kind="spatial", layers=_DROPOUT_AFTER[layers])
    places = (place,) if dropout else ()
    return ConvNet(dense=(50,), dropout=places, initializer="torch", **_LAYERS[layers])


def variants() -> dict[str, Experiment]:
    """The 21 rows of part 2, batch 256; rows 5 and 8 are one and the same experiment.

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
    """Loss and accuracy of the three splits for every row."""
    published = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        figures = iter(row[9:])
        published[f"{row[0]} {row[1]}"] = {
            ours + figure: of_bag("part 2", split, figure, next(figures), digits)
            for split, ours in _OURS.items()
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

_BASES = {row: base for rows in _CHANGES.values() for row, base in rows}


def derived_from(variant: str) -> str | None:
    """Return the row that a row changes one thing of, None of the first and of a repeated one."""
    names = {_row(name): name for name in variants()}
    return names.get(_BASES.get(_row(variant), 0)) if variant in names.values() else None


def _row(variant: str) -> int:
    return int(variant.split()[0])


def variants_answers(runs: Runs) -> list[Answer]:
    """Whether validation finds the lowest test loss, and what each change does."""
    answers = _chosen_by_validation(runs)
    # --final adds variants with longer names, which are no rows
    names = {_row(name): name for name in variants() if name in runs}
    for thing, rows in _CHANGES.items():
        effects = [
            f"row {names[row]} minus row {names[base]}: {text}"
            for row, base in rows
            if row in names
            and base in names
            and (text := effect_text(runs, names[row], names[base], "validation.loss"))
        ]
        if effects:
            answers.append(
                Answer(
                    f"What does changing {thing} do to the validation loss?",
                    f"{'; '.join(effects)}. A negative difference is an improvement.",
                )
            )
    return answers


def _chosen_by_validation(runs: Runs) -> list[Answer]:
    """How often the lowest validation loss finds the lowest test loss, seed by seed."""
    held_out = {name: own for name, own in runs.items() if own[0].experiment.data.holdout}
    some = min(held_out.values(), key=len, default=[])
    agree, gaps, names = 0, [], []
    for at in range(len(some)):  # the same seed, and fold, of each
        validation, test = (
            {
                name: own[at].metrics[split]["loss"]
                for name, own in held_out.items()
                if own[at].metrics["status"] == "finished"
            }
            for split in ("validation", "test")
        )
        if validation:
            chosen = min(validation, key=lambda name: validation[name])
            gaps.append(test[chosen] - min(test.values()))
            agree += gaps[-1] == 0
            names.append(chosen)
    if not gaps:
        return []
    gap = fmean(gaps)
    return [
        Answer(
            "Does the lowest validation loss find the lowest test loss?",
            f"In {agree} of {counted(len(gaps), some)}. Validation chose {', '.join(names)}; their "
            f"test loss is on average {gap:.4f} nats above the lowest."
            f"{_why_not(held_out, names, gap)} (Published, one seed: yes, row 20.)",
        )
    ]


def _why_not(runs: Runs, chosen: list[str], gap: float) -> str:
    """Compare the gap with how much the chosen rows' test loss varies from seed to seed."""
    deviations = [
        over_seeds(losses).deviation
        for name in set(chosen)
        if len(losses := values_of(runs[name], "test.loss")) > 1
    ]
    if not deviations:
        return ""
    deviation = fmean(deviations)
    verdict = (
        "the seed alone can change which row is lowest"
        if gap < deviation
        else "the seed alone does not explain the gap"
    )
    return (
        f" The test loss of a chosen row has a standard deviation of {deviation:.4f} over the "
        f"seeds: {verdict}."
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
    """Conv 10-50-20, spatial dropout 0.5, Adam 1e-4, 201 epochs."""
    training = TrainingSpec(
        epochs=201, batch_size=256, optimizer=optimizer_of("adam", 1e-4), keep="last"
    )
    return {"bag-features": Experiment(data=data(), model=convnet(3, 0.5), training=training)}


def features_published() -> dict[str, dict[str, Published]]:
    """The figures of part 3, which are printed to three decimals."""
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

    trained = with_weights(runs["bag-features"])
    return feature_pictures(trained[0], options) if trained else {}


def _feature_answers(runs: Runs) -> list[Answer]:
    from kerascw.lab.pictures import splits_of
    from kerascw.report.features import activity, selectivity_answers

    trained = with_weights(runs["bag-features"])
    if not trained:
        return []
    splits = splits_of(trained[0])
    measured = [activity(run, splits) for run in trained]
    return [
        _by_depth(measured),
        _by_class(measured, splits.class_names),
        *selectivity_answers(trained),
    ]


def _by_depth(measured: Sequence[Any]) -> Answer:
    """Whether channels grow selective with depth, as going from edges to parts implies."""
    medians = np.array(
        [[np.median(own.selectivity(k)) for k in range(len(own.mean))] for own in measured]
    )
    layers = ", ".join(f"conv {k}: {m:.2f}" for k, m in enumerate(medians.mean(axis=0), start=1))
    grown = difference_text(paired_difference(medians[:, -1].tolist(), medians[:, 0].tolist()))
    return Answer(
        "Do channels go from edges to parts of clothes, that is, grow selective with depth?",
        f"Median selectivity of a layer's channels (0: alike for all classes, 1: one class alone), "
        f"mean over {numbered(len(measured), 'seed')}: {layers}; last layer minus first {grown}.",
    )


def _by_class(measured: Sequence[Any], names: Sequence[str]) -> Answer:
    """Which class has the largest and which the smallest mean activation, by layer."""

    def counts(classes: list[int]) -> str:
        return ", ".join(f"{names[at]} ({count})" for at, count in Counter(classes).most_common())

    layers = []
    for k in range(len(measured[0].mean)):
        means = [own.mean[k] for own in measured]
        strongest = counts([int(mean.argmax()) for mean in means])
        weakest = counts([int(mean.argmin()) for mean in means])
        layers.append(f"conv {k + 1}: strongest {strongest}, weakest {weakest}")
    return Answer(
        "Are trousers the strongest and bags the weakest, as the report sees?",
        f"By mean activation on the test set, with the number of seeds of "
        f"{len(measured)}: {'; '.join(layers)}.",
    )


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
