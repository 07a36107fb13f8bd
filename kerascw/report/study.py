"""report.html of a study: one self-contained file, and the figures and tables beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerascw.evaluation.statistics import Spread, over_seeds
from kerascw.lab import table as lab_table
from kerascw.lab.certainty import certainty_answers
from kerascw.lab.checklist import checklist, in_words
from kerascw.lab.conclusion import conclusion
from kerascw.lab.pictures import EmbeddingMap, FeatureMaps
from kerascw.lab.plan import Plan, StudyResult
from kerascw.lab.repeats import values_of
from kerascw.lab.study import Study
from kerascw.lab.table import figures_shown, notes
from kerascw.lab.verdict import figure_of
from kerascw.report.page import plainly, pretty, write_page
from kerascw.report.tables import Cell as Entry
from kerascw.report.tables import Table, count, number
from kerascw.runs.store import Run, write_json


def compared_figure(result: StudyResult, rows: Sequence[lab_table.Row]) -> str:
    """Choose the figure of the test set by which the study's variants are compared.

    If anything is cross-validated, it is the figure of the held-out fold.
    """
    alike = comparable(rows)
    compared = "test.error" if "test.error" in result.study.figures else "test.accuracy"
    if alike[0].reconstructs:
        compared = "test.loss"
    if any(row.repeats.folds for row in alike):
        compared = compared.replace("test.", "validation.")
    return compared


def comparable(rows: Sequence[lab_table.Row]) -> list[lab_table.Row]:
    """Select the classifiers' rows, which an autoencoder's cannot be compared with, or all."""
    return [row for row in rows if not row.reconstructs] or list(rows)


def headline(result: StudyResult, rows: Sequence[lab_table.Row]) -> str:
    """Say what was measured of the variant that validation chooses, with its uncertainty.

    Choosing by the test set would flatter it. Empty where variants are no alternatives.
    """
    if not result.study.alternatives:
        return ""
    variant, name = result.chosen, compared_figure(result, rows)
    row = next(row for row in rows if row.variant == variant)
    cell = next((cell for cell in row.cells if cell.name == name), None)
    if cell is None or cell.spread is None:
        return ""
    text = f"{variant}: {plainly(name)} {lab_table.spread_text(cell.spread)} ({_over(cell, row)})"
    if len(rows) > 1 and "validation" in result.run.metrics:
        text = f"Validation chooses {text}"
    if cell.published is not None:
        text += f"; published {lab_table.published_text(cell.published)}"
        if cell.verdict is not None and cell.verdict.word != "not comparable":
            text += f", {cell.verdict.word}: {cell.verdict.reason}"
    return text + "."


def _over(cell: lab_table.Cell, row: lab_table.Row) -> str:
    n, unit = len(cell.values), row.repeats.unit
    if n == 1:
        return f"one {unit}, no interval"
    if cell.spread is None or cell.spread.interval is None:
        return f"mean over {n} {unit}s, too few for an interval"
    return f"mean over {n} {unit}s with its 95 % CI"


def figure_tables(
    rows: Sequence[lab_table.Row], study: Study, cautions: Sequence[str]
) -> dict[str, Table]:
    """Make a table for each of the study's figures, a row a variant.

    ``cautions`` stand at the top of the page, so the rows do not repeat them.
    """
    tables = {}
    for at, shown in enumerate(rows[0].cells):
        printed = any(row.cells[at].published for row in rows)
        lines = []
        for row in rows:
            cell = row.cells[at]
            spread, difference, judged = cell.spread, cell.difference, cell.verdict
            mean = spread.mean if spread else None
            line = {
                "variant": Entry(lab_table.row_name(row, rows)),
                "measured": Entry(_measured(cell, row), mean),
            }
            if printed:
                best = cell.published.best_reading if cell.published else None
                line["published"] = Entry(lab_table.published_text(cell.published), best)
                reason = f": {judged.reason}" if judged and not cautions else ""
                line["verdict"] = Entry(f"{judged.word}{reason}" if judged else "")
            if study.baseline:
                text = lab_table.difference_text(difference, row.repeats.unit)
                mean = difference.mean if difference else None
                line[f"difference to {study.baseline}"] = Entry(text, mean)
            line |= {
                "standard deviation": number(_deviation(spread)),
                lab_table.unit_of(rows, "s"): count(len(cell.values)),
                "parameters": count(row.parameters),
            }
            lines.append(line)
        columns = tuple(lines[0])
        words = tuple(k for k, c in enumerate(columns) if c in ("variant", "verdict"))
        name = shown.name.replace(".", "_")
        cells = [list(line.values()) for line in lines]
        tables[shown.name] = Table(name, columns, cells, words, plainly(shown.name))
    return tables


def _measured(cell: lab_table.Cell, row: lab_table.Row) -> str:
    """Return the mean with its interval, and the number of values if some runs diverged."""
    n = len(cell.values)
    return lab_table.spread_text(cell.spread) + (
        f" (of {n})" if n not in (0, row.repeats.count) else ""
    )


def _deviation(spread: Spread | None) -> float | None:
    return spread.deviation if spread and spread.n > 1 else None


def fold_tables(result: StudyResult) -> list[Table]:
    """Make a table for each variant that has folds: figures fold by fold, mean and deviation."""
    figures, tables = figures_shown(result), []
    columns = ("fold", "trained on", "held out", *map(plainly, figures))
    for variant, own in result.runs.items():
        folds = sorted({fold for run in own if (fold := run.experiment.fold) is not None})
        by_fold = {fold: [run for run in own if run.experiment.fold == fold] for fold in folds}
        rows = [
            (count(fold), count(_examples(runs, "train")), count(_examples(runs, "validation")),
             *(number(next(iter(values_of(runs, name)), None)) for name in figures))
            for fold, runs in by_fold.items()
        ]  # fmt: skip
        values = [values_of(own, figure) for figure in figures]
        spreads = [over_seeds(each) if each else None for each in values]
        ends: list[list[str | Entry]] = [
            ["mean", "", "", *(number(spread.mean if spread else None) for spread in spreads)],
            ["standard deviation", "", "", *(number(_deviation(spread)) for spread in spreads)],
        ]
        name = f"folds_{''.join(c if c.isalnum() else '_' for c in variant)}"
        if rows:
            tables.append(Table(name, columns, rows, (), f"{variant}, fold by fold", foot=ends))
    return tables


def _examples(runs: Sequence[Run], split: str) -> int | None:
    return next((run.metrics[split]["examples"] for run in runs if split in run.metrics), None)


def _runs_table(result: StudyResult) -> Table:
    folded = any(run.experiment.fold is not None for run in result.every_run)
    columns = ("variant", "seed", *(["fold"] if folded else []), "run", "epochs", "test accuracy",
               "test loss")  # fmt: skip
    rows = [
        (Entry(variant), count(run.experiment.seed),
         *([count(run.experiment.fold)] if folded else []), Entry(run.name, code=True),
         count(run.metrics["epochs_trained"]),
         number(figure_of(run, "test.accuracy")), number(figure_of(run, "test.loss")))
        for variant, several in result.runs.items()
        for run in several
    ]  # fmt: skip
    return Table("runs", columns, rows, (0, columns.index("run")), "Runs")


def check_pictures(plan: Plan) -> None:
    """Raise a :class:`CallError` if the study's further figures cannot be drawn as planned."""
    experiment = next(iter(plan.experiments.values()))[0]
    if isinstance(plan.pictures, FeatureMaps):
        from kerascw.report.features import check_features

        check_features(plan.pictures, plan.study, experiment)
    if isinstance(plan.pictures, EmbeddingMap):
        from kerascw.report.embedding import check_embedding

        check_embedding(plan.pictures, plan.study, experiment)


