"""Read CIFAR-10 as its authors publish it: pickled batches, binary batches, or either's archive.

The format is described at cs.toronto.edu/~kriz/cifar.html. Archives are read as a stream: nothing
is unpacked to disk, and no member but the six batches is opened.
"""

import gzip
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerascw.data.catalog import CatalogEntry
from kerascw.data.layout import ROLES, Layout, check_labels
from kerascw.errors import DataError

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BINARY_BATCHES = tuple(f"{name}.bin" for name in BATCHES)

_SIZE = 3 * 32 * 32  # bytes of a picture: red, then green, then blue, each 32 rows of 32
_LARGEST = 2**28  # bytes of a batch that are read; those published have 31 million
_REMEDY = "fetch the file again"

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures uint8 ``[n, 3, 32, 32]`` and labels uint8 ``[n]``."""


# --- one batch ------------------------------------------------------------------------------


class _PickledArray:
    """What a pickled NumPy array says of itself; nothing is allocated for it."""

    kind: object = None
    shape: object = None
    fortran: object = False
    raw: object = None

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, self.shape, self.kind, self.fortran, self.raw = state


@dataclass
class _PickledType:
    """What a pickled NumPy dtype says of itself."""

    name: object

    def __setstate__(self, state: object) -> None:
        """Pass over byte order and the like, which bytes do not have."""


def _stand_ins(limit: int) -> dict[tuple[str, str], object]:
    """Return what takes the place of the globals that a pickled array refers to.

    A pickle may call what it is given with arguments of its choice, and NumPy's own would take
    any amount of memory for an absurd shape. These only note their arguments. Made anew for
    every batch, for a pickle may also set attributes of what it is given.

    Parameters
    ----------
    limit : bytes that may be made of text in all.
    """
    left = limit

    def array(*_: object) -> object:  # only ever an argument of the next one
        raise pickle.UnpicklingError("calls numpy.ndarray itself")

    def reconstruct(*_: object) -> _PickledArray:
        return _PickledArray()

    def from_buffer(buffer: object, kind: object, shape: object, order: object) -> _PickledArray:
        made = _PickledArray()
        made.raw, made.kind, made.shape, made.fortran = buffer, kind, shape, order != "C"
        return made

    def dtype(name: object, *_: object) -> _PickledType:
        return _PickledType(name)

    def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes in protocol 2
        nonlocal left
        left -= len(text)
        if encoding != "latin1" or left < 0:
            raise pickle.UnpicklingError("misuses _codecs.encode")
        return text.encode("latin1")

    stand_ins: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): array,
        ("numpy", "dtype"): dtype,
        ("_codecs", "encode"): encode,
    }
    for core in ("numpy.core", "numpy._core"):  # before NumPy 2, and since
        stand_ins[f"{core}.multiarray", "_reconstruct"] = reconstruct
        stand_ins[f"{core}.numeric", "_frombuffer"] = from_buffer
    return stand_ins


class _Opcodes(dict[int, Callable[[Any], None]]):
    """The unpickler's method for each opcode."""

    def __missing__(self, code: int) -> None:
        raise pickle.UnpicklingError(f"opcode {code:#04x}")


_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT),
    *(pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.MEMOIZE),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD),
)
"""Of protocols 2 to 5, what a batch is written with; SETITEM(S) and BYTEARRAY8 are our own."""


# The unpickler in Python and not the one in C, which takes as much memory as a single damaged
# memo index says. It is quick enough: nearly all of a batch is one string of bytes.
class _Confined(pickle._Unpickler):
    """Unpickles numbers, text, lists, dicts and arrays of bytes; looks nothing up in any module."""

    dispatch = _Opcodes({code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES})

    def __init__(self, raw: bytes, where: str) -> None:
        super().__init__(io.BytesIO(raw), encoding="bytes")  # Python 2 wrote the published ones
        self._where = where
        self._stand_ins = _stand_ins(len(raw))

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._stand_ins[module, name]
        except KeyError:
            wanted = ascii(f"{module}.{name}"[:100])
            raise DataError(
                f"{self._where}: asks for {wanted}, which no batch of CIFAR-10 needs and which "
                "might run code; nothing of it was run. Fetch the file from its authors' page"
            ) from None

    def _set_item(self: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, value])

    def _set_items(self: Any) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], items)

    def _byte_array(self: Any) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))  # bytearray(size), as it was, would take the memory first

    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.BYTEARRAY8[0]] = _byte_array


