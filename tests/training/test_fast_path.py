"""The step that fits is Keras' own step but for rounding: both train, and are compared."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascw.data import Dataset, Part, split
from kerascw.data.pipeline import training_batches
from kerascw.experiment.settings import override
from kerascw.experiment.spec import MAIN_HEAD, Autoencoder, Experiment
from kerascw.models import build_model
from kerascw.training.fit import compiled, fit
from kerascw.training.fused import FUSED
from kerascw.training.loop import Epochs, Trainer
from kerascw.training.optimizer import build_optimizer
from kerascw.training.predictor import Predictor
from kerascw.training.prepare import Device, Processor
from kerascw.training.shards import batch_norm


class Last(Epochs):
    """Keeps the metrics of the last epoch."""

    def end(self, epoch: int, figures: dict[str, float]) -> bool:
        self.figures = figures
        return False


def trained(
    experiment: Experiment, part: Part, shards: int | None, epochs: int = 1
) -> tuple[keras.Model, dict[str, float]]:
    """Train some steps, the last of them smaller; ``shards`` None is Keras' own step."""
    device = Device() if shards is None else Processor(shards)
    network = build_model(
        experiment.model, part.shape, 10, seed=1, for_training=True,
        precision=experiment.training.precision,
    )  # fmt: skip
    model, _ = compiled(experiment, network, device, len(part))
    batches = training_batches(
        part,
        classes=None if experiment.reconstructs else 10,
        batch_size=experiment.training.batch_size,
        seed=0,
        epochs=range(epochs),
        heads=(MAIN_HEAD, *heads) if (heads := experiment.auxiliary_weights) else (),
    )
    watch = Last()
    trainer = Trainer(model, device)
    trainer.train(batches, range(epochs), len(part), experiment.training.batch_size, watch)
    return model, watch.figures


def assert_close(
    one: tuple[keras.Model, dict[str, float]], other: tuple[keras.Model, dict[str, float]]
) -> None:
    (model, logs), (keras_model, keras_logs) = one, other
    assert logs == pytest.approx(keras_logs, rel=2e-5)
    for mine, theirs in zip(model.weights, keras_model.weights, strict=True):
        np.testing.assert_allclose(
            mine.numpy(), theirs.numpy(), rtol=2e-4, atol=2e-5, err_msg=mine.path
        )


@pytest.fixture(scope="module")
def part() -> Part:
    """Two batches of 32 and one of 5, of noise.

    Where real images are black, the four values that a pooling chooses from are equal but for
    rounding, and so rounding chooses where the gradient goes.
    """
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (69, 28, 28, 1), np.uint8)
    return Part(images, random.integers(0, 10, 69, np.int32))


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "everything with a state": {},
    "normalised after pooling": {"model.norm_after_pool": True},
    "batch norm of dense layers, spatial dropout": {
        "model.dense_batch_norm": True, "model.bias_before_norm": True,
        "model.dropout": [{"after": "pool", "rate": 0.2, "kind": "spatial"}],
    },
    "padding, average and sigmoids": {
        "model.padding": 2, "model.head": "average", "model.batch_norm": False,
        "model.activation": "gelu", "model.output": "sigmoid",
    },
    "idle heads": {"model.auxiliary": [1, 2]},
    "heads and label smoothing": {
        "model.auxiliary": [1, 2], "training.auxiliary_weights": [0.3],
        "training.label_smoothing": 0.1,
    },
}  # fmt: skip


def smooth(small: Experiment) -> Experiment:
    """Leave out what makes steps of rounding: ReLU near 0, and Adam's division by tiny moments."""
    return override(
        small,
        {"training.optimizer.kind": "sgd", "training.optimizer.learning_rate": 0.05,
         "training.augmentation": [], "model.activation": "elu"},
    )  # fmt: skip


CASES = [(name, 2) for name in ARCHITECTURES] + [("everything with a state", n) for n in (1, 3)]


@pytest.mark.parametrize(("name", "shards"), CASES)
def test_shards_train_as_keras_own_step_does(
    small: Experiment, part: Part, name: str, shards: int
) -> None:
    experiment = override(smooth(small), ARCHITECTURES[name])
    assert_close(trained(experiment, part, shards), trained(experiment, part, None))


