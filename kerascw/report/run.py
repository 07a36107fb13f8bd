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
from kerascw.report.page import page, pretty, replace_text
from kerascw.report.tables import Cell, Table, count, number, percent, write_tables
from kerascw.runs.store import Run, Store

if TYPE_CHECKING:
    from kerascw.report.figure_files import Shown

_STILL = {
    "reconstructions": "test images of each class, and below each its reconstruction",
    "predictions": "test images drawn at random, titled with prediction and truth, green if right "
    "and red if wrong",
    "mistakes": "the most confident mistakes on the test set, titled with prediction and truth",
}
"""Figures that are drawn once, by matplotlib."""

Studies = Mapping[str, Study]
"""The catalogue of studies, by name."""


def draw_run(run: Run, splits: Splits, studies: Studies | None = None) -> Path:
    """Draw the figures into ``figures/`` and write tables and report.html; return its path.

    The page is written last, under a temporary name, so a report that is there is whole.

    Parameters
    ----------
    splits : those of the run's experiment.
    studies : the catalogue, for the published figures of the studies that the run belongs to.
    """
    from kerascw.report import figure_files, figures
    from kerascw.report.run_charts import run_charts, samples_per_class

    metrics, names = run.metrics, splits.class_names
    drawn: dict[str, Any] = {}
    if "test" in metrics and run.experiment.reconstructs:
        drawn["reconstructions"] = reconstruction_grid(run, splits)
    elif "test" in metrics:
        with np.load(run.folder / "predictions.npz") as kept:
            probabilities = kept["test_probabilities"]
        drawn["predictions"] = figures.predictions(
            splits.test, probabilities, names, some_of(len(splits.test)), columns=5
        )
        worst = [mistake["position"] for mistake in metrics["test"]["most_confident_mistakes"]]
        if worst:
            drawn["mistakes"] = figures.predictions(splits.test, probabilities, names, worst[:16])
    everything = run_charts(run)
    everything["samples_per_class"] = samples_per_class(splits), "images of each class"
    everything |= {name: (figure, _said(run, name)) for name, figure in drawn.items()}
    folder = run.folder / "figures"
    figure_files.clear_figures(folder)
    shown = figure_files.write_figures(everything, folder)
    write_tables(run_tables(run).values(), run.folder / "tables")
    write_run_fragment(run, shown)
    return replace_text(run.folder / "report.html", run_html(run, shown, studies))


SHOWN_AT_RANDOM = 15
"""Test images with their predictions, as the convnet lab shows them."""


def some_of(there: int) -> list[int]:
    """Return the positions of the test images that are shown: random ones, always the same.

    >>> some_of(3)
    [0, 1, 2]
    """
    chosen = np.random.default_rng(0).choice(there, min(SHOWN_AT_RANDOM, there), replace=False)
    return sorted(int(position) for position in chosen)


def _said(run: Run, name: str) -> str:
    """Describe a still figure; of mistakes, list them."""
    if name != "mistakes":
        return _STILL[name]
    mistakes = run.metrics["test"]["most_confident_mistakes"][:16]
    pairs = (f"{mistake['prediction']} for {mistake['truth']}" for mistake in mistakes)
    return f"{_STILL[name]}: {', '.join(pairs)}"


def reconstruction_grid(run: Run, splits: Splits) -> Any:
    """Draw an autoencoder's test images with their reconstructions."""
    from kerascw.report import figures

    with np.load(run.folder / "predictions.npz") as kept:
        shown, pictures = kept["test_reconstructed"], kept["test_reconstructions"]
    test = splits.test.take(shown)
    return figures.reconstructions(
        np.asarray(test.images), pictures, test.labels, splits.class_names
    )


def reconstruction_pictures(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Draw an autoencoder's reconstructions of test images, and the error of each class."""
    from kerascw.report.run_charts import run_charts

    return {
        "reconstructions": (reconstruction_grid(run, splits), _STILL["reconstructions"]),
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
    metrics, tables = run.metrics, [_epochs(run), _layers(run)]
    if "test" not in metrics:
        pass
    elif run.experiment.reconstructs:
        rows = [
            (row["class"], number(row["loss"], ".5f"), count(row["examples"]))
            for row in metrics["test"]["per_class"]
        ]
        tables.append(Table("classes", ("class", "mean squared error", "images"), rows))
    else:
        test = metrics["test"]
        classes = [
            (row["class"], percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
             count(row["examples"]))
            for row in test["per_class"]
        ]  # fmt: skip
        columns = ("class", "precision", "recall", "F1", "images")
        tables.append(Table("classes", columns, classes))
        confused = [
            (pair["truth"], pair["prediction"], count(pair["count"]),
             percent(pair["share_of_truth"]))
            for pair in test["most_confused"]
        ]  # fmt: skip
        columns_ = ("truth", "taken for", "times", "share of the true class")
        tables.append(Table("confused", columns_, confused, text=(0, 1)))
        if "heads" in metrics:
            tables.append(_heads(run))
    return {table.name: table for table in tables}


def _layers(run: Run) -> Table:
    """Return the model's layers; none of a run that was kept before they were."""
    rows: list[tuple[str | Cell, ...]] = [
        (layer["name"], layer["type"], " x ".join(map(str, layer["output"])),
         count(layer["parameters"]))
        for layer in run.metrics.get("layers", ())
    ]  # fmt: skip
    columns = ("layer", "type", "output", "parameters")
    return Table("layers", columns, rows, text=(0, 1, 2))


def _epochs(run: Run) -> Table:
    """Return the history, a row an epoch."""
    names = [name for name in run.history[0] if name != "epoch"]
    forms = {name: ".3g" if name == "learning_rate" else ".4f" for name in names}
    rows = [
        (count(int(row["epoch"])), *(number(row.get(name), forms[name]) for name in names))
        for row in ([run.untrained] if run.untrained else []) + run.history
    ]
    columns = ("epoch", *(name.replace("_", " ") for name in names))
    return Table("epochs", columns, rows, text=())


def _heads(run: Run) -> Table:
    weights = run.experiment.auxiliary_weights
    rows: list[tuple[str | Cell, ...]] = []
    for head, parts in run.metrics["heads"].items():
        test, validation = parts["test"], parts.get("validation") or {}
        weight = weights[head]
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
        protocol = (
            kept.get("budget") == "full" and not kept.get("sample") and not kept.get("changed")
        )
        for variant, names in kept["runs"].items():
            if run.name in names:
                published = study.published().get(variant, {}) if study and protocol else {}
                found.append((f"{file.parent.name}: {variant}", published))
    return found


def _published_table(run: Run, studies: list[tuple[str, dict[str, Published]]]) -> Table | None:
    rows = {
        (name, printed.best_reading): (
            name.replace(".", " ").replace("_", " "), number(figure_of(run, name)),
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
