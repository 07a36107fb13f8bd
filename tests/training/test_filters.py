from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kerascw.data import Dataset
from kerascw.data.splits import split
from kerascw.errors import CallError, Interrupted
from kerascw.experiment.settings import override
from kerascw.experiment.spec import RECIPE_VERSION, ConvNet, Experiment
from kerascw.models import build_model, check_model
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.training.filters import set_initial_filters, whitening
from kerascw.training.fit import batches_of, compiled, initial_network, scaling_of
from kerascw.training.prepare import Device
from kerascw.training.rate_test import rate_test


def smooth(count: int, channels: int) -> np.ndarray:
    """Images whose neighbouring pixels and channels resemble each other, float32."""
    noise = np.random.default_rng(0).normal(size=(count, 17, 17, channels)).astype(np.float32)
    noise = noise[:, 1:] + noise[:, :-1]
    noise = noise[:, :, 1:] + noise[:, :, :-1]
    return 0.3 + noise + noise.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize(("size", "channels"), [(3, 1), (3, 3), (2, 3), (1, 1)])
def test_whitened_patches_are_uncorrelated_and_of_variance_1(size: int, channels: int) -> None:
    images, components = smooth(300, channels), size * size * channels
    filters = whitening(images, size, 2 * components + 1)
    assert filters.shape == (size, size, channels, 2 * components)
    np.testing.assert_array_equal(filters[..., :components], -filters[..., components:])

    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    given = np.einsum("nhwcij,ijcf->nhwf", windows, filters[..., :components], optimize=True)
    covariance = np.atleast_2d(np.cov(given.reshape(-1, components), rowvar=False))
    variances = np.diag(covariance)
    assert (np.diff(variances) < 1e-6).all()  # the ridge takes more from the later ones
    assert 0.98 < variances[0] < 1.0001
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-3)


def test_few_filters_are_those_of_the_largest_components_and_their_negatives() -> None:
    images = smooth(100, 1)
    np.testing.assert_array_equal(
        whitening(images, 3, 5)[..., :2], whitening(images, 3, 18)[..., :2]
    )
    np.testing.assert_array_equal(
        whitening(images, 3, 5)[..., 2:], -whitening(images, 3, 18)[..., :2]
    )


def test_the_scale_of_pixels_makes_no_difference_to_what_the_filters_give() -> None:
    images = smooth(100, 1)
    np.testing.assert_allclose(
        255 * whitening(images * 255, 3, 18), whitening(images, 3, 18), rtol=1e-3, atol=1e-4
    )


def test_blank_images_leave_the_filters_at_random() -> None:
    spec = ConvNet(filters=(8,), first_filters="whitening")
    model = build_model(spec, (8, 8, 1), seed=1)
    before = model.get_layer("conv_1").get_weights()
    set_initial_filters(model, spec, np.full((10, 8, 8, 1), 7, np.uint8), 1 / 255)
    np.testing.assert_array_equal(model.get_layer("conv_1").get_weights()[0], before[0])


