"""Grad-CAM and occlusion, of models whose evidence is where it was put."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.stats import spearmanr

from kerascw.errors import CallError
from kerascw.evaluation.explain import feature_layer, grad_cam, occlusion
from kerascw.experiment.spec import MAIN_HEAD, ConvNet, DenseNet
from kerascw.models import build_model
from kerascw.models.backbone import LAYER
from kerascw.studies import lenet
from kerascw.training.predictor import Predictor

CORNER = np.s_[:6, 14:]  # top right of 20 x 20 pixels


@pytest.fixture(scope="module")
def of_corner() -> Any:
    """A convnet that calls an image 1 by the brightness of its top right corner alone.

    Its convolution copies the image, and its dense kernel looks at the corner.
    """
    model = keras.Sequential(
        [
            keras.Input((20, 20, 1), dtype="uint8"),
            kl.Rescaling(1 / 255),
            kl.Conv2D(1, 1, use_bias=False, name="copy"),
            kl.Flatten(),
            kl.Dense(2, activation="softmax", use_bias=False, name=MAIN_HEAD),
        ]
    )
    kernel = np.zeros((20, 20, 2), np.float32)
    kernel[*CORNER, 1] = 2.0
    model.set_weights([np.ones((1, 1, 1, 1)), kernel.reshape(400, 2)])
    return model


@pytest.fixture(scope="module")
def spotted() -> np.ndarray:
    """Grey images, brighter in all four corners: only one of them counts."""
    images = np.full((2, 20, 20, 1), 60, np.uint8)
    for rows in (np.s_[:6], np.s_[14:]):
        for columns in (np.s_[:6], np.s_[14:]):
            images[:, rows, columns] = 200
    return images


def test_by_place_finds_the_corner_that_counts(of_corner: Any, spotted: np.ndarray) -> None:
    maps = grad_cam(of_corner, spotted, [1, 1], by_place=True).copy()
    assert maps.shape == (2, 20, 20)
    assert (maps[0][CORNER] > 0.5 * maps[0].max()).all()
    maps[0][CORNER] = 0
    assert maps[0].max() == 0
    # a corner speaks for no other class
    assert grad_cam(of_corner, spotted, [0, 0], by_place=True).max() == 0


def test_grad_cam_is_the_mean_gradient_times_the_features(
    of_corner: Any, spotted: np.ndarray
) -> None:
    """By hand: the gradient of the logit is 2 in 36 of 400 places, so every feature gets 0.18."""
    maps = grad_cam(of_corner, spotted, [1, 1])
    np.testing.assert_allclose(maps, spotted[..., 0] / 255 * 2 * 36 / 400, rtol=1e-5)


def test_a_sure_answer_has_its_map_too(of_corner: Any, spotted: np.ndarray) -> None:
    """Where the softmax gives 1.0 in float32, its gradient is zero; that of the logit is not."""
    assert of_corner(spotted).numpy()[0, 1] == 1.0
    assert grad_cam(of_corner, spotted, [1, 1]).max() > 0
    assert of_corner.get_layer(MAIN_HEAD).activation is keras.activations.softmax  # as it was


def test_occlusion_finds_the_corner(of_corner: Any) -> None:
    images = np.full((1, 20, 20, 1), 20, np.uint8)
    maps = occlusion(Predictor(of_corner), images, [1])
    top, left = np.unravel_index(maps[0].argmax(), (20, 20))
    assert top < 6 <= 14 <= left
    assert abs(maps[0, 12:, :6]).max() < 1e-6
    # evidence for one of two classes is evidence against the other
    np.testing.assert_allclose(occlusion(Predictor(of_corner), images, [0]), -maps, atol=1e-6)


def test_random_weights_change_the_map(tiny_model: Any, sample: Any) -> None:
    """A sanity check after Adebayo et al., "Sanity Checks for Saliency Maps", 2018."""
    images, labels = sample.test.images[:20], sample.test.labels[:20]
    other = keras.models.clone_model(tiny_model)
    random = np.random.default_rng(0)
    for kernel in (weight for weight in other.weights if len(weight.shape) > 1):
        kernel.assign(random.normal(size=kernel.shape) / np.prod(kernel.shape[:-1]) ** 0.5)
    for by_place in (False, True):
        seen = grad_cam(tiny_model, images, labels, by_place=by_place)
        same = grad_cam(tiny_model, images, labels, by_place=by_place)
        np.testing.assert_array_equal(seen, same)
        changed = grad_cam(other, images, labels, by_place=by_place)
        pairs = zip(seen, changed, strict=True)
        correlations = [
            spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs if np.ptp(a) and np.ptp(b)
        ]
        assert len(correlations) > 10
        assert abs(np.mean(correlations)) < 0.4


def test_which_layer(tiny_model: Any) -> None:
    assert feature_layer(tiny_model).name == "conv_2_norm"  # pooling comes after it
    assert feature_layer(tiny_model, "conv_1").name == "conv_1"
    image = np.zeros((1, 28, 28, 1), np.uint8)
    assert grad_cam(tiny_model, image, [3], "conv_1").shape == (1, 28, 28)
    with pytest.raises(CallError, match=r"^layer='conv_9': choose conv_1 or conv_2"):
        grad_cam(tiny_model, image, [3], "conv_9")
    with pytest.raises(CallError, match=r"^layer='dense_1': it gives no maps; choose conv_1 or"):
        grad_cam(tiny_model, image, [3], "dense_1")
    dense = build_model(DenseNet(dense=(4,)), (8, 8, 1))
    with pytest.raises(CallError, match="a model without a convolution has no maps"):
        grad_cam(dense, np.zeros((1, 8, 8, 1), np.uint8), [0])


def test_heads_mirrors_and_networks_within() -> None:
    """Models with several outputs, with a layer that is used twice, and with one inside another."""
    image = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    heads = build_model(lenet.experiment("variant_2").model, seed=1)
    assert grad_cam(heads, image, [1, 2]).shape == (2, 28, 28)
    spec = ConvNet(filters=(3, 3), pool_after=(1,), mirror_average=True)
    twice = build_model(spec, seed=1)
    assert grad_cam(twice, image, [1, 2]).max() > 0
    once = build_model(spec, seed=1, for_training=True)
    once.set_weights(twice.get_weights())
    seen, half = grad_cam(once, image, [1, 2]), grad_cam(twice, image, [1, 2])
    # of the mean of two probabilities' logits half the gradient goes through this side
    np.testing.assert_allclose(half, seen / 2, atol=1e-5)
    keras.utils.set_random_seed(1)  # some weights leave every activation at 0
    inner = keras.Sequential([keras.Input((28, 28, 1)), kl.Conv2D(2, 3, name="deep"), kl.ReLU()])
    network = keras.Model(pixels := keras.Input((28, 28, 1)), inner(pixels), name=LAYER)
    nested = keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8"),
            kl.Rescaling(1 / 255),
            network,
            kl.GlobalAveragePooling2D(),
            kl.Dense(3, activation="softmax", name=MAIN_HEAD),
        ]
    )
    assert feature_layer(nested, "deep").name == "deep"
    mean, placed = (grad_cam(nested, image, [1, 2], by_place=each) for each in (False, True))
    np.testing.assert_allclose(mean, placed, atol=1e-6)  # average pooling: the two are one
    assert mean.max() > 0
