"""Read which images to leave out: the file that ``data check`` writes, as its user edited it."""

import hashlib
import re
from pathlib import Path

import numpy as np

from kerascw.data.dataset import Dataset
from kerascw.data.listing import PART_NAMES, PARTS, columns_of, csv_reader
from kerascw.errors import CallError, DataError, choices, counted, printable
from kerascw.experiment.spec import Exclude

COLUMNS = ("split", "position", "file", "class", "image", "reason")
"""Of the file: which image, and why. Reading needs split and position, or file."""


def image_digest(image: np.ndarray) -> str:
    """Return 12 hexadecimal digits that tell an image from another one."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:12]


def read_exclude(file: str | Path, dataset: Dataset) -> Exclude:
    """Read which of the dataset's images a file names, one a line.

    Its columns are ``split`` (train, validation or test) and ``position`` (from 0), or ``file``,
    which goes before them: the path of an image's file below the dataset's folder. Where ``image``
    is given, it must be the :func:`image_digest` of the image. A DataError names the wrong line.
    """
    where = f"--exclude: {printable(str(file))}"
    places = {
        name: (part, at) for part, own in dataset.files.items() for at, name in enumerate(own)
    }
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    if not Path(file).exists():
        raise CallError(f"{where}: no such file")
    with csv_reader(file, where) as reader:
        columns = set(reader.fieldnames or ())
        if not ({"split", "position"} <= columns or "file" in columns):
            raise DataError(
                f"{where}: no columns split and position, or file (it has {columns_of(reader)})"
            )
        for row in reader:
            cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
            line = f"{where}, line {reader.line_num}"
            part, at = _place(cells, places, dataset, line)
            digest = image_digest(dataset.parts[part].images[at])
            if cells["image"] not in ("", digest):
                raise DataError(
                    f"{line}: {part} image {at} of {dataset.title} is another one than the "
                    f"file was written for (image {digest}, not {printable(cells['image']):.20}"
                    "); check this dataset anew"
                )
            found[part].append(at)
    if not any(found.values()):
        raise DataError(f"{where}: it names no image; leave the option out")
    return Exclude(**{part: tuple(positions) for part, positions in found.items()})


def _place(
    cells: dict[str, str], places: dict[str, tuple[str, int]], dataset: Dataset, line: str
) -> tuple[str, int]:
    """Return split and position of the image that a line names."""
    if name := cells["file"]:
        # a quote stands before a text that a spreadsheet would take for a formula
        place = places.get(name) or places.get(name.removeprefix("'"))
        if place is None:
            raise DataError(f"{line}: {printable(name):.150} is no image of {dataset.title}")
        return place
    part, parts = PART_NAMES.get(cells["split"].lower(), ""), dataset.parts
    if part not in parts:
        raise DataError(f"{line}: split {printable(cells['split'])!r:.50}; choose {choices(parts)}")
    position, count = cells["position"], len(parts[part])
    if not re.fullmatch("[0-9]{1,15}", position) or int(position) >= count:
        raise DataError(
            f"{line}: position {printable(position)!r:.50}; there are "
            f"{counted(count, f'{part} image')}, counted from 0"
        )
    return part, int(position)