def _put(into: object, items: list[object]) -> None:
    keys, values = items[::2], items[1::2]
    # hashing tuples within tuples, a million deep, would end the process
    if not isinstance(into, dict) or not all(isinstance(key, str | bytes) for key in keys):
        raise pickle.UnpicklingError("no dictionary by name")
    into.update(zip(keys, values, strict=True))


def _shown(value: object) -> str:
    """Return a short text for a value of an unknown kind: repr() might never end."""
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    if isinstance(value, str | bytes):
        return ascii(value[:20])
    if isinstance(value, tuple) and 0 < len(value) <= 8 and all(type(v) is int for v in value):
        return f"({', '.join(map(_shown, value))}{',' * (len(value) == 1)})"
    return f"a {type(value).__name__}"


def read_pickled(raw: bytes, where: str) -> Batch:
    """Read one batch of the Python version without letting the pickle call or make anything.

    Raises
    ------
    DataError
        Not a pickle, a pickle that asks for more than arrays, or other content than a batch's.
        Begins with ``where``.
    """
    try:
        batch = _Confined(raw, where).load()
    except DataError:
        raise
    except Exception as error:  # of any kind: EOFError, TypeError, MemoryError
        raise DataError(f"{where}: cannot be unpickled ({_one_line(error)}); {_REMEDY}") from None
    if not isinstance(batch, dict):
        raise _unfit(where, f"pickled is {_shown(batch)}", "a dictionary")
    data, labels = (batch.get(name.encode(), batch.get(name)) for name in ("data", "labels"))
    if not isinstance(data, _PickledArray):
        raise _unfit(where, "no array as its 'data'", "one")
    kind = data.kind.name if isinstance(data.kind, _PickledType) else data.kind
    if kind not in (b"u1", "u1", b"|u1", "|u1"):
        raise _unfit(where, f"data of type {_shown(kind)}", "'u1' (unsigned bytes)")
    match data.shape:
        case (int(n), width) if 0 < n < 2**32 and width == _SIZE:
            size = n * _SIZE
        case shape:
            raise _unfit(where, f"data of shape {_shown(shape)}", f"(n, {_SIZE})")
    if data.fortran or not isinstance(data.raw, bytes):
        raise _unfit(where, "data that is not laid out row by row", "rows of bytes")
    if len(data.raw) != size:
        raise _unfit(where, f"{len(data.raw):,} bytes of data", f"{size:,} for {n:,} pictures")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise _unfit(where, "no list of whole numbers as its 'labels'", "one")
    if len(labels) != n:
        raise _unfit(where, f"{len(labels):,} labels for {n:,} pictures", "as many")
    for at, label in enumerate(labels):
        if not 0 <= label <= 255:
            raise _unfit(where, f"label {_shown(label)} at position {at:,} (from 0)", "0 to 9")
    pictures = np.frombuffer(data.raw, np.uint8).reshape(-1, 3, 32, 32)
    return pictures, np.array(labels, np.uint8)


def read_binary(raw: bytes, where: str) -> Batch:
    """Read one batch of the binary version: rows of the label's byte and the picture's.

    Raises
    ------
    DataError
        No rows, or a part of one. Begins with ``where``.
    """
    if not raw or len(raw) % (1 + _SIZE):
        raise DataError(
            f"{where}: {len(raw):,} bytes, expected a multiple of {1 + _SIZE:,} "
            f"(a label and 3 x 32 x 32 pixels a picture); {_REMEDY}"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + _SIZE)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def _unfit(where: str, found: str, expected: str) -> DataError:
    return DataError(f"{where}: {found}, expected {expected} in a batch of CIFAR-10; {_REMEDY}")


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (
        f"{type(error).__name__}: {ascii(lines[0])[1:-1]:.100}" if lines else type(error).__name__
    )


