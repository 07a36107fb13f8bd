"""Image files of one's own as a dataset, from a folder or a CSV manifest.

A folder has either ``PATH/train/CLASS/...``, with ``PATH/test/CLASS/...`` and
``PATH/val/CLASS/...`` where there are any (names in any case; also ``training``, ``testing``,
``valid`` and ``validation``), or ``PATH/CLASS/...``. A manifest is described in
:func:`kerascw.data.listing.list_manifest`. Decoded images are kept in :func:`cache_folder`.
"""

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from kerascw.data.cache import cache_folder, replacing
from kerascw.data.dataset import Dataset, Part
from kerascw.data.image_files import FORMATS, Fit, Unreadable, fit_picture, pillow_filters
from kerascw.data.layout import room_for
from kerascw.data.listing import ImageFile, Listing, is_text, list_folder, list_manifest
from kerascw.data.own import LARGEST_SIDE, Options, own_dataset
from kerascw.errors import CallError, DataError, counted, first_of, option, printable
from kerascw.experiment.spec import Folder

_CACHE_FORMAT = 3  # raised whenever the same files would be decoded to other arrays
_ORIENTATION = 0x0112  # EXIF: 5 to 8 are turned by a quarter, so height and width change places


def describe_folder(path: str | Path, options: Options) -> Folder:
    """Describe a folder or a ``.csv`` manifest of images as a spec; only headers are read.

    Raises CallError: no such folder or file; DataError: its layout is another.
    """
    root = os.path.abspath(os.path.expanduser(path))
    if not is_text(root):
        raise DataError(f"{printable(root)}: this path is no valid Unicode; rename it")
    if not os.path.exists(root):
        kind = "file" if root.lower().endswith(".csv") else "folder"
        raise CallError(f"{printable(root)}: no such {kind}")
    return options.spec(root, *_in_common(_listed(root).files, options))


def _listed(root: str) -> Listing:
    return list_manifest(root) if root.lower().endswith(".csv") else list_folder(root)


def load_folder(spec: Folder) -> Dataset:
    """Load a folder or manifest of images, each read as :func:`fit_picture` does.

    The images of a split are in the order of class, then path. Warnings name what is left out.

    Raises DataError: the layout is another, images cannot be read (unless ``bad_files`` is skip),
    or a class has too few to split a test set off.
    """
    listing = _listed(os.path.abspath(spec.path))
    images, bad = _read_all(listing, (spec.height, spec.width, 3 if spec.colour else 1), spec.fit)
    where = printable(listing.root)
    unread = [f"{printable(listing.files[row].name)} ({bad[row]})" for row in sorted(bad)]
    of_all = f"{where}: {len(bad):,} of {len(listing.files):,} images cannot be read"
    if bad and spec.bad_files == "fail":
        raise DataError(
            f"{of_all}: {first_of(unread)}; mend or remove them, or leave them out with "
            f"{option('bad_files', 'skip')}"
        )
    if bad:
        warnings.warn(f"{of_all} and are left out: {first_of(unread)}", stacklevel=2)
    if listing.left_out:
        count = counted(len(listing.left_out), "other file is", "other files are")
        warnings.warn(f"{where}: {count} left out: {first_of(listing.left_out)}", stacklevel=2)
    labels = np.array([file.label for file in listing.files], np.int32)
    whole = Part(images, labels, np.array([file.name for file in listing.files]))
    of_part = np.array([file.part for file in listing.files])
    is_read = ~np.isin(np.arange(len(labels)), list(bad))
    parts: dict[str, Part] = {}
    for part in dict.fromkeys(of_part.tolist()):
        parts[part] = whole.take((of_part == part) & is_read)
        if not len(parts[part]):
            raise DataError(f"{where}: none of the {part} images can be read")
    return own_dataset(
        spec,
        parts,
        source="folder" if os.path.isdir(listing.root) else "manifest",
        class_names=listing.class_names,
        left_out=(*unread, *listing.left_out),
    )


# --- what they have in common -----------------------------------------------------------------


