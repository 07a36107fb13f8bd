"""Read SVHN's cropped digits, MATLAB files of version 5 (ufldl.stanford.edu/housenumbers).

The format is MathWorks' "MAT-File Level 5 File Format". It is read here and not by SciPy, whose
reader believes what the file states: a single altered type byte ended the process, and a
compressed variable of a few megabytes took gigabytes. Images are read by the thousand into the
array that they stay in, so that they are in memory once.
"""

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import Arrays, Layout, Places, sides
from kerascw.errors import DataError

_REMEDY = "fetch the file again"

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {  # what numbers are stored as
    **{1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4"},
    **{7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"},
}
_CLASSES = (
    *("", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8"),
    *("int16", "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque"),
)
_COMPLEX = 0x0800
_HEADER = 4096  # bytes that the flags, dimensions and name of a variable may take
_CHUNK = 1000  # images


class _Damaged(Exception):
    """The file is not as the format has it; the text says how."""


# --- elements of a file -----------------------------------------------------------------------


class _Stream:
    """The bytes of one element of a file, unpacked where they are compressed.

    ``read`` returns as many bytes as it is asked for, and never takes memory for more.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, *, compressed: bool = False) -> None:
        self._file, self._at, self._left = file, start, size
        self._unzip = zlib.decompressobj() if compressed else None
        self._packed = b""

    def read(self, size: int) -> bytes:
        if self._unzip is None:
            chunks, got = [self._raw(size)], size
        else:
            chunks, got = [], 0
            while got < size and not self._unzip.eof and self._more():
                chunks.append(self._unzip.decompress(self._packed, size - got))
                self._packed = self._unzip.unconsumed_tail
                got += len(chunks[-1])
        found = b"".join(chunks)
        if len(found) != size:
            raise _Damaged("it ends early")
        return found

    def end(self) -> None:
        """See that compressed data end here but for filling, where zlib compares its checksum."""
        filling = 0
        while self._unzip is not None and not self._unzip.eof:
            if not self._more():
                raise _Damaged("it ends early")
            filling += len(self._unzip.decompress(self._packed, 8))
            self._packed = self._unzip.unconsumed_tail
            if filling > 7:
                raise _Damaged("it holds more than its header states")

    def _more(self) -> bool:
        """Have compressed bytes at hand; return whether there are any."""
        self._packed = self._packed or self._raw(2**16)
        return bool(self._packed)

    def _raw(self, size: int) -> bytes:
        self._file.seek(self._at)  # several streams share the file
        found = self._file.read(min(size, self._left))
        self._at += len(found)
        self._left -= len(found)
        return found


@dataclass(frozen=True)
class _Variable:
    """A variable of the file: what its header states, and its bytes from there on."""

    name: str
    kind: str
    is_complex: bool
    shape: tuple[int, ...]
    stream: _Stream

    def __str__(self) -> str:
        return f"{self.name} of {'complex ' * self.is_complex}{self.kind} {sides(self.shape)}"

    def stored_as(self) -> np.dtype:
        """Read the tag of the numbers; return how they are stored."""
        stored, size, inline = _tag(self.stream)
        if stored not in _NUMBERS or inline is not None:
            raise _Damaged(f"{self.name} is stored as type {stored}")
        kind = np.dtype(_NUMBERS[stored])
        if size != math.prod(self.shape) * kind.itemsize:
            raise _Damaged(f"{size:,} bytes for {self}")
        return kind


def _tag(stream: _Stream) -> tuple[int, int, bytes | None]:
    """Read the tag of an element: its type, its size and, where they fit into it, its bytes."""
    raw = stream.read(8)
    first, size = (int(number) for number in np.frombuffer(raw, "<u4"))
    if (small := first >> 16) == 0:
        return first, size, None
    if small > 4:
        raise _Damaged(f"an element of {small} bytes within its tag")
    return first & 0xFFFF, small, raw[4 : 4 + small]


def _field(stream: _Stream, expected: int) -> bytes:
    """Read an element of a variable's header, which must be of the expected type."""
    kind, size, inline = _tag(stream)
    if kind != expected or size > _HEADER:
        raise _Damaged(f"an element of type {kind} and {size:,} bytes in a variable's header")
    if inline is not None:
        return inline
    return stream.read(-(-size // 8) * 8)[:size]  # filled up to whole eights


def _variable(stream: _Stream) -> _Variable:
    """Read the header of a variable: flags, dimensions and name."""
    flags, dimensions, name = (_field(stream, kind) for kind in (6, 5, 1))
    if len(flags) != 8 or len(dimensions) % 4:
        raise _Damaged("a variable's header is not whole")
    flag = int.from_bytes(flags[:4], "little")
    number = flag & 0xFF
    return _Variable(
        name.decode("latin1"),
        kind=_CLASSES[number] if 0 < number < len(_CLASSES) else f"class {number}",
        is_complex=bool(flag & _COMPLEX),
        shape=tuple(int(size) for size in np.frombuffer(dimensions, "<i4")),
        stream=stream,
    )


def _variables(file: BinaryIO) -> dict[str, _Variable]:
    """Find the variables of a file; their numbers are not read."""
    if file.read(128)[124:] != b"\x00\x01IM":
        raise _Damaged("its header is not that of version 5, little-endian")
    whole = os.fstat(file.fileno()).st_size
    found: dict[str, _Variable] = {}
    at = 128
    while at < whole:
        kind, size, _ = _tag(_Stream(file, at, 8))
        if kind in (_MATRIX, _COMPRESSED):
            stream = _Stream(file, at + 8, size, compressed=kind == _COMPRESSED)
            if kind == _COMPRESSED and _tag(stream)[0] != _MATRIX:
                raise _Damaged("compressed data that are no variable")
            variable = _variable(stream)
            found.setdefault(variable.name, variable)
        at += 8 + size
    return found


# --- SVHN's variables ---------------------------------------------------------------------------


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    paths = [folder / f"{part}_32x32.mat" for part in (*entry.tfds_train, "test")]
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

    Raises
    ------
    DataError
        Not a MATLAB file, a damaged one, other variables in it than these, or more images than
        the catalogue has.
    """
    counts = []
    for path in files:
        with _one_line(path), path.open("rb") as file:
            counts.append(_count(path, _variables(file), entry))
    images = np.empty((sum(counts), *entry.shape), np.uint8)
    labels = np.empty(len(images), np.uint8)
    ends = np.cumsum(counts)
    for path, count, end in zip(files, counts, ends, strict=True):
        with _one_line(path), path.open("rb") as file:
            held = _variables(file)
            if _count(path, held, entry) != count:
                raise _Damaged("it changed while it was read")
            labels[end - count : end] = _labels(path, held["y"])
            _read_images(held["X"], images[end - count : end])
    return images, labels


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what a damaged or unreadable file raises into one line that names it."""
    try:
        yield
    except (_Damaged, zlib.error) as error:
        raise DataError(f"{path}: not a whole MATLAB file ({error}); {_REMEDY}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _count(path: Path, held: dict[str, _Variable], entry: CatalogEntry) -> int:
    """Check what the headers of X and y state; return how many images there are."""
    for name in ("X", "y"):
        if name not in held:
            has = ", ".join(ascii(other) for other in sorted(held)) or "none"
            raise DataError(
                f"{path}: no variable {name} (it has {has:.100}), expected X and y; "
                f"it is cut short or no file of SVHN: {_REMEDY}"
            )
    images, labels = held["X"], held["y"]
    n, most = (images.shape or (0,))[-1], max(entry.counts)
    if (images.kind, images.shape) != ("uint8", (*entry.shape, n)) or images.is_complex or n < 1:
        raise _unfit(path, str(images), f"uint8 {sides(entry.shape)} x n")
    if n > most:
        raise _unfit(path, f"{n:,} images", f"at most {most:,}")
    is_row = len(labels.shape) == 2 and 1 in labels.shape
    if labels.kind not in ("uint8", "double") or labels.is_complex or not is_row:
        raise _unfit(path, str(labels), f"uint8 {n} x 1")
    if max(labels.shape) != n:
        raise _unfit(path, f"{max(labels.shape):,} labels for {n:,} images", "as many")
    return n


def _labels(path: Path, variable: _Variable) -> np.ndarray:
    """Read the labels: uint8 of 0 to 9."""
    kind = variable.stored_as()
    raw = variable.stream.read(max(variable.shape) * kind.itemsize)
    variable.stream.end()
    stored = np.frombuffer(raw, kind)
    right = np.isin(stored, np.arange(1, 11))
    if not right.all():
        at = int(np.argmin(right))
        label = f"label {stored[at]:g} at position {at:,} (from 0)"
        raise _unfit(path, label, "1 to 10, where 10 is the digit 0,")
    return (stored % 10).astype(np.uint8)


def _read_images(variable: _Variable, images: np.ndarray) -> None:
    """Read the pixels: in the file an image's are red, green and blue, each column by column."""
    kind = variable.stored_as()
    if kind != np.uint8:
        raise _Damaged(f"{variable} is stored as {kind}")
    n, height, width, channels = images.shape
    for start in range(0, n, _CHUNK):
        chunk = images[start : start + _CHUNK]
        raw = variable.stream.read(chunk.size)
        planes = np.frombuffer(raw, np.uint8).reshape(len(chunk), channels, width, height)
        chunk[:] = planes.transpose(0, 3, 2, 1)
    variable.stream.end()


def _unfit(path: Path, found: str, expected: str) -> DataError:
    return DataError(f"{path}: {found}, expected {expected} in a file of SVHN; {_REMEDY}")


def _expected(entry: CatalogEntry) -> str:
    return " and ".join(f"{part}_32x32.mat" for part in (*entry.tfds_train, "test"))


LAYOUT = Layout("MATLAB files", _look, _read, _expected)
