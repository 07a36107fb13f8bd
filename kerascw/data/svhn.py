"""Read SVHN's cropped digits, MATLAB 5 files (ufldl.stanford.edu/housenumbers), by SciPy.

A single altered byte makes SciPy's reader end the process, and a compressed variable may take any
memory: :mod:`kerascw.data.sources` hands over only files with the MD5 that is known of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Part
from kerascw.data.layout import Layout, part_of, there_of


def _names(entry: CatalogEntry) -> list[str]:
    return [f"{part}_32x32.mat" for part in (*entry.tfds_train, "test")]


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    return there_of(folder, _names(entry))


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Part, Part]:
    return _read_files(files[:-1], entry), _read_files(files[-1:], entry)


def _read_files(files: Sequence[Path], entry: CatalogEntry) -> Part:
    """Read the images and labels of these files, one file's after the other's.

    In a file, ``X`` is uint8 ``[height, width, 3, n]`` and ``y`` has n labels of 1 to 10, where
    10 is the digit 0.
    """
    from scipy.io import loadmat

    held = [loadmat(path, variable_names=("X", "y")) for path in files]
    parts = [each["X"].transpose(3, 0, 1, 2) for each in held]
    images = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.uint8)
    np.concatenate(parts, out=images)
    labels = np.concatenate([each["y"].ravel() for each in held]) % 10
    where = " and ".join([str(files[0]), *(path.name for path in files[1:])])
    return part_of(images, labels, entry, where, where)


LAYOUT = Layout("MATLAB files", _look, _read, lambda entry: " and ".join(_names(entry)))
