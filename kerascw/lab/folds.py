"""The figures of a cross-validation, fold by fold, for a study's page and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from kerascw.evaluation.statistics import Spread, over_seeds
from kerascw.lab.plan import StudyResult
from kerascw.lab.repeats import repeats_of, values_of
from kerascw.runs.store import Run

TOO_NARROW = (
    "The folds share training images, so their figures depend on one another: the confidence "
    "interval over the folds is too narrow (Bengio and Grandvalet, 2004)."
)


def figures_shown(result: StudyResult) -> tuple[str, ...]:
    """Return the study's figures, and those of the held-out fold if a variant has folds."""
    shown, wanted = result.study.figures, ["validation.loss"]
    if all(repeats_of(runs).folds is None for runs in result.runs.values()):
        return shown
    autoencoders = all(run.experiment.reconstructs for run in result.every_run)
    if "validation.error" not in shown and not autoencoders:
        wanted.insert(0, "validation.accuracy")
    return (*(name for name in wanted if name not in shown), *shown)


def notes(result: StudyResult) -> list[str]:
    """Say how the means and intervals of a study with folds are to be read; else nothing."""
    folded = [repeats for runs in result.runs.values() if (repeats := repeats_of(runs)).folds]
    if not folded:
        return []
    sentences = [TOO_NARROW]
    if any(repeats.seeds > 1 for repeats in folded):
        sentences.append("The figure of a fold is its mean over the seeds.")
    if "validation_images" in result.every_run[0].environment["data"]["sha256"]:
        sentences.append(
            "The dataset's own validation set is not used: the folds are of its training images."
        )
    return sentences


@dataclass(frozen=True)
class FoldLine:
    """One fold: how many images it trained on and held out, and its figures."""

    fold: int
    trained: int | None  # None: it diverged
    held_out: int | None
    values: tuple[float | None, ...]  # means, if there are several seeds


@dataclass(frozen=True)
class FoldTable:
    """A variant's figures, fold by fold, and over the folds."""

    variant: str
    figures: tuple[str, ...]
    lines: tuple[FoldLine, ...]
    spreads: tuple[Spread | None, ...]  # of each figure; None: no run has it


def fold_tables(result: StudyResult) -> list[FoldTable]:
    """Return a table for every variant that has folds."""
    figures, tables = figures_shown(result), []
    for variant, own in result.runs.items():
        by_fold: dict[int, list[Run]] = {}
        for run in own:
            if (fold := run.experiment.fold) is not None:
                by_fold.setdefault(fold, []).append(run)
        if not by_fold:
            continue
        lines = [
            FoldLine(
                fold,
                _examples(runs, "train"),
                _examples(runs, "validation"),
                tuple(next(iter(values_of(runs, name)), None) for name in figures),
            )
            for fold, runs in sorted(by_fold.items())
        ]
        every = [values_of(own, figure) for figure in figures]
        spreads = tuple(over_seeds(values) if values else None for values in every)
        tables.append(FoldTable(variant, figures, tuple(lines), spreads))
    return tables


def _examples(runs: Sequence[Run], split: str) -> int | None:
    return next((run.metrics[split]["examples"] for run in runs if split in run.metrics), None)
