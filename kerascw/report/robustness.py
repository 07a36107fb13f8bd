"""How robust models are to corrupted images: numbers over seeds, and a page of curves.

A run is a study of one variant and one seed. Intervals are over the seeds; of a single model they
are Wilson's over the images.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Part
from kerascw.data.corruption_sets import CorruptedSet
from kerascw.errors import CallError
from kerascw.evaluation.corruptions import (
    CORRUPTIONS,
    NONE,
    SEED,
    STRENGTHS,
    Corrupted,
    Counted,
    corrupted,
    counted_right,
    every_corruption,
)
from kerascw.evaluation.metrics import wilson_interval
from kerascw.evaluation.statistics import Spread, over_seeds, paired_difference
from kerascw.export.card import card_of
from kerascw.lab.table import difference_text, spread_text
from kerascw.report.page import write_page
from kerascw.report.tables import Cell, Table, count, number, percent
from kerascw.runs.store import Run, write_json

PANEL = 150
"""Pixels of a curve's height."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From images to probabilities, float ``[n, classes]``."""


@dataclass(frozen=True)
class Models:
    """Classifiers that were tested on the same images: runs by variant, one a seed."""

    title: str  # run NAME or study NAME
    variants: Mapping[str, Sequence[Run]]
    bases: Mapping[str, str]  # of a variant, the one that it is compared with
    left_out: Mapping[str, str] = field(default_factory=dict)  # variant to reason

    @property
    def first(self) -> Run:
        """The run whose test set is used: it is that of all."""
        return next(iter(self.variants.values()))[0]


def models_of(
    title: str,
    variants: Mapping[str, Sequence[Run]],
    base_of: Callable[[str], str | None],
    *,
    every: bool = False,
) -> Models:
    """Return the classifiers that were tested, each variant's over its seeds.

    Raises CallError: there is none, or with ``every`` not all are; or not on the same images.
    """
    faults = {name: fault for name, runs in variants.items() if (fault := _fault(runs))}
    if faults and (every or len(faults) == len(variants)):
        name, fault = next(iter(faults.items()))
        raise CallError(f"{title}: {name} cannot be scored: {fault}")
    tested = {
        name: [run for run in runs if "test" in run.metrics]
        for name, runs in variants.items()
        if name not in faults
    }
    bases = {name: base for name in tested if (base := base_of(name)) in tested}
    models = Models(title, tested, bases, faults)
    for name, runs in tested.items():
        if any(_images_of(run) != _images_of(models.first) for run in runs):
            raise CallError(f"{title}: {name} was tested on other images than {models.first.name}")
    return models


def _fault(runs: Sequence[Run]) -> str:
    """Say why a variant has no test accuracy over seeds; empty if it has."""
    if runs[0].experiment.reconstructs:
        return "an autoencoder has no accuracy; choose a classifier"
    if len({run.experiment.fold for run in runs}) > 1:
        return "its runs are folds, trained on other images each; name one of them"
    if not any("test" in run.metrics for run in runs):
        return "no test figures: it diverged, or trained on its test set"
    return ""


def _images_of(run: Run) -> tuple[Any, ...]:
    """Return what is the same for runs that were tested on the same images."""
    metrics = run.metrics
    data = run.environment["data"]["fingerprint"]
    return data, metrics["class_names"], metrics["test"]["examples"]


def check_takes(models: Models, test: Part, found: CorruptedSet) -> None:
    """Raise a :class:`CallError` where the models cannot classify a published set's images."""
    names = models.first.metrics["class_names"]
    if test.shape == found.entry.shape and [*names] == [*found.entry.class_names]:
        return
    theirs, ours = (" x ".join(map(str, shape)) for shape in (found.entry.shape, test.shape))
    few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise CallError(
        f"--published: {found.title} has images of {theirs} and the classes of "
        f"{found.entry.title}; {models.title} takes images of {ours} and {len(names)} classes "
        f"({few})"
    )


