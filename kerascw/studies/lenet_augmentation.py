"""A study of augmentation: LeNet's variant 4 on Fashion-MNIST, each operation against none.

    python -m kerascw run lenet-augmentation --jobs 2
    python -m kerascw data show fashion_mnist --augment lenet

The report on LeNet's variants claims that its five operations help, and prints no figure of it:
flip (probability 0.25), brightness and contrast jitter 0.2, autocontrast (probability 0.2) and
solarize (probability 0.2, threshold 15). Here each is trained alone and all are together, and
further operations one by one, each at its default strength. Differences to no augmentation are
paired by seed: initial weights and the order of the pictures are the same.
"""

from dataclasses import dataclass

from kerascw.evaluation.statistics import Spread, is_shown, paired_difference
from kerascw.experiment.settings import LENET
from kerascw.experiment.spec import (
    AugmentationSpec,
    CutMix,
    Erase,
    Experiment,
    Holdout,
    Mixup,
    Rotate,
    Shift,
    Zoom,
)
from kerascw.lab.study import Answer, Quick, Runs, Study
from kerascw.lab.verdict import figure_of
from kerascw.studies.lenet import ASSUMED, experiment

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
    return {
        name: base.model_copy(
            update={"training": base.training.model_copy(update={"augmentation": specs})}
        )
        for name, specs in chosen.items()
    }


def augmentation_quick() -> dict[str, Experiment]:
    """Return the same on a part of the training pictures, with fewer held out.

    Scoring 12,000 pictures after every epoch would take longer than the training.
    """
    base = _QUICK.of(experiment("variant_4"))
    holdout = Holdout(how="random", count=2_000)
    return augmentation(
        base.model_copy(update={"data": base.data.model_copy(update={"holdout": holdout})})
    )


# --- what it answers ------------------------------------------------------------------------


FIGURES = {"test.accuracy": "test accuracy", "test.loss": "test loss"}
"""What operations are judged by; a lower loss is better."""


@dataclass(frozen=True)
class Effect:
    """The difference of an operation to none in one figure, paired by seed."""

    name: str
    figure: str
    difference: Spread

    @property
    def verdict(self) -> str:
        """What the difference shows."""
        if not is_shown(self.difference):
            return "not shown"
        helps = (self.difference.mean > 0) == self.figure.endswith("accuracy")
        return "shown to help" if helps else "shown to harm"

    @property
    def text(self) -> str:
        """The difference with its 95 % interval."""
        if self.difference.interval is None:
            return f"{self.difference.mean:+.4f}"
        low, high = self.difference.interval
        return f"{self.difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"


def effects_of(runs: Runs, figure: str) -> list[Effect]:
    """Return the effect of every variant that has a seed in common with none."""
    scores = {
        name: {
            run.experiment.seed: score
            for run in several
            if (score := figure_of(run, figure)) is not None
        }
        for name, several in runs.items()
    }
    without = scores.get(NONE, {})
    effects = []
    for name, own in scores.items():
        seeds = [seed for seed in own if seed in without]
        if name != NONE and seeds:
            pairs = paired_difference([own[s] for s in seeds], [without[s] for s in seeds])
            effects.append(Effect(name, figure, pairs))
    return effects


def augmentation_answers(runs: Runs) -> list[Answer]:
    """Return which operations are shown to help or to harm, and whether the report's five do."""
    effects = {figure: effects_of(runs, figure) for figure in FIGURES}
    together = [e for several in effects.values() for e in several if e.name == ALL]
    answers = []
    if together:
        said = "; ".join(f"in {FIGURES[e.figure]} {e.verdict}, {e.text}" for e in together)
        answers.append(
            Answer(
                "Do the report's five operations together help, as it claims?",
                f"Against none, {said}: {_seeds(together[0])}.",
            )
        )
    for figure, several in effects.items():
        alone = [effect for effect in several if effect.name != ALL]
        if alone:
            question = f"Which operations, each alone, change the {FIGURES[figure]}?"
            answers.append(Answer(question, _each(alone)))
    return answers


def _each(alone: list[Effect]) -> str:
    said = []
    for verdict in ("shown to help", "shown to harm", "not shown"):
        texts = [f"{effect.name} {effect.text}" for effect in alone if effect.verdict == verdict]
        said.append(f"{verdict.capitalize()}: {', '.join(texts) or 'none'}.")
    if alone[0].difference.interval:
        missed = f"{0.05 * len(alone):.1f}"
        said.append(f"Of {len(alone)} such intervals, {missed} miss zero by chance.")
    return f"{' '.join(said)} Differences to none, {_seeds(alone[0])}."


def _seeds(effect: Effect) -> str:
    n = effect.difference.n
    if n == 1:
        return "one seed, which has no interval"
    return f"paired over {n} seeds, with the 95 % interval"


LENET_AUGMENTATION = Study(
    name="lenet-augmentation",
    question="Which augmentations help LeNet on Fashion-MNIST, each alone and five together?",
    dataset="fashion_mnist",
    variants=lambda: augmentation(experiment("variant_4")),
    quick_variants=augmentation_quick,
    expected={"quick": "4 min", "full": "2 h"},
    quick=_QUICK,
    figures=("test.accuracy", "test.loss", "validation.accuracy", "validation.loss"),
    baseline=NONE,
    deviations=(
        "the report claims that augmentation helps and prints no figure of it",
        *ASSUMED,
        "quick: 2,000 images are held out, not 12,000",
    ),
    answers=augmentation_answers,
)

STUDIES = (LENET_AUGMENTATION,)