# --- where the batches are ------------------------------------------------------------------


@dataclass(frozen=True)
class _Version:
    """One of the two that are published: six files, or an archive with them in a folder."""

    files: tuple[str, ...]  # the test part last
    folder: str
    archive: str
    read: Callable[[bytes, str], Batch]


_VERSIONS = (
    _Version(BATCHES, "cifar-10-batches-py", "cifar-10-python.tar.gz", read_pickled),
    _Version(BINARY_BATCHES, "cifar-10-batches-bin", "cifar-10-binary.tar.gz", read_binary),
)


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    for version in _VERSIONS:
        paths = [folder / name for name in version.files]
        there = [path for path in paths if os.path.isfile(path)]
        if there:
            return there, [path.name for path in paths if path not in there]
    for version in _VERSIONS:
        if os.path.isfile(folder / version.archive):
            return [folder / version.archive], []
    return [], [*BATCHES]


def _read(
    files: Sequence[Path], entry: CatalogEntry
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if len(files) == 1:
        (path,) = files
        (version,) = (version for version in _VERSIONS if version.archive == path.name)
        found = _members(path, version)
        contents = ((f"{path}, {name}", name, raw) for name, raw in found)
    else:
        (version,) = (version for version in _VERSIONS if version.files[0] == files[0].name)
        contents = ((str(path), path.name, _content(path)) for path in files)
    batches, places = {}, {}
    for where, name, raw in contents:
        batches[name] = version.read(raw, where)
        check_labels(batches[name][1], where, entry)
        places[name] = where
    if len(files) == 1 and len(batches) < len(version.files):
        missing = next(name for name in version.files if name not in batches)
        raise DataError(f"{files[0]}: {version.folder}/{missing} is not in it; {_REMEDY}")
    *train, test = version.files
    arrays = {}
    for part, names in (("train", train), ("test", [test])):
        chosen = [batches.pop(name) for name in names]
        labels = np.concatenate([of_batch for _, of_batch in chosen])
        pictures = np.empty((len(labels), 32, 32, 3), np.uint8)
        start = 0
        for planes, of_batch in chosen:
            pictures[start : start + len(of_batch)] = planes.transpose(0, 2, 3, 1)
            start += len(of_batch)
        arrays[f"{part} images"], arrays[f"{part} labels"] = pictures, labels
    where_train = str(files[0] if len(files) == 1 else files[0].parent)
    where_test = places[test]
    return arrays, dict(zip(ROLES, (where_train, where_train, where_test, where_test), strict=True))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limited(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _limited(file: BinaryIO, size: int, where: str) -> bytes:
    if size > _LARGEST:
        raise DataError(f"{where}: {size:,} bytes, a batch of CIFAR-10 has 31 million; {_REMEDY}")
    return file.read()


def _members(path: Path, version: _Version) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the version's files in the archive, in the archive's order."""
    try:
        with gzip.open(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                if folder == version.folder and name in version.files and member.isreg():
                    file: Any = archive.extractfile(member)
                    yield name, _limited(file, member.size, f"{path}, {name}")
            while unzipped.read(2**20):  # to the end, where gzip compares its checksum
                pass
    except DataError:
        raise
    except EOFError:
        raise DataError(f"{path}: the gzip stream ends early; {_REMEDY}") from None
    except OSError as error:
        reason = error.strerror or f"damaged gzip: {_one_line(error)}"
        raise DataError(f"{path}: cannot be read ({reason}); {_REMEDY}") from None
    except Exception as error:  # tarfile and zlib have no common base
        raise DataError(f"{path}: damaged archive ({_one_line(error)}); {_REMEDY}") from None


def _expected(entry: CatalogEntry) -> str:
    archives = " or ".join(version.archive for version in _VERSIONS)
    return f"data_batch_1 to data_batch_5 and test_batch, the same with .bin, or {archives}"


LAYOUT = Layout("CIFAR-10 batches", _look, _read, _expected)
