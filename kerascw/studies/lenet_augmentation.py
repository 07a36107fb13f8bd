"""A study of augmentation: LeNet's variant 4 on Fashion-MNIST, each operation against none.

    python -m kerascw run lenet-augmentation --jobs 2
    python -m kerascw data show fashion_mnist --augment lenet

The report on LeNet's variants claims that its five operations help, and prints no figure of it:
flip (probability 0.25), brightness and contrast jitter 0.2, autocontrast (probability 0.2) and
solarize (probability 0.2, threshold 15). Here each is trained alone and all are together, and
further operations one by one, each at its default strength. Differences to no augmentation are
paired by seed: initial weights and the order of the images are the same.
"""

from kerascw.experiment.settings import LENET, override
from kerascw.experiment.spec import (
    AugmentationSpec,
    CutMix,
    Erase,
    Experiment,
    Mixup,
    Rotate,
    Shift,
    Zoom,
)
from kerascw.lab.derive import with_training
from kerascw.lab.effects import answers_to, effect_text, listed
from kerascw.lab.study import Answer, Quick, Runs, Study, fields_of
from kerascw.studies.lenet import experiment

NONE, ALL = "none", "the report's five"

_OURS: tuple[AugmentationSpec, ...] = (Shift(), Rotate(), Zoom(), Erase(), Mixup(), CutMix())

_QUICK = Quick(epochs=10, fraction=0.02)


def augmentation(base: Experiment) -> dict[str, Experiment]:
    """Return ``base`` without augmentation, with each of the report's, all of them, and ours."""
    chosen: dict[str, tuple[AugmentationSpec, ...]] = {
        NONE: (),
        **{each.kind: (each,) for each in LENET},
        ALL: LENET,
        **{each.kind: (each,) for each in _OURS},
    }
    return {name: with_training(base, augmentation=specs) for name, specs in chosen.items()}


# --- what it answers ------------------------------------------------------------------------


def augmentation_answers(runs: Runs) -> list[Answer]:
    """What the report's five operations change together, and what each operation does alone."""
    alone, together = {}, []
    for figure, title in (("test.accuracy", "test accuracy"), ("test.loss", "test loss")):
        effects = {
            name: text
            for name in runs
            if name != NONE and (text := effect_text(runs, name, NONE, figure))
        }
        if ALL in effects:
            together.append(f"{title} {effects.pop(ALL)}")
        alone[f"What does each operation alone change in the {title}?"] = listed(
            [f"{name} {text}" for name, text in effects.items()],
            ". Differences to none, paired by seed.",
        )
    question = "Do the report's five operations together help, as it claims?"
    return answers_to({question: listed(together, ", against none, paired by seed.")} | alone)


LENET_AUGMENTATION = Study(
    **fields_of("lenet_variants", "lenet-augmentation"),
    variants=lambda: augmentation(experiment("variant_4")),
    # scoring 12,000 images after every epoch would take longer than the training
    quick_variants=lambda: augmentation(
        override(_QUICK.of(experiment("variant_4")), {"data.holdout.count": 2_000})
    ),
    quick=_QUICK,
    answers=augmentation_answers,
)
