"""Data frames of runs and studies."""

import sys
from pathlib import Path

import numpy as np
import pytest

from kerascw.errors import CallError, KerascwError
from kerascw.evaluation.metrics import loss_and_accuracy
from kerascw.lab.plan import StudyResult
from kerascw.runs.store import Store


@pytest.fixture(scope="module")
def result(kept_digits: Path) -> StudyResult:
    from kerascw.studies import recall

    return recall("digits", Store(kept_digits))


def test_a_study_in_long_form(result: StudyResult) -> None:
    frame = result.to_dataframe()
    assert list(frame.columns) == ["variant", "seed", "fold", "figure", "value"]
    accuracies = frame[frame.figure == "test.accuracy"].set_index(["variant", "seed"]).value
    assert len(accuracies) == 4
    for variant, runs in result.runs.items():
        for run in runs:
            assert accuracies[variant, run.experiment.seed] == run.metrics["test"]["accuracy"]
    assert frame.fold.isna().all()


def test_a_runs_history_and_predictions(result: StudyResult) -> None:
    run = result.run
    history = run.to_dataframe()
    assert history.epoch.tolist() == [1, 2, 3]
    assert history.validation_loss.tolist() == [row["validation_loss"] for row in run.history]
    for split in ("validation", "test"):
        frame = run.predictions(split)
        assert list(frame.columns) == ["position", "truth", "prediction", "probability"]
        right = (frame.truth == frame.prediction).mean()
        assert right == pytest.approx(run.metrics[split]["accuracy"])
        with np.load(run.folder / "predictions.npz") as kept:
            answers, labels = kept[f"{split}_probabilities"], kept[f"{split}_labels"]
        assert loss_and_accuracy(answers, labels)[1] == pytest.approx(right)
        assert np.array_equal(frame.probability, answers.max(axis=1))


def test_another_split_is_one_line(result: StudyResult) -> None:
    with pytest.raises(CallError, match="choose validation or test"):
        result.run.predictions("train")


def test_without_pandas_the_extra_is_named(
    result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(KerascwError, match=r"pip install 'kerascw\[pandas\]'"):
        result.to_dataframe()
