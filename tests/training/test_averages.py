"""Averages: of weights over steps, of probabilities over an image and its mirror image."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascw.data import Dataset, split
from kerascw.errors import CallError, Interrupted
from kerascw.evaluation.embedding import penultimate
from kerascw.evaluation.metrics import loss_and_accuracy
from kerascw.experiment.settings import override
from kerascw.experiment.spec import SGD, ConvNet, Experiment, TrainingSpec
from kerascw.models import build_model, by_head
from kerascw.report.features import feature_maps
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.training.fit import fit
from kerascw.training.optimizer import build_optimizer
from kerascw.training.predictor import Predictor

BOTH = {"training.weight_average": 0.95, "model.mirror_average": True}


# --- of weights -----------------------------------------------------------------------------


def test_the_average_follows_every_step_also_of_what_no_gradient_moves() -> None:
    spec = TrainingSpec(epochs=1, optimizer=SGD(learning_rate=1.0), weight_average=0.6)
    trained, statistic = keras.Variable([1.0, 2.0]), keras.Variable([5.0], trainable=False)
    optimizer = build_optimizer(spec, 40)
    optimizer.build([trained])
    optimizer.follow([trained, statistic])
    expected = [np.array([1.0, 2.0]), np.array([5.0])]
    for step in range(1, 41):
        statistic.assign([float(step)])
        optimizer.apply([tf.constant([0.1, -0.2])])
        kept = min(0.6, step / (step + 10))
        now = (np.array([1 - 0.1 * step, 2 + 0.2 * step]), np.array([step]))
        expected = [kept * old + (1 - kept) * new for old, new in zip(expected, now, strict=True)]
    for average, value in zip(optimizer.averages, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-5)


def test_averaged_weights_are_scored_and_kept(
    sample: Dataset, small: Experiment, tmp_path: Path
) -> None:
    splits = split(sample, small.data)
    changed = override(small, {"training.keep": "last", "training.epochs": 1})
    averaged = override(changed, {"training.weight_average": 0.95})
    plain = fit(changed, splits, tmp_path / "plain.npz")
    fitted = fit(averaged, splits, tmp_path / "averaged.npz")
    (row,), (other,) = fitted.history, plain.history
    # the path is the same one: only what is scored differs
    assert row["train_loss"] == other["train_loss"]
    assert row["validation_loss"] != other["validation_loss"]
    now = loss_and_accuracy(
        Predictor(fitted.model)(splits.validation.images), splits.validation.labels
    )
    assert now == pytest.approx((row["validation_loss"], row["validation_accuracy"]))
    # batch norm's moving statistics are averaged too
    name = "conv_1_norm"
    means = [m.model.get_layer(name).moving_mean.numpy() for m in (plain, fitted)]
    assert (means[0] != means[1]).all()


def test_averages_survive_an_interruption_bit_for_bit(
    sample: Dataset, small: Experiment, tmp_path: Path, stop_after: Any, assert_same_run: Any
) -> None:
    both = override(small, BOTH | {"training.epochs": 2, "training.optimizer.kind": "adamw"})
    store = Store(tmp_path / "stopped")
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 2"):
        run_experiment(both, sample, store, stop_after(1))
    resumed = run_experiment(both, sample, store)
    assert_same_run(resumed, run_experiment(both, sample, Store(tmp_path / "whole")))


def test_l2_and_averages_go_together() -> None:
    spec = TrainingSpec(epochs=1, optimizer=SGD(learning_rate=1.0), weight_average=0.6, l2=0.25)
    weight = keras.Variable([1.0])
    optimizer = build_optimizer(spec, 40)
    optimizer.build([weight])
    optimizer.follow([weight])
    optimizer.apply([tf.constant([0.1])])
    np.testing.assert_allclose(weight.numpy(), 1 - (0.1 + 2 * 0.25), rtol=1e-6)
    np.testing.assert_allclose(optimizer.averages[0].numpy(), (1 + 10 * 0.4) / 11, rtol=1e-6)


@pytest.mark.parametrize("value", ["1", "-0.1", "much"])
def test_an_average_that_is_none_is_refused(small: Experiment, value: str) -> None:
    with pytest.raises(CallError, match=r"training\.weight_average: Input should be"):
        override(small, {"training.weight_average": value})


# --- of mirror images -----------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary", [(), (2, 1)])
def test_probabilities_are_the_mean_of_both_ways(
    sample: Dataset, auxiliary: tuple[int, ...]
) -> None:
    plain_spec = ConvNet(
        filters=(4, 6), pool_after=(1, 2), batch_norm=True, dense=(8,), auxiliary=auxiliary
    )
    spec = plain_spec.model_copy(update={"mirror_average": True})
    model, plain = build_model(spec, seed=1), build_model(plain_spec, seed=1)
    in_training = build_model(spec, seed=1, for_training=True)
    weights = in_training.get_weights()
    for mine, theirs, others in zip(model.get_weights(), plain.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, others)
        np.testing.assert_array_equal(theirs, others)
    images = sample.test.images[:20]
    both, one, way = (
        by_head(m(pictures))
        for m, pictures in ((model, images), (plain, images), (plain, images[:, :, ::-1]))
    )
    assert list(both) == list(one)
    for head, probabilities in both.items():
        np.testing.assert_allclose(probabilities, (one[head] + way[head]) / 2, atol=1e-7)
        np.testing.assert_array_equal(by_head(in_training(images))[head], one[head])
    np.testing.assert_allclose(by_head(model(images[:, :, ::-1]))["probabilities"],
                               both["probabilities"], atol=1e-7)  # fmt: skip


@pytest.fixture(scope="module")
def mirroring(sample: Dataset, small: Experiment, tmp_path_factory: Any) -> Run:
    experiment = override(small, BOTH | {"training.epochs": 1})
    return run_experiment(experiment, sample, Store(tmp_path_factory.mktemp("mirroring")))


def test_mirror_images_are_in_the_kept_model_and_its_file_needs_keras_alone(
    sample: Dataset, mirroring: Run, tmp_path: Path
) -> None:
    code = (
        "import sys, keras, numpy as np\n"
        f"model = keras.saving.load_model({str(mirroring.folder / 'model.keras')!r})\n"
        "images = np.load(sys.argv[1])\n"
        "np.save(sys.argv[2], [model(images), model(images[:, :, ::-1])])"
    )
    images, answers = tmp_path / "images.npy", tmp_path / "answers.npy"
    np.save(images, sample.test.images[:50])
    subprocess.run([sys.executable, "-c", code, images, answers], check=True, capture_output=True)
    one, mirrored = np.load(answers)
    np.testing.assert_allclose(one, mirrored, atol=1e-6)
    with np.load(mirroring.folder / "predictions.npz") as file:
        np.testing.assert_allclose(one, file["test_probabilities"][:50], atol=1e-6)


def test_features_and_embedding_of_a_mirroring_model_are_the_images_own(
    sample: Dataset, mirroring: Run
) -> None:
    images = sample.test.images[:3]
    shapes = [maps.shape for maps in feature_maps(mirroring, images)]
    assert shapes == [(3, 26, 26, 6), (3, 11, 11, 8)]
    inner = penultimate(mirroring.model(), images)
    assert inner.shape == (3, 16)
    assert (inner != penultimate(mirroring.model(), images[:, :, ::-1])).any()


# --- batch norm after pooling -----------------------------------------------------------------


def test_batch_norm_after_pooling_has_a_quarter_of_the_values() -> None:
    spec = ConvNet(filters=(4, 6), pool_after=(1,), batch_norm=True, norm_after_pool=True)
    names = [layer.name for layer in build_model(spec).layers]
    assert names[1:8] == [
        *("conv_1", "pool_1", "conv_1_norm", "conv_1_relu"),
        *("conv_2", "conv_2_norm", "conv_2_relu"),
    ]
    with pytest.raises(CallError, match="norm_after_pool needs batch_norm"):
        override(
            Experiment(
                data={"name": "mnist"}, model=spec, training=TrainingSpec(epochs=1, keep="last")
            ),
            {"model.batch_norm": False},
        )
