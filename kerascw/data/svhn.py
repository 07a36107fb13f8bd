"""Read SVHN's cropped digits, MATLAB 5 files (ufldl.stanford.edu/housenumbers), by SciPy.

A single altered byte makes SciPy's reader end the process, and a compressed variable may take any
memory: :mod:`kerascw.data.sources` hands over only files with the MD5 that is known of them.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import Arrays, Layout, Places


def _names(entry: CatalogEntry) -> list[str]:
    return [f"{part}_32x32.mat" for part in (*entry.tfds_train, "test")]


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    paths = [folder / name for name in _names(entry)]
    there = [path for path in paths if os.path.isfile(path)]
    return there, [path.name for path in paths if path not in there]


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Arrays, Places]:
    *train, test = files
    where = " and ".join([str(train[0]), *(path.name for path in train[1:])])
    return (*_read_files(train), *_read_files([test])), (where, where, str(test), str(test))


def _read_files(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of these files, one file's after the other's.

    In a file, ``X`` is uint8 ``[height, width, 3, n]`` and ``y`` has n labels of 1 to 10, where
    10 is the digit 0. Returned are images uint8 ``[n, height, width, 3]`` and labels uint8 ``[n]``
    of 0 to 9.
    """
    from scipy.io import loadmat

    held = [loadmat(path, variable_names=("X", "y")) for path in files]
    parts = [each["X"].transpose(3, 0, 1, 2) for each in held]
    images = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.uint8)
    np.concatenate(parts, out=images)
    labels = np.concatenate([each["y"].ravel() for each in held])
    return images, (labels % 10).astype(np.uint8)


LAYOUT = Layout("MATLAB files", _look, _read, lambda entry: " and ".join(_names(entry)))
