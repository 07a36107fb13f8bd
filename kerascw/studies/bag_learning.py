"""Studies of "Convolutional Bag", parts 4 and 5: how much data until pre-training stops paying?

    python -m kerascw run bag-pretraining --jobs 2
    python -m kerascw run bag-transfer --jobs 2
    python -m kerascw run bag-pretraining --budget full --seeds 1 --jobs 2

Fashion-MNIST-1 is classes 0, 1, 4, 5 and 8, Fashion-MNIST-2 the other five; the last 10,000
training images are held out of both. Both studies are learning curves: initialisations x fractions
of the training set, which are its first images. Every fraction starts from fresh weights.

Classifiers see pixels of 0..255 as they are, the autoencoder of part 4 divides them by 255. The
figures are the report's: the lowest training and validation loss over the epochs, and accuracies at
the epoch of lowest validation loss.
"""

from collections.abc import Sequence
from typing import Any

from kerascw.errors import counted
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment import spec
from kerascw.lab.curves import (
    CurveFigures,
    by_initialisation,
    comparisons,
    curve_variants,
    curves_of,
    percent,
)
from kerascw.lab.derive import with_data, with_training
from kerascw.lab.effects import answers_to
from kerascw.lab.learning_answers import comparison_answers
from kerascw.lab.published import report
from kerascw.lab.repeats import best_by, mean_of, values_of
from kerascw.lab.study import Answer, Drawn, Quick, Runs, fields_of
from kerascw.lab.table import difference_text
from kerascw.studies import bag
from kerascw.studies.learning_curve import RANDOM, curve_study

FASHION_2 = (2, 3, 6, 7, 9)
FRACTIONS = tuple(number / 20 for number in range(1, 21))
QUICK_FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.4)

SHOWS = CurveFigures("lowest.train_loss", "lowest.validation_loss")
_ACCURACIES = {
    "train": "lowest_validation_loss.train_accuracy",
    "validation": "lowest_validation_loss.validation_accuracy",
    "test": "test.accuracy",
}


DATA = bag.DATA.model_copy(update={"subset": "first"})
"""Fashion-MNIST-1 as parts 4 and 5 use it: a fraction of it is its first images."""


# --- answers of both parts ------------------------------------------------------------------


def _answers(runs: Runs, reading: str) -> list[Answer]:
    """The best of each initialisation, and whether the report's ``reading`` of its curves holds."""
    curves = by_initialisation(runs)
    if not curves:
        return []
    found = []
    for name, curve in curves.items():
        by_percent = {percent(fraction): own for fraction, own in curve.items()}
        if at := best_by(by_percent, SHOWS.validation):
            accuracies = ", ".join(
                f"{split} {mean_of(by_percent[at], figure):.4f}"
                for split, figure in _ACCURACIES.items()
            )
            found.append(f"{name}: {accuracies} at {at} of the training images")
    best = Answer(
        "What is the accuracy of each at its best fraction, by lowest validation loss?",
        f"{'; '.join(found)}.",
    )
    by_training = comparisons(curves_of(curves, SHOWS.training))
    compared, *_ = comparisons(curves_of(curves, SHOWS.validation))
    ends = (*compared.differences[:1], *compared.differences[-1:])
    gaps = [f"{difference_text(end.spread)} at {percent(end.fraction)}" for end in ends]
    what = f"Lowest validation loss of {compared.curve.name} minus that of {compared.baseline.name}"
    holds = f"{what}: {' and '.join(gaps)} of the training images." if gaps else ""
    return [
        best,
        *(answer for each in by_training for answer in comparison_answers(each)[:1]),
        *answers_to({f"Does the report's reading hold, that {reading}?": holds}),
    ]


# --- part 4 ---------------------------------------------------------------------------------

_AUTOENCODER = "the autoencoder"


def pretraining(
    fractions: Sequence[float] = FRACTIONS, epochs: int = 20, autoencoder_epochs: int = 20
) -> dict[str, spec.Experiment]:
    """Both initialisations at the fractions, and the autoencoder.

    That learns from all of Fashion-MNIST-2 and Fashion-MNIST-1's training set.
    """
    everything = spec.Also(classes=FASHION_2, parts=("train", "validation", "test"))
    adam = bag.optimizer_of("adam", 1e-3)
    training = spec.TrainingSpec(
        epochs=autoencoder_epochs, batch_size=128, optimizer=adam, keep="last"
    )
    source = spec.Experiment(
        data=bag.DATA.model_copy(update={"also": (everything,), "scaling": "unit"}),
        model=spec.Autoencoder(filters=(10, 20), kernels=(5,), initializer="torch"),
        training=training,
    )
    base = spec.Experiment(
        # ten outputs: the report's labels of part 4 are not renumbered
        data=DATA.model_copy(update={"relabel": False}),
        model=spec.ConvNet(
            filters=(10, 20), kernels=(5,), pool_after=(1, 2), dense=(50,), initializer="torch"
        ),
        training=training.model_copy(update={"epochs": epochs, "keep": "validation_loss"}),
    )
    start = spec.WarmStart(source=source, layers=("conv_1", "conv_2"), takes="kernels")
    starts = {RANDOM: None, "autoencoder": start}
    return {_AUTOENCODER: source} | curve_variants(base, starts, fractions)


