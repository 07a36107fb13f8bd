"""The table of a study: every variant with its figures, in words and as CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kerascw.evaluation.statistics import Spread, is_shown, over_seeds
from kerascw.experiment.spec import Autoencoder
from kerascw.lab.plan import StudyResult
from kerascw.lab.published import Published
from kerascw.lab.repeats import (
    Repeats,
    difference_of,
    hits_of,
    repeat_text,
    repeats_of,
    values_of,
)
from kerascw.lab.sheet import sheet
from kerascw.lab.verdict import Verdict, bounds_of, verdict
from kerascw.runs.store import Run

TOO_NARROW = (
    "The folds share training images, so their figures depend on one another: the confidence "
    "interval over the folds is too narrow (Bengio and Grandvalet, 2004)."
)


@dataclass(frozen=True)
class Cell:
    """One figure of one variant: over seeds or folds, published, and what to think of it."""

    name: str
    values: tuple[float, ...]
    spread: Spread | None  # None: no run has the figure
    published: Published | None
    verdict: Verdict | None
    difference: Spread | None  # to the baseline, paired by seed or fold


@dataclass(frozen=True)
class Row:
    """One variant of a study."""

    variant: str
    repeats: Repeats
    parameters: int
    diverged: tuple[str, ...]  # a line for every run that diverged
    cells: tuple[Cell, ...]
    reconstructs: bool = False  # an autoencoder's


def rows_of(result: StudyResult) -> list[Row]:
    """Return the study's table: every variant with its figures."""
    names = figures_shown(result)
    return [
        Row(
            variant,
            repeats_of(runs),
            runs[0].metrics["parameters"],
            tuple(
                f"{repeat_text(run.experiment)}: {run.metrics['reason']}"
                for run in runs
                if run.metrics["status"] == "diverged"
            ),
            tuple(_cell(result, variant, name) for name in names),
            runs[0].experiment.reconstructs,
        )
        for variant, runs in result.runs.items()
    ]


def figures_shown(result: StudyResult) -> tuple[str, ...]:
    """Return the study's figures, and those of the held-out fold if a variant has folds."""
    shown, wanted = result.study.figures, ["validation.loss"]
    if all(run.experiment.fold is None for run in result.every_run):
        return shown
    autoencoders = all(run.experiment.reconstructs for run in result.every_run)
    if "validation.error" not in shown and not autoencoders:
        wanted.insert(0, "validation.accuracy")
    return (*(name for name in wanted if name not in shown), *shown)


def _cell(result: StudyResult, variant: str, name: str) -> Cell:
    study, runs = result.study, result.runs[variant]
    baseline = result.runs.get(study.base_of(variant) or "", [])
    values = values_of(runs, name)
    spread = over_seeds(values, bounds_of(name)) if values else None
    printed, judged = study.published().get(variant, {}).get(name), None
    if printed is not None:
        obstacles = [*result.plan.cautions, *filter(None, [printed.not_comparable])]
        hits = None if obstacles else hits_of(runs, name)
        judged = verdict(values, printed, name, obstacles, repeats_of(runs).unit, hits)
    difference = _difference(runs, baseline, name)
    return Cell(name, tuple(values), spread, printed, judged, difference)


def _difference(runs: Sequence[Run], baseline: Sequence[Run], name: str) -> Spread | None:
    """Return the paired difference over the seeds or folds that both have; None without any."""
    if name.endswith("loss") and len({_kind_of_loss(run) for run in [*runs, *baseline]}) > 1:
        return None
    return difference_of(runs, baseline, name)


def _kind_of_loss(run: Run) -> str:
    """Return what the run's loss is one of: only losses of one kind are compared."""
    model = run.experiment.model
    return model.kind if isinstance(model, Autoencoder) else model.output


# --- text -----------------------------------------------------------------------------------


def unit_of(rows: Sequence[Row], plural: str = "") -> str:
    """Return what the figures of all rows are over: ``seed``, ``fold`` or ``seed or fold``."""
    return " or ".join(sorted({row.repeats.unit + plural for row in rows}, reverse=True))


