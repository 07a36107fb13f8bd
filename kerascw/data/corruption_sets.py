"""Published sets of corrupted test images, read as their authors laid out the files.

MNIST-C: Mu and Gilmer (2019); Fashion-MNIST-C: Weiss and Tonella (2022); CIFAR-10-C: Hendrycks and
Dietterich (2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data.catalogue import CATALOG, CatalogEntry
from kerascw.errors import CallError, DataError, printable

LAYOUTS = (
    "MNIST-C (a folder for each corruption with test_images.npy and test_labels.npy), "
    "Fashion-MNIST-C (fmnist-c-test.npy and fmnist-c-test-labels.npy) or "
    "CIFAR-10-C (CORRUPTION.npy, ..., and labels.npy)"
)

_STRENGTHS = 5  # of CIFAR-10-C, one after the other in a file


@dataclass(frozen=True)
class CorruptedSet:
    """A published set: its parts are corruption, strength (None: not told), images and labels.

    Images are uint8 ``[n, height, width, channels]``, of the shape and classes of ``entry``, and
    stay on disk until they are used.
    """

    title: str
    entry: CatalogEntry
    parts: Sequence[tuple[str, int | None, np.ndarray, np.ndarray]]


def read_corrupted(folder: Path) -> CorruptedSet:
    """Read a published set, which its files tell.

    Raises CallError: the folder has none of the three; DataError: a file is missing, cut off, or
    not what the set has there.
    """
    mixed, labels = folder / "fmnist-c-test.npy", folder / "labels.npy"
    parts: list[tuple[str, int | None, np.ndarray, np.ndarray]] = []
    if mixed.is_file():
        entry = CATALOG["fashion_mnist"]
        parts = [("mixed", None, *_pair(mixed, folder / "fmnist-c-test-labels.npy", entry))]
    elif kinds := sorted(folder.glob("*/test_images.npy")):
        entry = CATALOG["mnist"]
        for file in kinds:
            pair = _pair(file, file.with_name("test_labels.npy"), entry)
            parts.append((_kind(file.parent.name), None, *pair))
    elif labels.is_file() and (kinds := sorted(set(folder.glob("*.npy")) - {labels})):
        entry = CATALOG["cifar10"]
        for file in kinds:
            images, truth = _pair(file, labels, entry)
            if len(truth) % _STRENGTHS:
                raise DataError(f"{file}: {len(truth)} images cannot be {_STRENGTHS} strengths")
            several = zip(np.split(images, _STRENGTHS), np.split(truth, _STRENGTHS), strict=True)
            parts += [(_kind(file.stem), at, *each) for at, each in enumerate(several, 1)]
    else:
        has = "holds none of" if folder.is_dir() else "is no folder with"
        raise CallError(f"--published: {folder} {has} {LAYOUTS}")
    return CorruptedSet(f"{entry.title}-C", entry, parts)


def _kind(name: str) -> str:
    return printable(name).replace("_", " ")


def _pair(file: Path, labels: Path, entry: CatalogEntry) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels that belong together."""
    images, truth = _load(file), _load(labels)
    height, width, channels = entry.shape
    shape = images.shape if images.ndim == 4 else (*images.shape, 1)
    if images.dtype != np.uint8 or shape[1:] != entry.shape or not len(images):
        raise DataError(
            f"{file}: {images.dtype} {list(images.shape)}; expected uint8 "
            f"[n, {height}, {width}, {channels}], as {entry.title} has"
        )
    whole = truth.dtype.kind in "iu" and truth.shape == images.shape[:1]
    if not whole or truth.min() < 0 or truth.max() >= len(entry.class_names):
        reach = f" from {truth.min()} to {truth.max()}" if whole else ""
        raise DataError(
            f"{labels}: {truth.dtype} {list(truth.shape)}{reach}; expected integers "
            f"[{len(images)}] from 0 to {len(entry.class_names) - 1}, one for each image of "
            f"{file.name}"
        )
    return images.reshape(shape), truth


def _load(file: Path) -> np.ndarray:
    if not file.is_file():
        raise DataError(f"{file}: is missing")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python: damage raises anything
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{file}: no whole NumPy array ({reason})") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{file}: an archive; expected one NumPy array")
    return array
