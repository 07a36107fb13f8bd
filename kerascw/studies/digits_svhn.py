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
from dataclasses import replace
from typing import Any

import numpy as np

from kerascw.evaluation.statistics import is_shown, over_seeds, paired_difference
from kerascw.experiment.spec import (
    Adamax,
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    Holdout,
    ModelSpec,
    TrainingSpec,
)
from kerascw.lab.effects import column, epochs_to_best, mean_epochs
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import Published, report
from kerascw.lab.repeats import counted, numbered, paired_values, repeats_of
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.table import spread_text
from kerascw.lab.verdict import figure_of

_ADAMAX = Adamax(learning_rate=1e-3, epsilon=1e-8)
_L2 = 0.5e-5


# --- digits ---------------------------------------------------------------------------------


def digits() -> dict[str, Experiment]:
    """Return the dense network and the convnet: 1,000 train, 350 validate, 447 test, in order."""
    models: dict[str, ModelSpec] = {
        "mlp": DenseNet(dense=(128, 64, 64, 32), initializer="torch"),
        "convnet": ConvNet(
            filters=(16, 64),
            padding="same",
            pool_after=(1, 2),
            activation="linear",  # none follows the convs
            dense=(128,),
            dense_activation="relu",
            initializer="torch",
        ),
    }
    return {
        name: Experiment(
            data=DataSpec(name="digits", holdout=Holdout(how="last", count=350), scaling="raw"),
            model=model,
            training=TrainingSpec(
                epochs=1000,
                batch_size=64,
                optimizer=_ADAMAX,
                l2=_L2,
                keep="validation_loss",
                patience=21,  # the report stops when the count is above 20
                evaluate_first=True,
            ),
        )
        for name, model in models.items()
    }


def digits_published() -> dict[str, dict[str, Published]]:
    """Return test loss and error, and validation errors of epochs that are printed."""
    facts = report("digits_svhn")
    where = f"{facts['title']}, digits"
    return {
        name: {
            "test.loss": Published(printed["test_loss"], where),
            "test.error": Published(printed["test_error"], where),
        }
        | {
            f"epoch_{epoch}.validation_error": Published(error, where)
            for epoch, error in printed["validation_errors"].items()
            if f"epoch_{epoch}.validation_error" in _EPOCHS
        }
        for name, printed in facts["digits"].items()
    }


_EPOCHS = tuple(f"epoch_{epoch}.validation_error" for epoch in (10, 60, 170))
"""Of the epochs that are printed, every tenth: the dense network ended between 60 and 69, the
convnet between 170 and 179."""


def digits_answers(runs: Runs) -> list[Answer]:
    """Return the report's four questions, answered by the runs."""
    return [*_objective(runs), *_converge(runs), *_gained(runs)]


def _objective(runs: Runs) -> list[Answer]:
    """Answer questions 1 and 2, of the loss and of taking logarithms, from kept probabilities."""
    trained = [run for several in runs.values() for run in several if run.metrics["kept_epoch"]]
    if not trained:
        return []
    furthest, same, images = 0.0, 0, 0
    for run in trained:
        with np.load(run.folder / "predictions.npz") as file:
            probabilities, labels = file["test_probabilities"], file["test_labels"]
        logs = np.log(np.maximum(probabilities, 1e-7))
        loss = -float(logs[np.arange(len(labels)), labels].mean())
        furthest = max(furthest, abs(loss - run.metrics["test"]["loss"]))
        same += int((logs.argmax(axis=1) == probabilities.argmax(axis=1)).sum())
        images += len(labels)
    return [
        Answer(
            "Question 1: what is minimised?",
            "The mean over images of -log p, with p the probability of the true class: computed "
            f"so from the kept test probabilities, it differs from the reported test loss by at "
            f"most {furthest:.1g} in {counted(len(trained), trained)}.",
        ),
        Answer(
            "Question 2: does the logarithm of softmax name the same class as softmax?",
            f"In {same:,} of {images:,} predictions of test images: logarithms keep the order.",
        ),
    ]


