"""Studies of "Neural Networks": scikit-learn's digits, and SVHN.

    python -m kerascw run digits --budget full
    python -m kerascw run svhn --data-dir DIR
    python -m kerascw run svhn-extra --budget full --data-dir DIR

Adamax 1e-3 with PyTorch's epsilon; the report's weight decay of 1e-5 is PyTorch's, which adds it
times the weights to the gradients: L2 of half of it. Initial weights are PyTorch's. No activation
follows a convolution; pixels enter as they are (0 to 16 and 0 to 255). The report stops when more
than 20 (SVHN: 2) epochs have passed without a lower validation loss, and keeps the best weights.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from kerascw.errors import counted as numbered
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment import spec
from kerascw.lab.effects import (
    answers_to,
    column,
    effect_text,
    epochs_to_best,
    listed,
    with_weights,
    yes_or_no,
)
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import report
from kerascw.lab.repeats import counted, mean_of, repeats_of, values_of
from kerascw.lab.study import Answer, Drawn, Runs, Study, fields_of
from kerascw.lab.table import spread_text
from kerascw.runs.store import Run

_BOTH = ("loss", "error")

# --- digits ---------------------------------------------------------------------------------


def digits() -> dict[str, spec.Experiment]:
    """The dense network and the convnet: 1,000 images train, 350 validate, 447 test, in order."""
    data = spec.DataSpec(name="digits", holdout=spec.Holdout(how="last", count=350), scaling="raw")
    # the report stops when its count is above 20
    training = _training(epochs=1000, batch_size=64, patience=21)
    dense = spec.DenseNet(dense=(128, 64, 64, 32), initializer="torch")
    convnet = _convnet((16, 64), dense=(128,))
    return {
        "mlp": spec.Experiment(data=data, model=dense, training=training),
        "convnet": spec.Experiment(data=data, model=convnet, training=training),
    }


def _convnet(filters: tuple[int, ...], dense: tuple[int, ...]) -> spec.ConvNet:
    """Return a convnet with a pool after each conv layer, and ReLU only after dense ones."""
    return spec.ConvNet(
        filters=filters,
        padding="same",
        pool_after=tuple(range(1, len(filters) + 1)),
        activation="linear",
        dense=dense,
        dense_activation="relu",
        initializer="torch",
    )


def _training(epochs: int, batch_size: int, patience: int) -> spec.TrainingSpec:
    return spec.TrainingSpec(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=spec.Adamax(learning_rate=1e-3, epsilon=1e-8),
        l2=0.5e-5,
        keep="validation_loss",
        patience=patience,
        evaluate_first=True,
    )


def digits_answers(runs: Runs) -> list[Answer]:
    """The report's four questions, answered by the runs."""
    gained = effect_text(runs, "convnet", "mlp", "test.error")
    if gained:
        convnet, mlp = (mean_of(runs[name], "test.error") for name in ("convnet", "mlp"))
        gained = (
            f"Its mean test error is {convnet:.4f}, the dense network's {mlp:.4f}; the "
            f"difference, paired by {repeats_of(runs['mlp']).unit}, is {gained}."
        )
    trained = with_weights([run for own in runs.values() for run in own])
    converged = listed(_converged(runs), " (means over the seeds).")
    return answers_to(
        (_objective(trained) if trained else {})
        | {
            "Question 3: how do the two networks converge on the validation set?": converged,
            "Question 4: how much less does the convnet err than the dense network?": gained,
        }
    )


def _objective(trained: Sequence[Run]) -> dict[str, str]:
    """Questions 1 and 2, of the loss and of taking logarithms, from kept probabilities."""
    furthest, same, images = 0.0, 0, 0
    for run in trained:
        with np.load(run.folder / "predictions.npz") as file:
            probabilities, labels = file["test_probabilities"], file["test_labels"]
        logs = np.log(np.maximum(probabilities, 1e-7))
        loss = -float(logs[np.arange(len(labels)), labels].mean())
        furthest = max(furthest, abs(loss - run.metrics["test"]["loss"]))
        same += int((logs.argmax(axis=1) == probabilities.argmax(axis=1)).sum())
        images += len(labels)
    return {
        "Question 1: what is minimised?": (
            "The mean over images of -log p, where p is the probability of the true class. "
            "Computed so from the kept test probabilities, it differs from the reported test loss "
            f"by at most {furthest:.1g} in {numbered(len(trained), 'run')}."
        ),
        "Question 2: does the logarithm of softmax name the same class as softmax?": (
            f"In {same:,} of {images:,} predictions of test images: logarithms keep the order."
        ),
    }


