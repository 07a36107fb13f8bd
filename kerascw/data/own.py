"""What all datasets of one's own share: their options, and how a test set is split off."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Dataset, Part
from kerascw.data.image_files import FITS, Fit
from kerascw.data.names import shown
from kerascw.errors import CallError, DataError, choices
from kerascw.experiment.spec import Folder

LARGEST_SIDE = 96
"""Pixels up to which images that are all of one size keep it where none is asked for."""

_USUAL_SIZE = (32, 32)


@dataclass(frozen=True)
class Options:
    """What may be asked of one's own images; see :func:`kerascw.data.load.data_named`."""

    size: tuple[int, int] | None = None
    colour: bool | None = None
    fit: Fit | None = None
    bad_files: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise CallError(f"size: {self.size}; expected height and width of 1 pixel or more")
        if self.fit is not None and self.fit not in FITS:
            raise CallError(f"fit: {self.fit!r}; choose {choices(FITS)}")
        if self.bad_files not in ("fail", "skip"):
            raise CallError(f"bad_files: {self.bad_files!r}; choose fail or skip")

    def spec(self, path: str, sizes: set[tuple[int, int]], has_colour: bool) -> Folder:
        """Describe images of these heights and widths: what is not asked for, they decide."""
        common = next(iter(sizes)) if len(sizes) == 1 else None
        usual = common if common and max(common) <= LARGEST_SIDE else _USUAL_SIZE
        height, width = self.size or usual
        return Folder(
            path=path,
            height=height,
            width=width,
            colour=has_colour if self.colour is None else self.colour,
            fit=self.fit or "crop",
            bad_files=self.bad_files,
        )


def own_dataset(
    spec: Folder,
    *,
    source: str,
    location: str,
    class_names: Sequence[str],
    images: np.ndarray,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    left_out: tuple[str, ...] = (),
) -> Dataset:
    """Make a dataset of images and labels, with a stratified test set where it has none.

    Parameters
    ----------
    images, labels : uint8 ``[n, height, width, channels]`` and int32 ``[n]`` of all splits.
    rows : sorted positions of each split that there is; ``train`` always.

    Raises
    ------
    DataError
        A class without training images, or too few images to split a test set off.
    """
    where, rows = shown(location), dict(rows)
    counts = np.bincount(labels[rows["train"]], minlength=len(class_names))
    if not counts.all():
        name = class_names[int(counts.argmin())]
        raise DataError(
            f"{where}: none of the training images of class {name} can be read; mend or remove them"
        )
    if "test" not in rows:
        rows["train"], rows["test"] = _with_test(where, class_names, rows["train"], labels, spec)
    parts = {name: _part(images, labels, chosen) for name, chosen in rows.items()}
    entry = CatalogEntry(
        name="folder",
        title=shown(os.path.basename(location)) or where,
        class_names=tuple(class_names),
        shape=(spec.height, spec.width, 3 if spec.colour else 1),
        counts=(len(parts["train"]), len(parts["test"])),
        layout=None,
    )
    return Dataset(
        entry,
        parts["train"],
        parts["test"],
        source=source,
        location=location,
        validation=parts.get("validation"),
        left_out=left_out,
    )


def _part(images: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> Part:
    first, end = int(chosen[0]), int(chosen[-1]) + 1
    if end - first == len(chosen):  # no gap: no copy
        return Part(images[first:end], labels[first:end])
    return Part(images, labels).take(chosen)


def _with_test(
    where: str, class_names: Sequence[str], rows: np.ndarray, labels: np.ndarray, spec: Folder
) -> tuple[np.ndarray, np.ndarray]:
    """Split the training rows into those that stay and a stratified test set."""
    from sklearn.model_selection import train_test_split

    remedy = "add images, or make a test set of your own"
    counts = np.bincount(labels[rows], minlength=len(class_names))
    if counts.min() < 2:
        name = class_names[int(counts.argmin())]
        raise DataError(
            f"{where}: class {name} has one image only, which cannot be split into a training "
            f"and a test set; {remedy}"
        )
    try:
        train, test = train_test_split(
            rows, test_size=spec.test_share, stratify=labels[rows], random_state=spec.seed
        )
    except ValueError:
        train = test = rows[:0]
    missing = np.setdiff1d(np.arange(len(counts)), labels[train])
    if len(missing):  # so also where scikit-learn found fewer images than classes in a split
        raise DataError(
            f"{where}: a test_share of {spec.test_share:g} of {len(rows):,} images does not "
            f"leave some of all {len(counts):,} classes to train and to test on; {remedy}, or "
            "take another share"
        )
    return np.sort(train), np.sort(test)
