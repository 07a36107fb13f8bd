"""Figures, table and report of learning curves."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerascw.errors import KerascwError
from kerascw.lab.curves import (
    Comparison,
    Curve,
    CurveRuns,
    Point,
    curves_of,
    percent,
)
from kerascw.lab.power_law import PowerLaw, fit_power_law
from kerascw.lab.study import Answer
from kerascw.lab.table import difference_text, spread_text
from kerascw.report.page import page, replace_text
from kerascw.report.tables import Cell, Table, count, environment_facts, number, write_tables
from kerascw.runs.store import Run, Store

if TYPE_CHECKING:
    from kerascw.report.charts import Chart


def learning_curve_pictures(
    runs: CurveRuns,
    figure: str = "validation.loss",
    *,
    baseline: str | None = None,
    accuracy: str | None = "test.accuracy",
) -> dict[str, tuple["Chart", str]]:
    """Return the figures by name, each with what it shows.

    Parameters
    ----------
    figure : is drawn for validation and for training, and as differences to the ``baseline``, an
        initialisation, the first if not given.
    accuracy : the figure that the power law is drawn for; None for no power law.
    """
    from kerascw.report.learning_figures import (
        extrapolation,
        learning_curves,
        paired_differences,
    )

    part, _, name = figure.partition(".")
    drawn = {}
    panels = {shown: curves_of(runs, f"{shown}.{name}") for shown in dict.fromkeys(("train", part))}
    curves = panels[part]
    if any(point.values for curve in curves.values() for point in curve.points):
        drawn[f"learning_curve_{name}"] = (
            learning_curves(panels),
            f"{name} of the kept weights on training and {part} pictures against the share of the "
            "training pictures; the line is the mean over the seeds, the band their range",
        )
    compared = comparisons(curves, baseline)
    if any(comparison.differences for comparison in compared):
        drawn[f"difference_in_{part}_{name}"] = (
            paired_differences(compared),
            f"{part} {name} less that of {compared[0].baseline.name}, paired by seed, with its "
            "95 % t-interval; filled where the interval does not hold zero",
        )
    laws = power_laws(runs, accuracy)
    if laws:
        drawn["power_law"] = (
            extrapolation(laws),
            f"{laws[0].curve.figure.replace('.', ' ')} against the number of training pictures: "
            "each seed, the fitted power law and, dashed, what it expects of more pictures, with "
            "95 % intervals as bands",
        )
    return drawn


def comparisons(curves: Mapping[str, Curve], baseline: str | None = None) -> list[Comparison]:
    """Return the comparison of every other initialisation with the baseline, or with the first."""
    first = baseline or next(iter(curves), None)
    return [Comparison(curve, curves[first])
            for name, curve in curves.items() if first is not None and name != first]  # fmt: skip


def power_laws(runs: CurveRuns, accuracy: str | None) -> list[PowerLaw]:
    """Return the power law of every initialisation that has three fractions or more."""
    if accuracy is None:
        return []
    fitted = (fit_power_law(curve) for curve in curves_of(runs, accuracy).values())
    return [law for law in fitted if law is not None]


# --- table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableRow:
    """One fraction of one figure: a cell and a difference an initialisation."""

    fraction: str
    pictures: str
    cells: tuple[str, ...]
    differences: tuple[str, ...]


def table_rows(curves: Mapping[str, Curve], baseline: str | None = None) -> list[TableRow]:
    """Return the curves as text, a row a fraction."""
    compared = comparisons(curves, baseline)
    gaps = [{d.fraction: d.spread for d in comparison.differences} for comparison in compared]
    points = [{p.fraction: p for p in curve.points} for curve in curves.values()]
    rows = []
    for fraction in sorted({fraction for by_fraction in points for fraction in by_fraction}):
        cells = []
        examples = None
        for by_fraction in points:
            point = by_fraction.get(fraction)
            examples = examples or (point.examples if point else None)
            cells.append("-" if point is None else _cell(point))
        rows.append(
            TableRow(
                percent(fraction),
                f"{examples:,}" if examples else "-",
                tuple(cells),
                tuple(difference_text(gap.get(fraction)) for gap in gaps),
            )
        )
    return rows


def _cell(point: Point) -> str:
    seeds = len(point.seeds) + len(point.diverged)
    of = f" ({len(point.seeds)} of {seeds} seeds)" if point.diverged else ""
    return spread_text(point.spread) + of


def csv_text(tables: Mapping[str, Mapping[str, Curve]], baseline: str | None = None) -> str:
    """Return the curves of several figures as CSV, a row a figure, initialisation and fraction."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["figure", "initialisation", "fraction", "pictures", "seeds", "mean", "deviation",
         "low_95", "high_95", "values", "difference", "difference_low_95", "difference_high_95",
         "difference_shown", "diverged_seeds"]
    )  # fmt: skip
    for figure, curves in tables.items():
        gaps = {
            (comparison.curve.name, difference.fraction): difference
            for comparison in comparisons(curves, baseline)
            for difference in comparison.differences
        }
        for name, curve in curves.items():
            for point in curve.points:
                gap, spread = gaps.get((name, point.fraction)), point.spread
                low, high = (spread and spread.interval) or ("", "")
                gap_low, gap_high = (gap and gap.spread.interval) or ("", "")
                one = spread is None or spread.interval is None
                writer.writerow(
                    [figure, name, point.fraction, point.examples or "", len(point.seeds),
                     spread.mean if spread else "", "" if one or not spread else spread.deviation,
                     low, high, " ".join(repr(value) for value in point.values),
                     gap.spread.mean if gap else "", gap_low, gap_high,
                     gap.is_shown if gap else "", " ".join(map(str, point.diverged))]
                )  # fmt: skip
    return out.getvalue()


