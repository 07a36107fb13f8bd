"""How a run stands corrupted images: its numbers, and a page of a curve for each corruption."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Part
from kerascw.errors import CallError
from kerascw.evaluation.corruptions import (
    CORRUPTIONS,
    STRENGTHS,
    corrupted,
    relative_error,
    right_under_corruption,
)
from kerascw.evaluation.metrics import wilson_interval
from kerascw.export.card import card_of
from kerascw.report.page import page, replace_text
from kerascw.report.tables import Cell, Table, count, number, percent, write_tables
from kerascw.runs.store import Run, write_json

PANEL = 150
"""Pixels of a curve's height."""


@dataclass(frozen=True)
class Robustness:
    """How many of the same test images models classify correctly, run first, then its baseline."""

    names: tuple[str, ...]
    images: int
    strengths: tuple[int, ...]
    clean: np.ndarray  # int [models]
    right: np.ndarray  # int [models, kinds, strengths]

    @property
    def errors(self) -> np.ndarray:
        """Shares of mistakes, float ``[models, kinds, strengths]``."""
        shares: np.ndarray = 1 - self.right / self.images
        return shares

    @property
    def relative(self) -> np.ndarray | None:
        """Each corruption's error relative to the baseline's, float ``[kinds]``."""
        return relative_error(*self.errors) if len(self.names) == 2 else None


def check_tested(run: Run, baseline: Run | None) -> None:
    """Raise a :class:`CallError` where there is no test set to corrupt, or not the same one."""
    if run.experiment.reconstructs:
        raise CallError(f"run {run.name}: an autoencoder has no accuracy; choose a classifier")
    if "test" not in run.metrics:
        raise CallError(
            f"run {run.name} has no test figures: it diverged, or trained on its test set"
        )
    if baseline is None:
        return
    check_tested(baseline, None)
    alike = [
        (
            each.environment["data"]["fingerprint"],
            each.metrics["class_names"],
            each.metrics["test"]["examples"],
        )
        for each in (run, baseline)
    ]
    if alike[0] != alike[1]:
        raise CallError(
            f"--baseline: run {baseline.name} was tested on other images than {run.name}"
        )


def measure(
    run: Run,
    test: Part,
    strengths: tuple[int, ...] = STRENGTHS,
    baseline: Run | None = None,
    told: Callable[[str], Any] = str,
) -> Robustness:
    """Score a run, and a baseline's, on corrupted test images; ``told`` hears of each step."""
    from kerascw.training.predictor import Predictor

    runs = [run] if baseline is None else [run, baseline]
    predictors = {each.name: Predictor(each.model()) for each in runs}
    images, labels = np.asarray(test.images), test.labels
    clean = [int((p(images).argmax(axis=1) == labels).sum()) for p in predictors.values()]
    right: dict[tuple[str, int], list[int]] = {}
    for kind, strength, counts in right_under_corruption(
        predictors, images, labels, strengths, light_on_dark=card_of(run)["light_on_dark"]
    ):
        told(f"{kind}, strength {strength}")
        right[kind, strength] = list(counts.values())
    table = np.array([[right[kind, strength] for strength in strengths] for kind in CORRUPTIONS])
    names = tuple(predictors)
    return Robustness(names, len(test), strengths, np.array(clean), np.moveaxis(table, 2, 0))


