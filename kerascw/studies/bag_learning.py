"""Studies of "Convolutional Bag", parts 4 and 5: how much data until pre-training stops paying?

    python -m kerascw run bag-pretraining --jobs 2
    python -m kerascw run bag-transfer --jobs 2
    python -m kerascw run bag-pretraining --budget full --seeds 1 --jobs 2

Fashion-MNIST-1 is classes 0, 1, 4, 5 and 8, Fashion-MNIST-2 the other five; the last 10,000
training pictures are held out of both. Pixels are in [0, 1] throughout, for weights that are
carried over expect what they have learned on. The subsets of the training data are nested, and the
same for every initialisation; every fraction starts from fresh weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import (
    SGD,
    Adam,
    Also,
    Autoencoder,
    ConvNet,
    DataSpec,
    Dropout,
    Experiment,
    Holdout,
    OptimizerSpec,
    TrainingSpec,
    WarmStart,
)
from kerascw.lab.published import Published, report
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.verdict import figure_of

FASHION_1, FASHION_2 = (0, 1, 4, 5, 8), (2, 3, 6, 7, 9)
FRACTIONS = tuple(number / 20 for number in range(1, 21))
QUICK_FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.4)


def data(classes: tuple[int, ...], fraction: float = 1.0, also: tuple[Also, ...] = ()) -> DataSpec:
    """Return one of the two halves of Fashion-MNIST."""
    return DataSpec(
        name="fashion_mnist",
        classes=classes,
        holdout=Holdout(how="last", count=10_000),
        fraction=fraction,
        also=also,
    )


def variant(initialisation: str, fraction: float) -> str:
    """Return what an initialisation at a fraction is called."""
    return f"{initialisation}, {fraction:.0%}"


def by_initialisation(runs: Runs) -> dict[str, dict[float, Sequence[Any]]]:
    """Return the runs of the learning curve by initialisation and fraction, both in order."""
    curves: dict[str, dict[float, Sequence[Any]]] = {}
    for name, several in runs.items():
        initialisation, comma, _ = name.partition(", ")
        fraction = several[0].experiment.data.fraction
        if comma and name == variant(initialisation, fraction):
            curves.setdefault(initialisation, {})[fraction] = several
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _sweep(
    make: Callable[[float, WarmStart | None], Experiment],
    fractions: Sequence[float],
    starts: Mapping[str, WarmStart | None],
) -> dict[str, Experiment]:
    return {
        variant(name, fraction): make(fraction, start)
        for name, start in starts.items()
        for fraction in fractions
    }


def _best_of_each(runs: Runs) -> list[Answer]:
    """Return the accuracies of each initialisation at the fraction that validation finds best."""
    said = []
    for name, curve in by_initialisation(runs).items():
        means = {}
        for fraction, several in curve.items():
            values = [v for r in several if (v := figure_of(r, "validation.accuracy")) is not None]
            if values:
                means[fraction] = over_seeds(values).mean
        if not means:
            continue
        best = max(means, key=lambda fraction: means[fraction])
        figures = []
        for part in ("train", "validation", "test"):
            values = [v for r in curve[best] if (v := figure_of(r, f"{part}.accuracy")) is not None]
            figures.append(f"{part} {over_seeds(values).mean:.4f}")
        said.append(f"{name}: {', '.join(figures)} at {best:.0%} of the training data")
    return [Answer("What is the best of each, by validation accuracy?", f"{'; '.join(said)}.")]


def _answers(runs: Runs) -> list[Answer]:
    from kerascw.lab.learning_answers import learning_curve_answers

    curves = by_initialisation(runs)
    return [*learning_curve_answers(curves), *_best_of_each(runs)] if curves else []


def _pictures(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.learning_curve import learning_curve_pictures

    curves = by_initialisation(runs)
    return dict(learning_curve_pictures(curves)) if curves else {}


def _published(part: str, initialisation: str, fraction: float) -> dict[str, dict[str, Published]]:
    facts = report("convolutional_bag")
    return {
        variant(initialisation, fraction): {
            f"{split}.accuracy": Published(
                facts[f"part_{part}"][initialisation][f"{split}_accuracy"],
                f"{facts['title']}, part {part}",
                digits=3 if part == "4" else 4,
            )
            for split in ("train", "validation", "test")
        }
    }


def _pretraining_pictures(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    """Return the learning curves, and what the first seed's autoencoder makes of pictures."""
    from kerascw.lab.pictures import splits_of
    from kerascw.report.run import reconstruction_pictures

    trained = [run for run in runs.get(_AUTOENCODER, ()) if "test" in run.metrics]
    drawn = _pictures(runs, options)
    if trained:
        splits = splits_of(trained[0], options)
        drawn |= reconstruction_pictures(trained[0], splits)
    return drawn


