"""Transfer from networks of keras.applications, with weights that these tests write.

ImageNet's own weights are not at hand: that they load is Keras' promise, and untested here.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import kerascw
from kerascw.commands.main import main
from kerascw.data import Part, Splits
from kerascw.errors import CallError
from kerascw.evaluation.metrics import full_report
from kerascw.experiment.recipes import recipe_named
from kerascw.experiment.spec import Backbone, DataSpec, Experiment, Holdout, TrainingSpec
from kerascw.models import build_model
from kerascw.models.backbone import LAYER
from kerascw.report.advice import advice
from kerascw.runs.store import Store
from kerascw.studies import fashion
from kerascw.training.fit import fit
from kerascw.training.frozen import is_fixed

SIDE = 32


@pytest.fixture(scope="module")
def network() -> Any:
    """A network whose random weights tell dark from bright, which Keras' own do not."""
    keras.utils.set_random_seed(5)
    made = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg"
    )
    random = np.random.default_rng(0)
    made.set_weights(
        [w + random.normal(0, 0.3, w.shape).astype(w.dtype) ** 2 for w in made.get_weights()]
    )
    return made


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "mine.weights.h5"
    network.save_weights(file)
    return Path(file)


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Sixty noisy grey images, dark or bright."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (random.integers(0, 60, (60, 8, 8)) + 150 * labels[:, None, None]).astype(np.uint8)
    return images, labels


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_the_networks_own(network: Any, weights: Path, channels: int) -> None:
    spec = Backbone(weights=str(weights), side=SIDE)
    model = build_model(spec, (SIDE, SIDE, channels), 4)
    images = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, channels), np.uint8)
    three = np.repeat(images, 3 // channels, axis=-1).astype(np.float32)
    scaled = model.get_layer("scale_pixels")(images)
    np.testing.assert_allclose(model.get_layer(LAYER)(scaled), network(three), rtol=1e-3, atol=1e-4)
    assert [w.path.split("/")[-2] for w in model.trainable_weights] == ["probabilities"] * 2


def test_the_output_layer_is_trained_first_and_then_all(
    arrays: tuple[np.ndarray, np.ndarray],
    weights: Path,
    tmp_path: Path,
) -> None:
    product = kerascw.train(
        arrays,
        backbone="mobilenet_v3_small",
        weights=str(weights),
        epochs=1,
        settings={"model.side": SIDE},
        runs=tmp_path / "runs",
        models=tmp_path / "models",
    )
    assert len(Store(tmp_path / "runs").all()) == 2
    (head,), (whole,) = product.runs["output layer"], product.runs["all layers"]
    assert whole.source == head.name
    given = build_model(Backbone(weights=str(weights), side=SIDE), (8, 8, 1), 2)
    kept = [run.model().get_layer(LAYER) for run in (head, whole)]
    for mine, theirs in zip(
        kept[0].get_weights(), given.get_layer(LAYER).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    changed = [
        weight.path
        for weight, before in zip(kept[1].weights, kept[0].get_weights(), strict=True)
        if not np.array_equal(weight.numpy(), before)
    ]
    assert changed
    assert not [path for path in changed if "moving" in path]  # batch norm keeps its statistics
    assert head.metrics["status"] == whole.metrics["status"] == "finished"
    [export] = (tmp_path / "models").iterdir()
    loaded = kerascw.load_model(export).predict(arrays[0][:20]).probabilities
    live = product.product.model().predict(arrays[0][:20, ..., None], verbose=0)
    np.testing.assert_allclose(loaded, live, atol=1e-5)


def test_weights_are_known_by_what_is_in_them(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.weights.h5"
    copy.write_bytes(weights.read_bytes())
    mine, theirs = Backbone(weights=str(weights)), Backbone(weights=str(copy))
    assert mine.weights_sha256 == theirs.weights_sha256 != ""
    copy.write_bytes(b"other")
    with pytest.raises(CallError, match="has changed since"):
        build_model(theirs, (SIDE, SIDE, 3))


def train(tmp_path: Path, *words: str) -> Any:
    places = ("--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models"))
    return CliRunner().invoke(main, ["train", *words, *places])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--weights", "nowhere.h5"), "nowhere.h5: cannot be read"),
        (("--weights", __file__), "no weights of mobilenet_v3_small without its top"),
        (("--backbone", "resnet"), "network: Input should be 'mobilenet_v3_small'"),
        (("--recipe", "best"), "leave --recipe out"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = train(tmp_path, "digits", "--backbone", "mobilenet_v3_small", *words)
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("\n") == 1


def test_weights_need_a_backbone(tmp_path: Path) -> None:
    done = train(tmp_path, "digits", "--weights", "x.h5")
    assert done.exit_code == 2
    assert "Give --backbone too" in done.output


def test_weights_that_cannot_be_downloaded_are_one_line(tmp_path: Path) -> None:
    nowhere = {"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path / "keras")}
    words = ["digits", "--backbone", "mobilenet_v3_small", "--runs", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-m", "kerascw", "train", *words],
        env=os.environ | nowhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "its ImageNet weights are neither in Keras' cache nor to be downloaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_backbone_is_advised_where_a_model_overfits(weights: Path) -> None:
    labels = np.arange(40) % 2
    guessed = np.where(np.arange(40) < 30, labels, 1 - labels)  # 75 %
    test = full_report(np.eye(2)[guessed] * 0.8 + 0.1, labels, ("a", "b"))
    metrics = {"test": test, "train": {"accuracy": 1.0}}
    own = recipe_named("fast").of(fashion.recipe())
    with_backbone = own.model_copy(update={"model": Backbone(weights=str(weights))})
    for experiment, cure in (
        (own, "more images or a pretrained network (--backbone) may help"),
        (with_backbone, "more images may help"),
    ):
        assert cure in " ".join(advice(metrics, experiment, np.array([5, 5])))


def test_features_of_a_frozen_backbone_are_computed_once(
    arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history is that of the whole model, which the product also is.

    With a network of a few layers in the place of one of two hundred.
    """

    def few_layers(weights: str | None, input_shape: tuple[int, ...], **_: Any) -> Any:
        kl = keras.layers
        made = keras.Sequential(
            [keras.Input(input_shape), kl.Rescaling(1 / 127.5, -1), kl.Conv2D(8, 3, strides=2),
             kl.BatchNormalization(), kl.ReLU(), kl.GlobalAveragePooling2D()]
        )  # fmt: skip
        if weights:
            made.load_weights(weights)
        return made

    keras.utils.set_random_seed(5)
    weights = tmp_path / "few.weights.h5"
    few_layers(None, (SIDE, SIDE, 3)).save_weights(weights)
    monkeypatch.setattr(keras.applications, "MobileNetV3Small", few_layers)
    spec = Backbone(weights=str(weights), side=SIDE, dropout=0)
    experiment = Experiment(
        data=DataSpec(name="digits", holdout=Holdout(count=20)),
        model=spec,
        training=TrainingSpec(epochs=3, batch_size=16),
    )
    part = Part(arrays[0][..., None], arrays[1].astype(np.int32))
    splits = Splits(
        part.take(np.arange(40)), part.take(np.arange(40, 60)), part, ("dark", "bright")
    )
    assert is_fixed(experiment)
    once = fit(experiment, splits, tmp_path / "once.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerascw.training.fit.is_fixed", lambda _: False)
        each_time = fit(experiment, splits, tmp_path / "each.npz")
    assert once is not None
    assert each_time is not None
    for mine, theirs in zip(once.history, each_time.history, strict=True):
        for name in mine:
            assert mine[name] == pytest.approx(theirs[name], abs=2e-4), name
    for mine, theirs in zip(once.model.weights, each_time.model.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    again = fit(experiment, splits, tmp_path / "stopped.npz", until=1)
    assert again is None
    resumed = fit(experiment, splits, tmp_path / "stopped.npz")
    assert resumed is not None
    assert resumed.history == once.history
