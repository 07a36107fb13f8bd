"""What a layout of files is: how to find a dataset's files in a folder, and how to read them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascw.data.catalog import CatalogEntry
from kerascw.errors import DataError

ROLES = ("train images", "train labels", "test images", "test labels")


@dataclass(frozen=True)
class Layout:
    """One way to lay out a dataset's files in a folder.

    ``look(folder, entry)`` opens no file: it returns the paths of the files that are there, and
    the names of those that are missing beside them (none at all: the dataset is not there).
    ``read(files, entry)`` takes these paths and returns, by :data:`ROLES`, uint8 arrays
    ``[n, height, width, channels]`` and ``[n]`` and the file of each; it raises a
    :class:`kerascw.errors.DataError` that names a damaged file. Whether the arrays fit together
    and the entry is checked after it. ``expected(entry)`` says for an error which files are meant.
    """

    title: str  # such as "IDX files"
    look: Callable[[Path, CatalogEntry], tuple[list[Path], list[str]]]
    read: Callable[[Sequence[Path], CatalogEntry], tuple[dict[str, np.ndarray], dict[str, str]]]
    expected: Callable[[CatalogEntry], str]


def check_labels(labels: np.ndarray, where: str, entry: CatalogEntry) -> None:
    """Raise a DataError that begins with ``where`` if a label is no class of the entry's."""
    wrong = labels >= len(entry.class_names)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{where}: label {labels[at]} at position {at:,} (from 0), "
            f"expected 0 to {len(entry.class_names) - 1} for {entry.title}; "
            "fetch the file again"
        )
