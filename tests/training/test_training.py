import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascw.data import Dataset, Part, split
from kerascw.data.pipeline import training_batches
from kerascw.data.rows import Rows
from kerascw.errors import Interrupted
from kerascw.evaluation.metrics import loss_and_accuracy
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    SGD,
    AdamW,
    Cosine,
    DenseNet,
    Experiment,
    OneCycle,
    Plateau,
    ScheduleSpec,
    TrainingSpec,
    WarmUp,
)
from kerascw.models import build_model
from kerascw.runs.run import run_experiment, run_name, traced
from kerascw.runs.store import Run, Store
from kerascw.training.fit import fit
from kerascw.training.optimizer import build_optimizer, rate_of_next_epoch
from kerascw.training.predictor import Predictor

Same = Callable[[Run, Run], None]


@pytest.fixture(scope="module")
def plain(small: Experiment, sample: Dataset, tmp_path_factory: Any) -> Run:
    """Two epochs of the small experiment, as everything is by default."""
    experiment = override(small, {"training.epochs": 2})
    return run_experiment(experiment, sample, Store(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def dense(small: Experiment) -> Experiment:
    """The small experiment with a dense network, where the kind of model does not matter."""
    return small.model_copy(update={"model": DenseNet(dense=(16,), dropout_rate=0.3)})


@pytest.fixture(scope="module")
def numbered() -> Part:
    """1,003 images that carry their own position."""
    images = np.zeros((1003, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(1003), 256)
    return Part(images, np.arange(1003, dtype=np.int32) % 10)


def positions_of(dataset: tf.data.Dataset) -> list[np.ndarray]:
    batches = [images.numpy().astype(int) for images, _ in dataset]
    return [batch[:, 0, 0, 0] * 256 + batch[:, 0, 1, 0] for batch in batches]


def test_every_example_once_an_epoch_in_an_order_of_seed_and_epoch(numbered: Part) -> None:
    def orders(seed: int, epochs: range) -> list[np.ndarray]:
        batches = positions_of(
            training_batches(numbered, classes=10, batch_size=64, seed=seed, epochs=epochs)
        )
        assert [len(batch) for batch in batches] == ([64] * 15 + [43]) * len(epochs)
        found = np.split(np.concatenate(batches), len(epochs))
        assert all(sorted(order) == list(range(1003)) for order in found)
        return found

    first, second = orders(0, range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(orders(0, range(1, 3))[0], second)  # as after a resume
    assert (orders(1, range(1))[0] != first).any()


def test_labels_go_with_their_images(numbered: Part) -> None:
    dataset = training_batches(numbered, classes=10, batch_size=100, seed=5, epochs=range(2, 3))
    for images, labels in dataset:
        positions = images.numpy().astype(int)[:, 0, 0, 0] * 256 + images.numpy()[:, 0, 1, 0]
        np.testing.assert_array_equal(labels.numpy().argmax(axis=1), positions % 10)


def test_the_one_cycle_rises_to_its_peak_and_falls_to_zero() -> None:
    spec = TrainingSpec(
        epochs=10, optimizer=AdamW(learning_rate=0.5), schedule=OneCycle(warmup=0.3)
    )
    optimizer = build_optimizer(spec, steps_per_epoch=10)
    rates = [float(optimizer._learning_rate(step)) for step in range(100)]
    assert int(np.argmax(rates)) == 29
    assert rates[29] == pytest.approx(0.5)
    assert rates[0] == pytest.approx(0.5 / 30)
    assert rates[99] == pytest.approx(0, abs=1e-7)


RATES = {  # the optimiser's rate is 0.1
    "constant": ({}, [0.1] * 6),
    "step": ({"every": 2, "factor": 0.1}, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
    "halving": ({"every": 3}, [0.1, 0.1, 0.1, 0.05, 0.05, 0.05]),
    "inverse_time": (
        {"every": 2, "decay": 0.5},
        [0.1, 0.1, 0.1 / 2, 0.1 / 2, 0.1 / 2 / 3, 0.1 / 2 / 3],
    ),
    # validation loss below: 3, 2, 2, 2.5, 1, 1
    "plateau": ({"patience": 2, "factor": 0.5}, [0.1, 0.1, 0.1, 0.1, 0.05, 0.05]),
}


@pytest.mark.parametrize("kind", RATES)
def test_the_rate_of_each_epoch_follows_from_the_history(kind: str) -> None:
    fields, expected = RATES[kind]
    spec = TrainingSpec.model_validate(
        {
            "epochs": 6,
            "optimizer": {"kind": "sgd", "learning_rate": 0.1},
            "schedule": {"kind": kind, **fields},
        }
    )
    history = [{"validation_loss": loss} for loss in (3, 2, 2, 2.5, 1, 1)]
    rates = [rate_of_next_epoch(spec, history[:done]) for done in range(6)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lowest", "expected"), [(0.05, [1.0, 1.0, 0.1, 0.05, 0.05]), (2.0, [1.0] * 5)]
)
def test_plateau_goes_down_again_but_not_below_the_lowest_rate_and_never_up(
    lowest: float, expected: list[float]
) -> None:
    spec = TrainingSpec(
        epochs=9, optimizer=SGD(learning_rate=1.0), schedule=Plateau(patience=1, lowest=lowest)
    )
    history = [{"validation_loss": 1.0}] * 4
    rates = [rate_of_next_epoch(spec, history[:done]) for done in range(5)]
    assert rates == pytest.approx(expected)


def test_the_rates_of_every_step() -> None:
    def rates(schedule: ScheduleSpec) -> np.ndarray:
        spec = TrainingSpec(epochs=2, optimizer=SGD(learning_rate=0.4), schedule=schedule)
        assert rate_of_next_epoch(spec, []) is None
        rate = build_optimizer(spec, steps_per_epoch=10)._learning_rate
        return np.array([float(rate(step)) for step in range(20)])

    np.testing.assert_allclose(
        rates(WarmUp(warmup=0.25)), [0.08, 0.16, 0.24, 0.32] + [0.4] * 16, atol=1e-6
    )
    done = np.arange(1, 21) / 20
    np.testing.assert_allclose(
        rates(Cosine(floor=0.1)),
        0.4 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * done))),
        atol=1e-6,
    )
    assert rates(Cosine(warmup=0.5)).argmax() in (9, 10)


def test_sigmoid_outputs_have_the_mean_binary_cross_entropy(
    sample: Dataset, dense: Experiment, tmp_path: Path
) -> None:
    experiment = override(dense, {"model.output": "sigmoid", "training.epochs": 1})
    run = run_experiment(experiment, sample, Store(tmp_path))
    probabilities = np.load(run.folder / "predictions.npz")["test_probabilities"]
    labels = np.load(run.folder / "predictions.npz")["test_labels"]
    assert not np.allclose(probabilities.sum(axis=1), 1, atol=0.05)
    by_keras = keras.losses.BinaryCrossentropy()(np.eye(10)[labels], probabilities)
    assert run.metrics["test"]["loss"] == pytest.approx(float(by_keras), rel=1e-5)
    assert run.history[0]["train_loss"] < 0.6  # ln 2 is that of knowing nothing


def test_autotuning_is_off_and_changes_not_a_bit(
    sample: Dataset, plain: Run, numbered: Part, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, assert_same_run: Same,
) -> None:  # fmt: skip
    batches = training_batches(numbered, classes=10, batch_size=8, seed=0, epochs=range(0, 1))
    assert not batches.options().autotune.enabled
    seen = []
    monkeypatch.setattr(
        "kerascw.data.pipeline.without_autotuning", lambda dataset: seen.append(1) or dataset
    )
    assert_same_run(plain, run_experiment(plain.experiment, sample, Store(tmp_path)))
    assert seen


def test_small_batches_come_several_at_once(
    sample: Dataset, dense: Experiment, numbered: Part, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, assert_same_run: Same,
) -> None:  # fmt: skip
    """The last batch of 1,003 images has one image."""
    of_three = partial(training_batches, numbered, classes=10, batch_size=3, seed=0)
    elements = positions_of(of_three(epochs=range(2), at_once=5))
    assert [len(element) for element in elements] == ([15] * 66 + [13]) * 2
    batches = positions_of(of_three(epochs=range(2)))
    np.testing.assert_array_equal(np.concatenate(elements), np.concatenate(batches))

    changes = {"data.fraction": 0.01, "training.batch_size": 3, "training.augmentation": []}
    experiment, made = override(dense, changes), []
    monkeypatch.setattr(
        "kerascw.training.fit.training_batches",
        lambda *given, at_once, **options: (
            made.append(at_once) or training_batches(*given, at_once=at_once, **options)
        ),
    )
    together = run_experiment(experiment, sample, Store(tmp_path / "together"))
    monkeypatch.setattr("kerascw.training.prepare.Device.steps_a_call", 2)
    traced.cache_clear()  # or the second run would take the first one's model, and its calls
    assert_same_run(together, run_experiment(experiment, sample, Store(tmp_path / "singly")))
    assert made == [5, 1]


def test_images_that_are_too_many_to_copy_give_the_same_batches(
    sample: Dataset, plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    assert_same_run: Same,
) -> None:  # fmt: skip
    """Above a size splits are rows of the whole, and NumPy gathers the batches."""
    monkeypatch.setattr("kerascw.data.dataset.LARGE", 0)
    monkeypatch.setattr("kerascw.data.pipeline.LARGE", 0)
    splits = split(sample, plain.experiment.data)
    assert isinstance(splits.train.images, Rows)
    assert splits.train.images.base is sample.train.images
    assert_same_run(plain, run_experiment(plain.experiment, sample, Store(tmp_path)))


@pytest.mark.parametrize("rows", [False, True])
def test_features_are_gathered_from_where_they_are_too(
    rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen backbone's are float32, and of many images more than are copied."""
    features = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    part = Part(features, np.arange(20, dtype=np.int32) % 2)
    named = {"classes": 2, "batch_size": 8, "seed": 3, "epochs": range(2)}
    copied = list(training_batches(part, **named))
    monkeypatch.setattr("kerascw.data.pipeline.LARGE", 0)
    if rows:
        part = Part(Rows.of(features, np.arange(20)), part.labels)
    for mine, theirs in zip(training_batches(part, **named), copied, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_l2_is_in_the_gradients_and_not_in_the_reported_loss(
    sample: Dataset, tmp_path: Path
) -> None:
    """One step of plain SGD moves every weight, biases included, by the stated gradient."""
    base = Experiment.model_validate(
        {
            "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
            "model": {"kind": "mlp", "dense": [8], "initializer": "torch"},
            "training": {
                "epochs": 1, "batch_size": 60, "keep": "last",
                "optimizer": {"kind": "sgd", "learning_rate": 0.1},
            },
        }
    )  # fmt: skip
    splits = split(sample, base.data)
    assert len(splits.train) == 60
    start = build_model(base.model, seed=base.seed).get_weights()
    plain = fit(base, splits, tmp_path / "plain.npz")
    decayed = fit(override(base, {"training.l2": 0.25}), splits, tmp_path / "decayed.npz")
    for before, without, with_l2 in zip(
        start, plain.model.get_weights(), decayed.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(with_l2, without - 0.1 * 2 * 0.25 * before, atol=1e-6)
    assert plain.history[0]["train_loss"] == decayed.history[0]["train_loss"]


def test_the_reported_training_figures_are_of_examples_not_batches(
    sample: Dataset, dense: Experiment, tmp_path: Path
) -> None:
    """With a rate of almost nothing the epoch's figures are those of the initial weights."""
    still = override(
        dense,
        {
            "training.optimizer.learning_rate": 1e-12,
            "training.epochs": 1,
            "training.batch_size": 64,  # 855 images: 13 whole batches and one of 23
            "training.augmentation": [],
            "training.label_smoothing": 0.1,
            "model.dropout_rate": 0,
        },
    )
    splits = split(sample, still.data)
    assert len(splits.train) % 64 != 0
    fitted = fit(still, splits, tmp_path / "checkpoint.npz")
    loss, accuracy = loss_and_accuracy(
        Predictor(fitted.model)(splits.train.images), splits.train.labels
    )
    assert fitted.history[0]["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert fitted.history[0]["train_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_another_seed_gives_another_run(sample: Dataset, plain: Run, tmp_path: Path) -> None:
    """The same seed gave the same bytes above."""
    other = run_experiment(override(plain.experiment, {"seed": 1}), sample, Store(tmp_path))
    assert plain.history != other.history


@pytest.mark.parametrize("schedule", ["one_cycle", "halving"])
def test_interrupted_after_an_epoch_goes_on_to_the_same_end(
    sample: Dataset, small: Experiment, dense: Experiment, schedule: str, tmp_path: Path,
    stop_after: Any, assert_same_run: Same,
) -> None:  # fmt: skip
    """AdamW for its moments; the place in the schedule, of steps or of epochs, must survive too."""
    experiment = override(
        small if schedule == "one_cycle" else dense,
        {"training.epochs": 3, "training.schedule.kind": schedule,
         "training.optimizer.kind": "adamw", "training.optimizer.learning_rate": 0.004}
        | ({"training.schedule.every": 1} if schedule == "halving" else {}),
    )  # fmt: skip
    store = Store(tmp_path / "stopped")
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 3"):
        run_experiment(experiment, sample, store, stop_after(1))
    assert store.all() == []
    resumed = run_experiment(experiment, sample, store)
    assert_same_run(resumed, run_experiment(experiment, sample, Store(tmp_path / "whole")))
    assert not list((tmp_path / "stopped" / ".unfinished").iterdir())
    if schedule == "halving":
        rates = [row["learning_rate"] for row in resumed.history]
        assert rates == pytest.approx([0.004, 0.002, 0.001])


BY_COMMAND = """
import sys
from kerascw.commands.main import main
*words, killed, whole = sys.argv[1:]
for folder in (killed, whole):
    print("in", folder)
    main([*words, "--runs", folder], standalone_mode=False)
"""


def test_kill_9_in_the_middle_of_an_epoch_then_the_same_command(
    tmp_path: Path, assert_same_run: Same
) -> None:
    """Resumed, and once more without a break, in a process that has as many threads."""
    words = [
        *("run", "bag-cnn", "--sample", "--seeds", "1", "--epochs", "5", "--batch-size", "4"),
        *("--set", "model.batch_norm=true", "--set", "training.augmentation=flip"),
    ]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "kerascw", *words, "--runs", str(killed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/5"):
            break
    time.sleep(0.15)  # into the second epoch, or on a busy machine into a later one
    process.kill()
    process.wait()
    assert Store(killed).all() == []
    assert list(killed.glob(".unfinished/*/checkpoint.npz"))
    again = subprocess.run(
        [sys.executable, "-c", BY_COMMAND, *words, str(killed), str(whole)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    resumed, _, unbroken = again.stdout.partition(f"in {whole}\n")
    assert re.search("going on after epoch [1-4]", resumed)
    assert "epoch 1/5" not in resumed
    assert "epoch 1/5" in unbroken
    (one,), (other,) = Store(killed).all(), Store(whole).all()
    assert_same_run(one, other)


@pytest.mark.parametrize(("keep", "best"), [("validation_accuracy", max), ("validation_loss", min)])
def test_the_best_epoch_is_kept(
    keep: str, best: Callable[..., float], sample: Dataset, dense: Experiment, tmp_path: Path
) -> None:
    # a rate at which the last epoch need not be the best
    changes = {"training.keep": keep, "training.optimizer.learning_rate": 0.03}
    run = run_experiment(override(dense, changes), sample, Store(tmp_path))
    figures = [row[keep] for row in run.history]
    assert run.metrics["kept_epoch"] == figures.index(best(figures)) + 1
    kept = run.metrics["validation"][keep.removeprefix("validation_")]
    assert kept == pytest.approx(best(figures), abs=1e-12)


def test_patience_ends_training(sample: Dataset, dense: Experiment, tmp_path: Path) -> None:
    impatient = override(
        dense,
        {"training.epochs": 30, "training.patience": 2, "training.keep": "validation_loss",
         "training.optimizer.learning_rate": 0.03},
    )  # fmt: skip
    run = run_experiment(impatient, sample, Store(tmp_path))
    assert run.metrics["ended"] == "patience"
    assert len(run.history) == run.metrics["kept_epoch"] + 2 < 30


def test_a_diverged_run_is_a_result(sample: Dataset, dense: Experiment, tmp_path: Path) -> None:
    wild = override(
        dense,
        {"training.optimizer.kind": "sgd", "training.optimizer.learning_rate": 1e30,
         "model.activation": "linear", "data.scaling": "raw"},
    )  # fmt: skip
    store = Store(tmp_path)
    run = run_experiment(wild, sample, store)
    assert run.metrics["status"] == "diverged"
    assert run.metrics["reason"] == "a figure of epoch 1 is not finite"
    assert "test" not in run.metrics
    assert run.metrics["scored_on_test"] == 0
    assert store.get(run_name(wild, sample)) is not None


def test_standard_scaling_is_that_of_the_training_part(
    sample: Dataset, dense: Experiment, tmp_path: Path
) -> None:
    standard = override(dense, {"data.scaling": "standard", "training.epochs": 1})
    splits = split(sample, standard.data)
    fitted = fit(standard, splits, tmp_path / "checkpoint.npz")
    scaled = fitted.model.get_layer("scale_pixels")(splits.train.images).numpy()
    assert scaled.mean() == pytest.approx(0, abs=1e-4)
    assert scaled.std() == pytest.approx(1, abs=1e-4)
