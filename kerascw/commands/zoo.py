"""The zoo: small trained models that are kept in git, each with a card and a figure to check it by.

Importing this loads no TensorFlow.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from kerascw.commands.options import data_dir_option, runs_option, saved_models_option
from kerascw.errors import CallError, choices
from kerascw.export.load import EXTRA_FILE, LoadedModel

if TYPE_CHECKING:
    from kerascw.lab.plan import StudyResult
    from kerascw.lab.study import Budget
    from kerascw.runs.store import Store

CARD = "README.md"
"""The card for people, in the model's folder; the same figures are in kerascw.json."""


@dataclass(frozen=True)
class Check:
    """Pictures that come with this package or scikit-learn, to check a kept model by."""

    data: str  # dataset
    parts: tuple[str, ...]
    words: str  # what the pictures are
    sample: bool = False


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo: where it comes from, and what its figures do not say."""

    name: str
    shows: str  # what it tells apart
    study: str
    variant: str
    seeds: int
    licence: str  # of the data
    check: Check
    limits: tuple[str, ...]
    budget: "Budget" = "full"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that trains it: every seed, and each again on everything."""
        changed = "".join(f" --set '{path}={value}'" for path, value in self.settings.items())
        return (
            f"python -m kerascw run {self.study} --budget {self.budget} --seeds {self.seeds}"
            f"{changed} --final"
        )


ZOO = {
    model.name: model
    for model in (
        ZooModel(
            name="fashion",
            shows="ten kinds of garments and shoes",
            study="fashion",
            variant="fashion",
            seeds=3,
            licence="MIT (Zalando SE)",
            check=Check(
                data="fashion_mnist",
                parts=("test",),
                words="the test part of the bundled sample, which is of Fashion-MNIST's test set",
                sample=True,
            ),
            limits=(
                "One article, whole, upright and alone on an empty ground, as a shop shows it: "
                "photographs of people, of rooms or of several things were never seen.",
            ),
        ),
        ZooModel(
            name="mnist",
            shows="the handwritten digits 0 to 9",
            study="mnist-convnet",
            variant="convnet (test 1)",
            seeds=3,
            settings={"data.holdout": '{"how": "last", "count": 5000}'},
            licence="CC BY-SA 3.0 (Yann LeCun and Corinna Cortes)",
            check=Check(
                data="digits",
                parts=("train", "test"),
                words="all of scikit-learn's digits, enlarged to 28 x 28 pixels by the fitting of "
                "pictures that predict does: another domain, of other pens, without MNIST's empty "
                "margin; it says how the model fares away from its data",
            ),
            limits=(
                "One digit, centred with an empty margin, as MNIST has it: numbers of several "
                "digits, printed ones and digits that fill the picture were never seen; the check "
                "has such.",
            ),
        ),
        ZooModel(
            name="digits",
            shows="the handwritten digits 0 to 9",
            study="digits",
            variant="convnet",
            seeds=10,
            licence="CC BY 4.0 (UCI Machine Learning Repository; E. Alpaydin and C. Kaynak)",
            check=Check(data="digits", parts=("test",), words="the dataset's test part"),
            limits=(
                "A teaching model: 1,350 pictures of 8 x 8 pixels. Of a larger picture so little "
                "is left that mnist is the better choice.",
            ),
        ),
    )
}


def make(
    model: ZooModel, store: "Store", saved_models: Path, *, data_dir: str | Path | None = None
) -> Path:
    """Export a model of the zoo from its kept runs, write its card, and return its folder.

    Of the variant's seeds it is the one that did best on validation, trained again on everything.
    What is exported already stays, and gets its card anew.

    Raises
    ------
    CallError
        The study was not run as the zoo has it.
    """
    from kerascw.commands.card import write_card
    from kerascw.export.load import load_model
    from kerascw.export.run import card_of, export_run
    from kerascw.runs.store import write_json

    result = _kept(model, store)
    run = result.product
    version = export_run(run, saved_models / model.name, data_dir=data_dir)
    document = json.loads((version / EXTRA_FILE).read_text())
    document["card"] = {
        **card_of(run, data_dir),
        "command": model.command,  # the run's own may have had places of its machine in it
        "zoo": {
            "name": model.name,
            "shows": model.shows,
            "study": model.study,
            "variant": model.variant,
            "seeds": _over_seeds(model, result),
            "check": measure(model.check, load_model(version)),
            "licence": model.licence,
            "limits": list(model.limits),
        },
    }
    temporary = version / EXTRA_FILE.parent / ".kerascw.json.writing"
    write_json(temporary, document)
    temporary.replace(version / EXTRA_FILE)
    write_card(saved_models / model.name)
    return version


