"""Where a dataset may come from: each source is tried in turn, and says why it did not serve."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kerascw.data import cifar10, idx, svhn
from kerascw.data.catalogue import CatalogEntry
from kerascw.data.layout import Arrays, Layout, NotHere, checked
from kerascw.data.layout import NotFoundError as NotFoundError  # for those who ask a source
from kerascw.data.tfds import prepared_by_tfds, read_catalogued
from kerascw.errors import CallError, DataError, choices, option

ENVIRONMENT_VARIABLE = "KERASCW_DATA_DIR"


@dataclass(frozen=True)
class Found:
    """A dataset's arrays, the kind of source that had them, and where."""

    arrays: Arrays
    source: str
    location: str
    official_files: bool | None = None  # by the MD5 of its files; None: not known


LAYOUTS: dict[str, Layout] = {
    "idx": idx.LAYOUT,
    "cifar10": cifar10.LAYOUT,
    "svhn": svhn.LAYOUT,
}
"""How a dataset's files may be laid out in a folder, by :attr:`CatalogEntry.layout`."""


def _layout(entry: CatalogEntry) -> Layout:
    assert entry.layout is not None, f"{entry.name} has no files"
    return LAYOUTS[entry.layout]


def read_folder(folder: Path, entry: CatalogEntry) -> tuple[Arrays, bool | None]:
    """Read and check the dataset's files of one folder, and compare their MD5 where it is known.

    Raises
    ------
    NotHere
        None of them is there.
    DataError
        Some are there but not all, or one is damaged, or they do not fit together.
    """
    layout = _layout(entry)
    files, missing = layout.look(folder, entry)
    if not files:
        raise NotHere(f"{folder}: no {layout.title} there")
    if missing:
        raise DataError(
            f"{folder}: {missing[0]} is missing, other {layout.title} are there; put it beside them"
        )
    arrays, places = layout.read(files, entry)
    return checked(arrays, places, entry), official_files(files, entry)


def official_files(files: Sequence[Path], entry: CatalogEntry) -> bool | None:
    """Compare the files with the MD5 stated for their names; None: none is stated."""
    stated = {path: entry.md5[path.name] for path in files if path.name in entry.md5}
    if not stated:
        return None
    for path, digest in stated.items():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != digest:
                return False
    return True


def _folders(directory: Path, entry: CatalogEntry) -> list[Path]:
    """List where in a data directory the dataset may be: its own folders, then itself."""
    return [*(directory / name for name in entry.folders), directory]


def _from_directory(directory: Path, entry: CatalogEntry) -> Found:
    if not os.path.isdir(directory):
        raise NotHere(f"{directory}: not a folder")
    for folder in _folders(directory, entry):
        try:
            return _from_folder("directory", folder, entry)
        except NotHere:
            continue
    title = _layout(entry).title
    raise NotHere(f"{directory}: no {title} there, nor in its {choices(entry.folders)}")


def _from_folder(source: str, folder: Path, entry: CatalogEntry) -> Found:
    arrays, official = read_folder(folder, entry)
    return Found(arrays, source, str(folder), official)


def _from_tfds(entry: CatalogEntry) -> Found:
    arrays, folder = read_catalogued(entry)
    return Found(arrays, "tfds", str(folder))


def _from_scikit_learn(entry: CatalogEntry) -> Found:
    """Read the digits that scikit-learn brings: the last 447 are the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[..., None] * entry.raw_unit).astype(np.uint8)
    labels, n = digits.target.astype(np.uint8), entry.counts[0]
    arrays = (images[:n], labels[:n], images[n:], labels[n:])
    return Found(arrays, "scikit-learn", "load_digits")


# --- all sources ----------------------------------------------------------------------------


def find(entry: CatalogEntry, data_dir: str | Path | None = None, sample: bool = False) -> Found:
    """Read the dataset from the first source that has it.

    ``data_dir`` wins over the environment variable ``KERASCW_DATA_DIR``; a ``data_dir`` that
    does not have the dataset is an error, since its user means that copy and no other.

    Raises
    ------
    CallError
        ``data_dir`` is no folder, or a sample is asked of a dataset that has none.
    NotFoundError
        No source has the dataset: what was tried, and the remedies.
    DataError
        A source is damaged.
    """
    if sample:
        if entry.sample is None:
            raise CallError(f"{option('sample', True)}: no sample of {entry.title} is bundled")
        return Found(read_folder(entry.sample, entry)[0], "sample", entry.sample.name)
    if entry.layout is None:
        return _from_scikit_learn(entry)
    if data_dir is not None:
        directory = _data_directory(data_dir)
        try:
            return _from_directory(directory, entry)
        except NotHere as reason:
            raise NotFoundError(
                f"{entry.title} not found in {option('data_dir')} {reason}; expected "
                f"{_layout(entry).expected(entry)}"
            ) from None
    tried = []
    for look in _sources(entry):
        try:
            return look()
        except NotHere as reason:
            tried.append(str(reason))
    raise NotFoundError(
        f"{entry.title} not found. Tried {'; '.join(tried)}. Any of these helps: {remedies(entry)}"
    )


def _data_directory(data_dir: str | Path) -> Path:
    directory = Path(os.path.expanduser(data_dir))  # Path.expanduser raises on ~nobody
    if not os.path.isdir(directory):
        raise CallError(f"{option('data_dir')}: {data_dir} is not a folder")
    return directory


def remedies(entry: CatalogEntry) -> str:
    """Say in one line what helps where the dataset was not found."""
    if entry.layout is None:
        return "none is needed, scikit-learn has it"
    known = [f"{option('data_dir')} with its {_layout(entry).title} (or {ENVIRONMENT_VARIABLE})"]
    if entry.package:
        known.append(f"'apt-get install {entry.package}'")
    if entry.tfds:
        known.append("a network, for TFDS to download it")
    if entry.sample:
        known.append(f"{option('sample', True)} for the bundled sample")
    return "; ".join(known)


def locate(entry: CatalogEntry, data_dir: str | Path | None = None) -> list[tuple[str, str]]:
    """List kind and place of every copy here, in the order in which :func:`find` takes them.

    Looks at names of files only: nothing is decoded or downloaded, and TFDS is not imported.
    A folder that lacks some of its four files says so. The bundled sample comes last.

    Raises
    ------
    CallError
        ``data_dir`` is no folder.
    """
    if entry.layout is None:
        return [("scikit-learn", "sklearn.datasets.load_digits")]
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    folders = []
    if data_dir is not None:
        folders += [("directory", f) for f in _folders(_data_directory(data_dir), entry)]
    elif named:
        folders += [("directory", f) for f in _folders(Path(os.path.expanduser(named)), entry)]
    if entry.system and data_dir is None:
        folders.append(("system package", entry.system))
    copies = []
    for kind, folder in folders:
        files, absent = _layout(entry).look(folder, entry)
        if files:
            note = f" (incomplete: no {', '.join(absent)})" if absent else ""
            copies.append((kind, f"{folder}{note}"))
    prepared = prepared_by_tfds(entry.tfds) if entry.tfds and data_dir is None else None
    if prepared:
        copies.append(("tfds", str(prepared)))
    if entry.sample:
        copies.append(("sample", entry.sample.name))
    return copies


def _sources(entry: CatalogEntry) -> list[Callable[[], Found]]:
    sources: list[Callable[[], Found]] = []
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        sources.append(partial(_from_directory, Path(os.path.expanduser(named)), entry))
    if entry.system:
        sources.append(partial(_from_folder, "system package", entry.system, entry))
    if entry.tfds:
        sources.append(partial(_from_tfds, entry))
    return sources
