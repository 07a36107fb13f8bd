"""Named recipes: what they change, what they leave, who cannot take them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.errors import CallError
from kerascw.experiment.recipes import RECIPES, Recipe, recipe_named
from kerascw.experiment.settings import override
from kerascw.experiment.spec import RECIPE_VERSION, Autoencoder, Experiment, TrainingSpec
from kerascw.lab.plan import planned
from kerascw.runs.store import Store
from kerascw.studies import all_studies, recall, study_named


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def refused(recipe: Recipe, study: str, variants: dict[str, Experiment]) -> str | None:
    try:
        recipe.check(study, variants)
        for experiment in variants.values():
            recipe.of(experiment)
    except CallError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", RECIPES)
def test_every_study_takes_a_recipe_or_says_why_not(name: str) -> None:
    recipe = recipe_named(name)
    said = {
        study.name: refused(recipe, study.name, study.variants())
        for study in all_studies().values()
    }
    for text in said.values():
        assert text is None or (f"--recipe {name}: " in text and "\n" not in text)
    taken = {study for study, text in said.items() if text is None}
    assert {"fashion", "bag-cnn"} <= taken
    # compares models; begins with another model's layers; has an autoencoder
    assert ("lenet-variants" in taken) == (recipe.model is None)
    assert not any(
        isinstance(e.model, Autoencoder) for s in taken for e in study_named(s).variants().values()
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_changes_training_and_model_and_nothing_else(name: str) -> None:
    recipe = recipe_named(name)
    own = study_named("bag-cnn").variants()["bag-cnn"]
    changed = recipe.of(own)
    assert changed.data == own.data
    assert changed.seed == own.seed
    assert changed.model == (recipe.model or own.model)
    named = TrainingSpec.model_validate({"epochs": 1} | recipe.training)
    for field in TrainingSpec.model_fields:
        expected = named if field in recipe.training else own.training
        assert getattr(changed.training, field) == getattr(expected, field), field


WITH = frozenset({"avx2", "avx512_bf16"})


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_compute_in_what_the_processor_is_fast_in_and_the_key_says_which(
    name: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Only recipes: what reproduces a report is float32 everywhere."""
    recipe, own = recipe_named(name), study_named("bag-cnn").variants()["bag-cnn"]
    found = {}
    for flags in (frozenset(), WITH):
        monkeypatch.setattr("kerascw.experiment.arithmetic.processor_flags", lambda f=flags: f)
        changed = recipe.of(own)
        assert "auto" not in changed.canonical_json()
        assert study_named("bag-cnn").variants()["bag-cnn"] == own
        exact = override(changed, {"training.precision": "float32"})
        found[flags] = (changed.training.precision, changed.key("data") == exact.key("data"))
    own_arithmetic = name == "one-cycle"
    assert found[frozenset()] == ("float32", True)
    assert found[WITH] == (("float32", True) if own_arithmetic else ("mixed_bfloat16", False))
    assert own.training.precision == "float32"
    assert not recwarn.list


def test_auto_is_resolved_before_anything_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kerascw.experiment.arithmetic.processor_flags", lambda: WITH)
    words = ["run", "bag-cnn", "--sample", "--precision", "auto", "--epochs", "1", "--seeds", "1"]
    done = call(*words, "--fraction", "0.02", "--set", "model.kind=mlp", "--runs", str(tmp_path))
    assert done.exit_code == 0, done.output
    (run,) = Store(tmp_path).all()
    kept = json.loads((run.folder / "experiment.json").read_text())
    assert kept["experiment"]["training"]["precision"] == "mixed_bfloat16"
    assert kept["recipe_version"] == RECIPE_VERSION + 1
    # and a processor without such instructions reads the same run as what it is
    monkeypatch.setattr("kerascw.experiment.arithmetic.processor_flags", frozenset)
    (run,) = Store(tmp_path).all()
    assert run.experiment.training.precision == "mixed_bfloat16"


def test_what_cannot_take_a_recipe_says_why_in_one_line() -> None:
    for words, message in (
        (["fashion", "--recipe", "worst"], "no recipe 'worst'; choose "),
        (["lenet-variants", "--recipe", "best"],
         "--recipe best: study lenet-variants compares models, or begins with another"),
        (["lenet-variants", "--recipe", "best"], "choose one without: one-cycle"),
        (["bag-pretraining", "--recipe", "one-cycle"], "recipes are for classifiers"),
        (["fashion", "--recipe", "best", "--set", "training.label_smooth=0"], "no such field"),
        (["fashion", "--recipe", "best", "--sample", "--set", "model.output=sigmoid"],
         "training.label_smoothing needs model.output softmax"),
    ):  # fmt: skip
        result = call("run", *words)
        assert result.exit_code == 2, words
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_recipes_are_listed_with_what_they_are_for() -> None:
    listed = call("list", "--recipes").stdout
    for recipe in RECIPES.values():
        assert recipe.name in listed
    assert recipe_named("best").purpose.split()[0] in listed


def test_a_quick_study_stays_quick_under_a_recipe() -> None:
    plan = planned(study_named("fashion"), budget="quick", recipe="best")
    (experiment,) = plan.experiments["fashion"]
    assert experiment.training.epochs <= 3
    assert experiment.data.fraction == 0.2
    assert experiment.model == recipe_named("best").model


def test_a_study_under_a_recipe_has_a_folder_of_its_own_and_no_verdict(tmp_path: Path) -> None:
    filters = [4] * len(recipe_named("best").model.filters)
    settings = {"model.filters": filters, "training.epochs": 1, "data.fraction": 0.05}
    without = settings | {"model.filters": [4] * 5}
    own = planned(study_named("fashion"), sample=True, settings=without)
    result = kerascw.run(
        "fashion", sample=True, recipe="best", runs=tmp_path, models=None, settings=settings
    )
    assert result.plan.label != own.label
    assert "recipe=best" in result.plan.cautions[-1]
    spec, recipe = result.run.experiment, recipe_named("best")
    assert spec.training.epochs == 1  # settings go on top
    assert spec.training.weight_average == recipe.training["weight_average"]
    assert spec.model.mirror_average
    again = recall(result.plan.label, Store(tmp_path))
    assert again.plan.changed["recipe"] == "best"
    assert again.run.name == result.run.name