_AUTOENCODER = "the autoencoder"

_FIGURES = (
    *("train.loss", "validation.loss"),
    *("train.accuracy", "validation.accuracy", "test.accuracy"),
)
_NO_FOLDS = "its learning curves are paired by seed"


# --- part 4 ---------------------------------------------------------------------------------


def autoencoder(epochs: int = 20) -> Experiment:
    """Return the autoencoder, on all of Fashion-MNIST-2 and Fashion-MNIST-1's training part."""
    everything = Also(classes=FASHION_2, parts=("train", "validation", "test"))
    return Experiment(
        data=data(FASHION_1, also=(everything,)),
        model=Autoencoder(filters=(10, 20), kernels=(5,), initializer="torch"),
        training=TrainingSpec(
            epochs=epochs, batch_size=128, optimizer=Adam(learning_rate=1e-3), keep="last"
        ),
    )


def _pretraining(
    fractions: Sequence[float], epochs: int, autoencoder_epochs: int
) -> dict[str, Experiment]:
    def make(fraction: float, start: WarmStart | None) -> Experiment:
        return Experiment(
            data=data(FASHION_1, fraction),
            model=ConvNet(
                filters=(10, 20),
                kernels=(5,),
                pool_after=(1, 2),
                dense=(50,),
                initializer="torch",
            ),
            training=TrainingSpec(
                epochs=epochs, batch_size=128, optimizer=Adam(learning_rate=1e-3), keep="last"
            ),
            start=start,
        )

    source = autoencoder(autoencoder_epochs)
    starts = {
        "random": None,
        "autoencoder": WarmStart(source=source, layers=("conv_1", "conv_2")),
    }
    return {_AUTOENCODER: source} | _sweep(make, fractions, starts)


def pretraining() -> dict[str, Experiment]:
    """Return both initialisations on 5 %, 10 %, ..., 100 %, and the autoencoder."""
    return _pretraining(FRACTIONS, epochs=20, autoencoder_epochs=20)


def pretraining_quick() -> dict[str, Experiment]:
    """Return the same on five fractions, for fewer epochs."""
    return _pretraining(QUICK_FRACTIONS, epochs=5, autoencoder_epochs=2)


PRETRAINING = Study(
    name="bag-pretraining",
    question="How much data until weights from an autoencoder are no better than random ones?",
    dataset="fashion_mnist (5 classes)",
    variants=pretraining,
    quick_variants=pretraining_quick,
    expected={"quick": "2 min", "full": "45 min"},
    quick=Quick(epochs=5, fraction=0.4, seeds=2),
    figures=_FIGURES,
    published=lambda: _published("4", "random", 1.0) | _published("4", "autoencoder", 0.9),
    deviations=(
        "the autoencoder's losses on training and on validation are apart; the report's printed "
        "training loss adds the validation loss to it",
        "every seed has an autoencoder of its own",
        "the published accuracies are those of each initialisation's best fraction, 100 % and 90 %",
    ),
    answers=_answers,
    pictures=_pretraining_pictures,
    no_folds=_NO_FOLDS,
)


# --- part 5 ---------------------------------------------------------------------------------

_TRANSFERRED = ("conv_1", "conv_2", "dense_1", "dense_2")


def _classifier(own: DataSpec, optimizer: OptimizerSpec, dropout: float, epochs: int) -> Experiment:
    """Return conv 28, pool, conv 20, dense 500, 100 and 5; spatial dropout after both convs."""
    places = (
        Dropout(after="pool", rate=dropout, kind="spatial"),
        Dropout(after="conv", rate=dropout, kind="spatial", layers=(2,)),
        Dropout(after="dense", rate=dropout, layers=(1,)),
    )
    return Experiment(
        data=own,
        model=ConvNet(
            filters=(28, 20),
            kernels=(5, 3),
            pool_after=(1,),
            dense=(500, 100),
            dropout=places if dropout else (),
            initializer="torch",
        ),
        training=TrainingSpec(epochs=epochs, batch_size=128, optimizer=optimizer, keep="last"),
    )


GRID_RATES, GRID_OPTIMIZERS, GRID_DROPOUTS = (0.001, 0.01), ("adam", "sgd"), (0.0, 0.2, 0.3)


def cell(
    optimizer: str, rate: float, dropout: float, epochs: int = 30, fraction: float = 1.0
) -> Experiment:
    """Return one cell of the grid on Fashion-MNIST-2; SGD has a momentum of 0.9."""
    own: OptimizerSpec = (
        Adam(learning_rate=rate) if optimizer == "adam" else SGD(learning_rate=rate, momentum=0.9)
    )
    return _classifier(data(FASHION_2, fraction), own, dropout, epochs)