def _kept(model: ZooModel, store: "Store") -> "StudyResult":
    """Return the variant's runs, with those on everything."""
    from kerascw.lab.plan import FINAL, StudyResult, planned
    from kerascw.studies import recall, study_named

    study = study_named(model.study)
    plan = planned(study, budget=model.budget, seeds=model.seeds, settings=model.settings)
    names = (model.variant, model.variant + FINAL)
    file = store.study_folder(plan.label) / "study.json"
    result = recall(plan.label, store) if file.is_file() else None
    if result is None or any(len(result.runs.get(name, [])) != model.seeds for name in names):
        raise CallError(
            f"zoo {model.name}: {store.folder} does not have study {model.study} as the zoo's "
            f"model is made of it, {model.seeds} seeds and each again on everything; "
            f"next: {model.command}"
        )
    return StudyResult(result.plan, {name: result.runs[name] for name in names})


def _over_seeds(model: ZooModel, result: "StudyResult") -> dict[str, Any]:
    """Return how the seed was chosen, and the spread of what all seeds came to."""
    from kerascw.evaluation.statistics import over_seeds
    from kerascw.lab.plan import FINAL

    finals = {run.experiment.seed: run for run in result.runs[model.variant + FINAL]}
    spread = over_seeds([run.metrics["test"]["accuracy"] for run in finals.values()])
    return {
        "chosen": result.product.experiment.seed,
        "by": "validation.accuracy",
        "mean": spread.mean,
        "deviation": spread.deviation,
        "interval_95": spread.interval,
        "runs": [
            {
                "seed": run.experiment.seed,
                "epochs": finals[run.experiment.seed].metrics["kept_epoch"],
                "validation_examples": run.metrics["validation"]["examples"],
                "validation_accuracy": run.metrics["validation"]["accuracy"],
                "test_accuracy": finals[run.experiment.seed].metrics["test"]["accuracy"],
            }
            for run in result.runs[model.variant]
        ],
    }


def measure(check: Check, model: LoadedModel) -> dict[str, Any]:
    """Return how many of a check's pictures an exported model gets right.

    They go the way of every array that is given to predict.
    """
    from kerascw.data import load_data
    from kerascw.data.image_files import Picture, read_pictures

    dataset = load_data(check.data, sample=check.sample)
    parts = [getattr(dataset, part) for part in check.parts]
    labels = np.concatenate([part.labels for part in parts])
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "pictures.npy")
        np.save(file, np.concatenate([part.images for part in parts]))
        read = read_pictures([file], model.input_shape, light_on_dark=model.light_on_dark)
        images = [picture.array for picture in read if isinstance(picture, Picture)]
    correct = int((model.predict(np.stack(images)).class_ids == labels).sum())
    return {
        "dataset": check.data,
        "sample": check.sample,
        "parts": list(check.parts),
        "words": check.words,
        "pictures": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
    }


# --- the command ----------------------------------------------------------------------------


@click.command("zoo", epilog="\b\npython -m kerascw zoo digits")
@click.argument("names", metavar="[MODEL...]", nargs=-1)
@data_dir_option
@saved_models_option
@runs_option
def command(names: Sequence[str], data_dir: Path | None, saved_models: Path, runs: Path) -> None:
    """Export each MODEL of the zoo from its kept runs and write its card; or list the models."""
    from kerascw.console import console
    from kerascw.runs.store import Store

    for name in names:
        if name not in ZOO:
            raise CallError(f"zoo: no model {name!r}; choose {choices(ZOO)}")
    terminal = console()
    if not names:
        _list(terminal, saved_models)
    for name in names:
        with terminal.status(f"{name}: exporting and checking"):
            version = make(ZOO[name], Store(runs), saved_models, data_dir=data_dir)
        click.echo(f"{name}: {version}")
        click.echo(f"card: {version.parent / CARD}")
    for name in names[:1]:
        click.echo(f"next: python -m kerascw predict {saved_models / name} PICTURE...", err=True)


def _list(terminal: Any, saved_models: Path) -> None:
    from rich.table import Table

    table = Table("model", "tells apart", "kept", "trained by", box=None)
    for model in ZOO.values():
        kept = (saved_models / model.name / CARD).is_file()
        table.add_row(model.name, model.shows, "yes" if kept else "no", model.command)
    terminal.print(table)