@dataclass(frozen=True)
class Robustness:
    """What the models classify correctly: of corrupted test images, and of a published set."""

    models: Models
    counted: tuple[Counted, ...]  # without corruption first, then kind by kind
    published: tuple[Counted, ...] = ()
    published_title: str = ""

    @property
    def images(self) -> int:
        return self.counted[0].images

    def errors(self, variant: str) -> np.ndarray:
        """Return the shares of mistakes, float ``[seeds, kinds, strengths]``."""
        runs = self.models.variants[variant]
        wrong = [[1 - e.right[run.name] / e.images for e in self.counted[1:]] for run in runs]
        return np.reshape(wrong, (len(runs), len(CORRUPTIONS), len(STRENGTHS)))

    def mean_errors(self, variant: str) -> dict[int, float]:
        """Return the mean error under corruption of each seed."""
        seeds = [run.experiment.seed for run in self.models.variants[variant]]
        return dict(zip(seeds, self.errors(variant).mean(axis=(1, 2)).tolist(), strict=True))

    def difference(self, variant: str) -> Spread | None:
        """Return the mean error under corruption minus the baseline's, paired by seed."""
        base = self.models.bases.get(variant)
        if base is None:
            return None
        mine, theirs = self.mean_errors(variant), self.mean_errors(base)
        pairs = [(error, theirs[seed]) for seed, error in mine.items() if seed in theirs]
        if len(mine) == len(theirs) == 1:  # two runs, of whatever seeds
            pairs = [*zip(mine.values(), theirs.values(), strict=True)]
        return paired_difference(*zip(*pairs, strict=True)) if pairs else None

    def accuracy(self, variant: str, counted: Counted) -> Spread:
        """Return a variant's accuracy on what was counted, with its interval."""
        right = [counted.right[run.name] for run in self.models.variants[variant]]
        shares = [n / counted.images for n in right]
        if len(right) > 1:
            return over_seeds(shares, (0, 1))
        (share,) = shares
        interval = wilson_interval(right[0], counted.images)
        return Spread(1, share, math.nan, (share, share), interval)


def drawn(length: int, most: int) -> np.ndarray:
    """Return positions of at most so many of as many images, drawn at random, in their order."""
    return np.sort(np.random.default_rng(SEED).permutation(length)[:most])


def measure(
    models: Models,
    test: Part,
    published: CorruptedSet | None,
    most: int,
    told: Callable[[str], Any],
) -> Robustness:
    """Score models on at most so many images under each corruption; ``told`` hears of each step."""
    predictors = dict(_predictors(models))

    def counted(parts: Iterable[Corrupted]) -> tuple[Counted, ...]:
        found = []
        for each in counted_right(predictors, parts):
            told(f"{each.kind}, strength {each.strength}" if each.strength else each.kind)
            found.append(each)
        return tuple(found)

    images, light = np.asarray(test.images), card_of(models.first)["light_on_dark"]
    generated = counted(every_corruption(images, test.labels, light_on_dark=light))
    if published is None:
        return Robustness(models, generated)
    chosen = (
        (kind, strength, pictures[at], labels[at])
        for kind, strength, pictures, labels in published.parts
        for at in [drawn(len(labels), most)]
    )
    return Robustness(models, generated, counted(chosen), published.title)


def _predictors(models: Models) -> Iterator[tuple[str, Predict]]:
    """Yield each run's forward pass: one model a variant, which takes each seed's weights in turn.

    So a study of many seeds costs a graph for each variant, not for each run.
    """
    from kerascw.training.predictor import Predictor

    for runs in models.variants.values():
        model = runs[0].model()
        predict = Predictor(model)
        for run in runs:
            yield run.name, partial(_predicted, model, predict, run.model().get_weights())


def _predicted(model: Any, predict: Predict, weights: Any, images: np.ndarray) -> np.ndarray:
    model.set_weights(weights)
    return predict(images)


# --- tables ---------------------------------------------------------------------------------