@pytest.mark.parametrize(
    ("side", "kernel", "measured"),
    [(8, 3, 2000), (28, 3, 2000), (32, 1, 2000), (32, 2, 2000), (32, 3, 2000), (96, 3, 236)],
)
def test_large_images_are_measured_on_as_many_patches(
    side: int, kernel: int, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 images of 96 x 96 pixels in colour would take gigabytes."""
    taken = []

    def whitened(images: np.ndarray, size: int, most: int) -> np.ndarray:
        taken.append(images.shape)
        return np.zeros((size, size, images.shape[-1], 0), np.float32)

    monkeypatch.setattr("kerascw.training.filters.whitening", whitened)
    spec = ConvNet(filters=(2,), kernels=(kernel,), first_filters="whitening", head="average")
    images = np.broadcast_to(np.uint8(7), (4000, side, side, 3))
    set_initial_filters(build_model(spec, images.shape[1:]), spec, images, 1 / 255)
    assert taken == [(measured, side, side, 3)]


def test_larger_images_have_keys_of_their_own_and_others_keep_theirs() -> None:
    def version(side: int, first_filters: str) -> int:
        data = {"name": "folder", "folder": {"path": "/x", "height": side, "width": side}}
        model = {"kind": "convnet", "filters": [2], "first_filters": first_filters}
        training = {"epochs": 1, "keep": "last"}
        return Experiment(data=data, model=model, training=training).recipe_version

    assert version(32, "whitening") == version(96, "random") == RECIPE_VERSION
    assert version(33, "whitening") == 6


@pytest.mark.parametrize(
    "change",
    [{"model.first_filters": "whitening"}, {"model.later_filters": "identity"},
     {"seeds.dropout": 7}, {"seeds.weights": 7}],
)  # fmt: skip
def test_a_rate_test_begins_as_a_run_of_the_experiment_does(
    change: dict[str, object], small: Experiment, sample: Dataset
) -> None:
    experiment = override(small, {"model.filters": [18, 18], **change})
    splits = split(sample, experiment.data)
    began = rate_test(experiment, splits, steps=1).losses
    without = override(small, {"model.filters": [18, 18]})
    assert began != rate_test(without, splits, steps=1).losses

    device, scaling = Device(), scaling_of(experiment.data, splits)
    model, _ = compiled(
        experiment, initial_network(experiment, splits, scaling), device, len(splits.train)
    )
    images, labels = next(iter(batches_of(experiment, splits, range(1))))
    loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
    assert began == pytest.approx([float(loss)], rel=1e-6)


@pytest.mark.parametrize("filters", [(3, 5), (5, 3)])
def test_identity_hands_channels_on(filters: tuple[int, int]) -> None:
    spec = ConvNet(filters=filters, padding="same", activation="linear", later_filters="identity")
    model = build_model(spec, (6, 6, 1), seed=1)
    random = model.get_layer("conv_2").get_weights()[0]
    set_initial_filters(model, spec, np.zeros((1, 6, 6, 1), np.uint8), 1.0)
    images = np.random.default_rng(0).normal(size=(2, 6, 6, filters[0])).astype(np.float32)
    given = model.get_layer("conv_2")(images).numpy()
    np.testing.assert_allclose(given[..., :3], images[..., :3], atol=1e-6)
    np.testing.assert_array_equal(
        model.get_layer("conv_2").get_weights()[0][..., 3:], random[..., 3:]
    )


def test_whitening_refuses_images_smaller_than_the_filters() -> None:
    spec = ConvNet(filters=(4,), kernels=(9,), padding="same", first_filters="whitening")
    with pytest.raises(CallError, match=r"model.first_filters: whitening .* 9x9, .* 8x8"):
        check_model(spec, (8, 8, 1))


def test_a_run_begins_with_filters_of_its_training_images_and_resumes(
    small: Experiment,
    sample: Dataset,
    stop_after: Callable[[int], object],
    assert_same_run: Callable[[Run, Run], None],
    tmp_path: Path,
) -> None:
    changes = {"first_filters": "whitening", "later_filters": "identity", "filters": (18, 18)}
    model = small.model.model_copy(update=changes)
    experiment = override(
        small.model_copy(update={"model": model}), {"training.optimizer.kind": "muon"}
    )
    whole = run_experiment(experiment, sample, Store(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        run_experiment(experiment, sample, Store(tmp_path / "two"), stop_after(2))
    assert_same_run(run_experiment(experiment, sample, Store(tmp_path / "two")), whole)

    # after four epochs the filters are still nearer to where they began than random ones are
    images = split(sample, small.data).train.images.astype(np.float32) / 255
    began = whitening(images, 3, 18).reshape(9, 18)
    ended = whole.model().get_layer("conv_1").get_weights()[0].reshape(9, 18)
    alike = (
        (began * ended).sum(axis=0) / np.linalg.norm(began, axis=0) / np.linalg.norm(ended, axis=0)
    )
    assert alike.min() > 0.9
