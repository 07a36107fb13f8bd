"""report.html of a run: one self-contained file, and the figures and tables beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.data import Splits
from kerascw.lab.published import Published
from kerascw.lab.run import kept_studies
from kerascw.lab.study import Study
from kerascw.lab.table import published_text
from kerascw.lab.verdict import figure_of
from kerascw.report.notebook import write_run_fragment
from kerascw.report.page import page, plainly, pretty, replace_text
from kerascw.report.tables import Cell, Table, count, number, percent, write_tables
from kerascw.runs.store import Run, Store

if TYPE_CHECKING:
    from kerascw.report.figure_files import Shown

Studies = Mapping[str, Study]
"""The catalogue of studies, by name."""

SHOWN_AT_RANDOM = 15
"""Test images with their predictions, as the convnet lab shows them."""


def draw_run(run: Run, splits: Splits, studies: Studies | None = None) -> Path:
    """Draw the figures into ``figures/`` and write tables and report.html; return its path.

    The page is written last, under a temporary name, so a report that is there is whole. The
    catalogue of ``studies`` has the published figures of those that the run belongs to.
    """
    from kerascw.report.figure_files import clear_figures, write_figures
    from kerascw.report.run_charts import run_charts, samples_per_class

    drawn = run_charts(run)
    drawn["samples_per_class"] = samples_per_class(splits), "images of each class"
    folder = run.folder / "figures"
    clear_figures(folder)
    shown = write_figures(drawn | _grids(run, splits), folder)
    write_tables(run_tables(run).values(), run.folder / "tables")
    write_run_fragment(run, shown)
    return replace_text(run.folder / "report.html", run_html(run, shown, studies))


def _grids(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Draw test images with what the run makes of them: by name, with what each shows."""
    from kerascw.report import figures

    if "test" not in run.metrics:
        return {}
    if run.experiment.reconstructs:
        return {"reconstructions": (reconstruction_grid(run, splits), _RECONSTRUCTIONS)}
    test, names = splits.test, splits.class_names
    with np.load(run.folder / "predictions.npz") as kept:
        probabilities = kept["test_probabilities"]
    drawn = {
        "predictions": (
            figures.predictions(test, probabilities, names, some_of(len(test)), columns=5),
            "test images drawn at random, titled with prediction and truth, green if right and "
            "red if wrong",
        )
    }
    mistakes = run.metrics["test"]["most_confident_mistakes"][:16]
    if mistakes:
        worst = [mistake["position"] for mistake in mistakes]
        pairs = ", ".join(f"{mistake['prediction']} for {mistake['truth']}" for mistake in mistakes)
        drawn["mistakes"] = (
            figures.predictions(test, probabilities, names, worst),
            "the most confident mistakes on the test set, titled with prediction and truth: "
            + pairs,
        )
    return drawn


def some_of(there: int) -> list[int]:
    """Choose the positions of the test images that are shown: random ones, always the same."""
    chosen = np.random.default_rng(0).choice(there, min(SHOWN_AT_RANDOM, there), replace=False)
    return sorted(chosen.tolist())


_RECONSTRUCTIONS = "test images of each class, and below each its reconstruction"


def reconstruction_grid(run: Run, splits: Splits) -> Any:
    """Draw an autoencoder's test images with their reconstructions."""
    from kerascw.report import figures

    with np.load(run.folder / "predictions.npz") as kept:
        shown, reconstructed = kept["test_reconstructed"], kept["test_reconstructions"]
    test = splits.test.take(shown)
    return figures.reconstructions(
        np.asarray(test.images), reconstructed, test.labels, splits.class_names
    )


