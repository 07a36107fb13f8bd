"""Read CIFAR-10 as its authors publish it: pickled batches, binary batches, or either's archive.

The format is described at cs.toronto.edu/~kriz/cifar.html. A pickle may run code, and an archive
take any memory: :mod:`kerascw.data.sources` hands over only those with the MD5 that is known of
them. Nothing of an archive is unpacked to disk.
"""

import pickle
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Part
from kerascw.data.layout import Layout, check_labels, part_of, there_of
from kerascw.errors import DataError

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

_SIZE = 3 * 32 * 32  # bytes of an image: red, then green, then blue, each 32 rows of 32
_LARGEST = 2**26  # bytes of a batch that are read; those published have 31 million

Batch = tuple[np.ndarray, np.ndarray]
"""Images uint8 ``[n, 3, 32, 32]`` and whole-number labels ``[n]``."""


def _pickled(raw: bytes, where: str) -> Batch:
    batch = pickle.loads(raw, encoding="latin1")
    return batch["data"].reshape(-1, 3, 32, 32), np.array(batch["labels"])


def _binary(raw: bytes, where: str) -> Batch:
    """Read one batch of the binary version: rows of the label's byte and the image's."""
    if not raw or len(raw) % (1 + _SIZE):
        raise DataError(
            f"{where}: {len(raw):,} bytes, expected a multiple of {1 + _SIZE:,} "
            "(a label and 3 x 32 x 32 pixels an image); fetch the file again"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + _SIZE)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


class _Version(NamedTuple):
    """One of the two that are published: six files, or an archive with them in a folder."""

    files: tuple[str, ...]  # the test batch last
    archive: str
    read: Callable[[bytes, str], Batch]


_VERSIONS = (
    _Version(BATCHES, "cifar-10-python.tar.gz", _pickled),
    _Version(tuple(f"{name}.bin" for name in BATCHES), "cifar-10-binary.tar.gz", _binary),
)


def _look(folder: Path, entry: CatalogEntry) -> tuple[list[Path], list[str]]:
    for names in (*(v.files for v in _VERSIONS), *((v.archive,) for v in _VERSIONS)):
        there, missing = there_of(folder, names)
        if there:
            return there, missing
    return [], [*BATCHES]


def _read(files: Sequence[Path], entry: CatalogEntry) -> tuple[Part, Part]:
    first = files[0]
    (version,) = (v for v in _VERSIONS if first.name in (v.archive, v.files[0]))
    packed = first.name == version.archive
    batches = {}
    for where, name, raw in _members(first, version) if packed else _files(files):
        batches[name] = version.read(raw, where)
        check_labels(batches[name][1], where, entry)

    def joined(names: Sequence[str]) -> Part:
        planes, labels = zip(*(batches.pop(name) for name in names), strict=True)
        images = np.empty((sum(map(len, labels)), 32, 32, 3), np.uint8)
        np.concatenate([batch.transpose(0, 2, 3, 1) for batch in planes], out=images)
        place = first if packed else first.parent
        return part_of(images, np.concatenate(labels), entry, place, place)

    return joined(version.files[:-1]), joined(version.files[-1:])


def _files(files: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Yield place, name and content of the batches' files."""
    for path in files:
        with path.open("rb") as stream:
            yield str(path), path.name, stream.read(_LARGEST)


def _members(path: Path, version: _Version) -> Iterator[tuple[str, str, bytes]]:
    """Yield place, name and content of the version's files in the archive, in its order."""
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            file = archive.extractfile(member) if name in version.files else None
            if file is not None:
                yield f"{path}, {name}", name, file.read()


_EXPECTED = (
    "data_batch_1 to data_batch_5 and test_batch, the same with .bin, or "
    f"{' or '.join(version.archive for version in _VERSIONS)}"
)
LAYOUT = Layout("CIFAR-10 batches", _look, _read, lambda entry: _EXPECTED)
