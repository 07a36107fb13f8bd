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
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from kerascw.errors import counted as numbered
from kerascw.evaluation.statistics import is_shown, over_seeds, paired_difference
from kerascw.experiment import spec
from kerascw.lab.effects import answers_to, effect_text, listed, with_weights, yes_or_no
from kerascw.lab.pictures import FeatureMaps, splits_of
from kerascw.lab.published import report
from kerascw.lab.repeats import counted, values_of
from kerascw.lab.study import Answer, Drawn, Runs, Study, fields_of
from kerascw.lab.table import difference_text
from kerascw.runs.store import Run

DATA = spec.DataSpec(
    name="fashion_mnist",
    classes=(0, 1, 4, 5, 8),
    holdout=spec.Holdout(how="last", count=10_000),
    scaling="raw",
)
"""Fashion-MNIST-1 as parts 1 to 3 use it."""


def optimizer_of(name: str, rate: float, momentum: float = 0.0) -> spec.OptimizerSpec:
    """Return an optimiser as the report names it, with PyTorch's constants."""
    match name:
        case "adam":
            return spec.Adam(learning_rate=rate, epsilon=1e-8)
        case "rmsprop":
            return spec.RMSprop(
                learning_rate=rate, momentum=momentum, rho=0.99, epsilon=1e-8, epsilon_in_root=False
            )
        case _:
            return spec.SGD(learning_rate=rate, momentum=momentum)


# --- part 1 ---------------------------------------------------------------------------------


def cnn() -> dict[str, spec.Experiment]:
    """Conv 10 and 20, dense 50; Adam 1e-3, batch 128, 31 epochs."""
    model = spec.ConvNet(
        filters=(10, 20), padding="same", pool_after=(1, 2), dense=(50,), initializer="torch"
    )
    adam = optimizer_of("adam", 1e-3)
    training = spec.TrainingSpec(epochs=31, batch_size=128, optimizer=adam, keep="last")
    return {"bag-cnn": spec.Experiment(data=DATA, model=model, training=training)}


def cnn_answers(runs: Runs) -> list[Answer]:
    """Which pair of classes is confused most, over the seeds, and how alike its images are."""
    published = " and ".join(report("convolutional_bag")["part_1"]["most_confused"])
    worst = [(run, pair) for run in runs["bag-cnn"] if (pair := most_confused(run)) is not None]
    if not worst:
        return []
    names = worst[0][0].metrics["class_names"]
    pairs = Counter(pair for _, pair in worst).most_common()
    counts = ", ".join(
        f"{' and '.join(sorted(names[at] for at in pair))} in {count} of "
        f"{counted(len(worst), runs['bag-cnn'])}"
        for pair, count in pairs
    )
    run = next(run for run, pair in worst if pair == pairs[0][0])
    most = f"{counts} (published, one seed: {published})."
    why = "Why these two? Are their pixel values alike in the same regions, as the report supposes?"
    return [
        Answer("Which two classes are confused most, either way?", most),
        Answer(why, _why_confused(run, *pairs[0][0])),
    ]


def most_confused(run: Run) -> tuple[int, int] | None:
    """Return the two classes with the most mistakes in both directions, None without any."""
    if "test" not in run.metrics:
        return None
    mistakes = np.array(run.metrics["test"]["confusion"])
    mistakes = np.tril(mistakes + mistakes.T, -1)
    second, first = np.unravel_index(mistakes.argmax(), mistakes.shape)
    return (int(first), int(second)) if mistakes.any() else None


def _why_confused(run: Run, first: int, second: int) -> str:
    from kerascw.report.confused import likeness

    names = run.metrics["class_names"]
    found = likeness(run, splits_of(run), first, second)
    confused = ""
    if found.nearest_other_confused is not None:
        confused = (
            f" Of the images that the network of seed {run.experiment.seed} takes for the other "
            f"class, {found.nearest_other_confused:.0%} do."
        )
    return (
        f"The mean images of {names[first]} and {names[second]} have a correlation of "
        f"{found.correlation:.2f}, number {found.rank} of the {found.pairs} pairs of classes. Of "
        f"their test images, {found.nearest_other:.1%} have their nearest training image, pixel "
        f"by pixel, in the other class.{confused}"
    )


