"""Read CIFAR-10 as its authors publish it: pickled batches, binary batches, or either's archive.

The format is described at cs.toronto.edu/~kriz/cifar.html. Archives are read as a stream: nothing
is unpacked to disk, and no member but the six batches is opened.
"""

import gzip
import io
import os
import pickle
import pickletools
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import ROLES, Layout, check_labels
from kerascw.errors import DataError

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BINARY_BATCHES = tuple(f"{name}.bin" for name in BATCHES)

_SIZE = 3 * 32 * 32  # bytes of a picture: red, then green, then blue, each 32 rows of 32
_LARGEST = 2**26  # bytes of a batch that are read; those published have 31 million
_LARGEST_ARCHIVE = 2**29  # bytes of an unpacked archive; those published have 186 million
_REMEDY = "fetch the file again"

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures uint8 ``[n, 3, 32, 32]`` and labels uint8 ``[n]``."""


# --- one batch ------------------------------------------------------------------------------


class _PickledArray:
    """What a pickled NumPy array states about itself; no memory is taken for it."""

    kind: object = None
    shape: object = None
    fortran: object = False
    raw: object = None

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, self.shape, self.kind, self.fortran, self.raw = state


@dataclass
class _PickledType:
    """What a pickled NumPy dtype states about itself."""

    name: object

    def __setstate__(self, state: object) -> None:
        """Pass over byte order and the like, which bytes do not have."""


def _stand_ins() -> dict[tuple[str, str], object]:
    """Make what takes the place of the globals that a pickled array refers to.

    A pickle may call these with arguments of its choice, and NumPy's own would take any amount of
    memory for an absurd shape, so these only note their arguments. They are made anew for every
    batch, because a pickle may also set attributes of what it is given.
    """

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
        if encoding != "latin1":
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


class _Confined(pickle.Unpickler):
    """An unpickler that knows the names of arrays and looks nothing up in any module."""

    def __init__(self, raw: bytes, where: str) -> None:
        super().__init__(io.BytesIO(raw), encoding="bytes")  # Python 2 wrote the published ones
        self._where = where
        self._stand_ins = _stand_ins()

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._stand_ins[module, name]
        except KeyError:
            wanted = ascii(f"{module}.{name}"[:100])
            raise DataError(
                f"{self._where}: asks for {wanted}, which no batch of CIFAR-10 needs and which "
                "might run code; nothing of it was run. Fetch the file from its authors' page"
            ) from None


_OPCODES = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)
"""What a batch is written with in the protocols 2 to 5."""

_FEW = {
    # hashing tuples within tuples a million deep would end the process, and where each is twice
    # in the next, last for ever
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), "tuple"),
    "REDUCE": "call",  # each may copy a text of the whole file
}
_MOST = 16  # of each of these kinds; NumPy writes an array with 6 tuples and 4 calls


def _check_opcodes(raw: bytes) -> None:
    """Refuse a pickle that would take memory or time out of proportion to its size.

    The unpickler in C believes what an opcode states: it makes room for a string of 64 GiB or a
    memo of 2^32 entries before it looks whether they are there. :func:`pickletools.genops` reads
    the same opcodes, checks lengths against what is there and carries nothing out.
    """
    used: Counter[str] = Counter()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
        name = opcode.name
        if name not in _OPCODES:
            raise pickle.UnpicklingError(f"opcode {ord(opcode.code):#04x}")
        if name in ("BINPUT", "LONG_BINPUT") and (argument or 0) > count:
            raise pickle.UnpicklingError(f"memo index {argument:,}")
        if name in _FEW:
            used[_FEW[name]] += 1
            if used[_FEW[name]] > _MOST:
                raise pickle.UnpicklingError(f"more than {_MOST} {_FEW[name]}s")


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
    """Read one batch of the Python version without letting the pickle call or look up anything.

    Raises
    ------
    DataError
        Not a pickle, a pickle that asks for more than arrays, or other content than a batch's.
        Begins with ``where``.
    """
    try:
        _check_opcodes(raw)
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
    if data.fortran or not isinstance(data.raw, bytes | bytearray):
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


def _limited(file: BinaryIO | gzip.GzipFile, size: int, where: str) -> bytes:
    if size > _LARGEST:
        raise DataError(f"{where}: {size:,} bytes, a batch of CIFAR-10 has 31 million; {_REMEDY}")
    return file.read(size)


def _members(path: Path, version: _Version) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the version's files in the archive, in the archive's order.

    Headers are read one by one, because ``tarfile.open`` takes a long name or an extended header
    of any size into memory. No batch needs either, so what they hold is skipped.
    """
    try:
        with gzip.open(path) as unzipped:
            read, is_tar = 0, False
            while (block := unzipped.read(tarfile.BLOCKSIZE)) and any(block):
                member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                is_tar = True
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                filled = -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                read += len(block) + filled
                if read > _LARGEST_ARCHIVE:
                    raise DataError(
                        f"{path}: more than {_LARGEST_ARCHIVE:,} bytes unpacked, an archive of "
                        f"CIFAR-10 has 186 million; {_REMEDY}"
                    )
                if folder == version.folder and name in version.files and member.isreg():
                    content = _limited(unzipped, member.size, f"{path}, {name}")
                    filled -= len(content)
                    if len(content) == member.size:
                        yield name, content
                _skip(unzipped, filled)
            if not is_tar:
                raise tarfile.ReadError("it is empty")
            _skip(unzipped, _LARGEST_ARCHIVE)  # to the end, where gzip compares its checksum
    except DataError:
        raise
    except EOFError:
        raise DataError(f"{path}: the gzip stream ends early; {_REMEDY}") from None
    except OSError as error:
        reason = error.strerror or f"damaged gzip: {_one_line(error)}"
        raise DataError(f"{path}: cannot be read ({reason}); {_REMEDY}") from None
    except Exception as error:  # tarfile and zlib have no common base
        raise DataError(f"{path}: damaged archive ({_one_line(error)}); {_REMEDY}") from None


def _skip(file: Any, size: int) -> None:
    """Read so many bytes, or what there is of them, and forget them."""
    while size > 0 and (chunk := file.read(min(size, 2**20))):
        size -= len(chunk)


def _expected(entry: CatalogEntry) -> str:
    archives = " or ".join(version.archive for version in _VERSIONS)
    return f"data_batch_1 to data_batch_5 and test_batch, the same with .bin, or {archives}"


LAYOUT = Layout("CIFAR-10 batches", _look, _read, _expected)
