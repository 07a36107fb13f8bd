"""Read SVHN's cropped digits, MATLAB files of version 5 (ufldl.stanford.edu/housenumbers).

The format is MathWorks' "MAT-File Level 5 File Format". It is read here and not by SciPy, whose
reader believes what the file states: a single altered type byte ended the process, and a
compressed variable of a few megabytes took gigabytes. Images are read by the thousand into the
array that they stay in, so that they are in memory once.
"""

import io
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import Arrays, Layout, Places, sides
from kerascw.errors import DataError

_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {6: "double", 9: "uint8"}  # of variables
_STORED = {2: "u1", 9: "<f8"}  # what their numbers are stored as
_HEADER = 4096  # bytes that the flags, dimensions and name of a variable may take
_CHUNK = 1000  # images


class _Damaged(Exception):
    """The file is not as the format has it; the text says how."""


class _Element(io.RawIOBase):
    """The bytes of one element of a file, unpacked where they are compressed."""

    def __init__(self, file: BinaryIO, start: int, size: int, unzip: Any = None) -> None:
        self._file, self._at, self._end, self._unzip = file, start, start + size, unzip

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        found = b""
        if self._unzip is None:
            found = self._raw(len(into))
        else:
            while not found and not self._unzip.eof:
                packed = self._unzip.unconsumed_tail or self._raw(2**16)
                if not packed:
                    raise _Damaged("it ends early")
                found = self._unzip.decompress(packed, len(into))
        into[: len(found)] = found
        return len(found)

    def _raw(self, size: int) -> bytes:
        self._file.seek(self._at)  # several elements share the file
        found = self._file.read(min(size, self._end - self._at))
        self._at += len(found)
        return found


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise _Damaged("it ends early")
    return found


class _Variable(NamedTuple):
    """What a variable's header states, and its bytes from there on."""

    kind: str
    shape: tuple[int, ...]
    stream: BinaryIO

    def numbers(self) -> np.dtype:
        """Read the tag of the numbers; return how they are stored."""
        stored, size, inline = _tag(self.stream)
        kind = np.dtype(_STORED.get(stored, "V1"))
        if inline is not None or size != math.prod(self.shape) * kind.itemsize or kind.kind == "V":
            raise _Damaged(f"{size:,} bytes of type {stored} for {self.kind} {sides(self.shape)}")
        return kind

    def end(self) -> None:
        """See that nothing but filling follows; in the end zlib compares its checksum."""
        if len(self.stream.read(8)) > 7:
            raise _Damaged("it holds more than its header states")


def _tag(stream: BinaryIO) -> tuple[int, int, bytes | None]:
    """Read the tag of an element: its type, its size and, where they fit into it, its bytes."""
    raw = _exactly(stream, 8)
    first, size = (int(number) for number in np.frombuffer(raw, "<u4"))
    if (small := first >> 16) == 0:
        return first, size, None
    if small > 4:
        raise _Damaged(f"an element of {small} bytes within its tag")
    return first & 0xFFFF, small, raw[4 : 4 + small]


