"""Published sets of corrupted images, from files that these tests write in their layouts."""

from pathlib import Path

import numpy as np
import pytest

from kerascw.data.corruption_sets import read_corrupted
from kerascw.errors import CallError, DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 28, 28, 1), np.uint8)
COLOUR = RANDOM.integers(0, 256, (15, 32, 32, 3), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)


def write(folder: Path, **arrays: np.ndarray) -> Path:
    for name, array in arrays.items():
        file = folder / f"{name.replace('__', '/')}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array)
    return folder


def mnist_c(folder: Path) -> Path:
    return write(folder, fog__test_images=GREY, fog__test_labels=LABELS,
                 shot_noise__test_images=255 - GREY, shot_noise__test_labels=LABELS,
                 fog__train_images=GREY[:1])  # fmt: skip


def cifar_c(folder: Path) -> Path:
    labels = np.tile([7, 0, 2], 5)
    return write(folder, labels=labels, fog=COLOUR, jpeg_compression=255 - COLOUR)


def test_mnist_c_is_a_folder_for_each_corruption(tmp_path: Path) -> None:
    found = read_corrupted(mnist_c(tmp_path))
    assert (found.title, found.entry.name) == ("MNIST-C", "mnist")
    assert [(kind, strength) for kind, strength, _, _ in found.parts] == [
        ("fog", None), ("shot noise", None)
    ]  # fmt: skip
    for (_, _, images, labels), expected in zip(found.parts, (GREY, 255 - GREY), strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, LABELS)


def test_fashion_mnist_c_is_one_file_of_grey_images(tmp_path: Path) -> None:
    write(tmp_path, **{"fmnist-c-test": GREY[..., 0], "fmnist-c-test-labels": LABELS})
    found = read_corrupted(tmp_path)
    ((kind, strength, images, labels),) = found.parts
    assert (found.title, found.entry.name) == ("Fashion-MNIST-C", "fashion_mnist")
    assert (kind, strength) == ("mixed", None)
    np.testing.assert_array_equal(images, GREY)
    np.testing.assert_array_equal(labels, LABELS)


def test_cifar_10_c_has_five_strengths_one_after_the_other(tmp_path: Path) -> None:
    found = read_corrupted(cifar_c(tmp_path))
    assert (found.title, found.entry.name) == ("CIFAR-10-C", "cifar10")
    assert [(kind, strength) for kind, strength, _, _ in found.parts] == [
        (kind, strength) for kind in ("fog", "jpeg compression") for strength in (1, 2, 3, 4, 5)
    ]
    _, _, images, labels = found.parts[5 + 3]
    np.testing.assert_array_equal(images, 255 - COLOUR[9:12])
    np.testing.assert_array_equal(labels, [7, 0, 2])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"fog__test_images": GREY}, r"test_labels\.npy: is missing"),
        (
            {"fog__test_images": GREY, "fog__test_labels": LABELS[:5]},
            r"test_labels\.npy: uint8 \[5\]; expected integers \[6\] from 0 to 9, one",
        ),
        (
            {"fog__test_images": GREY, "fog__test_labels": LABELS / 2},
            r"test_labels\.npy: float64 \[6\]; expected integers",
        ),
        (
            {"fog__test_images": GREY, "fog__test_labels": np.array(["a"] * 6)},
            r"test_labels\.npy: <U1 \[6\]; expected integers",
        ),
        (
            {"fog__test_images": GREY, "fog__test_labels": np.array([-1, 0, 0, 0, 0, 5])},
            r"test_labels\.npy: int64 \[6\] from -1 to 5; expected integers",
        ),
        (
            {"fog__test_images": GREY / 255, "fog__test_labels": LABELS},
            r"test_images\.npy: float64 \[6, 28, 28, 1\]; expected uint8 \[n, 28, 28, 1\]",
        ),
        (
            {"fog__test_images": GREY[:0], "fog__test_labels": LABELS[:0]},
            r"test_images\.npy: ",
        ),
        (
            {"fog": COLOUR[..., :1], "labels": np.zeros(15, int)},
            r"fog\.npy: uint8 \[15, 32, 32, 1\]; expected uint8 \[n, 32, 32, 3\]",
        ),
        (
            {"fog": COLOUR, "labels": np.arange(15) * 7},
            r"labels\.npy: int64 \[15\] from 0 to 98; expected integers \[15\] from 0 to 9",
        ),
        (
            {"fog": COLOUR[:14], "labels": np.zeros(14, int)},
            r"fog\.npy: 14 images cannot be 5 strengths",
        ),
        (
            {"fog__test_images": np.array([{}]), "fog__test_labels": LABELS},
            r"test_images\.npy: no whole NumPy array",
        ),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(DataError, match=said) as raised:
        read_corrupted(write(tmp_path, **arrays))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 5, 60, 3000])
def test_a_cut_off_file_is_named(tmp_path: Path, kept: int) -> None:
    file = mnist_c(tmp_path) / "fog" / "test_images.npy"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"test_images\.npy: no whole NumPy array"):
        read_corrupted(tmp_path)


@pytest.mark.parametrize("at", [0, 8, 9])  # 8 and 9: how long the header is, which Python parses
def test_a_damaged_header_is_named(tmp_path: Path, at: int) -> None:
    file = mnist_c(tmp_path) / "fog" / "test_images.npy"
    content = bytearray(file.read_bytes())
    content[at] ^= 65
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"test_images\.npy: no whole NumPy array") as raised:
        read_corrupted(tmp_path)
    assert "\n" not in str(raised.value)


def test_an_archive_under_the_name_is_named(tmp_path: Path) -> None:
    with (mnist_c(tmp_path) / "fog" / "test_images.npy").open("wb") as file:
        np.savez(file, images=GREY)
    with pytest.raises(DataError, match="an archive"):
        read_corrupted(tmp_path)


def test_another_folder_is_told_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "fog.npy").touch()
    with pytest.raises(CallError, match=r"^--published: .* holds none of MNIST-C .*CIFAR-10-C"):
        read_corrupted(tmp_path)
