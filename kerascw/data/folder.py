"""A folder of pictures as a dataset: PNG, JPEG, BMP and GIF files, in a folder for every class.

Either ``PATH/train/CLASS/...``, with ``PATH/test/CLASS/...`` and ``PATH/val/CLASS/...`` where there
are any (names in any case; also ``training``, ``testing``, ``valid`` and ``validation``), or
``PATH/CLASS/...``. Without a test folder a stratified part is drawn for it.

What is decoded is kept in a cache folder (:func:`cache_folder`), so it is decoded once.
"""

import hashlib
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from kerascw.data.cache import cache_folder, read_cache, write_cache
from kerascw.data.catalog import CatalogEntry
from kerascw.data.folder_files import PARTS, Listing, PictureFile, is_text, list_files, shown
from kerascw.errors import CallError, DataError
from kerascw.experiment.spec import Folder

if TYPE_CHECKING:
    from kerascw.data import Dataset

__all__ = ["describe_folder", "load_folder"]

LARGEST_SIDE = 96
"""Pixels up to which pictures that are all of one size keep it where none is asked for."""

USUAL_SIDE = 32
"""Pixels a side where no size is asked for and the pictures do not decide it."""

_CACHE_FORMAT = 1  # raised whenever the same files would be decoded to other arrays
_ORIENTATION = 0x0112  # EXIF: 5 to 8 are turned by a quarter, so height and width change places
_PATIENCE = 2.0  # seconds without a word
_CHUNK = 16  # files that a thread reads at a time
_NAMED = 3  # unreadable files that a message names

_T = TypeVar("_T")


