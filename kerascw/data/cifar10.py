"""Read CIFAR-10 as its authors publish it: pickled batches, binary batches, or either's archive.

The format is described at cs.toronto.edu/~kriz/cifar.html. A pickle is not unpickled: only the
numbers and texts in it are looked at. Nothing of an archive is unpacked to disk, and no member but
the six batches is opened.
"""

import gzip
import os
import pickletools
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import Arrays, Layout, Places, check_labels, one_line
from kerascw.errors import DataError

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BINARY_BATCHES = tuple(f"{name}.bin" for name in BATCHES)

_SIZE = 3 * 32 * 32  # bytes of an image: red, then green, then blue, each 32 rows of 32
_LARGEST = 2**26  # bytes of a batch that are read; those published have 31 million
_LARGEST_HEADER = 2**20  # bytes of a header in an archive
_LARGEST_ARCHIVE = 2**29  # bytes of an unpacked archive; those published have 186 million
_REMEDY = "fetch the file again"

Batch = tuple[np.ndarray, np.ndarray]
"""Images uint8 ``[n, 3, 32, 32]`` and whole-number labels ``[n]``, not yet checked."""


# --- one batch ------------------------------------------------------------------------------

_GLOBALS = {  # what a pickled array refers to, before NumPy 2 and since
    *("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"),
    *("numpy ndarray", "numpy dtype", "_codecs encode"),
}
_CONSTANTS = {  # the opcodes of whole numbers and texts; a text may be bytes of Python 2
    *("BININT", "BININT1", "BININT2", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE"),
}


def _pickled_constants(raw: bytes, where: str) -> dict[str, list[Any]]:
    """Return the numbers, texts and truth values that follow the keys ``data`` and ``labels``.

    :func:`pickletools.genops` lists a pickle's opcodes and carries none out. It also checks the
    lengths that they state against what is there, so that no memory is taken for a mere claim.
    """
    after: dict[str, list[Any]] = {"data": [], "labels": []}
    current: list[Any] = []
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in ("GLOBAL", "INST") and argument not in _GLOBALS:
            wanted = ascii(str(argument).replace(" ", ".")[:100])
            raise DataError(
                f"{where}: asks for {wanted}, which no batch of CIFAR-10 needs and which "
                "might run code; nothing of it was run. Fetch the file from its authors' page"
            )
        if opcode.name == "PROTO" and argument != 2:
            raise DataError(f"{where}: pickle protocol {argument}, expected 2; {_REMEDY}")
        if opcode.name in ("NEWTRUE", "NEWFALSE"):
            current.append(opcode.name == "NEWTRUE")
        elif opcode.name in _CONSTANTS:
            if isinstance(argument, str) and argument in after:
                current = after[argument]
            elif argument != "latin1":  # how Python 3 marks bytes that it writes as text
                current.append(argument)
    return after


def read_pickled(raw: bytes, where: str) -> Batch:
    """Read one batch of the Python version, a pickle of protocol 2, without unpickling it.

    Raises DataError: not a pickle, a pickle that asks for more than arrays, or other content than a
    batch's. Begins with ``where``.
    """
    try:
        after = _pickled_constants(raw, where)
    except ValueError as error:
        raise DataError(f"{where}: not a whole pickle ({one_line(error)}); {_REMEDY}") from None
    labels = list(takewhile(lambda value: type(value) is int, after["labels"]))
    match after["data"]:
        # the arguments and the state of an array: its shape, its dtype, whether it is stored
        # column by column (Fortran order), and its bytes
        case [0, "b", 1, int(n), 3072, "u1", 0, 1, 3, "|", -1, -1, 0, False, str(text), *_]:
            content = text.encode("latin1", "ignore")  # one that is no byte is missed below
        case _:
            raise _unfit(where, "other data", f"an array of unsigned bytes of shape (n, {_SIZE})")
    if n < 1 or len(content) != n * _SIZE:
        raise _unfit(where, f"{len(content):,} bytes of data for {n:,} images", f"{_SIZE:,} each")
    if len(labels) != n:
        raise _unfit(where, f"{len(labels):,} whole numbers as labels for {n:,} images", "as many")
    return np.frombuffer(content, np.uint8).reshape(-1, 3, 32, 32), np.array(labels)


def read_binary(raw: bytes, where: str) -> Batch:
    """Read one batch of the binary version: rows of the label's byte and the image's.

    Raises DataError: no rows, or a part of one. Begins with ``where``.
    """
    if not raw or len(raw) % (1 + _SIZE):
        raise DataError(
            f"{where}: {len(raw):,} bytes, expected a multiple of {1 + _SIZE:,} "
            f"(a label and 3 x 32 x 32 pixels an image); {_REMEDY}"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + _SIZE)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def _unfit(where: str, found: str, expected: str) -> DataError:
    return DataError(f"{where}: {found}, expected {expected} in a batch of CIFAR-10; {_REMEDY}")


# --- where the batches are ------------------------------------------------------------------


class _Version(NamedTuple):
    """One of the two that are published: six files, or an archive with them in a folder."""

    files: tuple[str, ...]  # the test batch last
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


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Arrays, Places]:
    first = files[0]
    (version,) = (v for v in _VERSIONS if first.name in (v.archive, v.files[0]))
    packed = first.name == version.archive
    batches, places = {}, {}
    for where, name, raw in _members(first, version) if packed else _files(files):
        batches[name] = version.read(raw, where)
        check_labels(batches[name][1], where, entry)
        places[name] = where
    for name in set(version.files).difference(batches):
        raise DataError(f"{first}: {version.folder}/{name} is not in it; {_REMEDY}")
    *train, test = version.files
    arrays: list[np.ndarray] = []
    for names in (train, [test]):
        planes, labels = zip(*(batches.pop(name) for name in names), strict=True)
        images = np.empty((sum(map(len, labels)), 32, 32, 3), np.uint8)
        np.concatenate([batch.transpose(0, 2, 3, 1) for batch in planes], out=images)
        arrays += [images, np.concatenate(labels).astype(np.uint8)]
    where_train = str(first if packed else first.parent)
    return tuple(arrays), (where_train, where_train, places[test], places[test])


