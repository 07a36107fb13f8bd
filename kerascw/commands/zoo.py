"""The zoo: small trained models that are kept in git, each with a card and a figure to check it by.

Importing this loads no TensorFlow.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydantic import BaseModel

from kerascw.commands.options import data_dir_option, runs_option, saved_models_option
from kerascw.console import command_text, console
from kerascw.data import load_data
from kerascw.data.arrays import fitted_all
from kerascw.data.load import data_named
from kerascw.errors import CallError
from kerascw.evaluation.statistics import over_seeds
from kerascw.export.card import card_of
from kerascw.export.load import EXTRA_FILE, LoadedModel, load_model, read_document
from kerascw.export.run import export_run
from kerascw.lab.plan import StudyResult, planned
from kerascw.lab.run import KEPT
from kerascw.lab.study import Budget
from kerascw.report.page import page, pretty
from kerascw.runs.store import Store, write_json
from kerascw.runs.summary import replace_text
from kerascw.studies import recall, study_named

CARD = "README.md"
"""The card for people, in the model's folder; the same figures are in kerascw.json."""


class Check(BaseModel):
    """Images that come with this package or scikit-learn, to check a kept model by."""

    data: str  # dataset
    parts: tuple[str, ...]  # splits: train, test
    words: str  # what the images are
    sample: bool = False


class ZooModel(BaseModel):
    """A model of the zoo: where it comes from, and what its figures do not show."""

    name: str
    shows: str  # what it tells apart
    study: str
    variant: str
    seeds: int
    check: Check
    licence: str  # of the data
    limits: tuple[str, ...]
    dataset: str | None = None  # in place of the study's own
    recipe: str | None = None
    budget: Budget = "full"
    settings: dict[str, Any] = {}

    @property
    def command(self) -> str:
        """The command that trains it over all seeds."""
        options = {"data": self.dataset, "recipe": self.recipe, "budget": self.budget}
        given = "".join(f" --{name} {value}" for name, value in options.items() if value)
        changed = "".join(f" --set '{path}={value}'" for path, value in self.settings.items())
        return f"python -m kerascw run {self.study}{given} --seeds {self.seeds}{changed}"


ZOO = {
    name: ZooModel(name=name, **fields)
    for name, fields in tomllib.loads(Path(__file__).with_name("zoo.toml").read_text()).items()
}


def make(
    model: ZooModel, store: Store, saved_models: Path, *, data_dir: str | Path | None = None
) -> Path:
    """Export a model of the zoo from its kept runs, write its card, and return its folder.

    The model is that of the seed with the highest validation accuracy, and its figures are of this
    very model. One that is exported already stays, and its card is written anew.

    Raises CallError: the study was not run as the zoo needs it.
    """
    result = _kept(model, store, data_dir)
    run = result.run
    version = export_run(run, saved_models / model.name, data_dir=data_dir)
    document = read_document(version / EXTRA_FILE)
    document["card"] = {
        **card_of(run),
        "command": model.command,  # the run's own may have had places of its machine in it
        "zoo": model.model_dump(exclude={"dataset", "recipe", "budget", "settings"})
        | {
            "seeds": _over_seeds(result),
            "check": measure(model.check, load_model(version)),
        },
    }
    write_json(version / EXTRA_FILE, document)
    replace_text(version.parent / CARD, card_text(document))
    return version


def _kept(model: ZooModel, store: Store, data_dir: str | Path | None) -> StudyResult:
    """Read the variant's runs from the store."""
    plan = planned(
        study_named(model.study),
        budget=model.budget,
        seeds=model.seeds,
        data=None if model.dataset is None else data_named(model.dataset),
        data_dir=data_dir,
        recipe=model.recipe,
        settings=model.settings,
    )
    is_kept = (store.study_folder(plan.label) / KEPT).is_file()
    runs = recall(plan.label, store).runs.get(model.variant, []) if is_kept else []
    if len(runs) != model.seeds:
        raise CallError(
            f"zoo {model.name}: {store.folder} does not have study {model.study} as the zoo's "
            f"model is made of it, {model.seeds} seeds; next: {model.command}"
        )
    return StudyResult(plan, {model.variant: runs})


def _over_seeds(result: StudyResult) -> dict[str, Any]:
    """Say which seed was chosen, and how the test accuracy varies over the seeds."""
    runs = result.every_run
    spread = over_seeds([run.metrics["test"]["accuracy"] for run in runs])
    return {
        "chosen": result.run.experiment.seed,
        "by": "validation.accuracy",
        "mean": spread.mean,
        "deviation": spread.deviation,
        "interval_95": spread.interval,
        "runs": [
            {
                "seed": run.experiment.seed,
                "epochs": run.metrics["kept_epoch"],
                "validation_examples": run.metrics["validation"]["examples"],
                "validation_accuracy": run.metrics["validation"]["accuracy"],
                "test_accuracy": run.metrics["test"]["accuracy"],
            }
            for run in runs
        ],
    }


def measure(check: Check, model: LoadedModel) -> dict[str, Any]:
    """Count how many images of a check an exported model gets right."""
    dataset = load_data(check.data, sample=check.sample)
    parts = [dataset.parts[part] for part in check.parts]
    labels = np.concatenate([part.labels for part in parts])
    images = [fitted_all(np.asarray(part.images), model.input_shape, "pad") for part in parts]
    correct = int((model.predict(np.concatenate(images)).class_ids == labels).sum())
    return {
        "dataset": check.data,
        "sample": check.sample,
        "parts": list(check.parts),
        "words": check.words,
        "pictures": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
    }


# --- the card -------------------------------------------------------------------------------


def card_text(document: Mapping[str, Any]) -> str:
    """Fill the card's template; all figures in it are those of ``document``."""
    card = document["card"]
    trained = {name: version for name, version in card["versions"].items() if version}
    versions = document["check"]["versions"] | trained
    return page(
        "card.md",
        card=card,
        zoo=card["zoo"],
        test=card["test"],
        shape=document["input_shape"],
        names=document["class_names"],
        confused=_most_confused(card["test"]["confusion"]),
        recipe=pretty(card["experiment"]),
        versions=", ".join(f"{name} {version}" for name, version in versions.items() if version),
    )


def _most_confused(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return count, true and predicted class of the three most frequent mistakes."""
    mistakes = np.array(confusion) * (1 - np.eye(len(confusion), dtype=int))
    first = np.argsort(-mistakes, axis=None, kind="stable")[:3].tolist()
    found = [(int(mistakes.flat[at]), *divmod(at, len(mistakes))) for at in first]
    return [(count, truth, guess) for count, truth, guess in found if count]


# --- the command ----------------------------------------------------------------------------


@click.command("zoo", epilog="\b\npython -m kerascw zoo digits")
@click.argument("names", metavar="MODEL...", nargs=-1, required=True, type=click.Choice(list(ZOO)))
@data_dir_option
@saved_models_option
@runs_option
def command(names: Sequence[str], data_dir: Path | None, saved_models: Path, runs: Path) -> None:
    """Export each MODEL (fashion, mnist or digits) from its kept runs, and write its card."""
    for name in names:
        with console().status(f"{name}: exporting and checking"):
            version = make(ZOO[name], Store(runs), saved_models, data_dir=data_dir)
        click.echo(f"{name}: {version}")
        click.echo(f"card: {version.parent / CARD}")
    click.echo(f"next: {command_text('predict', saved_models / names[0], 'IMAGE...')}", err=True)
