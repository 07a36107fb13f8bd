"""What follows the print of a report is what its program did."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascw.data import CATALOG, Dataset, Part, load_data, mean_and_deviation, split
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    SGD,
    Adam,
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    Holdout,
    InverseTime,
    RMSprop,
    TrainingSpec,
)
from kerascw.lab.verdict import figure_of
from kerascw.models import build_model
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Store
from kerascw.studies import digits_svhn, image_techniques
from kerascw.training.fit import fit, scaling_of
from kerascw.training.optimizer import build_optimizer, rate_of_next_epoch


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def held_out(dataset: Dataset, how: str, count: int, seed: int) -> np.ndarray:
    """Return the positions that are held out, by pictures that are numbered."""
    n = len(dataset.train)
    numbers = np.arange(n)
    images = np.stack([numbers // 256, numbers % 256], axis=-1).astype(np.uint8)
    numbered = replace(dataset, train=Part(images[:, None, :, None], dataset.train.labels))
    holdout = Holdout.model_validate({"how": how, "count": count, "seed": seed})
    validation = split(numbered, DataSpec(name="digits", holdout=holdout)).validation
    assert validation is not None
    return validation.images.reshape(-1, 2).astype(int) @ [256, 1]


def test_the_splits_are_those_of_scikit_learn_and_of_numpy(digits: Dataset) -> None:
    from sklearn.model_selection import train_test_split

    n = len(digits.train)
    _, theirs = train_test_split(range(n), test_size=0.2, random_state=42)
    ours = held_out(digits, "sklearn", len(theirs), 42)
    np.testing.assert_array_equal(ours, sorted(theirs))

    np.random.seed(0)
    order = np.random.choice(range(n), n, replace=False)
    np.testing.assert_array_equal(held_out(digits, "numpy", n - 900, 0), sorted(order[900:]))


def test_the_first_rate_schedule_is_that_of_the_program() -> None:
    facts = image_techniques.mlp()["first, as printed"].training
    rate, theirs = 0.1, []
    for epoch in range(100):
        theirs.append(rate)
        if (epoch + 1) % 10 == 0:
            rate *= 1.0 / (1.0 + 0.05 * epoch)
    ours = [rate_of_next_epoch(facts, [{}] * done) for done in range(100)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    before = facts.model_copy(update={"schedule": InverseTime(every=10, decay=0.05)})
    assert rate_of_next_epoch(before, [{}] * 10) == pytest.approx(0.1 / 1.5)


def test_rmsprop_adds_epsilon_to_the_root_as_pytorch_does() -> None:
    spec = RMSprop(learning_rate=0.1, momentum=0.5, rho=0.99, epsilon=0.3, epsilon_in_root=False)
    optimizer = build_optimizer(TrainingSpec(epochs=1, optimizer=spec), 10)
    weight = keras.Variable([1.0, -2.0], name="weight")
    optimizer.build([weight])
    value, square, momentum = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step in range(5):
        gradient = np.array([0.5, -1.0]) * (step + 1)
        optimizer.apply([tf.constant(gradient, tf.float32)], [weight])
        square = 0.99 * square + 0.01 * gradient**2
        momentum = 0.5 * momentum + gradient / (np.sqrt(square) + 0.3)
        value = value - 0.1 * momentum
    np.testing.assert_allclose(weight.numpy(), value, rtol=1e-5)


@pytest.mark.parametrize("spec", [Adam(epsilon=0.5), RMSprop(rho=0.5, epsilon=0.5)])
def test_an_optimiser_takes_its_constants(spec: Adam | RMSprop) -> None:
    optimizer = build_optimizer(TrainingSpec(epochs=1, optimizer=spec), 10)
    assert optimizer.epsilon == 0.5
    if isinstance(spec, RMSprop):
        assert optimizer.rho == 0.5


def numpy_network(
    train: Part, weights: Sequence[np.ndarray], rate: float, images: int
) -> list[np.ndarray]:
    """Return weights and biases after one pass of the report's program over some images."""
    w1, b1, w2, b2 = (array.astype(np.float64) for array in weights)
    for image, label in zip(train.images[:images], train.labels[:images], strict=True):
        x = image.reshape(-1) / 255
        hidden = np.maximum(x @ w1 + b1, 0)
        delta = 1 / (1 + np.exp(-(hidden @ w2 + b2))) - np.eye(10)[label]
        back = (w2 @ delta) * (hidden > 0)
        w2, b2 = w2 - rate * np.outer(hidden, delta), b2 - rate * delta
        w1, b1 = w1 - rate * np.outer(x, back), b1 - rate * back
    return [w1, b1, w2, b2]


