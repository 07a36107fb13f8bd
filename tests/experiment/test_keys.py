"""Kept runs are found by their keys: a key must never change by a refactoring."""

import json
from pathlib import Path

import pytest

from kerascw.experiment.spec import RECIPE_VERSION, Experiment

KNOWN = json.loads((Path(__file__).parent / "keys.json").read_text())
"""Experiments as version 3 of the recipe wrote them, each with its key on data called "data"."""


@pytest.mark.skipif(RECIPE_VERSION != 3, reason="the keys are those of recipe version 3")
@pytest.mark.parametrize("known", KNOWN, ids=[known["from"] for known in KNOWN])
def test_an_experiment_written_before_has_the_same_key(known: dict) -> None:
    experiment = Experiment.model_validate(known["experiment"])
    assert json.loads(experiment.canonical_json()) == known["experiment"]
    assert experiment.key("data") == known["key"]