def _converge(runs: Runs) -> list[Answer]:
    """Answer question 3: how fast, and to what, loss and error converge."""
    texts = []
    for figure, what in (("validation_loss", "loss"), ("validation_error", "error")):
        for name in ("mlp", "convnet"):
            epochs = mean_epochs(runs[name], figure)
            lowest = [min(column(run, figure)) for run in runs[name] if column(run, figure)]
            if epochs is not None:
                texts.append(
                    f"{what} of the {name}: within 5 % of its lowest after {epochs:.0f} epochs, "
                    f"lowest {spread_text(over_seeds(lowest))}"
                )
    if not texts:
        return []
    question = "Question 3: how do the two networks converge on the validation set?"
    return [Answer(question, f"{'; '.join(texts)} (means over the seeds).")]


def _gained(runs: Runs) -> list[Answer]:
    """Answer question 4: by how much the convnet's test error is below the dense network's."""
    pairs = paired_values(runs["mlp"], runs["convnet"], "test.error")
    if not pairs:
        return []
    mlp, convnet = zip(*pairs, strict=True)
    gained = paired_difference(mlp, convnet)
    means = f"{over_seeds(convnet).mean:.4f} against {over_seeds(mlp).mean:.4f}"
    said = f"{means}, mean over {numbered(len(pairs), repeats_of(runs['mlp']).unit)}"
    if gained.interval:
        low, high = gained.interval
        shown = "" if is_shown(gained) else ", not significant at 95 %"
        said += f"; {gained.mean:.4f} less (95 % CI {low:.4f} to {high:.4f}{shown})"
    else:
        said += f"; {gained.mean:.4f} less"
    question = "Question 4: how much less does the convnet err than the dense network?"
    return [Answer(question, f"{said}.")]


