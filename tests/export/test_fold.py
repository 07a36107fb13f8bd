"""Batch norms folded into the layers before them."""

import numpy as np
import pytest

from kerascw.experiment.spec import ConvNet
from kerascw.export.fold import folded_norms
from kerascw.export.write import export
from kerascw.models import build_model
from kerascw.models.walk import leaves

SHAPE = (12, 12, 1)

BEFORE_POOL = {"norm_after_pool": False}
AFTER_POOL = {"norm_after_pool": True}


def trained(seed=0, negative=False, **settings):
    """Make a convnet whose batch norms have seen data, as it were."""
    import keras

    spec = ConvNet(
        filters=(4, 6, 6), pool_after=(1, 3), batch_norm=True, padding="same", **settings
    )
    model = build_model(spec, SHAPE, 3, seed=seed)
    draw = np.random.default_rng(seed)
    for layer in leaves(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            gamma = draw.uniform(0.5, 2, gamma.shape) * (
                draw.choice([-1, 1], gamma.shape) if negative else 1
            )
            changed = (gamma, draw.normal(size=beta.shape), draw.normal(size=mean.shape))
            layer.set_weights([*changed, draw.uniform(0.5, 2, variance.shape)])
    return model


def traced(model, folded):
    """Trace a model as it is exported: its answers to some images, and the graph's operations."""
    import contextlib

    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.uint8)])
    def answer(images):
        with folded_norms(model) if folded else contextlib.nullcontext():
            return model(images, training=False)

    images = np.random.default_rng(1).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    return answer(tf.constant(images)).numpy(), answer.get_concrete_function().graph


def passes(graph):
    """Count the products whose result is a batch of values that a norm would scale."""
    return sum(
        operation.type == "Mul"
        and operation.outputs[0].shape.rank == 4
        and operation.outputs[0].shape[0] is None
        for operation in graph.get_operations()
    )


@pytest.mark.parametrize("settings", [
    BEFORE_POOL,
    AFTER_POOL,
    BEFORE_POOL | {"bias_before_norm": True},
    BEFORE_POOL | {"dense": (8,), "dense_batch_norm": True},
    AFTER_POOL | {"mirror_average": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("negative", [False, True], ids=["positive scales", "scales of both signs"])
def test_answers_are_those_of_the_model(settings, negative):
    model = trained(negative=negative, **settings)
    expected, _ = traced(model, folded=False)
    answers, _ = traced(model, folded=True)
    np.testing.assert_allclose(answers, expected, atol=2e-6)
    assert expected.std() > 0.05  # they differ from image to image


@pytest.mark.parametrize("settings", [BEFORE_POOL, AFTER_POOL], ids=str)
def test_no_pass_over_the_values_is_left(settings):
    model = trained(**settings)
    _, plain = traced(model, folded=False)
    _, graph = traced(model, folded=True)
    assert passes(plain) == passes(graph) + 3


def test_a_norm_with_a_negative_scale_stays_behind_its_pooling():
    _, plain = traced(trained(negative=True, **AFTER_POOL), folded=False)
    _, graph = traced(trained(negative=True, **AFTER_POOL), folded=True)
    assert passes(plain) == passes(graph) + 1  # of the second convolution, which has no pooling


def test_the_model_stays_as_it_was():
    model = trained(**BEFORE_POOL)
    before = model.get_weights()
    traced(model, folded=True)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert all("call" not in vars(layer) for layer in leaves(model))


def test_an_exported_model_is_folded(tmp_path):
    import tensorflow as tf

    model = trained(**BEFORE_POOL)  # its convolutions have no bias: only a folded norm adds one
    images = np.zeros((2, *SHAPE), np.uint8)
    path = export(model, tmp_path / "model", class_names=list("abc"), check_images=images)
    graph = tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()
    operations = [node.op for function in graph.library.function for node in function.node_def]
    assert operations.count("BiasAdd") == 3 + 1  # the output layer has one anyway
