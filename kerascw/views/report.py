"""report.html of a run: one self-contained file, and the figures beside it."""

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.engine.store import Run

_ALT = {
    "curves": "Loss and accuracy against epochs, training and validation",
    "confusion": "Confusion matrix of the test set",
    "predictions": "Test pictures titled with prediction and truth",
    "mistakes": "The most confident mistakes on the test set",
    "calibration": "Accuracy against confidence",
    "samples_per_class": "Examples of each class in each part",
}
_ALT_OF_AUTOENCODER = {
    "curves": "Mean squared error per pixel against epochs, training and validation",
    "reconstructions": "Test pictures of each class, and below each its reconstruction",
    "errors_per_class": "Mean squared error per pixel of each class on the test set",
    "samples_per_class": "Examples of each class in each part",
}


def draw_run(run: Run, splits: Splits) -> Path:
    """Draw the figures into ``figures/`` and write report.html; return its path.

    ``splits`` must be those of the run's experiment. The page is written last, under a temporary
    name, so a report that is there is whole.
    """
    from kerascw.views import figures

    drawn: dict[str, Any] = {"samples_per_class": figures.samples_per_class(splits)}
    metrics, names = run.metrics, splits.class_names
    drawn["curves"] = figures.curves(run.history, metrics["kept_epoch"])
    if "test" in metrics and run.experiment.reconstructs:
        drawn |= {
            name: figure for name, (figure, _) in reconstruction_pictures(run, splits).items()
        }
    elif "test" in metrics:
        with np.load(run.folder / "predictions.npz") as kept:
            probabilities = kept["test_probabilities"]
        drawn["confusion"] = figures.confusion(np.array(metrics["test"]["confusion"]), names)
        drawn["calibration"] = figures.calibration(probabilities, splits.test.labels)
        first = range(min(40, len(splits.test)))
        drawn["predictions"] = figures.predictions(splits.test, probabilities, names, first)
        worst = [mistake["position"] for mistake in metrics["test"]["most_confident_mistakes"]]
        if worst:
            drawn["mistakes"] = figures.predictions(splits.test, probabilities, names, worst[:16])
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=130)
    return replace_text(run.folder / "report.html", run_html(run))


def reconstruction_pictures(run: Run, splits: Splits) -> dict[str, tuple[Any, str]]:
    """Return an autoencoder's figures with what they show: test pictures, error of each class."""
    from kerascw.views import figures

    with np.load(run.folder / "predictions.npz") as kept:
        shown, pictures = kept["test_reconstructed"], kept["test_reconstructions"]
    test, scores = splits.test.take(shown), run.metrics["test"]
    drawn = {
        "reconstructions": figures.reconstructions(
            np.asarray(test.images), pictures, test.labels, splits.class_names
        ),
        "errors_per_class": figures.errors_per_class(scores["per_class"], scores["loss"]),
    }
    return {name: (figure, _ALT_OF_AUTOENCODER[name]) for name, figure in drawn.items()}


def run_html(run: Run) -> str:
    """Return the page of a run; figures that are not drawn are left out."""
    import json

    return page(
        "run.html",
        run=run,
        metrics=run.metrics,
        environment=run.environment,
        data=run.environment["data"],
        experiment=run.experiment,
        specification=json.dumps(run.experiment.model_dump(mode="json"), indent=2),
        cautions=cautions(run),
        figures={
            name: {
                "alt": alt,
                "base64": base64.b64encode(path.read_bytes()).decode(),
            }
            for name, alt in (_ALT_OF_AUTOENCODER if run.experiment.reconstructs else _ALT).items()
            if (path := run.folder / "figures" / f"{name}.png").is_file()
        },
    )


def page(template: str, **content: Any) -> str:
    """Return a self-contained page from one of the templates."""
    from jinja2 import Environment
    from markupsafe import Markup

    folder = files("kerascw.views").joinpath("templates")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    style = Markup(folder.joinpath("style.css").read_text(encoding="utf-8"))
    text = folder.joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(style=style, **content)


def replace_text(path: Path, text: str) -> Path:
    """Write ``path`` so that it is always the old text or the new, and return it."""
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def cautions(run: Run) -> list[str]:
    """Return what a reader must know before comparing the run's figures with others'."""
    data, spec, said = run.environment["data"], run.experiment.data, []
    if data["source"] == "sample":
        said.append(
            f"This is the bundled sample of {data['title'].removesuffix(' (bundled sample)')}, "
            "not the dataset: 6,000 training and 1,000 test pictures. Its figures do not compare "
            "with published ones."
        )
    elif data["official_bytes"] is False:
        said.append("These are not the dataset's published bytes, or not in their order.")
    if spec.fraction < 1:
        said.append(f"Trained on {spec.fraction:.0%} of the training part.")
    if run.metrics["status"] == "diverged":
        said.append(f"Training diverged: {run.metrics['reason']}.")
    return said