def _error_curves(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.study_figures import curves_with_test

    return {
        f"{name}, loss and error": (
            curves_with_test(several),
            f"negative log-likelihood and classification error of the {name} against epochs, one "
            "line a run; dashed, the mean test figure of the kept weights",
        )
        for name, several in runs.items()
    }


DIGITS = Study(
    name="digits",
    question="Is a convnet better than a dense network on 1,000 pictures of 8 x 8 pixels?",
    dataset="digits",
    variants=digits,
    expected={"quick": "1 min", "full": "3 min"},
    quick=Quick(epochs=30),
    default_budget="full",
    full_seeds=10,
    figures=(
        *("test.error", "test.loss", "validation.error", "validation.loss"),
        *_EPOCHS,
    ),
    baseline="mlp",
    published=digits_published,
    deviations=(
        "validation figures are printed of every tenth epoch and not of the kept one: ours of the "
        "same epochs stand beside them, where training lasted so long",
        "Keras' Adamax adds epsilon to the norm, PyTorch's to the gradient that enters it",
    ),
    answers=digits_answers,
    pictures=_error_curves,
    exports="digits",
)


# --- SVHN -----------------------------------------------------------------------------------


def svhn() -> dict[str, Experiment]:
    """Return the convnet on the training images; a tenth is held out."""
    return {"svhn": _svhn("svhn", held_out=7_326)}


def svhn_extra() -> dict[str, Experiment]:
    """Return it on training and extra images: the 543,949 of the report's permutation to train."""
    return {"svhn": _svhn("svhn_extra", held_out=60_439)}


def _svhn(name: str, held_out: int) -> Experiment:
    return Experiment(
        data=DataSpec(
            name=name, holdout=Holdout(how="numpy", count=held_out, seed=0), scaling="raw"
        ),
        model=ConvNet(
            filters=(16, 32, 64),
            padding="same",
            pool_after=(1, 2, 3),
            activation="linear",  # none follows the convolutions
            dense=(256, 64),
            dense_activation="relu",
            initializer="torch",
        ),
        training=TrainingSpec(
            epochs=100,
            batch_size=256,
            optimizer=_ADAMAX,
            l2=_L2,
            keep="validation_loss",
            patience=3,  # the report stops when the count is above 2
            evaluate_first=True,
        ),
    )


def svhn_published() -> dict[str, dict[str, Published]]:
    """Return the figures with the extra images.

    The validation figures are those of epoch 6, the best of those printed, every second; training
    went on to epoch 10, so the kept epoch is 7, which is not printed.
    """
    facts, where = report("digits_svhn"), "{title}, SVHN".format(**report("digits_svhn"))
    return {
        "svhn": {
            "test.loss": Published(facts["svhn"]["test_loss"], where),
            "test.error": Published(facts["svhn"]["test_error"], where),
            "epoch_6.validation_loss": Published(facts["svhn"]["epoch_6_validation_loss"], where),
            "epoch_6.validation_error": Published(facts["svhn"]["epoch_6_validation_error"], where),
        }
    }


def _without_extra() -> dict[str, dict[str, Published]]:
    obstacle = "the report trains on the 531,131 extra images too (svhn-extra)"
    return {
        variant: {name: replace(p, not_comparable=obstacle) for name, p in printed.items()}
        for variant, printed in svhn_published().items()
    }


def svhn_answers(runs: Runs) -> list[Answer]:
    """Return whether the test error is below what was required."""
    required = report("digits_svhn")["svhn"]["required_test_error"]
    errors = [error for run in runs["svhn"] if (error := figure_of(run, "test.error")) is not None]
    if not errors:
        return []
    below = sum(error < required for error in errors)
    return [
        Answer(
            f"Is the test error below the required {required}?",
            f"In {below} of {counted(len(errors), runs['svhn'])}; "
            f"mean {over_seeds(errors).mean:.4f}.",
        ),
        *_loss_and_error(runs["svhn"]),
    ]


def _loss_and_error(runs: Sequence[Any]) -> list[Answer]:
    """Return whether the loss goes on falling while the error stands still, as the report sees."""
    texts = []
    for run in runs:
        loss, error = (column(run, f"validation_{name}") for name in ("loss", "error"))
        of_loss, of_error = (
            epochs_to_best(run, f"validation_{name}") for name in ("loss", "error")
        )
        if of_loss is None or of_error is None:
            continue
        lowest = loss.index(min(loss))
        since = min(of_error - 1, lowest)
        fallen, error_fallen = (each[lowest] - each[since] for each in (loss, error))
        texts.append(
            f"seed {run.experiment.seed}: the error is within 5 % of its lowest from epoch "
            f"{of_error} on and the loss from epoch {of_loss} on; from epoch "
            f"{since + 1} to {lowest + 1}, where the loss is lowest, the loss changes by "
            f"{fallen:+.4f} and the error by {error_fallen:+.4f}"
        )
    if not texts:
        return []
    question = "Does the validation loss go on falling while the error stands still?"
    return [Answer(question, f"{'; '.join(texts)}.")]


def _channels(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.channels import channel_pictures
    from kerascw.report.features import example_maps

    return channel_pictures(runs["svhn"][0], options) | example_maps(runs["svhn"], options)


_SVHN_DEVIATIONS = (
    "validation figures are printed of every second epoch and not of the kept one: ours of epoch "
    "6, the best printed, stand beside them",
    "Keras' Adamax adds epsilon to the norm, PyTorch's to the gradient that enters it",
)

SVHN = Study(
    name="svhn",
    question="Does a small convnet read house numbers with an error below 0.1?",
    dataset="svhn",
    variants=svhn,
    expected={"quick": "2 min", "full": "20 min"},
    quick=Quick(epochs=3, fraction=0.1, seeds=1),
    full_seeds=1,
    figures=(
        *("test.error", "test.loss", "validation.error", "validation.loss"),
        *("epoch_6.validation_error", "epoch_6.validation_loss"),
    ),
    published=_without_extra,
    deviations=(
        "trained without the extra images, of which a tenth is held out (svhn-extra has them)",
        *_SVHN_DEVIATIONS,
    ),
    answers=svhn_answers,
    pictures=_channels,
    shows=FeatureMaps(),
    exports="svhn",
)

SVHN_EXTRA = replace(
    SVHN,
    name="svhn-extra",
    exports="svhn-extra",
    question="Does a small convnet read house numbers with an error below 0.1, with extra ones?",
    dataset="svhn_extra",
    variants=svhn_extra,
    expected={"quick": "10 min", "full": "2 h"},
    published=svhn_published,
    deviations=_SVHN_DEVIATIONS,
)

STUDIES = (DIGITS, SVHN, SVHN_EXTRA)