def robustness_tables(found: Robustness) -> dict[str, Table]:
    """Return a row for each corruption, the worst first; and one for each that was measured."""
    accuracy, relative = 1 - found.errors[0], found.relative

    def row(name: str, shares: np.ndarray, ratio: float | None) -> list[Cell]:
        cells = [percent(float(share)) for share in (*shares, 1 - shares.mean())]
        return [Cell(name), *cells, *([] if ratio is None else [number(float(ratio), ".3f")])]

    rows = [
        row(CORRUPTIONS[at], accuracy[at], None if relative is None else relative[at])
        for at in np.argsort(accuracy.mean(axis=1), kind="stable")
    ]
    every_kind = row("all", accuracy.mean(axis=0), None if relative is None else relative.mean())
    columns = ("corruption", *(f"accuracy at {each}" for each in found.strengths), "mean error",
               *([] if relative is None else ["relative to baseline"]))  # fmt: skip
    measured = [("none", 0, found.clean)] + [
        (kind, strength, found.right[:, at, level])
        for at, kind in enumerate(CORRUPTIONS)
        for level, strength in enumerate(found.strengths)
    ]
    every: list[tuple[str | Cell, ...]] = [
        (name, kind, count(strength), number(right / found.images),
         *map(number, wilson_interval(int(right), found.images)))
        for kind, strength, counts in measured
        for name, right in zip(found.names, counts, strict=True)
    ]  # fmt: skip
    names = ("run", "corruption", "strength", "accuracy", "95 % CI, low", "95 % CI, high")
    return {
        "corruptions": Table("corruptions", columns, rows, foot=[every_kind]),
        "robustness": Table("robustness", names, every, text=(0, 1)),
    }


def write_robustness(found: Robustness, run: Run, test: Part, folder: Path) -> Path:
    """Write report.html, figures, tables and robustness.json into ``folder``; return the page."""
    from kerascw.report.figure_files import write_figures
    from kerascw.report.figures import Tile, grid

    folder.mkdir(parents=True, exist_ok=True)
    light = card_of(run)["light_on_dark"]
    rows = []
    for kind in CORRUPTIONS:
        changed = [corrupted(np.asarray(test.images[:1]), kind, strength, light_on_dark=light)[0]
                   for strength in found.strengths]  # fmt: skip
        rows.append([Tile(image) for image in (test.images[0], *changed)])
    shown = write_figures(
        {
            "curves": (_curves(found), "accuracy against the strength of each corruption; 0 is "
                       "without, bands are 95 % Wilson intervals"),
            "examples": (grid(rows, CORRUPTIONS, side=0.7),
                         "a test image without corruption, and in each strength"),
        },
        folder / "figures",
    )  # fmt: skip
    tables = robustness_tables(found)
    write_tables(tables.values(), folder / "tables")
    errors, relative = found.errors, found.relative
    numbers = {
        "run": run.name,
        "baseline": found.names[1] if len(found.names) == 2 else None,
        "test_images": found.images,
        "accuracy": float(found.clean[0] / found.images),
        "accuracy_interval_95": wilson_interval(int(found.clean[0]), found.images),
        "mean_corruption_error": float(errors[0].mean()),
        "baseline_mean_corruption_error": float(errors[-1].mean()) if len(errors) == 2 else None,
        "relative_mean_corruption_error": None if relative is None else float(relative.mean()),
    }
    write_json(folder / "robustness.json", numbers)
    text = page(
        "robustness.html", shown, run=run, found=found, numbers=numbers, tables=tables,
        data=run.environment["data"],
    )  # fmt: skip
    return replace_text(folder / "report.html", text)


def _curves(found: Robustness) -> Any:
    from kerascw.report.charts import Line, line_panels, series

    names = ("this run", "baseline")[: len(found.names)]
    panels: list[tuple[list[Line], dict[str, Any]]] = []
    for kind, title in enumerate(CORRUPTIONS):
        lines = []
        for model, name in enumerate(names):
            counts = [int(found.clean[model]), *map(int, found.right[model, kind])]
            low, high = zip(*(wilson_interval(n, found.images) for n in counts), strict=True)
            shares = [n / found.images for n in counts]
            lines.append(Line(name, (0, *found.strengths), shares, low, high))
        panels.append((lines, {"title": title}))
    lowest = float(found.right.min() / found.images)
    alike: dict[str, Any] = {"x": "strength", "y": "accuracy", "bottom": lowest, "pixels": PANEL}
    return replace(line_panels(panels, series(names), **alike), file_width=220)
