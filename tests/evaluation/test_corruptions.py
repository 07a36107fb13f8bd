"""Corruptions of images whose outcome is known."""

import numpy as np
import pytest

from kerascw.evaluation.corruptions import (
    CORRUPTIONS,
    STRENGTHS,
    corrupted,
    counted_right,
    every_corruption,
)


def disc(radius: float = 8, n: int = 1) -> np.ndarray:
    """A white disc in the middle of 28 x 28 black pixels: uint8 ``[n, 28, 28, 1]``."""
    rows, columns = np.mgrid[:28, :28] - 13.5
    image = np.where(np.hypot(rows, columns) < radius, 255, 0).astype(np.uint8)
    return np.tile(image[None, ..., None], (n, 1, 1, 1))


def centres(images: np.ndarray) -> np.ndarray:
    """Return the centre of each image's light, float ``[n, 2]``."""
    light = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    return np.stack([(light * axis).sum(axis=(1, 2)) for axis in np.mgrid[:28, :28]], axis=1)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_is_repeatable_and_grows(kind: str) -> None:
    random = np.random.default_rng(0)
    for shape in ((40, 28, 28, 1), (12, 20, 24, 3)):
        images = random.integers(0, 256, shape, np.uint8)
        images[:, ::2, ::2] //= 8  # contrasts that blur and pixelate take away
        images[:, : shape[1] // 4] = 0
        kept, changes = images.copy(), []
        for strength in STRENGTHS:
            changed = corrupted(images, kind, strength, light_on_dark=True)
            assert (changed.shape, changed.dtype) == (images.shape, np.uint8)
            np.testing.assert_array_equal(
                changed, corrupted(images, kind, strength, light_on_dark=True)
            )
            changes.append(np.abs(changed.astype(int) - images).mean())
        np.testing.assert_array_equal(images, kept)
        assert 0 < changes[0] < changes[-1]


def test_light_changes_by_what_is_said() -> None:
    images = np.linspace(0, 200, 28 * 28).astype(np.uint8).reshape(1, 28, 28, 1)
    brighter = corrupted(images, "brightness", 1).astype(int) - images
    np.testing.assert_allclose(brighter, 25.5, atol=0.51)
    flat = corrupted(images, "contrast", 2).astype(float)
    np.testing.assert_allclose(flat - images.mean(), 0.5 * (images - images.mean()), atol=0.51)


def test_noise_has_its_size() -> None:
    grey = np.full((60, 28, 28, 1), 128, np.uint8)
    gaussian = corrupted(grey, "Gaussian noise", 2)
    assert gaussian.std() / 255 == pytest.approx(0.1, rel=0.03)
    shot = corrupted(grey, "shot noise", 1)  # a grey pixel gets about 30 photons of 60
    assert shot.mean() == pytest.approx(128, rel=0.02)
    assert shot.std() / 255 == pytest.approx((0.502 / 60) ** 0.5, rel=0.03)
    impulse = corrupted(grey, "impulse noise", 3)
    assert (impulse == 0).mean() == pytest.approx(0.05, abs=0.005)
    assert (impulse == 255).mean() == pytest.approx(0.05, abs=0.005)


def test_shapes_move_as_far_as_is_said() -> None:
    images = disc(n=30)
    moved = centres(corrupted(images, "shift", 3, light_on_dark=True)) - centres(images)
    np.testing.assert_allclose(np.hypot(*moved.T), 0.108 * 28, atol=0.02)
    assert np.hypot(*moved.mean(axis=0)) < 1  # in all directions
    bars = np.zeros((20, 28, 28, 1), np.uint8)
    bars[:, 5:23, 13:15] = 255
    turned = corrupted(bars, "rotation", 4, light_on_dark=True)
    for image in turned[..., 0]:
        rows, columns = (axis - 13.5 for axis in np.mgrid[:28, :28])
        tilt = 2 * (image * rows * columns).sum() / (image * (rows**2 - columns**2)).sum()
        assert abs(np.degrees(np.arctan(tilt)) / 2) == pytest.approx(30, abs=1)
    areas = corrupted(images, "scale", 4, light_on_dark=True).sum(axis=(1, 2, 3)) / images[0].sum()
    assert set(np.abs(np.log(areas) / np.log(1.5)).round().astype(int)) == {2}
    assert (areas > 1).any()
    assert (areas < 1).any()
    sheared = corrupted(images, "shear", 3, light_on_dark=True)
    np.testing.assert_allclose(sheared.sum(axis=(1, 2, 3)) / images[0].sum(), 1, atol=0.01)
    np.testing.assert_allclose(centres(sheared), centres(images), atol=0.05)


def test_strokes_get_thicker_whatever_their_colour() -> None:
    bar = np.zeros((1, 28, 28, 1), np.uint8)
    bar[:, 4:24, 12:15] = 255
    for strength, wider in ((1, 1), (3, 3)):
        light = corrupted(bar, "stroke", strength, light_on_dark=True)
        assert (light[0, 14] > 0).sum() == 3 + wider
        dark = corrupted(255 - bar, "stroke", strength)
        assert (dark[0, 14] < 255).sum() == 3 + wider


def test_parts_are_covered_and_coarse() -> None:
    covered = corrupted(disc(40, n=20), "patch", 3)
    np.testing.assert_array_equal((covered == 128).sum(axis=(1, 2, 3)), round(0.35 * 28) ** 2)
    assert len({tuple(np.argwhere(each == 128)[0]) for each in covered}) > 10
    coarse = corrupted(np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1), np.uint8),
                       "pixelate", 5)  # fmt: skip
    blocks = coarse[0, ..., 0].reshape(7, 4, 7, 4)
    assert (np.ptp(blocks, axis=(1, 3)) == 0).all()


def test_models_see_the_same_images_and_are_counted() -> None:
    seen: dict[str, list[bytes]] = {"bright": [], "other": []}

    def predictor(name: str):
        def predict(images: np.ndarray) -> np.ndarray:
            seen[name].append(images.tobytes())
            light = images.mean(axis=(1, 2, 3)) > 127
            return np.stack([~light, light], axis=1).astype(float)

        return predict

    images = np.full((10, 28, 28, 1), 100, np.uint8)
    labels = np.array([0] * 8 + [1] * 2)
    parts = every_corruption(images, labels)
    found = list(counted_right({name: predictor(name) for name in seen}, parts))
    counted = {(each.kind, each.strength): each.right for each in found}
    assert [*counted] == [("none", 0), *((k, level) for k in CORRUPTIONS for level in STRENGTHS)]
    assert {each.images for each in found} == {10}
    assert seen["bright"][0] == images.tobytes()
    assert seen["bright"] == seen["other"]
    # 100 + 25.5 is still dark, 100 + 127.5 is light
    assert counted["brightness", 1] == {"bright": 8, "other": 8}
    assert counted["brightness", 5] == {"bright": 2, "other": 2}
