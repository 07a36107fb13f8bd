"""Studies of LeNet-5 and its variants on Fashion-MNIST.

    python -m kerascw run lenet-variants --jobs 2
    python -m kerascw run lenet-auxiliary
    python -m kerascw run lenet-embedding --set pictures.perplexity=50

A fifth of the 60,000 training images, drawn at random, is held out; pixels are scaled to mean 0 and
standard deviation 1 over all 60,000; training images are augmented (flip, brightness, contrast,
autocontrast, solarize); batches of 32, 15 epochs; the weights of the epoch with the best validation
accuracy are kept. Two auxiliary heads stand after the two pools, and are not trained, as published.
The report names no optimiser: Adam, from the 0.001 that it prints, is our assumption.

Each variant adds to the one before: that is what the published parameter counts say.
"""

from statistics import fmean
from typing import Any

from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment import spec
from kerascw.experiment.settings import LENET
from kerascw.lab.derive import retrained_on_everything, with_training
from kerascw.lab.effects import answers_to, effect_text, listed, with_weights
from kerascw.lab.pictures import EmbeddingMap
from kerascw.lab.repeats import best_by, mean_of, values_of
from kerascw.lab.study import Answer, Drawn, Quick, Runs, Study, fields_of
from kerascw.lab.table import spread_text

_BASELINE = spec.ConvNet(
    filters=(6, 16),
    kernels=(5,),
    padding=("same", "valid"),
    pool_after=(1, 2),
    dense=(120, 84),
    auxiliary=(1, 2),
    initializer="he_uniform",
    batch_norm_momentum=0.9,  # PyTorch's default, 0.1 of the new
    batch_norm_epsilon=1e-5,  # PyTorch's default
)

_CHANGES: dict[str, dict[str, Any]] = {
    "baseline": {},
    "variant_1": {},  # the rate is halved
    "variant_2": {"filters": (32, 64)},
    "variant_3": {"dense": (200, 140)},
    "variant_4": {"batch_norm": True, "dense_batch_norm": True, "bias_before_norm": True},
}


def experiment(variant: str) -> spec.Experiment:
    """Return a variant as published: ``baseline``, or ``variant_1`` to ``variant_4``."""
    names = list(_CHANGES)
    so_far = names[: names.index(variant) + 1]  # its own change adds to those of all before it
    changes = {field: value for name in so_far for field, value in _CHANGES[name].items()}
    return spec.Experiment(
        data=spec.DataSpec(
            name="fashion_mnist",
            holdout=spec.Holdout(how="random", count=12_000),
            scaling="standard",
            standard_of="training_and_validation",
        ),
        model=_BASELINE.model_copy(update=changes),
        training=spec.TrainingSpec(
            epochs=15,
            batch_size=32,
            optimizer=spec.Adam(learning_rate=1e-3, epsilon=1e-8),
            schedule=spec.Constant() if variant == "baseline" else spec.Halving(every=5),
            augmentation=LENET,
        ),
    )


# --- the variants ---------------------------------------------------------------------------

RETRAINED = ", retrained"
"""What the best variant's name gets where it is trained on all 60,000 images."""


def variants() -> dict[str, spec.Experiment]:
    """The baseline and the four variants."""
    return {name: experiment(name) for name in _CHANGES}


def retrained(runs: Runs) -> dict[str, spec.Experiment]:
    """The best variant on training and validation images, for the mean epochs its seeds kept."""
    best = best_by(runs, "validation.accuracy")
    if best is None:
        return {}
    epochs = round(fmean(run.metrics["kept_epoch"] for run in with_weights(runs[best])))
    return {best + RETRAINED: retrained_on_everything(runs[best][0], epochs)}


def variants_answers(runs: Runs) -> list[Answer]:
    """Which variant is best, and what training it on all images brings."""
    best = best_by(runs, "validation.accuracy")
    if best is None:
        return []
    tested = spread_text(over_seeds(values_of(runs[best], "test.accuracy")))
    again = best + RETRAINED
    changed = effect_text(runs, again, best, "test.accuracy")
    if changed:
        changed = (
            f"Test accuracy {changed}, after {runs[again][0].experiment.training.epochs} epochs, "
            "the mean that validation chose."
        )
    counts = [
        f"{_words(name)}: {metrics['parameters'] - moving:,} and {moving:,}"
        for name, own in runs.items()
        if (moving := (metrics := own[0].metrics).get("non_trainable_parameters"))
    ]
    said = f"{_words(best)}: {tested} (published: variant 4, 0.925)."
    how_many = "How many parameters are trained, and how many are batch norm's moving statistics?"
    counted = listed(counts, ". Keras counts both; the report counts the first only.", ", ")
    return answers_to(
        {
            "Which variant is best by validation accuracy, and what is its test accuracy?": said,
            "What does training it on the validation images too change on the test set?": changed,
            how_many: counted,
        }
    )


