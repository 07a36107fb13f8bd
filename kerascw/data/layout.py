"""What every source of a catalogued dataset shares: layouts of files, checks, and errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.errors import DataError, printable

Arrays = tuple[np.ndarray, ...]
"""Training images, training labels, test images, test labels, as decoded.

Images are uint8 ``[n, height, width, channels]``, labels ``[n]``.
"""

Places = tuple[str, ...]
"""The file of each of :data:`Arrays`."""


class NotHere(Exception):
    """This source does not have the dataset; the text says what was looked for."""


class NotFoundError(DataError):
    """No source has the dataset. A damaged copy is a plain :class:`DataError`: it was found."""


@dataclass(frozen=True)
class Layout:
    """One way to lay out a dataset's files in a folder.

    ``look(folder, entry)`` opens no file: it returns the paths of the files that are there, and
    the names of those that are missing beside them (no paths: the dataset is not there).
    ``read(files, entry)`` takes these paths, and raises a :class:`kerascw.errors.DataError` that
    names a damaged file; :func:`checked` is called on what it returns. ``expected(entry)`` names
    the files for an error.
    """

    title: str  # such as "IDX files"
    look: Callable[[Path, CatalogEntry], tuple[list[Path], list[str]]]
    read: Callable[[Sequence[Path], CatalogEntry], tuple[Arrays, Places]]
    expected: Callable[[CatalogEntry], str]


def checked(arrays: Arrays, places: Places, entry: CatalogEntry) -> Arrays:
    """Return the arrays, having checked that they fit together and the entry."""
    for first in (0, 2):
        images, labels = arrays[first : first + 2]
        where_images, where = places[first : first + 2]
        if images.shape[1:] != entry.shape:
            raise DataError(
                f"{where_images}: images of {sides(images.shape[1:])}, expected "
                f"{sides(entry.shape)} for {entry.title}; this is another dataset's file"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{where}: {len(labels):,} labels for {len(images):,} images; "
                "fetch both files again"
            )
        if not len(images):
            raise DataError(f"{where}: no examples; fetch the file again")
        check_labels(labels, where, entry)
    return arrays


def sides(shape: tuple[int, ...]) -> str:
    """Write a shape for people.

    >>> sides((28, 28, 1))
    '28 x 28 x 1'
    """
    return " x ".join(str(side) for side in shape)


def check_labels(labels: np.ndarray, where: str, entry: CatalogEntry) -> None:
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
