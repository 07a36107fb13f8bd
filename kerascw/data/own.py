"""What all datasets of one's own share: their options, and how a test set is split off."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Dataset, Part
from kerascw.data.image_files import Fit
from kerascw.errors import DataError, counted, printable
from kerascw.experiment.spec import Folder, Spec

LARGEST_SIDE = 96
"""Pixels up to which images that are all of one size keep it where none is asked for."""

USUAL_SIZE = (32, 32)
_Pixels = Annotated[int, Field(gt=0)]


class Options(Spec):
    """What may be asked of one's own images."""

    # height and width; None: the images' own, if they share one of at most 96 pixels a side
    size: tuple[_Pixels, _Pixels] | None = None
    fit: Fit | None = None  # how an image of another shape is brought to it; None: crop
    bad_files: Literal["fail", "skip"] = "fail"

    def spec(self, path: str, sizes: set[tuple[int, int]], has_colour: bool) -> Folder:
        """Describe images of these heights and widths: what is not asked for, they decide."""
        common = next(iter(sizes)) if len(sizes) == 1 else None
        usual = common if common and max(common) <= LARGEST_SIDE else USUAL_SIZE
        height, width = self.size or usual
        return Folder(
            path=path,
            height=height,
            width=width,
            colour=has_colour,
            fit=self.fit or "crop",
            bad_files=self.bad_files,
        )


def own_dataset(
    spec: Folder,
    parts: Mapping[str, Part],
    *,
    source: str,
    class_names: Sequence[str],
    left_out: tuple[str, ...] = (),
) -> Dataset:
    """Make a dataset of its splits, with a stratified test set where it has none.

    Of ``parts`` there is ``train`` always, and ``validation`` and ``test`` if the images have them.

    Raises DataError: a class without training images, or too few images to split a test set off.
    """
    where, train = printable(spec.path), parts["train"]
    missing = np.setdiff1d(np.arange(len(class_names)), train.labels)
    if len(missing):
        name = class_names[missing[0]]
        raise DataError(
            f"{where}: class {name} has no training images"
            if train.files is None
            else f"{where}: none of the training images of class {name} can be read; mend or "
            "remove them"
        )
    test = parts.get("test")
    if test is None:
        train, test = _with_test(where, train, spec)
    entry = CatalogEntry(
        name="folder",
        title=printable(os.path.basename(spec.path)) or where,
        class_names=tuple(class_names),
        shape=(spec.height, spec.width, 3 if spec.colour else 1),
        counts=(len(train), len(test)),
    )
    return Dataset(
        entry,
        train,
        test,
        source=source,
        location=spec.path,
        validation=parts.get("validation"),
        left_out=left_out,
    )


def _with_test(where: str, whole: Part, spec: Folder) -> tuple[Part, Part]:
    """Split a stratified test set off, both in the order of the whole."""
    from sklearn.model_selection import train_test_split

    labels, rows = whole.labels, np.arange(len(whole))
    classes = np.unique(labels)
    try:
        train, test = train_test_split(
            rows, test_size=spec.test_share, stratify=labels, random_state=spec.seed
        )
        if len(np.unique(labels[train])) < len(classes):
            raise ValueError
    except ValueError:
        raise DataError(
            f"{where}: {len(rows):,} images of {counted(len(classes), 'class', 'classes')} are too "
            f"few to hold {spec.test_share:.0%} out as a test set: every class needs some to train "
            "and to test on; add images, or make a test set of your own"
        ) from None
    return whole.take(np.sort(train)), whole.take(np.sort(test))
