"""Read the IDX files of MNIST and its kin, gzipped or not (format: yann.lecun.com/exdb/mnist)."""

import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Part
from kerascw.data.layout import Layout, part_of
from kerascw.errors import DataError

FILES = {  # the names that MNIST's authors gave, shared by its kin
    "train images": ("train-images-idx3-ubyte", 3),
    "train labels": ("train-labels-idx1-ubyte", 1),
    "test images": ("t10k-images-idx3-ubyte", 3),
    "test labels": ("t10k-labels-idx1-ubyte", 1),
}

_UBYTE = 0x08  # the only element type that these datasets use
_REMEDY = "fetch the file again"


def find_idx(folder: Path, name: str) -> Path | None:
    """Return the file ``name`` or ``name.gz`` in ``folder``; dots may stand for the first dash.

    Both ``train-images-idx3-ubyte`` and ``train-images.idx3-ubyte`` are in circulation.
    """
    for stem in (name, name.replace("-idx", ".idx")):
        for path in (folder / f"{stem}.gz", folder / stem):
            if os.path.isfile(path):  # Path.is_file raises where the folder may not be entered
                return path
    return None


def read_idx(path: Path, dimensions: int, largest: int = 2**31) -> np.ndarray:
    """Read one IDX file of unsigned bytes, and no more of it than its header states.

    Gzip is told by the file's first bytes, not by its name. ``dimensions`` is 3 for images and 1
    for labels; a file that states more than ``largest`` bytes of data is refused. The array is
    uint8 of the shape that the file's header states.

    Raises DataError: damaged gzip, wrong magic number, or another length than the header states.
    """
    start = 4 + 4 * dimensions
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        opened: Any = gzip.open if is_gzip else open
        with opened(path, "rb") as stream:
            header = stream.read(start)
            _check_header(path, header, dimensions)
            shape = tuple(int(size) for size in np.frombuffer(header, ">u4", dimensions, 4))
            stated = math.prod(shape)
            if stated > largest:
                raise DataError(
                    f"{path}: states {stated:,} bytes of data (shape {shape}), expected at most "
                    f"{largest:,}; {_REMEDY}"
                )
            raw = stream.read(stated)
            more = stream.read(1)  # at the end gzip compares its checksum
    except EOFError:
        raise DataError(f"{path}: the gzip stream ends early; {_REMEDY}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip ({error}); {_REMEDY}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) != stated or more:
        got = f"more than {stated:,} bytes of data" if more else f"{len(raw):,} bytes of data"
        raise DataError(f"{path}: {got}, expected {stated:,} for shape {shape}; {_REMEDY}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _check_header(path: Path, header: bytes, dimensions: int) -> None:
    expected = bytes([0, 0, _UBYTE, dimensions])
    if header[:4] != expected:
        raise DataError(
            f"{path}: starts with {header[:4].hex() or 'nothing'}, expected the IDX magic "
            f"{expected.hex()} (unsigned bytes in {dimensions} dimensions); {_REMEDY}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path}: ends within its {4 + 4 * dimensions}-byte header; {_REMEDY}")


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as an IDX file, gzipped (reproducibly) where the name ends in .gz."""
    header = bytes([0, 0, _UBYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    raw = header + np.ascontiguousarray(array, np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw, 9, mtime=0) if path.suffix == ".gz" else raw)


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    found = {name: find_idx(folder, name) for name, _ in FILES.values()}
    return (
        [path for path in found.values() if path],
        [f"{name}[.gz]" for name, path in found.items() if not path],
    )


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Part, Part]:
    # room for other images than the catalogue's, so that an error can say what their size is
    largest = 2 * max(entry.counts) * math.prod(entry.shape)
    x, y, x_test, y_test = (
        read_idx(path, dimensions, largest)
        for path, (_, dimensions) in zip(files, FILES.values(), strict=True)
    )
    train = part_of(x[..., None], y, entry, *files[:2])
    return train, part_of(x_test[..., None], y_test, entry, *files[2:])


_EXPECTED = f"{', '.join(name for name, _ in FILES.values())}, gzipped or not"
LAYOUT = Layout("IDX files", _look, _read, lambda entry: _EXPECTED)