def distance(one: keras.Model, other: keras.Model) -> float:
    """Return the Euclidean distance between the weights of two models."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return float(sum(np.square(a - b).sum() for a, b in pairs)) ** 0.5


@pytest.mark.parametrize("name", ["everything with a state", "heads and label smoothing"])
def test_bfloat16_in_shards_is_keras_own_but_for_its_rounding(
    small: Experiment, part: Part, name: str
) -> None:
    """After three steps the two are as near to one another as rounding takes Keras from float32.

    Without dropout, whose mask differs where it is drawn in 16 bits.
    """
    experiment = override(smooth(small), ARCHITECTURES[name] | {"model.dropout": []})
    mixed = override(experiment, {"training.precision": "mixed_bfloat16"})
    (shards, logs), (own, own_logs) = (trained(mixed, part, n) for n in (2, None))
    exact, exact_logs = trained(experiment, part, 2)
    assert {layer.compute_dtype for layer in shards.layers} == {"bfloat16", "float32"}
    assert {weight.dtype for weight in shards.get_weights()} == {np.dtype("float32")}
    for key, value in own_logs.items():
        reach = 3 / len(part) if "accuracy" in key else 2**-7 * value
        assert logs[key] == pytest.approx(value, abs=reach), key
    assert logs["loss"] != exact_logs["loss"]  # it does compute in 16 bits
    moved = distance(exact, build_model(experiment.model, part.shape, 10, seed=1))
    assert 0 < distance(shards, own) < 2 * distance(own, exact) < 0.2 * moved


def test_batch_norm_of_bfloat16_has_float32_statistics() -> None:
    random = np.random.default_rng(0)
    values = (3 + 5 * random.normal(size=(24, 6, 6, 4))).astype("float32")
    gamma, beta = (tf.constant(random.normal(size=4).astype("float32")) for _ in range(2))
    upstream = tf.constant(random.normal(size=values.shape).astype("float32"))
    found = {}
    for dtype in (tf.float32, tf.bfloat16):
        x = tf.cast(values, dtype)
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            outputs, mean, variance = batch_norm(1e-3, gamma, beta, [x[:10], x[10:]])
            assert {output.dtype for output in outputs} == {dtype}
            loss = tf.reduce_sum(tf.cast(tf.concat(outputs, 0), tf.float32) * upstream)
        assert mean.dtype == variance.dtype == tf.float32
        of_x, of_gamma, of_beta = tape.gradient(loss, [x, gamma, beta])
        assert of_x.dtype == dtype
        found[dtype] = [tf.cast(t, tf.float32).numpy()
                        for t in (mean, variance, *outputs, of_x, of_gamma, of_beta)]  # fmt: skip
    np.testing.assert_allclose(found[tf.float32][0], values.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found[tf.float32][1], values.var((0, 1, 2)), rtol=1e-4)
    for exact, rounded in zip(found[tf.float32], found[tf.bfloat16], strict=True):
        np.testing.assert_allclose(rounded, exact, rtol=0.02, atol=0.02 * np.abs(exact).max())


def test_shards_train_an_autoencoder(small: Experiment, part: Part) -> None:
    experiment = smooth(small).model_copy(
        update={"model": Autoencoder(filters=(4, 6), kernels=(3, 4))}
    )
    assert_close(trained(experiment, part, 2), trained(experiment, part, None))
    spec = experiment.training.model_copy(update={"precision": "mixed_bfloat16"})
    mixed = experiment.model_copy(update={"training": spec})
    (_, shards), (_, own) = (trained(mixed, part, n) for n in (2, None))
    assert shards == pytest.approx(own, rel=2**-7)


OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"kind": "sgd", "momentum": 0.9},
    "nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    "rmsprop": {},
    "rmsprop with momentum": {"kind": "rmsprop", "momentum": 0.5},
    "adam": {},
    "adamw": {"weight_decay": 0.1},
    "adamax": {},
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_fused_updates_are_those_of_keras(small: Experiment, name: str) -> None:
    """From the same gradients, over several steps, with L2 and a schedule; slots are equal too."""
    fields = {"kind": name, "learning_rate": 0.01} | OPTIMISERS[name]
    spec = override(
        small,
        {f"training.optimizer.{field}": value for field, value in fields.items()}
        | {"training.l2": 1e-3, "training.schedule.kind": "one_cycle"},
    ).training
    found = []
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype("float32") for shape in ((3, 4), (4,))]
    steps = [[random.normal(size=w.shape).astype("float32") for w in start] for _ in range(5)]
    for fused in (True, False):
        variables = [keras.Variable(value, name=n) for value, n in zip(start, "kb", strict=True)]
        optimizer = build_optimizer(spec, 3, fused=fused)
        assert (type(optimizer).__mro__[1] in FUSED.values()) == fused
        optimizer.build(variables)
        for gradients in steps:
            optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        found.append([v.numpy() for v in [*variables, *optimizer.variables]])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found[0][0], start[0], atol=1e-3)


def test_a_frozen_batch_norm_stays_in_shards(
    sample: Dataset, small: Experiment, tmp_path: Path
) -> None:
    first = override(small, {"training.epochs": 1})
    splits = split(sample, first.data)
    source = build_model(first.model, splits.train.shape, 10, seed=7)
    norm = source.get_layer("conv_1_norm")
    norm.set_weights([weight + 0.1 for weight in norm.get_weights()])
    layers = ["conv_1", "conv_1_norm"]
    start = {"source": first.model_dump(), "layers": layers, "frozen": True}
    warm = Experiment.model_validate(first.model_dump() | {"start": start})
    fitted = fit(warm, splits, tmp_path / "warm.npz", source=source)
    for name in layers:
        before, after = (m.get_layer(name).get_weights() for m in (source, fitted.model))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_predictions_do_not_depend_on_the_batches(small: Experiment, part: Part) -> None:
    model = build_model(small.model, part.shape, 10, seed=1)
    predict = Predictor(model)
    np.testing.assert_allclose(
        predict(part.images, 7), model.predict(part.images, verbose=0), atol=1e-6
    )
