"""Predictions of training images by kept models that have not seen them."""

from pathlib import Path

import numpy as np

import kerascw
from kerascw.data import load_data
from kerascw.lab.out_of_fold import kept_predictions
from kerascw.runs.store import Store


def test_each_image_is_predicted_by_the_fold_that_held_it_out(tmp_path: Path) -> None:
    digits, store = load_data("digits"), Store(tmp_path)
    assert kept_predictions(digits, store) is None
    dense = {"model.kind": "mlp"}  # two models all the same
    result = kerascw.run("digits", folds=3, epochs=3, settings=dense, runs=tmp_path, models=None)
    found = kept_predictions(digits, store)
    assert found is not None
    inside, outside, by = found
    assert (len(inside), len(outside)) == (len(digits.train), len(digits.test))
    (best,) = [runs for runs in result.runs.values() if any(run.name in by for run in runs)]
    assert by.startswith("the 3 folds of ")
    right = (inside.argmax(axis=1) == digits.train.labels).sum()
    each = [run.metrics["validation"] for run in best]
    assert right == round(sum(own["accuracy"] * own["examples"] for own in each))
    np.testing.assert_allclose(inside.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(outside.sum(axis=1), 1, rtol=1e-5)
    other = max(sum(run.metrics["validation"]["accuracy"] for run in runs)
                for runs in result.runs.values())  # fmt: skip
    assert sum(own["accuracy"] for own in each) == other