def describe_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    colour: bool | None = None,
    bad_files: Literal["fail", "skip"] = "fail",
) -> Folder:
    """Return the spec of a folder of pictures; of the files no more than the headers is read.

    Parameters
    ----------
    path : the folder; see :mod:`kerascw.data.folder` for its layout.
    size : height and width, in pixels, that every picture is brought to. None: their own size if
        it is one and the same, of at most 96 pixels a side; else 32 x 32.
    colour : RGB or grey. None: grey if every picture is grey.
    bad_files : what :func:`load_folder` does about pictures that cannot be read.

    Raises
    ------
    CallError
        A size below one pixel.
    DataError
        The folder is not there, or its layout is another.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise CallError(f"size: {size}; expected height and width of 1 pixel or more")
    root = os.path.abspath(os.path.expanduser(path))
    if not is_text(root):
        raise DataError(f"{shown(root)}: this path is no valid Unicode; rename the folder")
    listing = list_files(root)
    if size is None or colour is None:
        common_size, any_colour = _in_common(listing.files, size is None, colour is None)
        size = size or common_size or (USUAL_SIDE, USUAL_SIDE)
        colour = any_colour if colour is None else colour
    return Folder(path=root, height=size[0], width=size[1], colour=colour, bad_files=bad_files)


def load_folder(spec: Folder) -> "Dataset":
    """Load a folder of pictures, each read and fitted as :mod:`kerascw.data.image_files` does it.

    The parts are in the order of class, then path. A warning names files that are left out.

    Raises
    ------
    DataError
        The folder's layout is another, pictures cannot be read (unless ``bad_files`` is skip), or
        a class has too few to split a test part off.
    """
    from kerascw.data import Dataset, Part

    listing = list_files(os.path.abspath(spec.path))
    images, bad = _pictures(listing, (spec.height, spec.width, 3 if spec.colour else 1))
    if bad:
        if spec.bad_files == "fail":
            raise DataError(
                f"{_unreadable(listing, bad, '')}; mend or remove them, or leave them out with "
                "--bad-files skip"
            )
        warnings.warn(_unreadable(listing, bad, " and are left out"), stacklevel=2)
    labels = np.fromiter((file.label for file in listing.files), np.int32, len(listing.files))
    rows = _rows_of_parts(listing, labels, bad, spec)
    whole = Part(images, labels)

    def part(chosen: np.ndarray) -> Part:
        first, end = int(chosen[0]), int(chosen[-1]) + 1
        if end - first == len(chosen):  # no gap: no copy
            return Part(images[first:end], labels[first:end])
        return whole.take(chosen)

    parts = {name: part(chosen) for name, chosen in rows.items()}
    entry = CatalogEntry(
        name="folder",
        title=os.path.basename(listing.root) or listing.root,
        class_names=listing.class_names,
        shape=(spec.height, spec.width, 3 if spec.colour else 1),
        counts=(len(parts["train"]), len(parts["test"])),
        layout=None,
    )
    return Dataset(
        entry,
        parts["train"],
        parts["test"],
        source="folder",
        location=listing.root,
        validation=parts.get("validation"),
    )


# --- what they have in common -----------------------------------------------------------------


def _in_common(
    files: Iterable[PictureFile], ask_size: bool, ask_colour: bool
) -> tuple[tuple[int, int] | None, bool]:
    """Return height and width if all pictures have the same, small ones, and if any has colour.

    Stops where what is asked is decided. Files without a picture's header do not count.
    """
    from kerascw.data.image_files import pillow_filters

    sizes: set[tuple[int, int]] = set()
    colour = read = False
    with pillow_filters():
        for file in files:
            header = _header(file) if file.size >= 0 else None  # opening a pipe would hang
            if header is None:
                continue
            read = True
            height, width, has_colour = header
            sizes.add((height, width))
            colour = colour or has_colour
            various = len(sizes) > 1 or max(height, width) > LARGEST_SIDE
            if (various or not ask_size) and (colour or not ask_colour):
                break
    small = {size for size in sizes if max(size) <= LARGEST_SIDE}
    return (small.pop() if len(sizes) == len(small) == 1 else None), colour or not read


def _header(file: PictureFile) -> tuple[int, int, bool] | None:
    """Return height, width, as the picture is shown, and whether it has colour."""
    from PIL import Image

    from kerascw.data.image_files import FORMATS

    try:
        with open(file.path, "rb") as stream, Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            # a PNG is decoded for its EXIF, so it is asked only where that decides something
            decides = width != height and max(width, height) <= LARGEST_SIDE
            if decides and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")  # I;16: 16 bits
            return height, width, not grey
    except Exception:  # as in kerascw.data.image_files: damaged files raise anything
        return None


# --- their pixels -----------------------------------------------------------------------------


def _pictures(listing: Listing, shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[int, str]]:
    """Return uint8 ``[n, *shape]``, a row for every file, and by row why a file has no picture."""
    files = listing.files
    cached = _cache_file(listing, shape)
    kept = read_cache(cached, (len(files), *shape))
    if kept is not None:
        images, unread = kept
        # once more: that a file may be read now does not show in its size and time
        bad = _decode(files, images, unread)
        if len(bad) == len(unread):
            return images, bad
    else:
        try:
            images = np.zeros((len(files), *shape), np.uint8)
        except (MemoryError, ValueError):  # ValueError: more than there are addresses
            gigabytes = len(files) * shape[0] * shape[1] * shape[2] / 1e9
            raise DataError(
                f"{listing.root}: {len(files):,} pictures of {shape[0]} x {shape[1]} x {shape[2]} "
                f"need {gigabytes:,.1f} GB, more than there is; take a smaller size"
            ) from None
        bad = _decode(files, images, range(len(files)))
    write_cache(cached, images, bad)
    return images, bad


def _decode(
    files: Sequence[PictureFile], images: np.ndarray, rows: Sequence[int]
) -> dict[int, str]:
    """Read the files of these rows into ``images``; return by row why a file has no picture."""
    if not rows:
        return {}
    from concurrent.futures import ThreadPoolExecutor

    from kerascw.data.image_files import Unreadable, fit_picture, pillow_filters

    _, height, width, channels = images.shape

    def read(chunk: Sequence[int]) -> dict[int, str]:
        bad = {}
        for row in chunk:
            picture = fit_picture(files[row].path, (height, width, channels))
            if isinstance(picture, Unreadable):
                bad[row] = picture.reason
                images[row] = 0
            else:
                images[row] = picture.array
        return bad

    bad: dict[int, str] = {}
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    with pillow_filters():
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # Pillow decodes without the GIL
        try:
            for found in _with_progress(pool.map(read, chunks), len(chunks)):
                bad.update(found)
        finally:
            pool.shutdown(cancel_futures=True)  # where the user stops it
    return bad


def _with_progress(results: Iterator[_T], total: int) -> Iterator[_T]:
    """Yield the results; after two seconds, and on a terminal, with a progress line."""
    from kerascw.console import console

    started = time.monotonic()
    terminal = console(sys.stderr)
    for done, result in enumerate(results, 1):
        yield result
        if terminal.is_terminal and time.monotonic() - started > _PATIENCE:
            from rich.progress import track

            yield from track(
                results,
                "reading pictures",
                total=total,
                completed=done,
                console=terminal,
                transient=True,
            )
            return


def _unreadable(listing: Listing, bad: dict[int, str], and_so: str) -> str:
    """Return one line: how many files have no picture, and the first of them with the reason."""
    named = [f"{shown(listing.files[row].name)} ({bad[row]})" for row in sorted(bad)[:_NAMED]]
    more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    return (
        f"{shown(listing.root)}: {len(bad):,} of {len(listing.files):,} pictures cannot be read"
        f"{and_so}: {', '.join(named)}{more}"
    )


# --- parts ------------------------------------------------------------------------------------


def _rows_of_parts(
    listing: Listing, labels: np.ndarray, bad: dict[int, str], spec: Folder
) -> dict[str, np.ndarray]:
    """Return the sorted rows of train, test and, if there is one, validation; none is empty."""
    readable = np.ones(len(labels), bool)
    readable[list(bad)] = False
    part_of = np.array([PARTS.index(file.part) for file in listing.files])
    rows = {}
    for number, part in enumerate(PARTS):
        of_part = part_of == number
        if of_part.any():
            rows[part] = np.flatnonzero(of_part & readable)
            if not len(rows[part]):
                raise DataError(f"{listing.root}: none of the {part} pictures can be read")
    counts = np.bincount(labels[rows["train"]], minlength=len(listing.class_names))
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            raise DataError(
                f"{listing.root}: none of the training pictures of class {shown(name)} can be "
                "read; mend or remove them"
            )
    if "test" not in rows:
        rows["train"], rows["test"] = _split(listing, rows["train"], labels, counts, spec)
    return rows


def _split(
    listing: Listing, rows: np.ndarray, labels: np.ndarray, counts: np.ndarray, spec: Folder
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that stay for training and the stratified ones for the test."""
    from sklearn.model_selection import train_test_split

    remedy = "add pictures, or make a train and a test folder"
    if counts.min() < 2:
        name = shown(listing.class_names[int(counts.argmin())])
        raise DataError(
            f"{listing.root}: class {name} has one picture only, which cannot be split into a "
            f"training and a test part; {remedy}"
        )
    try:
        train, test = train_test_split(
            rows, test_size=spec.test_share, stratify=labels[rows], random_state=spec.seed
        )
    except ValueError:
        train = test = rows[:0]
    missing = np.setdiff1d(np.arange(len(counts)), labels[train])
    if len(missing):  # so also where scikit-learn found fewer pictures than classes in a part
        raise DataError(
            f"{listing.root}: a test_share of {spec.test_share:g} of {len(rows):,} pictures does "
            f"not leave some of all {len(counts):,} classes to train and to test on; {remedy}, or "
            "take another share"
        )
    return np.sort(train), np.sort(test)


def _cache_file(listing: Listing, shape: tuple[int, int, int]) -> Path:
    """Return where the arrays of just these files are kept: named by the folder and a key."""
    import PIL

    key = hashlib.sha256(repr((_CACHE_FORMAT, PIL.__version__, shape)).encode())
    for file in listing.files:  # repr escapes names that are not text
        facts = (file.part, listing.class_names[file.label], file.name, file.size, file.mtime)
        key.update(repr(facts).encode())
    place = hashlib.sha256(listing.root.encode()).hexdigest()
    return cache_folder() / f"{place[:16]}-{key.hexdigest()[:32]}.npz"
