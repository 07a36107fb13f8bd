"""A study of augmentation: LeNet's variant 4 on Fashion-MNIST, each operation against none.

    python -m kerascw run lenet-augmentation --jobs 2
    python -m kerascw data show fashion_mnist --augment lenet

The report on LeNet's variants claims that its five operations help, and prints no figure of it:
flip (probability 0.25), brightness and contrast jitter 0.2, autocontrast (probability 0.2) and
solarize (probability 0.2, threshold 15). Here each is trained alone and all are together, and
further operations one by one, each at its default strength. Differences to no augmentation are
paired by seed: initial weights and the order of the images are the same.
"""

from collections.abc import Mapping

from kerascw.evaluation.statistics import Spread, is_shown
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
from kerascw.lab.effects import answers_to
from kerascw.lab.repeats import difference_of
from kerascw.lab.study import Answer, Quick, Runs, Study, fields_of
from kerascw.lab.table import difference_text
from kerascw.studies.lenet import experiment

NONE, ALL = "none", "the report's five"

_OURS: tuple[AugmentationSpec, ...] = (Shift(), Rotate(), Zoom(), Erase(), Mixup(), CutMix())

_QUICK = Quick(epochs=10, fraction=0.02)


def augmentation(base: Experiment) -> dict[str, Experiment]:
    """Return ``base`` without augmentation, with each of the report's, all of them, and ours."""
    chosen: dict[str, tuple[AugmentationSpec, ...]] = {
        NONE: (),
        **{spec.kind: (spec,) for spec in LENET},
        ALL: LENET,
        **{spec.kind: (spec,) for spec in _OURS},
    }
    return {name: with_training(base, augmentation=specs) for name, specs in chosen.items()}


def augmentation_quick() -> dict[str, Experiment]:
    """The same on a fraction of the training images, with fewer held out.

    Scoring 12,000 images after every epoch would take longer than the training.
    """
    return augmentation(override(_QUICK.of(experiment("variant_4")), {"data.holdout.count": 2_000}))


# --- what it answers ------------------------------------------------------------------------

FIGURES = {"test.accuracy": "test accuracy", "test.loss": "test loss"}
"""What operations are judged by; a lower loss is better."""


def augmentation_answers(runs: Runs) -> list[Answer]:
    """Which operations are shown to help or to harm, and whether the report's five do."""
    alone, together, over = {}, [], ""
    for figure, title in FIGURES.items():
        effects = {
            name: difference
            for name in runs
            if name != NONE
            and (difference := difference_of(runs[name], runs.get(NONE, ()), figure)) is not None
        }
        if ALL in effects:
            five = effects.pop(ALL)
            together.append(f"in {title} {_verdict(five, figure)}, {_text(five)}")
            over = _over(five)
        if effects:
            question = f"Which operations, each alone, change the {title}?"
            alone[question] = _each(effects, figure)
    question = "Do the report's five operations together help, as it claims?"
    text = f"Against none, {'; '.join(together)}: {over}." if together else ""
    return answers_to({question: text} | alone)


def _verdict(difference: Spread, figure: str) -> str:
    """Return what the difference to none shows."""
    if not is_shown(difference):
        return "not shown"
    helps = (difference.mean > 0) == figure.endswith("accuracy")
    return "shown to help" if helps else "shown to harm"


def _text(difference: Spread) -> str:
    if difference.interval is None:
        return f"{difference.mean:+.4f}"
    return difference_text(difference).replace(", not significant", "")


def _each(effects: Mapping[str, Spread], figure: str) -> str:
    texts = []
    for verdict in ("shown to help", "shown to harm", "not shown"):
        own = [f"{n} {_text(e)}" for n, e in effects.items() if _verdict(e, figure) == verdict]
        texts.append(f"{verdict.capitalize()}: {', '.join(own) or 'none'}.")
    some = next(iter(effects.values()))
    if some.interval:
        missed = f"{0.05 * len(effects):.1f}"
        texts.append(f"Of {len(effects)} such intervals, {missed} miss zero by chance.")
    return f"{' '.join(texts)} Differences to none, {_over(some)}."


def _over(difference: Spread) -> str:
    if difference.n == 1:
        return "one seed, which has no interval"
    return f"paired over {difference.n} seeds, with the 95 % interval"


LENET_AUGMENTATION = Study(
    **fields_of("lenet_variants", "lenet-augmentation"),
    variants=lambda: augmentation(experiment("variant_4")),
    quick_variants=augmentation_quick,
    quick=_QUICK,
    answers=augmentation_answers,
)