def _confused_pictures(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.confused import confused_pictures

    for run in runs["bag-cnn"]:
        if pair := most_confused(run):
            return confused_pictures(run, *pair, options)
    return {}


BAG_CNN = Study(
    **fields_of("convolutional_bag", "bag-cnn"),
    variants=cnn,
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


def convnet(layers: int, dropout: float) -> spec.ConvNet:
    """Return the convnet of 2, 3 or 5 layers, with spatial dropout after its pools."""
    place = spec.Dropout(after="pool", rate=dropout, kind="spatial", layers=_DROPOUT_AFTER[layers])
    places = (place,) if dropout else ()
    return spec.ConvNet(dense=(50,), dropout=places, initializer="torch", **_LAYERS[layers])


def variants() -> dict[str, spec.Experiment]:
    """The 21 rows of part 2, batch 256; rows 5 and 8 are one and the same experiment.

    Each is trained for an epoch more than its row says: the report's loop is ``range(epochs + 1)``.
    """
    experiments = {}
    for row in report("convolutional_bag")["part_2"]["rows"]:
        number, name, layers, dropout, optimizer, momentum, l2, rate, epochs = row[:9]
        experiments[f"{number} {name}"] = spec.Experiment(
            data=DATA,
            model=convnet(layers, dropout),
            training=spec.TrainingSpec(
                epochs=epochs + 1,
                batch_size=256,
                optimizer=optimizer_of(optimizer, rate, momentum),
                l2=l2,
                keep="last",
            ),
        )
    return experiments


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
    names = _rows(variants())
    pairs = (pair for rows in _CHANGES.values() for pair in rows)
    return next((names[base] for row, base in pairs if names[row] == variant), None)


def _rows(names: Iterable[str]) -> dict[int, str]:
    return {int(name.split()[0]): name for name in names}


def variants_answers(runs: Runs) -> list[Answer]:
    """Whether validation finds the lowest test loss, and what each change does."""
    names = _rows(name for name in variants() if name in runs)  # not those that --final adds
    texts = {"Does the lowest validation loss find the lowest test loss?": _found(runs)}
    for thing, rows in _CHANGES.items():
        effects = [
            f"row {names[row]} minus row {names[base]}: {text}"
            for row, base in rows
            if row in names
            and base in names
            and (text := effect_text(runs, names[row], names[base], "validation.loss"))
        ]
        texts[f"What does changing {thing} do to the validation loss?"] = listed(
            effects, ". A negative difference is an improvement."
        )
    return answers_to(texts)


def _found(runs: Runs) -> str:
    """How often the lowest validation loss finds the lowest test loss, seed by seed."""
    held_out = {name: own for name, own in runs.items() if own[0].experiment.data.holdout}
    gaps, chosen = [], []
    for several in zip(*held_out.values(), strict=False):  # the same seed, and fold, of each
        named = zip(held_out, several, strict=True)
        metrics = {n: run.metrics for n, run in named if run.metrics["status"] == "finished"}
        if metrics:
            chosen.append(min(metrics, key=lambda name: metrics[name]["validation"]["loss"]))
            lowest = min(own["test"]["loss"] for own in metrics.values())
            gaps.append(metrics[chosen[-1]]["test"]["loss"] - lowest)
    if not gaps:
        return ""
    found, of = gaps.count(0), counted(len(gaps), min(held_out.values(), key=len))
    return (
        f"{yes_or_no(found, len(gaps))}, in {found} of {of}. Validation chose {', '.join(chosen)}; "
        f"their test loss is on average {fmean(gaps):.4f} nats above the lowest."
        f"{_why_not(held_out, chosen, fmean(gaps))} (Published, one seed: yes, row 20.)"
    )


def _why_not(runs: Runs, chosen: list[str], gap: float) -> str:
    """Compare the gap with how much the chosen rows' test loss varies from seed to seed."""
    losses = [values_of(runs[name], "test.loss") for name in set(chosen)]
    deviations = [over_seeds(values).deviation for values in losses if len(values) > 1]
    if not deviations:
        return ""
    deviation = fmean(deviations)
    can = "can change which row is lowest" if gap < deviation else "does not explain the gap"
    return (
        f" The test loss of a chosen row has a standard deviation of {deviation:.4f} over the "
        f"seeds: the seed alone {can}."
    )


BAG_VARIANTS = Study(
    **fields_of("convolutional_bag", "bag-variants"),
    variants=variants,
    baseline_of=derived_from,
    led_by="Does the lowest validation loss",
    answers=variants_answers,
)


# --- part 3 ---------------------------------------------------------------------------------


def features() -> dict[str, spec.Experiment]:
    """Conv 10-50-20, spatial dropout 0.5, Adam 1e-4, 201 epochs."""
    adam = optimizer_of("adam", 1e-4)
    training = spec.TrainingSpec(epochs=201, batch_size=256, optimizer=adam, keep="last")
    return {"bag-features": spec.Experiment(data=DATA, model=convnet(3, 0.5), training=training)}


def _feature_pictures(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.features import feature_pictures

    trained = with_weights(runs["bag-features"])
    return feature_pictures(trained[0], options) if trained else {}


def _feature_answers(runs: Runs) -> list[Answer]:
    """Whether channels grow selective with depth, and which classes they respond to."""
    from kerascw.report.features import activity, selectivity_answers

    trained = with_weights(runs["bag-features"])
    if not trained:
        return []
    splits = splits_of(trained[0])
    measured = [activity(run, splits) for run in trained]
    medians = np.array(
        [[np.median(own.selectivity(k)) for k in range(len(own.mean))] for own in measured]
    )
    layers = ", ".join(f"conv {k}: {m:.2f}" for k, m in enumerate(medians.mean(axis=0), start=1))
    grown = paired_difference(medians[:, -1].tolist(), medians[:, 0].tolist())
    says = "Not shown"
    if is_shown(grown):
        says = "Yes" if grown.mean > 0 else "No"
    by_depth = Answer(
        "Do channels go from edges to parts of clothes, that is, grow selective with depth?",
        f"{says}. Median selectivity of a layer's channels (0: alike for all classes, 1: one class "
        f"alone), mean over {numbered(len(measured), 'seed')}: {layers}; last layer minus first "
        f"{difference_text(grown)}.",
    )
    by_class = Answer(
        "Are trousers the strongest and bags the weakest, as the report sees?",
        f"By mean activation on the test set, with the number of seeds of {len(measured)}: "
        f"{'; '.join(_extremes(measured, splits.class_names))}.",
    )
    return [by_depth, by_class, *selectivity_answers(trained)]


def _extremes(measured: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Say of each layer which class has the largest and which the smallest mean activation."""

    def counts(classes: list[int]) -> str:
        return ", ".join(f"{names[at]} ({count})" for at, count in Counter(classes).most_common())

    texts = []
    for k in range(len(measured[0].mean)):
        strongest, weakest = (
            counts([int(of(own.mean[k])) for own in measured])
            for of in (np.nanargmax, np.nanargmin)
        )
        texts.append(f"conv {k + 1}: strongest {strongest}, weakest {weakest}")
    return texts


BAG_FEATURES = Study(
    **fields_of("convolutional_bag", "bag-features"),
    variants=features,
    pictures=_feature_pictures,
    shows=FeatureMaps(),
    answers=_feature_answers,
    led_by="Do channels go",
)
