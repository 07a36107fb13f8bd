"""A study's result with its pages and its exported model: what ``kerascw.run`` returns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data.load import splits_for
from kerascw.export.run import export_run, run_label
from kerascw.export.runtimes import Format
from kerascw.lab.pictures import data_dir_of
from kerascw.lab.plan import StudyResult
from kerascw.report.advice import advice
from kerascw.report.run import draw_run
from kerascw.report.study import write_study
from kerascw.runs.environment import command_line


@dataclass(frozen=True)
class Product(StudyResult):
    """A study that was run: its runs, its pages and its model."""

    data_dir: str | Path | None = None
    models: str | Path = "models"

    def report(self) -> Path:
        """Draw the page of the study, or of its only run, and return it."""
        if self.has_page:
            return write_study(self, self.folder, command_line() or self.plan.command)
        return self.draw_product()

    def export(self, form: Format = "saved_model") -> Path:
        """Export the model of the chosen run, once for each format, and return its folder.

        Raises what :func:`kerascw.export.run.export_run` raises.
        """
        name = self.plan.export_name or run_label(self.product)
        return export_run(self.product, Path(self.models, name), data_dir=self.data_dir, form=form)

    @property
    def exports(self) -> bool:
        """Whether the study exports its model, as it does a classifier with kept weights."""
        run = self.product
        keeps = run.metrics["kept_epoch"] is not None and not run.experiment.reconstructs
        return self.plan.export_name is not None and keeps

    def draw_product(self) -> Path:
        """Draw the page of the run to export, if it is missing."""
        run = self.product
        page = run.folder / "report.html"
        if not page.is_file():
            draw_run(run, splits_for(run.experiment.data, data_dir_of(run, self.data_dir)))
        return page

    def advice(self) -> list[str]:
        """Say which classes the chosen run confuses most, and what would help most."""
        run = self.product
        splits = splits_for(run.experiment.data, self.data_dir)
        counts = np.bincount(splits.train.labels, minlength=len(splits.class_names))
        return advice(run.metrics, run.experiment, counts)
