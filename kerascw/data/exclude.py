"""Read which images to leave out: the file that ``data check`` writes, as its user edited it."""

import hashlib
from pathlib import Path

import numpy as np

from kerascw.data.dataset import Dataset
from kerascw.data.listing import PART_NAMES, PARTS, columns_of, csv_reader
from kerascw.errors import CallError, DataError, choices, counted, printable
from kerascw.experiment.spec import Exclude

LARGEST = 2**26
"""Bytes of a file of images to exclude, at most."""

COLUMNS = ("split", "position", "file", "class", "image", "reason")
"""Of the file: which image, and why. Reading needs split and position, or file."""

QUOTE = "'"
"""What stands before a text that a spreadsheet would take for a formula."""


def image_digest(image: np.ndarray) -> str:
    """Return 12 hexadecimal digits that tell an image from another one."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()[:12]


def read_exclude(file: str | Path, dataset: Dataset) -> Exclude:
    """Read which of the dataset's images a file names, one a line.

    Its columns are ``split`` (train, validation or test) and ``position`` (from 0), or ``file``,
    which goes before them: the path of an image's file below the dataset's folder. Where ``image``
    is given, it must be the :func:`image_digest` of the image. Other columns are passed over.

    Raises CallError: no such file; DataError: names the line that is wrong.
    """
    where = f"--exclude: {printable(str(file))}"
    places = {
        name: (part, at) for part, own in dataset.files.items() for at, name in enumerate(own)
    }
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    try:
        size = Path(file).stat().st_size
    except FileNotFoundError:
        raise CallError(f"{where}: no such file") from None
    if size > LARGEST:
        raise DataError(f"{where}: larger than {LARGEST:,} bytes")
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
        place = places.get(name) or places.get(name.removeprefix(QUOTE))
        if place is None:
            raise DataError(f"{line}: {printable(name):.150} is no image of {dataset.title}")
        return place
    part, parts = PART_NAMES.get(cells["split"].lower(), ""), dataset.parts
    if part not in parts:
        raise DataError(f"{line}: split {printable(cells['split'])!r:.50}; choose {choices(parts)}")
    position, count = cells["position"], len(parts[part])
    digits = position.isdecimal() and position.isascii() and len(position) < 16
    if not (digits and int(position) < count):
        raise DataError(
            f"{line}: position {printable(position)!r:.50}; there are "
            f"{counted(count, f'{part} image')}, counted from 0"
        )
    return part, int(position)