# --- report ---------------------------------------------------------------------------------

CURVE = "curve.json"
"""What is kept of a learning curve: which runs, and what its page is made with."""


def write_learning_curve(
    folder: Path,
    *,
    title: str,
    runs: CurveRuns,
    figures: Sequence[str],
    answers: Sequence[Answer],
    cautions: Sequence[str],
    accuracy: str,
    command: str | None,
) -> Path:
    """Write curve.json, figures, tables, table.csv and report.html into ``folder``.

    The page is written last; it is returned.

    Parameters
    ----------
    figures : of the tables; the first is drawn against the fraction, and as differences.
    """
    from kerascw.report.figure_files import clear_figures, write_figures

    tables = {figure: curves_of(runs, figure) for figure in figures}
    drawn = learning_curve_pictures(runs, figures[0], accuracy=accuracy)
    folder.mkdir(parents=True, exist_ok=True)
    clear_figures(folder / "figures")
    shown = write_figures(drawn, folder / "figures")
    replace_text(folder / "table.csv", csv_text(tables))
    every = [run for by_fraction in runs.values() for several in by_fraction.values()
             for run in several]  # fmt: skip
    pages = {figure: figure_table(figure, curves) for figure, curves in tables.items()}
    listed = runs_table(runs)
    write_tables([*pages.values(), listed], folder / "tables")
    first = next(iter(runs.values()))
    at_most = largest(curves_of(runs, accuracy))
    seconds = sum(run.environment.get("training_seconds", 0) for run in every)
    text = page(
        "learning_curve.html",
        shown,
        title=title,
        label=folder.name,
        names=list(runs),
        headline=headline(at_most, accuracy.replace(".", " ")),
        tables=pages,
        answers=answers,
        cautions=cautions,
        command=command,
        seeds=len({run.experiment.seed for run in every}),
        fractions=sorted({percent(f) for by_fraction in runs.values() for f in by_fraction},
                         key=lambda text: float(text.split()[0])),
        runs=listed,
        last=first[max(first)][0],
        specification=_specification(runs),
        environment=[("training", f"{seconds:,.0f} seconds in all"),
                     *environment_facts(every[0].environment)],
        data=every[0].environment["data"],
    )  # fmt: skip
    kept = {
        "title": title,
        "figures": list(figures),
        "accuracy": accuracy,
        "cautions": list(cautions),
        "command": command,
        "data": every[0].environment["data"].get("title"),
        "model": every[0].experiment.model.kind,
        "sample": every[0].experiment.data.sample,
        "seeds": len({run.experiment.seed for run in every}),
        "largest": [
            {"initialisation": name, "figure": accuracy, "fraction": point.fraction,
             "mean": point.spread.mean if point.spread else None,
             "interval": point.spread.interval if point.spread else None}
            for name, point in at_most.items()
        ],
        "runs": {
            name: {repr(f): [run.name for run in several] for f, several in by_fraction.items()}
            for name, by_fraction in runs.items()
        },
    }  # fmt: skip
    replace_text(folder / CURVE, json.dumps(kept, indent=2) + "\n")
    return replace_text(folder / "report.html", text)


