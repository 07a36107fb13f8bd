"""What runs and studies show as the last line of a notebook's cell: written by their reports.

Still figures and plain tables, without a script or a style of their own: a notebook is read where
neither works, and keeps its own colours.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerascw.lab.plan import StudyResult
from kerascw.report.page import filled, replace_text
from kerascw.report.tables import Table, number
from kerascw.runs.store import Run
from kerascw.runs.summary import FRAGMENT

if TYPE_CHECKING:
    from kerascw.report.figure_files import Shown

MOST_ROWS = 30
"""Lines of a table that a cell shows; the report has all."""


def write_run_fragment(run: Run, figures: Mapping[str, "Shown"]) -> None:
    """Write a run's scores on the splits, its curves and its confusion matrix."""
    metrics = run.metrics
    splits = [split for split in ("train", "validation", "test") if split in metrics]
    names = ["loss"] if run.experiment.reconstructs else ["accuracy", "loss"]
    rows = [(split, *(number(metrics[split][name]) for name in names)) for split in splits]
    text = f"{run.summary.budget}, {metrics['parameters']:,} parameters"
    if metrics["status"] != "finished":
        text += f"; {metrics['status']}: {metrics['reason']}"
    table = Table("scores", ("split", *names), rows)
    shown = [figures[name] for name in ("curves", "confusion") if name in figures]
    _write(run.folder, run.name, text, table, shown, run.name)


def write_study_fragment(
    result: StudyResult, folder: Path, headline: str, table: Table, figures: Mapping[str, "Shown"]
) -> None:
    """Write a study's answer, its variants measured and published, and their figure."""
    cautions = "".join(
        f" Not comparable with published figures: {caution}." for caution in result.plan.cautions
    )
    shown = [figures[name] for name in ("comparison", "loss") if name in figures]
    _write(folder, result.study.question, headline + cautions, table, shown, result.plan.label)


def _write(
    folder: Path, title: str, text: str, table: Table, figures: Sequence["Shown"], name: str
) -> None:
    pngs = [(folder / "figures" / f"{shown.name}.png").read_bytes() for shown in figures]
    html = filled(
        "notebook.html",
        title=title,
        said=text,
        table=table,
        figures=[(base64.b64encode(p).decode(), s) for p, s in zip(pngs, figures, strict=True)],
        following=f"python -m kerascw report {name} --open",
        most=MOST_ROWS,
    )
    replace_text(folder / FRAGMENT, html)
