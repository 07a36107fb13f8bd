import random
import threading

import keras
import numpy as np
import pytest

from kerascw.errors import CallError
from kerascw.experiment.spec import Autoencoder, ConvNet, DenseNet, Dropout, ModelSpec
from kerascw.models import Scaling, build_model, check_model
from kerascw.studies import all_studies

LAB = {"filters": (32, 64, 64), "dense": (64,)}


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"pool_after": (1, 2)}, 93_322),
        ({"pool_after": (1, 2), "kernels": (5, 5, 3)}, 106_122),
        ({"filters": (32, 64), "pool_after": (1,)}, 515_146),
        ({"filters": (32, 32, 32, 64, 64), "pool_after": (2, 3)}, 79_050),
        ({}, 2_038_922),
        ({"pool_after": (1, 2), "dense": (128,)}, 130_890),
        ({"dense": (128,)}, 4_022_090),
        ({"filters": (32,), "pool_after": (1,)}, 347_146),
    ],
)
def test_parameter_counts_of_the_convnet_lab(changes: dict, parameters: int) -> None:
    assert build_model(ConvNet(**{**LAB, **changes})).count_params() == parameters


def test_the_fifth_architecture_flattens_to_64() -> None:
    model = build_model(ConvNet(filters=(32, 32, 32, 64, 64), pool_after=(2, 3), dense=(64,)))
    assert model.get_layer("flatten").output.shape == (None, 64)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ConvNet(filters=(32,), pool_after=(1,), head=None),
         "model.head: none, so the last layer, conv 1, gives maps of 13x13x32"),
        (ConvNet(filters=(4,) * 5, pool_after=(1, 2, 3, 4, 5), padding="same"),
         "the 2x2 pooling after conv layer 5 leaves no pixel of 1x1"),
        (ConvNet(filters=(4, 4, 4), kernels=(3, 3, 9), pool_after=(1, 2)),
         "conv layer 3 (9x9, padding valid) leaves no pixel of 5x5"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_names_layer_and_reason(spec: ConvNet, message: str) -> None:
    for refuse in (check_model, build_model):
        with pytest.raises(CallError) as error:
            refuse(spec, (28, 28, 1))
        assert message in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("padding", ["valid", "same", 1, 2])
def test_the_check_follows_the_same_sizes_as_keras(
    padding: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ConvNet(filters=(2, 2, 2, 2), kernels=(5, 3, 3, 2), pool_after=(1, 3), padding=padding)
    smallest = next(size for size in range(1, 40) if _accepted(spec, size))
    build_model(spec, (smallest, smallest, 1), 3)
    monkeypatch.setattr("kerascw.models.check_model", lambda *_: None)
    with pytest.raises(ValueError, match="output size would be zero or negative"):
        build_model(spec, (smallest - 1, smallest - 1, 1), 3)


def _accepted(spec: ConvNet, size: int) -> bool:
    try:
        check_model(spec, (size, size, 1))
    except CallError:
        return False
    return True


def test_raw_pictures_in_probabilities_out() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    for spec in (ConvNet(filters=(4,), pool_after=(1,)), DenseNet(dense=(8,))):
        probabilities = build_model(spec, classes=7)(images).numpy()
        assert probabilities.shape == (5, 7)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_scaling_is_a_layer_of_the_model() -> None:
    images = np.full((1, 28, 28, 1), 255, np.uint8)
    model = build_model(DenseNet(), scaling=Scaling(1 / 100, -0.5))
    assert float(model.get_layer("scale_pixels")(images)[0, 0, 0, 0]) == pytest.approx(2.05)


def test_pooling_before_the_activation_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    spec = ConvNet(filters=(6, 4), pool_after=(1, 2), dense=(8,))
    ours = build_model(spec, seed=3)
    layers = [keras.Input((28, 28, 1), dtype="uint8"), keras.layers.Rescaling(1 / 255)]
    for filters in spec.filters:
        layers += [keras.layers.Conv2D(filters, 3, activation="relu"), keras.layers.MaxPooling2D()]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
    textbook = keras.Sequential(layers)
    textbook.set_weights(ours.get_weights())
    images = np.random.default_rng(1).integers(0, 256, (16, 28, 28, 1), dtype=np.uint8)
    results = []
    for model in (ours, textbook):
        with tf.GradientTape() as tape:
            output = model(images, training=True)
            loss = -tf.reduce_mean(tf.math.log(output[:, 2]))
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append((output.numpy(), [gradient.numpy() for gradient in gradients]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for one, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_dropout_stands_where_the_spec_says() -> None:
    spec = ConvNet(
        filters=(2, 2, 2),
        pool_after=(1, 2, 3),
        dense=(4, 4),
        dropout=(
            Dropout(after="pool", rate=0.5, kind="spatial", layers=(1, 2)),
            Dropout(after="flatten", rate=0.2),
            Dropout(after="dense", rate=0.1, layers=(2,)),
        ),
    )
    names = [layer.name for layer in build_model(spec).layers]
    assert [name for name in names if "dropout" in name] == [
        "pool_1_dropout", "pool_2_dropout", "flatten_1_dropout", "dense_2_dropout",
    ]  # fmt: skip
    assert names.index("pool_1_dropout") > names.index("pool_1")


@pytest.mark.parametrize(
    "spec",
    [
        ConvNet(
            filters=(4, 4), dense=(8,), auxiliary=(1,), dropout=(Dropout(after="conv", rate=0.5),)
        ),
        DenseNet(dense=(8, 8), dropout_rate=0.5, initializer="he_normal"),
        Autoencoder(filters=(4,), initializer="torch"),
    ],
    ids=lambda spec: spec.kind,
)
def test_a_thread_that_draws_meanwhile_changes_nothing(spec: ModelSpec) -> None:
    """As threads of a Dask worker do; and the seeds are those that Keras would draw."""

    def made() -> list[np.ndarray]:
        model = build_model(spec, seed=3)
        return [variable.numpy() for variable in model.variables]  # dropout's state among them

    def draw() -> None:
        while not stop.is_set():
            random.random()

    stop = threading.Event()
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        others = [made() for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    keras.utils.set_random_seed(3)
    others.append([variable.numpy() for variable in build_model(spec).variables])
    for other in others:
        for mine, theirs in zip(made(), other, strict=True):
            if spec.initializer != "torch" or mine.ndim > 1:  # those biases are drawn by NumPy
                np.testing.assert_array_equal(mine, theirs)


def test_torch_initial_weights_have_pytorchs_bounds() -> None:
    model = build_model(ConvNet(filters=(64,), initializer="torch", dense=(50,)), seed=1)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            bound = float(np.prod(layer.kernel.shape[:-1])) ** -0.5
            for values in (layer.kernel.numpy(), layer.bias.numpy()):
                assert np.abs(values).max() <= bound
            assert layer.kernel.numpy().std() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert layer.bias.numpy().std() > 0


def test_every_study_can_be_built() -> None:
    for study in all_studies().values():
        for experiment in study.variants().values():
            model = build_model(experiment.model, classes=10)
            gives = (28, 28, 1) if experiment.reconstructs else (10,)
            assert {output.shape for output in model.outputs} == {(None, *gives)}