def draw_learning_curve(folder: Path, store: Store) -> Path:
    """Draw the page of a kept learning curve again, from its runs.

    Raises
    ------
    KerascwError
        Its file is damaged, or a run of it is not kept any more.
    """
    from kerascw.lab.learning_answers import learning_curve_answers

    file = folder / CURVE
    runs: dict[str, dict[float, list[Run]]] = {}
    try:
        kept = json.loads(file.read_text())
        named = {name: {float(f): list(names) for f, names in by_fraction.items()}
                 for name, by_fraction in kept["runs"].items()}  # fmt: skip
        figures, accuracy = list(kept["figures"]), str(kept["accuracy"])
        title, cautions, command = kept["title"], list(kept["cautions"]), kept["command"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KerascwError(f"{file}: damaged ({error})") from None
    for name, by_fraction in named.items():
        runs[name] = {}
        for fraction, names in by_fraction.items():
            found = [(each, store.get(each)) for each in names]
            lost = [each for each, run in found if run is None]
            if lost:
                again = f"; train it again: {command}" if command else ""
                raise KerascwError(f"{file}: run {lost[0]} is not kept in {store.folder}{again}")
            runs[name][fraction] = [run for _, run in found if run is not None]
    return write_learning_curve(
        folder,
        title=title,
        runs=runs,
        figures=figures,
        answers=learning_curve_answers(runs, figures[0], accuracy=accuracy),
        cautions=cautions,
        accuracy=accuracy,
        command=command,
    )


def learning_curves_folder(runs: Path | str) -> Path:
    """Return where learning curves are kept beside the runs."""
    return Path(runs) / "learning-curves"


def largest(curves: Mapping[str, Curve]) -> dict[str, Point]:
    """Return each curve's point of the most pictures."""
    return {name: curve.points[-1] for name, curve in curves.items()}


def headline(at_most: Mapping[str, Point], figure: str) -> str:
    """Return what the most pictures give, with its uncertainty, in a sentence."""
    first = next(iter(at_most.values()))
    pictures = f" ({first.examples:,} pictures)" if first.examples else ""
    each = ", ".join(f"{name} {spread_text(point.spread)}" for name, point in at_most.items())
    seeds = {len(point.seeds) for point in at_most.values()}
    over = f"mean over {max(seeds)} seeds ± half the 95 % t-interval"
    return (
        f"On {percent(first.fraction)} of the training pictures{pictures}: {figure} {each} "
        f"({'one seed, no interval' if seeds == {1} else over})."
    )


def figure_table(figure: str, curves: Mapping[str, Curve], baseline: str | None = None) -> Table:
    """Return a figure of every initialisation as a table of a page, a row a fraction."""
    compared = comparisons(curves, baseline)
    columns = ["fraction", "pictures", *curves]
    columns += [f"{one.curve.name} less {one.baseline.name}" for one in compared]
    points = [{p.fraction: p for p in curve.points} for curve in curves.values()]
    gaps = [{d.fraction: d.spread for d in one.differences} for one in compared]
    rows = []
    for fraction in sorted({fraction for by_fraction in points for fraction in by_fraction}):
        there = [by_fraction.get(fraction) for by_fraction in points]
        examples = next((point.examples for point in there if point and point.examples), None)
        line = [Cell(percent(fraction), fraction), count(examples)]
        line += [Cell("-") if point is None else
                 Cell(_cell(point), point.spread.mean if point.spread else None)
                 for point in there]  # fmt: skip
        line += [Cell(difference_text(gap.get(fraction)) or "-",
                      gap[fraction].mean if fraction in gap else None) for gap in gaps]  # fmt: skip
        rows.append(line)
    name = figure.replace(".", "_")
    return Table(name, tuple(columns), rows, ())


def runs_table(runs: CurveRuns) -> Table:
    """Return every run with what it is of."""
    rows = [
        (name, Cell(percent(fraction), fraction), count(run.experiment.seed),
         Cell(run.name, code=True), count(run.metrics["epochs_trained"]),
         number(run.metrics.get("test", {}).get("accuracy")))
        for name, by_fraction in runs.items()
        for fraction, several in by_fraction.items()
        for run in several
    ]  # fmt: skip
    columns = ("initial weights", "fraction", "seed", "run", "epochs", "test accuracy")
    return Table("runs", columns, rows, (0, 3), "Runs")


def _specification(runs: CurveRuns) -> str:
    """Return the experiment of every initialisation on the most pictures, first seed, as JSON."""
    firsts = {
        name: by_fraction[max(by_fraction)][0].experiment.model_dump(mode="json")
        for name, by_fraction in runs.items()
    }
    return json.dumps(firsts, indent=2)