def _words(variant: str) -> str:
    return variant.replace("_", " ")


def _variant_pictures(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.heads import confusion_before_and_after, rate_curves

    pictures = {"learning_rate": (rate_curves(runs), "learning rate of every epoch")}
    best = best_by(runs, "validation.accuracy")
    if best is None or best + RETRAINED not in runs:
        return pictures
    return pictures | confusion_before_and_after(runs[best], runs[best + RETRAINED], _words(best))


LENET_VARIANTS = Study(
    **fields_of("lenet_variants", "lenet-variants"),
    variants=variants,
    then=retrained,
    answers=variants_answers,
    pictures=_variant_pictures,
)


# --- the auxiliary heads --------------------------------------------------------------------

TOGETHER = 0.3
"""Weight of an auxiliary head's loss where all are trained: that of Szegedy et al., 2015."""

_SAID = {"together": "trained together", "probe": "trained on a frozen trunk"}

_AUXILIARY_QUICK = Quick(epochs=4, fraction=0.2)


def auxiliary_of(base: spec.Experiment) -> dict[str, spec.Experiment]:
    """``base`` with untrained heads, trained together, and trained on a frozen trunk.

    The last is a linear probe at each depth: everything but the auxiliary heads keeps the weights
    of the run whose heads are untrained.
    """
    layers = ("conv_1", "conv_2", "dense_1", "dense_2", "probabilities")
    start = spec.WarmStart(source=base, layers=layers, frozen=True)
    # the main head's validation figure does not move: keep the last epoch's probes
    probe = with_training(base, auxiliary_weights=(1.0,), keep="last")
    return {
        "untrained": base,
        "together": with_training(base, auxiliary_weights=(TOGETHER,)),
        "probe": probe.model_copy(update={"start": start}),
    }


def auxiliary_answers(runs: Runs) -> list[Answer]:
    """How often heads agree, and how well each depth classifies."""
    agree, knows = [], []
    for name, own in runs.items():
        both = mean_of(own, "test.agreement_of_auxiliary_heads")
        every = mean_of(own, "test.agreement_of_all_heads")
        if both is None or every is None:
            continue
        heads = _SAID.get(name, name)
        agree.append(f"{both:.1%} when {heads} (all three heads {every:.1%})")
        accuracies = [mean_of(own, f"{prefix}test.accuracy") for prefix in ("aux1.", "aux2.", "")]
        knows.append(f"{heads}: " + ", ".join(f"{accuracy:.4f}" for accuracy in accuracies))
    each = "How well does each depth classify (after the first pool, after the second, at the end)?"
    return answers_to(
        {
            "For how many test images do the two auxiliary heads predict the same class?": (
                listed(agree, "; means over the seeds.")
            ),
            each: listed(knows, " (test accuracy, means over the seeds)."),
        }
    )


def _auxiliary_pictures(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.heads import heads_side_by_side

    return {
        f"heads {_SAID.get(name, name)}": (
            heads_side_by_side(run, options),
            f"probabilities that each head gives to some test images, heads "
            f"{_SAID.get(name, name)}, seed {run.experiment.seed}",
        )
        for name, own in runs.items()
        for run in with_weights(own[:1])
    }


LENET_AUXILIARY = Study(
    **fields_of("lenet_variants", "lenet-auxiliary"),
    variants=lambda: auxiliary_of(experiment("baseline")),
    quick_variants=lambda: auxiliary_of(_AUXILIARY_QUICK.of(experiment("baseline"))),
    quick=_AUXILIARY_QUICK,
    answers=auxiliary_answers,
    led_by="For how many test images do",
    pictures=_auxiliary_pictures,
)


# --- the embedding --------------------------------------------------------------------------


def _embedding_answers(runs: Runs) -> list[Answer]:
    from kerascw.report.embedding import embedding_answers

    trained = with_weights(runs["variant_4"])
    return embedding_answers(trained) if trained else []


def _embedding_pictures(runs: Runs, options: Any) -> Drawn:
    from kerascw.report.embedding import embedding_pictures

    trained = with_weights(runs["variant_4"])
    return embedding_pictures(trained, options) if trained else {}


LENET_EMBEDDING = Study(
    **fields_of("lenet_variants", "lenet-embedding"),
    # at full budget its runs are those of lenet-variants, trained once for both
    variants=lambda: {"variant_4": experiment("variant_4")},
    answers=_embedding_answers,
    led_by="Are the classes that lie nearest",
    pictures=_embedding_pictures,
    shows=EmbeddingMap(),
)
