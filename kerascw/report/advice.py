"""What the test figures of a run say of its mistakes, and what would help most."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascw.errors import choices, counted
from kerascw.evaluation.metrics import wilson_interval
from kerascw.experiment.spec import Backbone, Experiment

PAIRS = 3
"""Confused pairs that are named."""


def advice(
    metrics: Mapping[str, Any], experiment: Experiment, train_counts: np.ndarray
) -> list[str]:
    """Say which classes a run confuses most and what would help, each only where figures show it.

    Parameters
    ----------
    metrics : a classifier's, as :attr:`kerascw.runs.store.Run.metrics` has them.
    train_counts : int ``[classes]``, the training images of each class.
    """
    test = metrics.get("test") or {}
    if "confusion" not in test:
        return []
    said = [*_confused(test), *_weakest_class(test, train_counts), *_fit(metrics, experiment)]
    return said or ["No mistakes in the test set: a larger one would say more."]


def _confused(test: Mapping[str, Any]) -> list[str]:
    """Name the pairs of classes that are taken for one another most often, both ways added."""
    names = [row["class"] for row in test["per_class"]]
    both = np.array(test["confusion"]) + np.array(test["confusion"]).T
    first, second = np.triu_indices(len(names), 1)
    order = np.argsort(-both[first, second], kind="stable")[:PAIRS]
    pairs = [
        f"{names[first[at]]} and {names[second[at]]} ({both[first[at], second[at]]} of "
        f"{sum(test['per_class'][k]['examples'] for k in (first[at], second[at])):,})"
        for at in order
        if both[first[at], second[at]]
    ]
    return [f"Most often confused: {'; '.join(pairs)}."] if pairs else []


def _weakest_class(test: Mapping[str, Any], train_counts: np.ndarray) -> list[str]:
    """Name the class of the lowest recall, if it is significantly below the rest.

    The lowest of k recalls lies low by chance, so the error of 5 % is shared by all of them.
    """
    rows = test["per_class"]
    right = np.diagonal(np.array(test["confusion"]))
    total = np.array([row["examples"] for row in rows])
    recall = np.where(total, right / np.maximum(total, 1), np.inf)  # not where there is no image
    at = int(recall.argmin())
    rest = (right.sum() - right[at]) / max(1, total.sum() - total[at])
    correct, of = int(right[at]), int(total[at])
    if wilson_interval(correct, of, 1 - 0.05 / len(rows))[1] >= rest:
        return []
    low, high = wilson_interval(correct, of)
    return [
        f"More images of {rows[at]['class']} would help most: {recall[at]:.0%} of "
        f"{counted(of, 'test image')} are right (95 % CI {low:.0%} to {high:.0%}), of "
        f"the other classes {rest:.0%}; it has {counted(int(train_counts[at]), 'training image')}."
    ]


def _fit(metrics: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """Say whether the model knows its training images too well, or not yet well enough."""
    train, test = metrics.get("train"), metrics["test"]
    if not train or test["accuracy"] == 1:
        return []
    low, high = test["accuracy_interval_95"]
    figures = (
        f"training accuracy {train['accuracy']:.1%}, test accuracy {test['accuracy']:.1%} "
        f"(95 % CI {low:.1%} to {high:.1%})"
    )
    if train["accuracy"] > high:
        cures = ["more images"]
        if not experiment.training.augmentation:
            cures.append("augmentation (--augment)")
        if not isinstance(experiment.model, Backbone):
            cures.append("a pretrained network (--backbone)")
        return [f"The model overfits ({figures}): {choices(cures)} may help, more epochs not."]
    if train["accuracy"] < 0.99:
        return [f"The model does not overfit ({figures}): train longer, or take a larger model."]
    return []