def measured_over(rows: Sequence[Row]) -> str | None:
    """Return over what all rows with folds are, for the column's header; None where they differ."""
    over = {str(row.repeats) for row in rows}
    return over.pop() if len(over) == 1 and rows[0].repeats.folds else None


def row_name(row: Row, rows: Sequence[Row]) -> str:
    """Return the variant, with what it is over where some have folds and others not."""
    if measured_over(rows) or not any(each.repeats.folds for each in rows):
        return row.variant
    return f"{row.variant} ({row.repeats})"


def any_published(rows: Sequence[Row]) -> bool:
    """Whether any figure of the table was published."""
    return any(cell.published for row in rows for cell in row.cells)


def cautions(result: StudyResult, rows: Sequence[Row]) -> list[str]:
    """Say how the study departs from its protocol, and that published figures are another's."""
    start = "Departs from the study's own protocol"
    if any_published(rows):
        start = "Not comparable with published figures"
    return [f"{start}: {caution}." for caution in result.plan.cautions]


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


def spread_text(spread: Spread | None) -> str:
    """Return the mean with its 95 % CI; with the range of two values; or a single value.

    The CI stands as ``± half its width``, and as ``low to high`` where a bound of the figure, such
    as 1 of an accuracy, cuts it off.
    """
    if spread is None:
        return "-"
    mean = f"{spread.mean:.4f}"
    if spread.interval is None:
        low, high = spread.range
        return mean if spread.n == 1 else f"{mean} (range {low:.4f} to {high:.4f})"
    low, high = spread.interval
    if math.isclose(high - spread.mean, spread.mean - low, abs_tol=5e-5):
        return f"{mean} ± {(high - low) / 2:.4f}"
    return f"{mean} ({low:.4f} to {high:.4f})"


def difference_text(difference: Spread | None, unit: str = "seed") -> str:
    """Return the paired difference with its 95 % CI, and whether it is significant."""
    if difference is None:
        return ""
    if difference.interval is None:
        count = f"one {unit}" if difference.n == 1 else f"{difference.n} {unit}s, no interval"
        return f"{difference.mean:+.4f} ({count})"
    low, high = difference.interval
    mark = "" if is_shown(difference) else ", not significant"
    return f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f}{mark})"


def published_text(published: Published | None) -> str:
    """Return the published figure as reported and, where they differ, as corrected."""
    if published is None:
        return ""
    reported = f"{published.reported:.{published.digits}f}"
    if published.corrected is None:
        return reported
    return f"{reported}, corrected {published.corrected:.4f}"


def csv_text(rows: Sequence[Row]) -> str:
    """Return the table in long form: a line for every variant and figure.

    Where any variant has folds, ``folds`` counts the values and ``seeds`` those of each.
    """
    folded = any(row.repeats.folds for row in rows)
    lines: list[list[object]] = [
        ["variant", "parameters", "figure", *(["folds"] if folded else []), "seeds",
         "mean", "deviation", "low_95", "high_95", "values",
         "published_reported", "published_corrected", "verdict", "verdict_reason",
         "difference", "difference_low_95", "difference_high_95", "difference_shown", "diverged"]
    ]  # fmt: skip
    for row in rows:
        for cell in row.cells:
            spread, difference, printed = cell.spread, cell.difference, cell.published
            low, high = spread.interval if spread and spread.interval else ("", "")
            d_low, d_high = difference.interval if difference and difference.interval else ("", "")
            of_folds, n = row.repeats.folds is not None, len(cell.values)
            over = [n if of_folds else "", row.repeats.seeds if of_folds else n]
            lines.append(
                [row.variant, row.parameters, cell.name, *over[not folded :],
                 spread.mean if spread else "",
                 spread.deviation if spread and spread.n > 1 else "", low, high,
                 " ".join(str(value) for value in cell.values),
                 printed.reported if printed else "", printed.corrected if printed else "",
                 cell.verdict.word if cell.verdict else "",
                 cell.verdict.reason if cell.verdict else "",
                 difference.mean if difference else "", d_low, d_high,
                 is_shown(difference) if difference else "", "; ".join(row.diverged)]
            )  # fmt: skip
    return sheet(lines)
