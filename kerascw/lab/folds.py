"""What a study's page, table and terminal say of cross-validation."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kerascw.evaluation.statistics import Spread, over_seeds
from kerascw.lab.plan import StudyResult
from kerascw.lab.repeats import repeats_of, values_of
from kerascw.lab.verdict import figure_of
from kerascw.runs.store import Run

TOO_NARROW = (
    "Folds share training pictures, so that their figures depend on one another: the interval over "
    "them is too narrow (Bengio and Grandvalet, 2004)."
)


def figures_shown(result: StudyResult) -> tuple[str, ...]:
    """Return the study's figures; where a variant has folds, those of the held-out fold too."""
    shown = result.study.figures
    if all(repeats_of(runs).folds is None for runs in result.runs.values()):
        return shown
    wanted = ["validation.loss"]
    if "validation.error" not in shown and not all(r.experiment.reconstructs
                                                   for r in result.every_run):  # fmt: skip
        wanted.insert(0, "validation.accuracy")
    return (*(name for name in wanted if name not in shown), *shown)


def notes(result: StudyResult) -> list[str]:
    """Return how the means and intervals of a study with folds are to be read; else nothing."""
    folded = {name: runs for name, runs in result.runs.items() if repeats_of(runs).folds}
    if not folded:
        return []
    said = [TOO_NARROW]
    if any(repeats_of(runs).seeds > 1 for runs in folded.values()):
        said.append("A fold's figure is its mean over the seeds.")
    if "validation_images" in result.every_run[0].environment["data"]["sha256"]:
        said.append(
            "The dataset's own validation part is not used: the folds are of its training pictures."
        )
    return said


# --- every fold -----------------------------------------------------------------------------


@dataclass(frozen=True)
class FoldTable:
    """A variant's figures, fold by fold, and over the folds."""

    variant: str
    figures: tuple[str, ...]
    lines: tuple["FoldLine", ...]
    spreads: tuple[Spread | None, ...]  # of each figure; None: no run has it


@dataclass(frozen=True)
class FoldLine:
    """One fold: how many pictures were trained on and held out, and its figures."""

    fold: int
    trained: int | None  # None: it diverged
    held_out: int | None
    values: tuple[float | None, ...]  # a mean, where there are several seeds


def fold_tables(result: StudyResult) -> list[FoldTable]:
    """Return a table for every variant that has folds."""
    figures = figures_shown(result)
    tables = []
    for variant, by_fold in by_fold_of(result.runs):
        every = [run for runs in by_fold.values() for run in runs]
        spreads = tuple(
            over_seeds(values) if (values := values_of(every, name)) else None for name in figures
        )
        lines = tuple(
            FoldLine(
                fold,
                _examples(runs, "train"),
                _examples(runs, "validation"),
                tuple(next(iter(values_of(runs, name)), None) for name in figures),
            )
            for fold, runs in by_fold.items()
        )
        tables.append(FoldTable(variant, figures, lines, spreads))
    return tables


def by_fold_of(runs: Mapping[str, Sequence[Run]]) -> Iterator[tuple[str, dict[int, list[Run]]]]:
    for variant, several in runs.items():
        by_fold: dict[int, list[Run]] = {}
        for run in several:
            if (fold := run.experiment.fold) is not None:
                by_fold.setdefault(fold, []).append(run)
        if by_fold:
            yield variant, dict(sorted(by_fold.items()))


def _examples(runs: Sequence[Run], part: str) -> int | None:
    return next((run.metrics[part]["examples"] for run in runs if part in run.metrics), None)


def folds_csv(result: StudyResult) -> str:
    """Return a line for every run that held out a fold."""
    figures = figures_shown(result)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["variant", "fold", "seed", "run", "status", "train_examples", "validation_examples",
         *figures]
    )  # fmt: skip
    for variant, by_fold in by_fold_of(result.runs):
        for fold, runs in by_fold.items():
            for run in runs:
                examples = [_examples([run], part) for part in ("train", "validation")]
                values = [figure_of(run, name) for name in figures]
                writer.writerow(
                    [variant, fold, run.experiment.seed, run.name, run.metrics["status"],
                     *("" if value is None else value for value in [*examples, *values])]
                )  # fmt: skip
    return out.getvalue()