def _files(files: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Yield place, name and content of the batches' files."""
    for path in files:
        try:
            if (size := path.stat().st_size) > _LARGEST:
                raise DataError(
                    f"{path}: {size:,} bytes, a batch of CIFAR-10 has 31 million; {_REMEDY}"
                )
            yield str(path), path.name, path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None


class _Bounded:
    """An unpacked archive, of which no more is read than one of CIFAR-10 has.

    ``tarfile`` takes a long name or an extended header of any size into memory, and seeking in gzip
    unpacks what is passed over.
    """

    def __init__(self, unzipped: gzip.GzipFile) -> None:
        self._unzipped, self.tell = unzipped, unzipped.tell
        self.most = _LARGEST_HEADER

    def read(self, size: int) -> bytes:
        if size > self.most:
            raise ValueError(f"{size:,} bytes at once")
        return self._unzipped.read(size)

    def seek(self, position: int) -> int:
        if position > _LARGEST_ARCHIVE:
            raise ValueError(f"more than {_LARGEST_ARCHIVE:,} bytes unpacked")
        return self._unzipped.seek(position)


def _members(path: Path, version: _Version) -> Iterator[tuple[str, str, bytes]]:
    """Yield place, name and content of the version's files in the archive, in its order."""
    try:
        with gzip.open(path) as unzipped:
            bounded: Any = _Bounded(unzipped)
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                for member in archive:
                    folder, _, name = member.name.removeprefix("./").rpartition("/")
                    file = archive.extractfile(member) if member.isreg() else None
                    if folder == version.folder and name in version.files and file:
                        bounded.most = _LARGEST
                        yield f"{path}, {name}", name, file.read()
                        bounded.most = _LARGEST_HEADER
            while unzipped.tell() < _LARGEST_ARCHIVE and unzipped.read(2**20):
                pass  # to the end, where gzip compares its checksum
    except DataError:
        raise
    except Exception as error:  # gzip's, zlib's and tarfile's have no common base
        raise DataError(f"{path}: damaged archive ({one_line(error)}); {_REMEDY}") from None


def _expected(entry: CatalogEntry) -> str:
    archives = " or ".join(version.archive for version in _VERSIONS)
    return f"data_batch_1 to data_batch_5 and test_batch, the same with .bin, or {archives}"


LAYOUT = Layout("CIFAR-10 batches", _look, _read, _expected)