def _grid(epochs: int, fraction: float = 1.0) -> dict[str, Experiment]:
    return {
        f"Fashion-MNIST-2: {name} {rate:g} dropout {dropout:g}": cell(
            name, rate, dropout, epochs, fraction
        )
        for rate in GRID_RATES
        for name in GRID_OPTIMIZERS
        for dropout in GRID_DROPOUTS
    }


def transfer_grid() -> dict[str, Experiment]:
    """Return the twelve cells on Fashion-MNIST-2, 30 epochs each."""
    return _grid(epochs=30)


def transfer_grid_quick() -> dict[str, Experiment]:
    """Return them on a tenth of the data, for fewer epochs."""
    return _grid(epochs=3, fraction=0.1)


def best_of_grid(runs: Runs) -> str | None:
    """Return the cell with the best mean validation accuracy, None where all diverged."""
    means = {
        name: over_seeds(values).mean
        for name, several in runs.items()
        if name.startswith("Fashion-MNIST-2")
        and (values := [v for r in several if (v := figure_of(r, "validation.accuracy"))])
    }
    return max(means, key=lambda name: means[name]) if means else None


def transfer_sweep(runs: Runs) -> dict[str, Experiment]:
    """Return Fashion-MNIST-1 from the best cell's weights, from these frozen, and from random."""
    best = best_of_grid(runs)
    if best is None:
        return {}
    source = runs[best][0].experiment
    full = source.data.fraction == 1

    def make(fraction: float, start: WarmStart | None) -> Experiment:
        own = source.data.model_copy(update={"classes": FASHION_1, "fraction": fraction})
        return source.model_copy(update={"data": own, "start": start})

    return _sweep(
        make,
        FRACTIONS if full else QUICK_FRACTIONS,
        {
            "random": None,
            "transferred": WarmStart(source=source, layers=_TRANSFERRED),
            "frozen": WarmStart(source=source, layers=_TRANSFERRED, frozen=True),
        },
    )


def transfer_answers(runs: Runs) -> list[Answer]:
    """Return the best cell with its test accuracy, and what the learning curves say."""
    best = best_of_grid(runs)
    if best is None:
        return []
    facts = report("convolutional_bag")["part_5"]
    tested = [v for run in runs[best] if (v := figure_of(run, "test.accuracy")) is not None]
    cell = Answer(
        "Which cell of the grid does validation choose, and what does it score on test?",
        f"{best.removeprefix('Fashion-MNIST-2: ')}: {over_seeds(tested).mean:.4f} on "
        f"Fashion-MNIST-2, mean over {len(tested)} seed{'s' if len(tested) > 1 else ''} "
        f"(published: {facts['best']['optimizer']} {facts['best']['learning_rate']:g} dropout "
        f"{facts['best']['dropout']:g}, {facts['fashion_2_test_accuracy']}).",
    )
    return [cell, *_answers(runs)]


def transfer_published() -> dict[str, dict[str, Published]]:
    """Return part 5's figures, which are of another dataset than the report says."""
    obstacle = (
        "the report's runs named MNIST-1 train and test on Fashion-MNIST-2: a global loader is "
        "used again"
    )
    return {
        name: {
            figure: Published(p.reported, p.where, digits=p.digits, not_comparable=obstacle)
            for figure, p in figures.items()
        }
        for initialisation in ("random", "transferred")
        for name, figures in _published("5", initialisation, 1.0).items()
    }


TRANSFER = Study(
    name="bag-transfer",
    question="How much data until weights from five other garments are no better than random ones?",
    dataset="fashion_mnist (5 classes)",
    variants=transfer_grid,
    quick_variants=transfer_grid_quick,
    expected={"quick": "3 min", "full": "5 h"},
    quick=Quick(epochs=3, fraction=0.4, seeds=2),
    figures=_FIGURES,
    published=transfer_published,
    deviations=(
        "the report's single runs called MNIST-1 train and test on Fashion-MNIST-2, for a global "
        "loader is used again; ours train and test on Fashion-MNIST-1",
        "in the report's sweep from 5 % to 100 % one model goes on training from fraction to "
        "fraction; here every fraction starts anew",
        "every seed starts from its own model of Fashion-MNIST-2, with the best cell's settings",
        "beyond the report: the transferred layers frozen",
    ),
    then=transfer_sweep,
    answers=transfer_answers,
    pictures=_pictures,
    no_folds=_NO_FOLDS,
)

STUDIES = (PRETRAINING, TRANSFER)