def _converged(runs: Runs) -> list[str]:
    """Question 3: how fast, and to what, loss and error converge."""
    texts = []
    for what in _BOTH:
        for name in ("mlp", "convnet"):
            known = {
                run: epochs
                for run in runs[name]
                if (epochs := epochs_to_best(run, f"validation_{what}")) is not None
            }
            if known:
                lowest = over_seeds([min(column(run, f"validation_{what}")) for run in known])
                after = numbered(round(fmean(known.values())), "epoch")
                texts.append(
                    f"{what} of the {name}: within 5 % of its lowest after {after}, lowest "
                    f"{spread_text(lowest)}"
                )
    return texts


def _error_curves(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.curves import curves_with_test

    return {
        f"{name}, loss and error": (
            curves_with_test(several),
            f"negative log-likelihood and classification error of the {name} against epochs, "
            "mean and range over the runs; dashed, the mean test figure of the kept weights",
        )
        for name, several in runs.items()
    }


DIGITS = Study(
    **fields_of("digits_svhn", "digits"),
    variants=digits,
    answers=digits_answers,
    pictures=_error_curves,
)


# --- SVHN -----------------------------------------------------------------------------------


def svhn(name: str = "svhn", held_out: int = 7_326) -> dict[str, spec.Experiment]:
    """The convnet on the training images, or with the extra ones; a tenth is held out."""
    holdout = spec.Holdout(how="numpy", count=held_out, seed=0)
    experiment = spec.Experiment(
        data=spec.DataSpec(name=name, holdout=holdout, scaling="raw"),
        model=_convnet((16, 32, 64), dense=(256, 64)),
        # the report stops when its count is above 2
        training=_training(epochs=100, batch_size=256, patience=3),
    )
    return {"svhn": experiment}


def svhn_answers(runs: Runs) -> list[Answer]:
    """Whether the test error is below what was required, and how loss and error converge."""
    required = report("digits_svhn")["required_test_error"]
    errors = values_of(runs["svhn"], "test.error")
    if not errors:
        return []
    below, of = sum(error < required for error in errors), counted(len(errors), runs["svhn"])
    moves = [text for run in runs["svhn"] if (text := _loss_and_error(run))]
    return answers_to(
        {
            f"Is the test error below the required {required}?": (
                f"{yes_or_no(below, len(errors))}, in {below} of {of}; mean "
                f"{over_seeds(errors).mean:.4f}."
            ),
            "Does the validation loss go on falling while the error stands still?": listed(moves),
        }
    )


def _loss_and_error(run: Run) -> str:
    """Say how the error moves while the loss goes on to its lowest, as the report sees it."""
    of_loss, of_error = (epochs_to_best(run, f"validation_{name}") for name in _BOTH)
    if of_loss is None or of_error is None:
        return ""
    loss, error = (column(run, f"validation_{name}") for name in _BOTH)
    lowest = loss.index(min(loss))
    since = min(of_error - 1, lowest)
    fallen, error_fallen = (each[lowest] - each[since] for each in (loss, error))
    return (
        f"seed {run.experiment.seed}: the error is within 5 % of its lowest from epoch "
        f"{of_error} on and the loss from epoch {of_loss} on; from epoch "
        f"{since + 1} to {lowest + 1}, where the loss is lowest, the loss changes by "
        f"{fallen:+.4f} and the error by {error_fallen:+.4f}"
    )


def _channels(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.features import channel_pictures

    return channel_pictures(runs["svhn"], options)


_SVHN: dict[str, Any] = {
    "answers": svhn_answers,
    "led_by": "Is the test error",
    "pictures": _channels,
    "shows": FeatureMaps(),
}
SVHN = Study(**fields_of("digits_svhn", "svhn"), variants=svhn, **_SVHN)
SVHN_EXTRA = Study(
    **fields_of("digits_svhn", "svhn-extra"),
    variants=lambda: svhn("svhn_extra", held_out=60_439),  # the report's permutation: 543,949 train
    **_SVHN,
)