def _field(stream: BinaryIO, expected: int) -> bytes:
    """Read an element of a variable's header, which must be of the expected type."""
    kind, size, inline = _tag(stream)
    if kind != expected or size > _HEADER:
        raise _Damaged(f"an element of type {kind} and {size:,} bytes in a variable's header")
    if inline is not None:
        return inline
    return _exactly(stream, -(-size // 8) * 8)[:size]  # filled up to whole eights


def _variables(file: BinaryIO) -> dict[str, _Variable]:
    """Find the variables of a file by name; their numbers are not read."""
    if file.read(128)[124:] != b"\x00\x01IM":
        raise _Damaged("its header is not that of version 5, little-endian")
    whole = os.fstat(file.fileno()).st_size
    found: dict[str, _Variable] = {}
    at = 128
    while at < whole:
        kind, size, _ = _tag(io.BufferedReader(_Element(file, at, 8)))
        if kind in (_MATRIX, _COMPRESSED):
            unzip = zlib.decompressobj() if kind == _COMPRESSED else None
            stream: Any = io.BufferedReader(_Element(file, at + 8, size, unzip))
            if kind == _COMPRESSED and _tag(stream)[0] != _MATRIX:
                raise _Damaged("compressed data that are no variable")
            flags, dimensions, name = (_field(stream, field) for field in (6, 5, 1))
            number = int.from_bytes(flags[:4], "little") & 0x8FF  # 0x800: complex
            shape = tuple(int(side) for side in np.frombuffer(dimensions, "<i4"))
            variable = _Variable(_CLASSES.get(number, f"class {number}"), shape, stream)
            found.setdefault(name.decode("latin1"), variable)
        at += 8 + size
    return found


# --- SVHN's variables ---------------------------------------------------------------------------


def _names(entry: CatalogEntry) -> list[str]:
    return [f"{part}_32x32.mat" for part in (*entry.tfds_train, "test")]


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    paths = [folder / name for name in _names(entry)]
    there = [path for path in paths if os.path.isfile(path)]
    return there, [path.name for path in paths if path not in there]


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Arrays, Places]:
    *train, test = files
    where = " and ".join([str(train[0]), *(path.name for path in train[1:])])
    arrays = (*_read_files(train, entry), *_read_files([test], entry))
    return arrays, (where, where, str(test), str(test))


def _read_files(files: Sequence[Path], entry: CatalogEntry) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of these files, one file's after the other's.

    In a file, ``X`` is uint8 ``[height, width, 3, n]`` and ``y`` has n labels of 1 to 10, where
    10 is the digit 0. Returned are images uint8 ``[n, height, width, 3]`` and labels uint8 ``[n]``
    of 0 to 9.

    Raises DataError: not a MATLAB file, a damaged one, other variables in it than these, or more
    images than the catalogue has.
    """
    with ExitStack() as stack:
        held = []
        for path in files:
            with _one_line(path):
                held.append(_checked(_variables(stack.enter_context(path.open("rb"))), entry))
        ends = np.cumsum([images.shape[-1] for images, _ in held])
        images = np.empty((ends[-1], *entry.shape), np.uint8)
        labels = np.empty(len(images), np.uint8)
        start = 0
        for path, (x, y), end in zip(files, held, ends, strict=True):
            with _one_line(path):
                labels[start:end] = _labels(y)
                _read_images(x, images[start:end])
            start = end
    return images, labels


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what a damaged or unreadable file raises into one line that names it."""
    try:
        yield
    except (_Damaged, zlib.error, ValueError) as error:
        raise DataError(
            f"{path}: not a whole MATLAB file of SVHN ({error}); fetch the file again"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _checked(held: dict[str, _Variable], entry: CatalogEntry) -> tuple[_Variable, _Variable]:
    """Return X and y, having checked what their headers state."""
    if not {"X", "y"} <= set(held):
        has = ", ".join(map(ascii, sorted(held))) or "none"
        raise _Damaged(f"its variables are {has:.100}, expected X and y")
    images, labels = held["X"], held["y"]
    n, most = (images.shape or (0,))[-1], max(entry.counts)
    if images.kind != "uint8" or images.shape != (*entry.shape, n) or n < 1:
        raise _Damaged(
            f"X of {images.kind} {sides(images.shape)}, expected uint8 {sides(entry.shape)} x n"
        )
    if n > most:
        raise _Damaged(f"{n:,} images, expected at most {most:,}")
    if labels.kind not in _CLASSES.values() or labels.shape not in ((n, 1), (1, n)):
        raise _Damaged(f"y of {labels.kind} {sides(labels.shape)}, expected uint8 {n} x 1")
    return images, labels


def _labels(variable: _Variable) -> np.ndarray:
    """Read the labels: uint8 of 0 to 9."""
    kind = variable.numbers()
    raw = _exactly(variable.stream, max(variable.shape) * kind.itemsize)
    variable.end()
    stored = np.frombuffer(raw, kind)
    right = np.isin(stored, np.arange(1, 11))
    if not right.all():
        at = int(np.argmin(right))
        raise _Damaged(
            f"label {stored[at]:g} at position {at:,} (from 0), expected 1 to 10, where 10 is the "
            "digit 0"
        )
    return (stored % 10).astype(np.uint8)


def _read_images(variable: _Variable, images: np.ndarray) -> None:
    """Read the pixels: in the file an image's are red, green and blue, each column by column."""
    if variable.numbers() != np.uint8:
        raise _Damaged("X is stored as double")
    n, height, width, channels = images.shape
    for start in range(0, n, _CHUNK):
        chunk = images[start : start + _CHUNK]
        raw = _exactly(variable.stream, chunk.size)
        planes = np.frombuffer(raw, np.uint8).reshape(len(chunk), channels, width, height)
        chunk[:] = planes.transpose(0, 3, 2, 1)
    variable.end()


LAYOUT = Layout("MATLAB files", _look, _read, lambda entry: " and ".join(_names(entry)))
