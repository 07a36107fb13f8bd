"""Studies of "Neural Networks": scikit-learn's digits, and SVHN.

    python -m kerascw run digits --budget full
    python -m kerascw run svhn --data-dir DIR
    python -m kerascw run svhn-extra --budget full --data-dir DIR

Adamax 1e-3; the report's weight decay of 1e-5 is PyTorch's, which adds it times the weights to the
gradients: L2 of half of it. Initial weights are PyTorch's.
"""

from dataclasses import replace
from typing import Any

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
from kerascw.lab.pictures import FeatureMaps
from kerascw.lab.published import Published, report
from kerascw.lab.repeats import counted, numbered, paired_values, repeats_of
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.verdict import figure_of

_ADAMAX = Adamax(learning_rate=1e-3)
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
                patience=20,
            ),
        )
        for name, model in models.items()
    }


def digits_published() -> dict[str, dict[str, Published]]:
    """Return test loss and error, and the validation error of the last epoch."""
    facts = report("digits_svhn")
    where = f"{facts['title']}, digits"
    return {
        name: {
            "test.loss": Published(printed["test_loss"], where),
            "test.error": Published(printed["test_error"], where),
            "last_epoch.validation_error": Published(printed["last_validation_error"], where),
        }
        for name, printed in facts["digits"].items()
    }


def digits_answers(runs: Runs) -> list[Answer]:
    """Return by how much the convnet's test error is below the dense network's."""
    pairs = paired_values(runs["mlp"], runs["convnet"], "test.error")
    if not pairs:
        return []
    mlp, convnet = zip(*pairs, strict=True)
    gained = paired_difference(mlp, convnet)
    means = f"{over_seeds(convnet).mean:.4f} against {over_seeds(mlp).mean:.4f}"
    said = f"{means}, mean over {numbered(len(pairs), repeats_of(runs['mlp']).unit)}"
    if gained.interval:
        low, high = gained.interval
        shown = "" if is_shown(gained) else ", so no difference is shown"
        said += f"; {gained.mean:.4f} less, 95 % interval {low:.4f} to {high:.4f}{shown}"
    return [Answer("How much less does the convnet err than the dense network?", f"{said}.")]


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
        "last_epoch.validation_error",
    ),
    baseline="mlp",
    published=digits_published,
    answers=digits_answers,
    pictures=_error_curves,
    exports="digits",
)


# --- SVHN -----------------------------------------------------------------------------------


def svhn() -> dict[str, Experiment]:
    """Return the convnet on the training pictures; a random tenth is held out."""
    return {"svhn": _svhn("svhn", held_out=7_326)}


def svhn_extra() -> dict[str, Experiment]:
    """Return it on training and extra pictures: 543,949 to train, as published."""
    return {"svhn": _svhn("svhn_extra", held_out=60_439)}


def _svhn(name: str, held_out: int) -> Experiment:
    return Experiment(
        data=DataSpec(name=name, holdout=Holdout(how="random", count=held_out)),
        model=ConvNet(
            filters=(16, 32, 64),
            padding="same",
            pool_after=(1, 2, 3),
            dense=(256, 64),
            initializer="torch",
        ),
        training=TrainingSpec(
            epochs=30,
            batch_size=256,
            optimizer=_ADAMAX,
            l2=_L2,
            keep="validation_loss",
            patience=2,
        ),
    )


def svhn_published() -> dict[str, dict[str, Published]]:
    """Return the figures with the extra pictures."""
    facts = report("digits_svhn")
    return {
        "svhn": {
            name.replace("_", ".", 1): Published(facts["svhn"][name], f"{facts['title']}, SVHN")
            for name in ("validation_loss", "validation_error", "test_loss", "test_error")
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
        )
    ]


def _channels(runs: Runs, options: Any) -> dict[str, tuple[Any, str]]:
    from kerascw.report.features import example_maps

    return example_maps(runs["svhn"], options)


SVHN = Study(
    name="svhn",
    question="Does a small convnet read house numbers with an error below 0.1?",
    dataset="svhn",
    variants=svhn,
    expected={"quick": "2 min", "full": "20 min"},
    quick=Quick(epochs=3, fraction=0.1, seeds=1),
    full_seeds=1,
    figures=("test.error", "test.loss", "validation.error", "validation.loss"),
    published=_without_extra,
    deviations=(
        "kernels, padding and activations are not printed; 3x3, same and ReLU here",
        "pixels in [0, 1]; the report's scaling is not printed",
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
)

STUDIES = (DIGITS, SVHN, SVHN_EXTRA)
