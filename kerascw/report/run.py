"""report.html of a run: one self-contained file, and the figures and tables beside it."""

from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.lab.run import kept_studies
from kerascw.report.calibration import calibration_chart, calibration_tables, trust_of
from kerascw.report.evaluation import evaluation_tables
from kerascw.report.explained import explained_mistakes
from kerascw.report.page import plainly, pretty, write_page
from kerascw.report.tables import Cell, Table, count, number, percent
from kerascw.runs.store import Run, Store
from kerascw.runs.verify import badge_of

SHOWN_AT_RANDOM = 15
"""Test images with their predictions, as the convnet lab shows them."""


def draw_run(run: Run, splits: Splits) -> Path:
    """Write report.html into the run's folder, figures and tables beside it; return the page."""
    from kerascw.report.curves import PIXEL_ERROR, run_curves

    metrics, reconstructs = run.metrics, run.experiment.reconstructs
    of = PIXEL_ERROR if reconstructs else "loss and accuracy"
    kept = f"; epoch {metrics['kept_epoch']} is kept" if metrics["kept_epoch"] else ""
    says = f"{of} against epochs, training and validation{kept}"
    drawn, unexplained = {"curves": (run_curves(run), says)}, ""
    if "test" in metrics:
        of_test = reconstruction_pictures if reconstructs else _classifier_pictures
        drawn |= of_test(run, splits)
    if "mistakes" in drawn:
        explained = explained_mistakes(run, splits)
        if isinstance(explained, str):
            unexplained = explained
        else:
            drawn["explained"] = explained
    tables = run_tables(run) | {"samples": _samples(splits)}
    return write_page(
        run.folder,
        "run.html",
        drawn,
        tables.values(),
        run=run,
        specification=pretty(run.experiment.model_dump(mode="json")),
        badge=badge_of(run),
        cautions=cautions(run),
        tables=tables,
        unexplained=unexplained,
        studies=_studies_of(run),
    )


def _classifier_pictures(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Draw what a classifier makes of the test set: by name, with what each shows."""
    from kerascw.report import charts, figures

    scores, test, names, trust = run.metrics["test"], splits.test, splits.class_names, trust_of(run)
    drawn = {
        "confusion": (
            charts.confusion(np.array(scores["confusion"]), names),
            f"confusion matrix of the test set, {scores['correct']} of {scores['examples']} on the "
            "diagonal",
        ),
        "calibration": calibration_chart(trust),
        "predictions": (
            figures.predictions(test, trust.before, names, some_of(len(test)), columns=5),
            "test images drawn at random, titled with prediction and truth, green if right and "
            "red if wrong",
        ),
    }
    if mistakes := scores["most_confident_mistakes"][:16]:
        worst = [mistake["position"] for mistake in mistakes]
        pairs = ", ".join(f"{mistake['prediction']} for {mistake['truth']}" for mistake in mistakes)
        drawn["mistakes"] = (
            figures.predictions(test, trust.before, names, worst),
            "the most confident mistakes on the test set, titled with prediction and truth: "
            + pairs,
        )
    return drawn


def some_of(there: int) -> list[int]:
    """Choose the positions of the test images that are shown: random ones, always the same."""
    chosen = np.random.default_rng(0).choice(there, min(SHOWN_AT_RANDOM, there), replace=False)
    return sorted(chosen.tolist())


def reconstruction_pictures(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Draw an autoencoder's reconstructions of test images, and the error of each class."""
    from kerascw.report import charts, figures
    from kerascw.report.curves import PIXEL_ERROR

    with np.load(run.folder / "predictions.npz") as kept:
        shown, reconstructed = kept["test_reconstructed"], kept["test_reconstructions"]
    test, scores = splits.test.take(shown), run.metrics["test"]
    dots = [charts.Dot(row["class"], row["loss"]) for row in scores["per_class"]]
    every = charts.Rule("x", scores["loss"], f"all: {scores['loss']:.4f}")
    return {
        "reconstructions": (
            figures.reconstructions(
                np.asarray(test.images), reconstructed, test.labels, splits.class_names
            ),
            "test images of each class, and below each its reconstruction",
        ),
        "errors_per_class": (
            charts.dots(dots, x=PIXEL_ERROR, value="mean squared error", rule=every),
            f"{PIXEL_ERROR} of each class on the test set, {scores['loss']:.5f} over all",
        ),
    }


def _studies_of(run: Run) -> list[str]:
    """Name the kept studies that have the run, and the variant that it is there."""
    return [
        f"{file.parent.name}: {variant}"
        for file, kept in kept_studies(Store(run.folder.parent))
        for variant, names in kept["runs"].items()
        if run.name in names
    ]


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
    if spec.exclude is not None:
        words.append(f"Without {spec.exclude.counts} that --exclude left out.")
    if run.metrics["status"] == "diverged":
        words.append(f"Training diverged: {run.metrics['reason']}.")
    return words


# --- tables ---------------------------------------------------------------------------------


def run_tables(run: Run) -> dict[str, Table]:
    """Return the tables of a run, those it has, by name."""
    metrics, test = run.metrics, run.metrics.get("test")
    columns = [name for name in run.history[0] if name != "epoch"]
    forms = {name: ".3g" if name == "learning_rate" else ".4f" for name in columns}
    history = ([run.untrained] if run.untrained else []) + run.history
    epochs = [
        (count(int(row["epoch"])), *(number(row.get(name), forms[name]) for name in columns))
        for row in history
    ]
    layers = [  # none of a run that was kept before they were
        (layer["name"], layer["type"], " x ".join(map(str, layer["output"])),
         count(layer["parameters"]))
        for layer in metrics.get("layers", ())
    ]  # fmt: skip
    tables = [
        Table("epochs", ("epoch", *map(plainly, columns)), epochs, text=()),
        Table("layers", ("layer", "type", "output", "parameters"), layers, text=(0, 1, 2)),
    ]
    if test and run.experiment.reconstructs:
        rows = [(row["class"], number(row["loss"], ".5f"), count(row["examples"]))
                for row in test["per_class"]]  # fmt: skip
        tables.append(Table("classes", ("class", "mean squared error", "images"), rows))
    elif test:
        tables += [*evaluation_tables(test).values(), *calibration_tables(trust_of(run))]
        if "heads" in metrics:
            tables.append(_heads(run))
    return {table.name: table for table in tables}


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


def _samples(splits: Splits) -> Table:
    """Count the images of each class in each split."""
    labels = {name: part.labels for name, part in splits.parts().items()}
    labels["train"] = splits.train_labels
    names = {"train": "training"}
    also = f" (and {splits.also:,} of other classes)" if splits.also else ""
    counts = [np.bincount(own, minlength=len(splits.class_names)) for own in labels.values()]
    rows = [
        [Cell(name), *(count(int(own[at])) for own in counts)]
        for at, name in enumerate(splits.class_names)
    ]
    foot = [[Cell("all"), *(count(len(own)) for own in labels.values())]]
    columns = ("class", *(names.get(name, name) for name in labels))
    return Table("samples", columns, rows, caption=f"Images of each class{also}", foot=foot)
