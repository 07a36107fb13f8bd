"""What the sources of a catalogued dataset share: layouts of files, checks, and errors."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Part
from kerascw.errors import DataError, printable


class NotFoundError(DataError):
    """No source has the dataset. A damaged copy is a plain :class:`DataError`: it was found."""


@dataclass(frozen=True)
class Layout:
    """One way to lay out a dataset's files in a folder.

    ``look(folder, entry)`` opens no file: it returns the paths of the files that are there, and
    the names of those that are missing beside them (no paths: the dataset is not there).
    ``read(files, entry)`` takes these paths, and returns training and test set (:func:`part_of`)
    or raises a DataError that names a damaged file, or an OSError. ``expected(entry)`` names the
    files for an error.
    """

    title: str  # such as "IDX files"
    look: Callable[[Path, CatalogEntry], tuple[list[Path], list[str]]]
    read: Callable[[Sequence[Path], CatalogEntry], tuple[Part, Part]]
    expected: Callable[[CatalogEntry], str]


def there_of(folder: Path, names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the paths of the files of these names that are in a folder, and the other names."""
    there = [name for name in names if os.path.isfile(folder / name)]
    return [folder / name for name in there], [name for name in names if name not in there]


def part_of(
    images: np.ndarray, labels: np.ndarray, entry: CatalogEntry, place: object, of_labels: object
) -> Part:
    """Check that images and labels, from these places, fit together and the entry.

    Images are uint8 ``[n, height, width, channels]``, labels whole numbers ``[n]``.
    """
    if images.shape[1:] != entry.shape:
        raise DataError(
            f"{place}: images of {sides(images.shape[1:])}, expected "
            f"{sides(entry.shape)} for {entry.title}; this is another dataset's file"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{of_labels}: {len(labels):,} labels for {len(images):,} images; "
            "fetch both files again"
        )
    if not len(images):
        raise DataError(f"{of_labels}: no examples; fetch the file again")
    check_labels(labels, of_labels, entry)
    return Part(images, labels.astype(np.int32))


def sides(shape: tuple[int, ...]) -> str:
    """Write a shape for people.

    >>> sides((28, 28, 1))
    '28 x 28 x 1'
    """
    return " x ".join(str(side) for side in shape)


def room_for(count: int, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """Return black images, uint8 ``[count, *shape]``, to be filled.

    Raises DataError: they need more memory than there is; it begins with ``where``.
    """
    try:
        return np.zeros((count, *shape), np.uint8)
    except (MemoryError, ValueError):  # ValueError: more than there are addresses
        raise DataError(
            f"{where}: {count:,} images of {sides(shape)} need "
            f"{count * math.prod(shape) / 1e9:,.1f} GB, more than there is; take a smaller size"
        ) from None


def check_labels(labels: np.ndarray, where: object, entry: CatalogEntry) -> None:
    """Raise a DataError that begins with ``where`` if a label is no class of the entry's."""
    wrong = (labels < 0) | (labels >= len(entry.class_names))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{where}: label {labels[at]} at position {at:,} (from 0), "
            f"expected 0 to {len(entry.class_names) - 1} for {entry.title}; "
            "fetch the file again"
        )


def one_line(error: Exception) -> str:
    """Return an exception's type and the beginning of its text."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {printable(lines[0]):.300}" if lines else name