def write_study(result: StudyResult, folder: Path, command: str | None) -> Path:
    """Write figures, tables and report.html of a study into ``folder``; return the page."""
    from kerascw.report.curves import every_curve

    rows, study, plan = lab_table.rows_of(result), result.study, result.plan
    compared, measured = compared_figure(result, rows), headline(result, rows)
    curves = every_curve(result.runs)
    own = study.pictures(result.runs, plan.pictures) if study.pictures else {}
    # after the pictures, whose settings they describe
    answers = [*study.answers(result.runs), *certainty_answers(result)]
    answer = conclusion(result, answers) or measured
    leading = study.leading_picture if study.leading_picture in own else "comparison"
    drawn: dict[str, tuple[Any, str]] = curves | own
    if leading == "comparison":
        drawn = _comparison(rows, compared) | drawn
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_text(lab_table.csv_text(rows), encoding="utf-8")
    tables, runs = figure_tables(rows, study, plan.cautions), _runs_table(result)
    of_folds = fold_tables(result)
    checked = checklist(result)
    write_json(folder / "checklist.json", checked)
    published = [cell.published for row in rows for cell in row.cells if cell.published]
    specs = {v: own[0].experiment.model_dump(mode="json") for v, own in result.runs.items()}
    return write_page(
        folder,
        "study.html",
        drawn,
        [*tables.values(), *of_folds, runs],
        result=result,
        rows=rows,
        headline=answer,
        measured="" if answer == measured else measured,
        compared=compared,
        leading=leading,
        answers=answers,
        over=lab_table.measured_over(rows),
        repeats=max((row.repeats for row in rows), key=lambda repeats: repeats.count),
        unit=lab_table.unit_of(rows),
        units=lab_table.unit_of(rows, "s"),
        tables=tables,
        folds=of_folds,
        runs=runs,
        cautions=lab_table.cautions(result, rows),
        notes=notes(result),
        curves=list(curves),
        checklist=in_words(checked),
        environments=_environments(result),
        specification=pretty(specs),
        command=command or plan.command,
        wheres=sorted({printed.where for printed in published}),
        whys=sorted({printed.why for printed in published} - {""}),
    )


def _comparison(rows: Sequence[lab_table.Row], name: str) -> dict[str, tuple[Any, str]]:
    """Draw one figure of all variants: every seed or fold, mean with interval, published."""
    from kerascw.report.charts import Dot, dots

    alike, drawn = comparable(rows), []
    for row in alike:
        for cell in (cell for cell in row.cells if cell.name == name):
            spread = cell.spread
            mean, interval = (spread.mean, spread.interval) if spread else (None, None)
            printed = cell.published.best_reading if cell.published else None
            drawn.append(Dot(row.variant, mean, interval, cell.values, printed))
    if not drawn:
        return {}
    published = ", with the published one" if any(dot.published for dot in drawn) else ""
    says = f"{plainly(name)} of every variant over {lab_table.unit_of(alike, 's')}{published}"
    chart = dots(drawn, x=plainly(name), each=f"each {lab_table.unit_of(rows)}")
    return {"comparison": (chart, says)}


def _environments(result: StudyResult) -> list[tuple[str, str]]:
    """List what the runs were trained with; where they differ, every value."""
    facts: dict[str, dict[str, None]] = {}
    for run in result.every_run:
        environment = run.environment
        names = ("python", "platform", "processor", "cores", "commit")
        told = {name: environment.get(name) for name in names}
        for name, value in (told | environment["packages"]).items():
            facts.setdefault(name, {})[str(value)] = None
    seconds = sum(run.environment["training_seconds"] for run in result.every_run)
    values = [(name, ", ".join(several)) for name, several in facts.items()]
    return [("training", f"{seconds:,.0f} seconds in all"), *values]
