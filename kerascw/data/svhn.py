"""Read SVHN's cropped digits, MATLAB files of version 5 (ufldl.stanford.edu/housenumbers).

The extra part has 1.6 GB of pixels, which are in memory once more while the file is read. All
else is a part of one array from the beginning.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerascw.data.catalog import CatalogEntry
from kerascw.data.layout import ROLES, Layout
from kerascw.errors import DataError

_REMEDY = "fetch the file again"


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    paths = [folder / f"{part}_32x32.mat" for part in (*entry.tfds_train, "test")]
    there = [path for path in paths if os.path.isfile(path)]
    return there, [path.name for path in paths if path not in there]


def _read(
    files: Sequence[Path], entry: CatalogEntry
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    *train, test = files
    train_images, train_labels = read_mat(train, entry)
    test_images, test_labels = read_mat([test], entry)
    where = " and ".join([str(train[0]), *(path.name for path in train[1:])])
    arrays = (train_images, train_labels, test_images, test_labels)
    return (
        dict(zip(ROLES, arrays, strict=True)),
        dict(zip(ROLES, (where, where, str(test), str(test)), strict=True)),
    )


def read_mat(files: Sequence[Path], entry: CatalogEntry) -> tuple[np.ndarray, np.ndarray]:
    """Read the pictures and labels of these files, one file's after the other's.

    In a file, ``X`` is uint8 ``[height, width, 3, n]`` and ``y`` has n labels of 1 to 10, where
    10 is the digit 0.

    Returns
    -------
    images uint8 ``[n, height, width, 3]`` and labels uint8 ``[n]`` of 0 to 9.

    Raises
    ------
    DataError
        Not a MATLAB file, a damaged one, or other variables in it than these.
    """
    counts = [_count(path, entry) for path in files]
    try:
        images = np.empty((sum(counts), *entry.shape), np.uint8)
        labels = np.empty(sum(counts), np.uint8)
    except MemoryError:
        raise DataError(
            f"{files[0]}: {sum(counts):,} pictures are more than this machine's memory takes"
        ) from None
    starts = np.cumsum([0, *counts])
    # the largest first: pages of `images` that nothing was written to yet take no memory
    for at in sorted(range(len(files)), key=lambda at: -counts[at]):
        here = slice(starts[at], starts[at + 1])
        labels[here] = _labels(files[at], counts[at])
        pixels = _variable(files[at], "X")
        if pixels.dtype != np.uint8:  # the header said so, but not of imaginary parts
            raise _unfit(files[at], f"X of {pixels.dtype}", "uint8")
        images[here] = pixels.transpose(3, 0, 1, 2)
        del pixels  # before the next file's are read
    return images, labels


def _count(path: Path, entry: CatalogEntry) -> int:
    """Return how many pictures the file has, having checked the headers of X and y."""
    from scipy.io import whosmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    except Exception as error:  # SciPy's, zlib's and struct's have no common base
        raise _damaged(path, error) from None
    for name in ("X", "y"):
        if name not in held:
            has = ", ".join(ascii(other) for other in sorted(held)) or "none"
            raise DataError(
                f"{path}: no variable {name} (it has {has:.100}), expected X and y; "
                f"it is cut short or no file of SVHN: {_REMEDY}"
            )
    (shape, kind), (labels_shape, labels_kind) = held["X"], held["y"]
    stated = f"X of {kind} {_size(shape)}"
    if kind != "uint8" or len(shape) != 4 or shape[:3] != entry.shape or shape[3] < 1:
        raise _unfit(path, stated, f"uint8 {_size(entry.shape)} x n")
    n: int = shape[3]
    if labels_kind not in ("uint8", "double") or len(labels_shape) != 2 or 1 not in labels_shape:
        raise _unfit(path, f"y of {labels_kind} {_size(labels_shape)}", f"uint8 {n} x 1")
    if max(labels_shape) != n:
        raise _unfit(path, f"{max(labels_shape):,} labels for {n:,} pictures", "as many")
    return n


def _labels(path: Path, n: int) -> np.ndarray:
    """Return the labels as uint8 of 0 to 9."""
    stored = _variable(path, "y").reshape(n)
    if stored.dtype.kind not in "uif":
        raise _unfit(path, f"y of {stored.dtype}", "uint8")
    right = (stored >= 1) & (stored <= 10) & (stored == np.floor(stored))  # NaN: false
    if not right.all():
        at = int(np.argmin(right))
        raise _unfit(
            path,
            f"label {stored[at]:g} at position {at:,} (from 0)",
            "1 to 10, where 10 is the digit 0,",
        )
    return (stored % 10).astype(np.uint8)


def _variable(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: np.ndarray = loadmat(path, variable_names=[name])[name]
    except Exception as error:
        raise _damaged(path, error) from None
    return array


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{path}: cannot be read ({error.strerror})")
    if isinstance(error, MemoryError):
        return DataError(f"{path}: more than this machine's memory takes; {_REMEDY}")
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(f"{path}: not a whole MATLAB file ({lines[0]:.150}); {_REMEDY}")


def _unfit(path: Path, found: str, expected: str) -> DataError:
    return DataError(f"{path}: {found}, expected {expected} in a file of SVHN; {_REMEDY}")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _expected(entry: CatalogEntry) -> str:
    return " and ".join(f"{part}_32x32.mat" for part in (*entry.tfds_train, "test"))


LAYOUT = Layout("MATLAB files", _look, _read, _expected)