def _in_common(files: Iterable[ImageFile], options: Options) -> tuple[set[tuple[int, int]], bool]:
    """Find the heights and widths of the images, and whether any has colour.

    Stops where all that is not asked for is decided. Files without a header do not count.
    """
    sizes: set[tuple[int, int]] = set()
    colour = False
    with pillow_filters():
        for file in files:
            several = len(sizes) > 1 or any(max(size) > LARGEST_SIDE for size in sizes)
            if colour and (options.size or several):
                break
            header = _header(file.path) if file.size >= 0 else None  # opening a pipe would hang
            if header is not None:
                sizes.add(header[0])
                colour |= header[1]
    return sizes, colour or not sizes


def sizes_of(dataset: Dataset) -> dict[str, list[tuple[int, int]]]:
    """Read heights and widths that image files had before they were brought to one, by split.

    (0, 0) of one that is not there any more; empty where the images are no files.
    """
    place = dataset.location
    root = place if os.path.isdir(place) else os.path.dirname(place)
    with pillow_filters():
        return {
            part: [(_header(os.path.join(root, name)) or ((0, 0), False))[0] for name in names]
            for part, names in dataset.files.items()
        }


def _header(path: str) -> tuple[tuple[int, int], bool] | None:
    """Read height and width, as the image is shown, and whether it has colour."""
    try:
        with open(path, "rb") as stream, Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            # a PNG is decoded for its EXIF, so it is asked only where that decides something
            decides = width != height and max(width, height) <= LARGEST_SIDE
            if decides and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")  # I;16: 16 bits
            return (height, width), not grey
    except Exception:  # as in kerascw.data.image_files: damaged files raise anything
        return None


# --- their pixels -----------------------------------------------------------------------------


def _read_all(
    listing: Listing, shape: tuple[int, int, int], fit: Fit
) -> tuple[np.ndarray, dict[int, str]]:
    """Read uint8 ``[n, *shape]``, a row for every file, and by row why a file has no image.

    What was read is kept in the cache folder, in place of what is kept of the same folder.
    """
    count = len(listing.files)
    cached = _cache_file(listing, shape, fit)
    with suppress(Exception):  # a damaged file raises anything; it is made anew
        with np.load(cached, allow_pickle=False) as archive:
            images, bad = archive["images"], json.loads(archive["bad"].tobytes())
        if images.shape == (count, *shape) and images.dtype == np.uint8:
            return images, {int(row): str(reason) for row, reason in bad.items()}
    images = room_for(count, shape, printable(listing.root))
    bad = _decode(listing.files, images, fit)
    with suppress(OSError):
        with replacing(cached) as stream:
            reasons = np.frombuffer(json.dumps(bad).encode(), np.uint8)
            np.savez(stream, images=images, bad=reasons)
        for old in cached.parent.glob(f"{cached.name.partition('-')[0]}-*"):
            if old != cached:  # also what a killed process left
                old.unlink(missing_ok=True)
    return images, bad


def _decode(files: Sequence[ImageFile], images: np.ndarray, fit: Fit) -> dict[int, str]:
    """Read the files into ``images``; return by row why a file has no image."""
    from rich.progress import track  # 30 ms

    from kerascw.console import console

    _, height, width, channels = images.shape

    def read(row: int) -> str | None:
        picture = fit_picture(files[row].path, (height, width, channels), fit)
        if isinstance(picture, Unreadable):
            return picture.reason
        images[row] = picture.array
        return None

    terminal = console(sys.stderr)
    with pillow_filters():
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # Pillow decodes without the GIL
        try:
            reasons = track(
                pool.map(read, range(len(files))),
                "reading images",
                total=len(files),
                console=terminal,
                transient=True,
                disable=not terminal.is_terminal,
            )
            return {row: reason for row, reason in enumerate(reasons) if reason is not None}
        finally:
            pool.shutdown(cancel_futures=True)  # where the user stops it


def _cache_file(listing: Listing, shape: tuple[int, int, int], fit: Fit) -> Path:
    """Return where the arrays of just these files are kept: named by the folder and a key."""
    key = hashlib.sha256(repr((_CACHE_FORMAT, PIL.__version__, shape, fit)).encode())
    for file in listing.files:  # repr escapes names that are not text
        facts = (file.part, listing.class_names[file.label], file.name, file.size, file.mtime)
        key.update(repr(facts).encode())
    place = hashlib.sha256(listing.root.encode()).hexdigest()
    return cache_folder() / f"{place[:16]}-{key.hexdigest()[:32]}.npz"
