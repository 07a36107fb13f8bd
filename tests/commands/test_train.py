"""``train``: a dataset of one's own becomes a trained, tested and exported model."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.errors import CallError
from kerascw.evaluation.metrics import full_report
from kerascw.experiment.spec import Flip
from kerascw.report.advice import advice
from kerascw.runs.store import Store
from kerascw.studies import fashion
from kerascw.studies.train import LEAST_STEPS, epochs_within, fitted


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Sixty noisy grey images, dark or bright, with a label each."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (random.integers(0, 60, (60, 8, 8)) + 150 * labels[:, None, None]).astype(np.uint8)
    file = tmp_path / "light.npz"
    np.savez(file, x_train=images, y_train=np.array(["dark", "bright"])[labels])
    return file


def test_a_file_of_arrays_becomes_a_model_that_predicts(arrays: Path, tmp_path: Path) -> None:
    folders = ["--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    small = ["--epochs", "2", "--set", "model.filters=4", "--set", "model.pool_after=1"]
    trained = call("train", str(arrays), *small, *folders)
    assert trained.exit_code == 0, trained.output
    (run,) = Store(tmp_path / "runs").all()
    assert (run.experiment.training.batch_size, run.experiment.training.epochs) == (8, 2)
    assert run.experiment.data.holdout.how == "stratified"
    model = kerascw.load_model(next((tmp_path / "models").iterdir()))
    assert sorted(model.class_names) == ["bright", "dark"]
    again = call("train", str(arrays), *small, *folders)
    assert again.exit_code == 0
    assert len(Store(tmp_path / "runs").all()) == 1


def test_a_training_over_seeds_has_a_page_that_is_drawn_again(arrays: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    settings = {"model.filters": (4,), "model.pool_after": (1,)}
    product = kerascw.train(arrays, epochs=1, seeds=2, settings=settings, runs=runs, models=None)
    assert product.report().is_file()
    drawn = call("report", product.plan.label, "--runs", str(runs))
    assert drawn.exit_code == 0, drawn.output


def test_small_data_get_small_batches_and_enough_steps() -> None:
    recipe = fashion.recipe()
    few = fitted(recipe, 108).training
    assert few.batch_size == 10
    assert few.epochs * -(-108 // few.batch_size) >= LEAST_STEPS
    assert fitted(recipe, 9).training.batch_size == 8
    assert fitted(recipe, 55_000) == recipe


def test_minutes_become_epochs_by_a_rate_that_is_measured_once(tmp_path: Path, monkeypatch) -> None:
    from kerascw.studies import train

    measured = []
    monkeypatch.setattr(train, "_measured", lambda *_: measured.append(1) or (10.0, 2.5))
    experiment = fashion.recipe().model_copy(update={"data": kerascw.data_named("digits")})
    store = Store(tmp_path)
    assert epochs_within(60, experiment, store) == 20
    assert epochs_within(11, experiment, store) == 1
    assert measured == [1]


def test_the_measured_rate_is_that_of_training(arrays: Path, tmp_path: Path) -> None:
    settings = {"model.filters": (4,), "model.pool_after": (1,)}
    product = kerascw.train(arrays, minutes=0.05, settings=settings, runs=tmp_path, models=None)
    (kept,) = (tmp_path / "rates").iterdir()
    rate = json.loads(kept.read_text())
    assert rate["start_seconds"] >= 0
    expected = (3 - rate["start_seconds"]) / rate["epoch_seconds"]
    assert product.run.experiment.training.epochs == max(1, int(expected))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--minutes", "0"), "--minutes': 0.0 is not in the range 0<x<=10080"),
        (("--minutes", "1", "--epochs", "3"), "--minutes: chooses training.epochs"),
        (("--recipe", "bets"), "no recipe 'bets'; choose"),
    ],
)
def test_wrong_calls(arrays: Path, words: tuple[str, ...], line: str) -> None:
    result = call("train", str(arrays), *words)
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_signs_are_not_mirrored(tmp_path: Path) -> None:
    from kerascw.studies.train import training

    assert training(kerascw.data_named("digits")).variants().keys() == {"fastest"}
    with pytest.raises(CallError, match="no such option"):
        kerascw.train("digits", epoch=3)


# --- what it says at the end ----------------------------------------------------------------


def said(confusion: list[list[int]], train_accuracy: float) -> str:
    """Return the advice on a test set with this confusion matrix."""
    counts = np.array(confusion)
    truth, guess = np.indices(counts.shape)
    labels, guesses = (np.repeat(a.ravel(), counts.ravel()) for a in (truth, guess))
    names = ("cat", "dog", "owl")
    report = full_report(np.eye(3)[guesses] * 0.9 + 0.05, labels, names)
    metrics = {"test": report, "train": {"accuracy": train_accuracy}}
    return "\n".join(advice(metrics, fashion.recipe(), np.array([10, 20, 1])))


def test_the_weakest_class_is_named_where_it_is_significant() -> None:
    text = said([[95, 3, 2], [4, 95, 1], [30, 0, 70]], 0.87)
    assert "Most often confused: cat and owl (32 of 200); cat and dog (7 of 200)" in text
    assert "More images of owl would help most: 70%" in text
    assert "it has 1 training image." in text
    assert "does not overfit" in text
    assert "More images of" not in said([[9, 0, 1], [0, 9, 1], [1, 1, 8]], 0.87)
    # the lowest of many recalls is low by chance: 85 of 100 has 0.767 to 0.907 by itself
    assert "More images of" not in said([[91, 9, 0], [0, 91, 9], [8, 7, 85]], 0.87)
    # a class without test images hides no other
    assert "More images of owl would help" in said([[0, 0, 0], [4, 95, 1], [30, 0, 70]], 0.87)


def test_overfitting_is_said_where_it_shows() -> None:
    assert "The model overfits (training accuracy 100.0%" in said(
        [[80, 10, 10], [10, 80, 10], [10, 10, 80]], 1.0
    )
    assert "overfit" not in said([[100, 0, 0], [0, 100, 0], [0, 0, 100]], 1.0)
    assert Flip(probability=0.5) in fashion.recipe().training.augmentation
