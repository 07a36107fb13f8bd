"""How runs and studies show themselves as the last line of a notebook's cell.

Still pictures and plain tables, without a script or a style of their own: a notebook is read where
neither runs, and keeps its own colours.
"""

import base64
from typing import Any

from kerascw.lab.run import StudyResult
from kerascw.report.page import filled
from kerascw.report.tables import Table, number
from kerascw.runs.store import Run

MOST_ROWS = 30
"""Lines of a table that a cell shows; the report has all."""


def run_fragment(run: Run) -> str:
    """Return a run as HTML: its figures of training, validation and test; curves and confusion."""
    from kerascw.report.run_charts import run_charts

    parts = [part for part in ("train", "validation", "test") if part in run.metrics]
    names = ["loss"] if run.experiment.reconstructs else ["accuracy", "loss"]
    rows = [(part, *(number(run.metrics[part][name]) for name in names)) for part in parts]
    said = f"{run.metrics['epochs_trained']} epochs, {run.metrics['parameters']:,} parameters"
    if run.metrics["status"] != "finished":
        said += f"; {run.metrics['status']}: {run.metrics['reason']}"
    drawn = {k: v for k, v in run_charts(run).items() if k in ("curves", "confusion")}
    return _fragment(run.name, said, [Table("scores", ("part", *names), rows)], drawn,
                     f"python -m kerascw report {run.name} --open")  # fmt: skip


def study_fragment(result: StudyResult) -> str:
    """Return a study as HTML: the answer, variants measured and published, their figure."""
    from kerascw.lab.table import rows_of
    from kerascw.report import study_figures
    from kerascw.report.study import comparable, compared_figure, figure_tables, headline

    rows, study = rows_of(result), result.study
    compared, alike = compared_figure(result, rows), comparable(rows)
    drawn: dict[str, tuple[Any, str]] = {}
    if any(cell.name == compared for row in alike for cell in row.cells):
        drawn["comparison"] = (
            study_figures.comparison(alike, compared),
            f"{compared.replace('.', ' ')} of every variant",
        )
    curves = study_figures.every_curve(result.runs)
    drawn |= {name: curves[name] for name in curves if name == "loss"}
    tables = figure_tables(rows, study)
    cautions = "".join(
        f" Not comparable with published figures: {c}." for c in result.plan.cautions
    )
    return _fragment(study.question, headline(result, rows) + cautions,
                     [tables.get(compared) or next(iter(tables.values()))], drawn,
                     f"python -m kerascw report {result.plan.label} --open")  # fmt: skip


def _fragment(
    title: str, said: str, tables: list[Table], drawn: dict[str, tuple[Any, str]], following: str
) -> str:
    from kerascw.report.figure_files import render, shown_chart

    figures = []
    for name, (figure, says) in drawn.items():
        png = base64.b64encode(render(figure)[".png"]).decode()
        figures.append((png, shown_chart(name, figure, says)))
    return filled(
        "notebook.html",
        title=title,
        said=said,
        tables=tables,
        figures=figures,
        following=following,
        most=MOST_ROWS,
    )