def robustness_tables(found: Robustness) -> dict[str, Table]:
    """Return a row a variant; a row a corruption, the worst first; and one for each strength."""
    models, several = found.models, len(found.models.variants) > 1
    against = bool(models.bases)
    rows: list[list[Cell]] = []
    for variant, runs in models.variants.items():
        errors = over_seeds([*found.mean_errors(variant).values()], (0, 1))
        clean, apart = found.accuracy(variant, found.counted[0]), found.difference(variant)
        own = [Cell(difference_text(apart), apart.mean if apart else None)] if against else []
        rows.append([Cell(variant), Cell(spread_text(errors), errors.mean), *own,
                     Cell(spread_text(clean), clean.mean), count(len(runs))])  # fmt: skip
    compared = ("difference to baseline",) if against else ()
    columns = ("variant", "mean error under corruption", *compared, "accuracy without it", "seeds")
    summary = Table("variants", columns, rows)
    leading = found.errors(next(iter(models.variants))).mean(axis=(0, 2))

    def lines(name: str, at: Sequence[int]) -> Iterator[list[Cell]]:
        for variant in models.variants:
            errors = found.errors(variant)[:, at].mean(axis=(0, 1))
            shares = [percent(float(share)) for share in (*(1 - errors), errors.mean())]
            yield [Cell(name), *([Cell(variant)] if several else []), *shares]

    worst = np.argsort(-leading, kind="stable")
    columns = ("corruption", *(["variant"] if several else []),
               *(f"accuracy at {each}" for each in STRENGTHS), "mean error")  # fmt: skip
    rows = [row for at in worst for row in lines(CORRUPTIONS[at], [at])]
    kinds = Table("corruptions", columns, rows, (0, 1) if several else (0,),
                  foot=[*lines("all", [*worst])])  # fmt: skip
    tables = {"variants": summary, "corruptions": kinds,
              "robustness": _scored("robustness", found, found.counted)}  # fmt: skip
    if found.published:
        tables["published"] = _scored("published", found, found.published)
    return tables


def _scored(name: str, found: Robustness, counted: Sequence[Counted]) -> Table:
    """Return a row for each variant and each corruption and strength that was scored."""
    rows = [
        (Cell(variant), Cell(each.kind), count(each.strength), count(each.images),
         count(spread.n), number(spread.mean), *map(number, spread.interval or (None, None)))
        for each in counted
        for variant in found.models.variants
        for spread in [found.accuracy(variant, each)]
    ]  # fmt: skip
    columns = ("variant", "corruption", "strength", "images", "seeds", "accuracy", "95 % CI, low",
               "95 % CI, high")  # fmt: skip
    return Table(name, columns, rows, text=(0, 1))


# --- the page -------------------------------------------------------------------------------


def write_robustness(found: Robustness, test: Part, folder: Path) -> Path:
    """Write report.html, figures, tables and robustness.json into ``folder``; return the page."""
    from kerascw.report.figures import Tile, grid

    folder.mkdir(parents=True, exist_ok=True)
    run = found.models.first
    many = any(len(runs) > 1 for runs in found.models.variants.values())
    bands = "95 % CIs over the seeds" if many else "95 % Wilson intervals"
    light = card_of(run)["light_on_dark"]
    rows = []
    for kind in CORRUPTIONS:
        changed = [corrupted(np.asarray(test.images[:1]), kind, strength, light_on_dark=light)[0]
                   for strength in STRENGTHS]  # fmt: skip
        rows.append([Tile(image) for image in (test.images[0], *changed)])
    figures = {
        "curves": (_curves(found), "accuracy against the strength of each corruption; 0 is "
                   f"without, bands are {bands}"),
        "examples": (grid(rows, CORRUPTIONS, side=0.7),
                     "a test image without corruption, and in each strength"),
    }  # fmt: skip
    tables = robustness_tables(found)
    counted = [asdict(each) for each in (*found.counted, *found.published)]
    write_json(folder / "robustness.json", {"of": found.models.title, "counted": counted})
    return write_page(
        folder, "robustness.html", figures, tables.values(), run=run, found=found, tables=tables,
        many=many,
    )  # fmt: skip


def _curves(found: Robustness) -> Any:
    from kerascw.report.charts import Line, line_panels, series

    panels: list[tuple[list[Line], dict[str, Any]]] = []
    for kind in CORRUPTIONS:
        lines = []
        for variant in found.models.variants:
            spreads = [
                found.accuracy(variant, each) for each in found.counted if each.kind in (NONE, kind)
            ]
            shares = [spread.mean for spread in spreads]
            band = [spread.interval or (math.nan, math.nan) for spread in spreads]
            lines.append(Line(variant, (0, *STRENGTHS), shares, band))
        panels.append((lines, {"title": kind}))
    lowest = min(min(each.right.values()) / each.images for each in found.counted)
    alike: dict[str, Any] = {"x": "strength", "y": "accuracy", "bottom": lowest, "pixels": PANEL}
    return replace(line_panels(panels, series(found.models.variants), **alike), file_width=220)