def _reconstructions(runs: Runs, options: Any) -> Drawn:
    """Draw what the first seed's autoencoder makes of test images."""
    from kerascw.lab.pictures import splits_of
    from kerascw.report.run import reconstruction_pictures

    for run in runs.get(_AUTOENCODER, ()):
        if "test" in run.metrics:
            return dict(reconstruction_pictures(run, splits_of(run, options)))
    return {}


PRETRAINING = curve_study(
    **fields_of("convolutional_bag", "bag-pretraining"),
    variants=pretraining,
    quick_variants=lambda: pretraining(QUICK_FRACTIONS, epochs=5, autoencoder_epochs=2),
    curves=SHOWS,
    answers=lambda runs: _answers(
        runs,
        "random weights are better on very little data, the autoencoder's soon after, and both "
        "are close from 90 % on",
    ),
    pictures=_reconstructions,
)


# --- part 5 ---------------------------------------------------------------------------------

_TRANSFERRED = ("conv_1", "conv_2", "dense_1", "dense_2")
_GRID = "Fashion-MNIST-2: "
GRID_RATES, GRID_OPTIMIZERS, GRID_DROPOUTS = (0.001, 0.01), ("adam", "sgd"), (0.0, 0.2, 0.3)


def cell(optimizer: str, rate: float, dropout: float) -> spec.Experiment:
    """Return one cell of the grid on Fashion-MNIST-2; SGD has a momentum of 0.9.

    The model is conv 28, pool, conv 20, dense 500, 100 and 5, with spatial dropout after both
    convs and dropout after the first dense layer.
    """
    places = (
        spec.Dropout(after="pool", rate=dropout, kind="spatial"),
        spec.Dropout(after="conv", rate=dropout, kind="spatial", layers=(2,)),
        spec.Dropout(after="dense", rate=dropout, layers=(1,)),
    )
    return spec.Experiment(
        data=DATA.model_copy(update={"classes": FASHION_2}),
        model=spec.ConvNet(
            filters=(28, 20),
            kernels=(5, 3),
            pool_after=(1,),
            dense=(500, 100),
            dropout=places if dropout else (),
            initializer="torch",
        ),
        training=spec.TrainingSpec(
            epochs=30,
            batch_size=128,
            optimizer=bag.optimizer_of(optimizer, rate, momentum=0.9),
            keep="last",
        ),
    )


def transfer_grid() -> dict[str, spec.Experiment]:
    """The twelve cells on Fashion-MNIST-2."""
    return {
        f"{_GRID}{name} {rate:g} dropout {dropout:g}": cell(name, rate, dropout)
        for rate in GRID_RATES
        for name in GRID_OPTIMIZERS
        for dropout in GRID_DROPOUTS
    }


def best_of_grid(runs: Runs) -> str | None:
    """Return the cell with the lowest validation loss of the last epoch; None if all diverged."""
    cells = [name for name in runs if name.startswith(_GRID)]
    return best_by(runs, "validation.loss", cells)  # of the kept weights: those of the last epoch


def transfer_sweep(runs: Runs) -> dict[str, spec.Experiment]:
    """The sweep from the best cell; nothing if all diverged."""
    best = best_of_grid(runs)
    return {} if best is None else sweep_from(runs[best][0].experiment)


def sweep_from(source: spec.Experiment) -> dict[str, spec.Experiment]:
    """Fashion-MNIST-1 from random weights, from those of a cell of the grid, and these frozen."""
    base = with_training(source, epochs=min(20, source.training.epochs))
    base = with_data(base, classes=DATA.classes)
    starts = {
        RANDOM: None,
        "transferred": spec.WarmStart(source=source, layers=_TRANSFERRED, takes="kernels"),
        "frozen": spec.WarmStart(source=source, layers=_TRANSFERRED, frozen=True),
    }
    fractions = FRACTIONS if source.data.fraction == 1 else QUICK_FRACTIONS
    return curve_variants(base, starts, fractions)


def transfer_answers(runs: Runs) -> list[Answer]:
    """The best cell with its test accuracy, and what the learning curves say."""
    best = best_of_grid(runs)
    if best is None:
        return []
    facts = report("convolutional_bag")["part_5"]
    tested = over_seeds(values_of(runs[best], "test.accuracy"))
    published = "{optimizer} {learning_rate:g} dropout {dropout:g}".format(**facts["best"])
    cell = Answer(
        "Which cell of the grid has the lowest validation loss, and what is its test accuracy?",
        f"{best.removeprefix(_GRID)}: {tested.mean:.4f} on Fashion-MNIST-2, mean over "
        f"{counted(tested.n, 'seed')} (published: {published}, "
        f"{facts['fashion_2_test_accuracy']}).",
    )
    reading = "transferred weights are better on little data, and both are close on more"
    return [cell, *_answers(runs, reading)]


TRANSFER = curve_study(
    **fields_of("convolutional_bag", "bag-transfer"),
    variants=transfer_grid,
    # the study's own quick fraction is the sweep's largest; the grid is on a tenth
    quick_variants=lambda: {
        name: Quick(epochs=3, fraction=0.1).of(cell) for name, cell in transfer_grid().items()
    },
    curves=SHOWS,
    then=transfer_sweep,
    answers=transfer_answers,
)
