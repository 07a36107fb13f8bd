"""LeNet's variant 4 over five folds, beside the fixed split.

    python -m kerascw run lenet-crossval --jobs 2
    python -m kerascw run lenet-crossval --budget full --jobs 2    # 15 epochs each
    python -m kerascw run lenet-crossval --data digits --folds 10

Each fold holds a fifth of the 60,000 training images out, stratified, and the other four fifths
train; the fixed split is that of lenet-variants, and its run is shared with it.
"""

import math
from collections.abc import Sequence

from kerascw.errors import counted
from kerascw.evaluation.statistics import over_seeds, prediction_reach
from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import cross_validated
from kerascw.lab.effects import answers_to
from kerascw.lab.published import report
from kerascw.lab.repeats import values_of
from kerascw.lab.study import Answer, Runs, Study, fields_of
from kerascw.runs.store import Run
from kerascw.studies.lenet import experiment

FIXED, FOLDS = "fixed split", "cross-validation"
UNLIKE = "the fixed split is unlike the folds"


def crossval() -> dict[str, Experiment]:
    """Variant 4 on its fixed split, and over as many folds as the report has."""
    base = experiment("variant_4")
    folds = report("lenet_variants")["folds"]
    return {FIXED: base, FOLDS: cross_validated(base, folds)}


def crossval_answers(runs: Runs) -> list[Answer]:
    """How far folds lie apart, and whether the fixed split is like one more of them."""
    fixed, folds = runs[FIXED], runs[FOLDS]
    accuracies = values_of(folds, "validation.accuracy")
    if len(accuracies) < 2:
        return []
    spread = over_seeds(accuracies)
    held_out = _examples(folds, "validation")
    chance = math.sqrt(spread.mean * (1 - spread.mean) / held_out)
    differs = ""
    if values_of(fixed, "validation.accuracy"):
        compared = [
            _one_more_fold(name, *(values_of(own, f"validation.{name}") for own in (folds, fixed)))
            for name in ("accuracy", "loss")
        ]
        sizes = [_examples(own, "train") for own in (fixed, folds)]
        if abs(sizes[0] - sizes[1]) > 0.05 * sizes[1]:  # per-class rounding is less
            compared.append(
                f"The fixed split trains on {sizes[0]:,} images and a fold on {sizes[1]:,}, so "
                "that the difference is not the split's alone."
            )
        unlike = any(UNLIKE in text for text in compared)
        differs = f"{'No' if unlike else 'Yes, as far as is shown'}. {' '.join(compared)}"
    apart = (
        f"Validation accuracies from {min(accuracies):.4f} to {max(accuracies):.4f}, standard "
        f"deviation {spread.deviation:.4f}. One model scored on {held_out:,} images drawn at "
        f"random, again and again, would give {chance:.4f} by chance alone (binomial)."
    )
    return answers_to(
        {
            "How far apart are the folds?": apart,
            "Do the folds say what the fixed split says?": differs,
        }
    )


def _one_more_fold(name: str, folds: Sequence[float], fixed: Sequence[float]) -> str:
    """Say whether the fixed split lies where one more fold would."""
    ours, theirs = over_seeds(folds).mean, over_seeds(fixed).mean
    reach = prediction_reach(folds)
    shown = abs(ours - theirs) > reach
    seeds = f" (mean over {counted(len(fixed), 'seed')})" if len(fixed) > 1 else ""
    return (
        f"{name.capitalize()}: {ours:.4f} over the folds, {theirs:.4f} on the fixed split{seeds}, "
        f"{ours - theirs:+.4f}. One more fold would lie within {reach:.4f} of the mean (95 %), so "
        f"{UNLIKE if shown else 'no difference is shown'}."
    )


def _examples(runs: Sequence[Run], split: str) -> int:
    return next(int(run.metrics[split]["examples"]) for run in runs if split in run.metrics)


CROSSVAL = Study(
    **fields_of("lenet_variants", "lenet-crossval"),
    variants=crossval,
    answers=crossval_answers,
    led_by="Do the folds say",
)