def reconstruction_pictures(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Draw an autoencoder's reconstructions of test images, and the error of each class."""
    from kerascw.report.run_charts import run_charts

    return {
        "reconstructions": (reconstruction_grid(run, splits), _RECONSTRUCTIONS),
        "errors_per_class": run_charts(run)["errors_per_class"],
    }


def run_html(run: Run, figures: Mapping[str, "Shown"], catalogue: Studies | None = None) -> str:
    """Return the page of a run with these figures; missing figures are left out."""
    studies = published_for(run, catalogue or {})
    return page(
        "run.html",
        figures,
        run=run,
        metrics=run.metrics,
        environment=run.environment,
        data=run.environment["data"],
        experiment=run.experiment,
        specification=pretty(run.experiment.model_dump(mode="json")),
        cautions=cautions(run),
        tables=run_tables(run),
        studies=[said for said, _ in studies],
        published=_published_table(run, studies),
    )


# --- tables ---------------------------------------------------------------------------------


def run_tables(run: Run) -> dict[str, Table]:
    """Return the tables of a run's page, those it has, by name."""
    tables = [_epochs(run), _layers(run)]
    if "test" in run.metrics and run.experiment.reconstructs:
        rows = [
            (row["class"], number(row["loss"], ".5f"), count(row["examples"]))
            for row in run.metrics["test"]["per_class"]
        ]
        tables.append(Table("classes", ("class", "mean squared error", "images"), rows))
    elif "test" in run.metrics:
        tables += [_classes(run), _confused(run)]
        if "heads" in run.metrics:
            tables.append(_heads(run))
    return {table.name: table for table in tables}


def _epochs(run: Run) -> Table:
    names = [name for name in run.history[0] if name != "epoch"]
    forms = {name: ".3g" if name == "learning_rate" else ".4f" for name in names}
    rows = [
        (count(int(row["epoch"])), *(number(row.get(name), forms[name]) for name in names))
        for row in ([run.untrained] if run.untrained else []) + run.history
    ]
    return Table("epochs", ("epoch", *map(plainly, names)), rows, text=())


def _layers(run: Run) -> Table:
    """Return the model's layers; none of a run that was kept before they were."""
    rows = [
        (layer["name"], layer["type"], " x ".join(map(str, layer["output"])),
         count(layer["parameters"]))
        for layer in run.metrics.get("layers", ())
    ]  # fmt: skip
    return Table("layers", ("layer", "type", "output", "parameters"), rows, text=(0, 1, 2))


def _classes(run: Run) -> Table:
    rows = [
        (row["class"], percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
         count(row["examples"]))
        for row in run.metrics["test"]["per_class"]
    ]  # fmt: skip
    return Table("classes", ("class", "precision", "recall", "F1", "images"), rows)


def _confused(run: Run) -> Table:
    rows = [
        (pair["truth"], pair["prediction"], count(pair["count"]), percent(pair["share_of_truth"]))
        for pair in run.metrics["test"]["most_confused"]
    ]
    columns = ("truth", "taken for", "times", "share of the true class")
    return Table("confused", columns, rows, text=(0, 1))


def _heads(run: Run) -> Table:
    rows = []
    for head, scores in run.metrics["heads"].items():
        test, validation = scores["test"], scores.get("validation") or {}
        weight = run.experiment.auxiliary_weights[head]
        rows.append((
            head, number(weight, "g") if weight else Cell("0, untrained", 0.0),
            number(test["loss"]), percent(test["accuracy"]), percent(validation.get("accuracy")),
            percent(test["agreement"]),
        ))  # fmt: skip
    columns = ("head", "weight of its loss", "test loss", "test accuracy", "validation accuracy",
               "agreement with the main head")  # fmt: skip
    return Table("heads", columns, rows)


# --- published ------------------------------------------------------------------------------


def published_for(run: Run, studies: Studies) -> list[tuple[str, dict[str, Published]]]:
    """Find the kept studies that have the run: each one's name, variant and published figures.

    A study with changed settings or a quick budget has none: its figures do not compare.
    """
    found: list[tuple[str, dict[str, Published]]] = []
    for file, kept in kept_studies(Store(run.folder.parent)):
        study = studies.get(kept.get("study", ""))
        as_published = (
            kept.get("budget") == "full" and not kept.get("sample") and not kept.get("changed")
        )
        for variant, names in kept["runs"].items():
            if run.name in names:
                published = study.published().get(variant, {}) if study and as_published else {}
                found.append((f"{file.parent.name}: {variant}", published))
    return found


def _published_table(run: Run, studies: list[tuple[str, dict[str, Published]]]) -> Table | None:
    rows = {
        (name, printed.best_reading): (
            plainly(name), number(figure_of(run, name)),
            Cell(published_text(printed), printed.best_reading), printed.where,
        )
        for _, figures in studies
        for name, printed in figures.items()
    }  # fmt: skip
    columns = ("figure", "this run", "published", "where")
    return Table("published", columns, list(rows.values()), text=(0, 3)) if rows else None


def cautions(run: Run) -> list[str]:
    """List what a reader must know before comparing the run's figures with others'."""
    data, spec, words = run.environment["data"], run.experiment.data, []
    if data["source"] == "sample":
        words.append(
            f"This is the bundled sample of {data['title'].removesuffix(' (bundled sample)')}, "
            "not the dataset: 6,000 training and 1,000 test images. Its figures do not compare "
            "with published ones."
        )
    elif data["official_bytes"] is False:
        words.append("These are not the dataset's published bytes, or not in their order.")
    if spec.fraction < 1:
        words.append(f"Trained on {spec.fraction:.0%} of the training set.")
    if run.metrics["status"] == "diverged":
        words.append(f"Training diverged: {run.metrics['reason']}.")
    return words