def test_question_1_takes_the_steps_of_its_program(digits: Dataset, tmp_path: Path) -> None:
    """One image at a time, in their order, by the gradient of the sum over the outputs."""
    printed = image_techniques.mlp()["tuned, as printed"]
    few = replace(digits, train=digits.train.take(np.arange(40)),
                  test=digits.test.take(np.arange(8)))  # fmt: skip
    experiment = override(printed, {"data.name": "digits", "training.epochs": 1})
    splits = split(few, experiment.data)
    assert len(splits.train) == 48
    assert splits.validation is None
    initial = build_model(experiment.model, splits.train.shape, 10, seed=0).get_weights()
    assert not np.any(initial[1])
    assert not np.any(initial[3])
    assert np.std(initial[0]) == pytest.approx(0.01, rel=0.1)
    fitted = fit(experiment, splits, tmp_path / "checkpoint.npz")
    assert fitted is not None
    expected = numpy_network(splits.train, initial, 0.01, 48)
    for ours, theirs in zip(fitted.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    # the loss that is reported is the mean over the outputs
    assert fitted.history[0]["train_loss"] == pytest.approx(0.69, abs=0.05)


def test_what_is_trained_on_gives_no_test_figure(digits: Dataset, tmp_path: Path) -> None:
    experiment = Experiment(
        data=DataSpec(name="digits", test_in_training=True),
        model=DenseNet(dense=(4,)),
        training=TrainingSpec(epochs=1, optimizer=SGD(), keep="last"),
    )
    run = run_experiment(experiment, digits, Store(tmp_path))
    assert run.metrics["train"]["examples"] == 1797
    assert run.metrics["scored_on_test"] == 0
    assert "test" not in run.metrics
    assert figure_of(run, "test.accuracy") is None
    assert figure_of(run, "last_epoch.train_accuracy") == run.history[-1]["train_accuracy"]
    assert "test" not in np.load(run.folder / "predictions.npz")


def test_epoch_0_scores_the_initial_weights(digits: Dataset, tmp_path: Path) -> None:
    experiment = override(digits_svhn.digits()["mlp"], {"training.epochs": 2})
    run = run_experiment(experiment, digits, Store(tmp_path))
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.untrained is not None
    assert run.untrained.keys() == {
        "epoch",
        "validation_loss",
        "validation_accuracy",
    }
    assert figure_of(run, "epoch_0.validation_error") == pytest.approx(0.9, abs=0.1)
    assert figure_of(run, "epoch_0.train_loss") is None
    again = override(experiment, {"training.evaluate_first": False})
    without = run_experiment(again, digits, Store(tmp_path))
    assert without.untrained is None
    assert without.history == run.history
    assert figure_of(without, "epoch_0.validation_loss") is None


def test_epoch_0_outlives_a_pause(digits: Dataset, tmp_path: Path) -> None:
    experiment = override(digits_svhn.digits()["convnet"], {"training.epochs": 2})
    splits = split(digits, experiment.data)
    assert fit(experiment, splits, tmp_path / "paused.npz", until=1) is None
    resumed = fit(experiment, splits, tmp_path / "paused.npz")
    whole = fit(experiment, splits, tmp_path / "whole.npz")
    assert resumed is not None
    assert whole is not None
    assert resumed.untrained == whole.untrained
    assert whole.untrained is not None
    assert resumed.history == whole.history


def test_standardising_by_all_training_images(digits: Dataset) -> None:
    data = DataSpec(
        name="digits",
        holdout=Holdout(how="last", count=350),
        scaling="standard",
        standard_of="training_and_validation",
    )
    splits = split(digits, data)
    mean, deviation = mean_and_deviation(digits.train.images)
    scaling = scaling_of(data, splits)
    assert (1 / scaling.scale, -scaling.offset / scaling.scale) == pytest.approx((deviation, mean))


def test_batch_norm_has_the_epsilon_that_is_asked_for() -> None:
    spec = ConvNet(
        filters=(4,), dense=(4,), batch_norm=True, dense_batch_norm=True, batch_norm_epsilon=1e-5
    )
    model = build_model(spec, CATALOG["digits"].shape)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.epsilon for layer in norms] == [1e-5, 1e-5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training.loss_over_outputs": "sum"}, "loss_over_outputs: sum needs model.output"),
        ({"data.test_in_training": True}, "test_in_training goes with holdout none"),
        ({"data.standard_of": "training_and_validation", "data.scaling": "raw"}, "standard_of"),
        ({"data.holdout": None, "training.keep": "last", "training.patience": None},
         "evaluate_first needs data.holdout"),
    ],
)  # fmt: skip
def test_settings_that_contradict_one_another_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(CallError, match=message):
        override(digits_svhn.digits()["mlp"], settings)
