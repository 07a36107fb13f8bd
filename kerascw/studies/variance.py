"""Where the noise of a result comes from: one experiment, each source of randomness varied alone.

After Bouthillier et al., "Accounting for variance in machine learning benchmarks" (MLSys 2021).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascw.data.load import data_label
from kerascw.errors import CallError
from kerascw.evaluation.statistics import FEWEST
from kerascw.experiment.spec import Experiment, Holdout, Seeds
from kerascw.lab.derive import with_data
from kerascw.lab.effects import answers_to, joined
from kerascw.lab.repeats import values_of
from kerascw.lab.study import Answer, Runs, Study

ALL = "all sources"
NAMES = {
    "weights": "initial weights", "dropout": "dropout", "order": "order of images",
    "augmentation": "augmentation", "split": "validation split",
}  # fmt: skip
_DRAWN = ("stratified", "random", "sklearn", "numpy")


def variance(study: Study, variant: str | None = None) -> Study:
    """Make a study of the noise of one variant of another study, the first by default.

    Raises CallError: no such variant, or one whose seed decides nothing or starts from other
    weights.
    """
    every = study.experiments("full")
    name = variant or next(iter(every))
    if name not in every:
        raise CallError(f"--variant: {name!r}; choose from {', '.join(every)}")
    base = every[name]
    if base.start is not None or base.reconstructs or base.folds:
        raise CallError(
            f"--variant: {name} starts from other weights, holds out folds or is an autoencoder; "
            "choose a classifier that is trained from random weights"
        )
    arguments = {"variance": study.name, "variant": name}
    return variance_kept(f"variance-{study.name}", sources_of(base), arguments)


def sources_of(base: Experiment) -> dict[str, Experiment]:
    """Return the experiment with all sources of randomness varying, and with each one alone.

    A validation set that is not drawn at random becomes a stratified one of the same size.
    """
    holdout = base.data.holdout
    if holdout is not None and holdout.how not in _DRAWN:
        base = with_data(base, holdout=Holdout(how="stratified", count=holdout.count))
    there = {
        "weights": True,
        "dropout": any(getattr(base.model, name, 0) for name in ("dropout", "dropout_rate")),
        "order": base.training.shuffle,
        "augmentation": bool(base.training.augmentation),
        "split": holdout is not None,
    }
    variants = {ALL: base.model_copy(update={"seeds": Seeds(split=there["split"])})}
    for source in (name for name, has in there.items() if has):
        fixed: dict[str, Any] = {name: 0 for name in there if name not in (source, "split")}
        seeds = Seeds(**fixed, split=source == "split")
        variants[NAMES[source]] = base.model_copy(update={"seeds": seeds})
    return variants


def variance_kept(
    name: str, variants: Mapping[str, Experiment], arguments: Mapping[str, Any]
) -> Study:
    """Return the study that the command ``variance`` runs, from what is kept of it."""
    of, variant = arguments["variance"], arguments["variant"]
    return Study(
        name=name,
        question=f"Where does the noise of {variant} of study {of} come from?",
        variants=lambda: dict(variants),
        dataset=data_label(next(iter(variants.values())).data),
        default_budget="full",
        full_seeds=10,
        figures=("test.accuracy", "validation.accuracy", "test.loss"),
        answers=variance_answers,
        led_by="Which source",
        alternatives=False,
        no_folds="each seed draws a validation set",
        arguments=dict(arguments),
    )


def variance_answers(runs: Runs) -> list[Answer]:
    """Compare the deviations over each source with that over all, and with chance on the test set.

    Intervals are those of a normal variance, by the chi-squared distribution; whether one deviation
    is larger than another is decided by the two-sided F-test at 5 %.
    """
    from scipy.stats import f

    values = {name: values_of(own, "test.accuracy") for name, own in runs.items()}
    values = {name: own for name, own in values.items() if len(own) >= FEWEST}
    if ALL not in values or len(values) < 2:
        return []
    total = float(np.var(values[ALL], ddof=1))
    single = {n: float(np.var(own, ddof=1)) for n, own in values.items() if n != ALL}
    first, *others = sorted(single, key=lambda name: -single[name])
    freedom = {name: len(own) - 1 for name, own in values.items()}
    near = [
        name
        for name in others
        if single[first] <= f.ppf(0.975, freedom[first], freedom[name]) * single[name]
    ]
    those = "that" if len(near) == 1 else "those"
    than = f", not significantly larger than {those} of {joined(near)} (F-test at 95 %)"
    of_each = "; ".join(f"{name} {_deviation(values[name])}" for name in (first, *others))
    images = next(run.metrics["test"]["examples"] for run in runs[ALL] if "test" in run.metrics)
    mean, added = float(np.mean(values[ALL])), sum(single.values())
    chance = math.sqrt(mean * (1 - mean) / images)
    share = f"{added / total:.0%} of that variance: " if total else ""
    return answers_to(
        {
            "Which source of randomness moves the test accuracy most?": (
                f"{first[0].upper()}{first[1:]} has the largest standard deviation"
                f"{than if near else ''}. Standard deviations over {len(values[ALL])} seeds each, "
                f"with 95 % CI: {of_each}."
            ),
            "Do the single sources add up to all of it?": (
                f"All sources together: {_deviation(values[ALL])}. The single variances add up to "
                f"{share}{math.sqrt(added):.4f} as a standard deviation; what is missing or too "
                "much is interaction between sources, or the uncertainty of these estimates."
            ),
            "How large is that beside the chance of the test set?": (
                f"With {images:,} test images and an accuracy of {mean:.4f}, another test set of "
                f"this size would move the accuracy by {chance:.4f} (binomial standard error)."
            ),
        }
    )


def _deviation(values: list[float]) -> str:
    from scipy.stats import chi2

    free = len(values) - 1
    squares = float(np.var(values, ddof=1)) * free
    low, high = (math.sqrt(squares / chi2.ppf(q, free)) for q in (0.975, 0.025))
    return f"{math.sqrt(squares / free):.4f} ({low:.4f} to {high:.4f})"
