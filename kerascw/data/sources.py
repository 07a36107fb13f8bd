"""Where a dataset may come from: each source is tried in turn, and says why it did not serve."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascw.data import cifar10, idx, svhn
from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Dataset, Part
from kerascw.data.layout import Layout
from kerascw.data.layout import NotFoundError as NotFoundError  # for those who ask a source
from kerascw.data.tfds import prepared_by_tfds, read_catalogued
from kerascw.errors import CallError, DataError, choices, option

ENVIRONMENT_VARIABLE = "KERASCW_DATA_DIR"

LAYOUTS: dict[str | None, Layout] = {
    "idx": idx.LAYOUT,
    "cifar10": cifar10.LAYOUT,
    "svhn": svhn.LAYOUT,
}
"""How a dataset's files may be laid out in a folder, by :attr:`CatalogEntry.layout`."""


# --- one folder -----------------------------------------------------------------------------


def _read_folder(kind: str, folder: Path, entry: CatalogEntry) -> Dataset:
    """Read and check the dataset's files of one folder; a file whose MD5 is known must have it.

    Raises DataError: one of them is missing, damaged or altered, or they do not fit together.
    """
    layout = LAYOUTS[entry.layout]
    files, missing = layout.look(folder, entry)
    if missing:
        raise DataError(
            f"{folder}: {missing[0]} is missing, other {layout.title} are there; put it beside them"
        )
    stated = [path for path in files if path.name in entry.md5]
    try:
        for path in stated:
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
            if md5 != entry.md5[path.name]:
                raise DataError(
                    f"{path}: not the file that was published, by its MD5; fetch the file again"
                )
        parts = layout.read(files, entry)
    except OSError as error:
        where = error.filename or folder
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    return Dataset(entry, *parts, kind, str(folder), official_files=True if stated else None)


def _data_directory(data_dir: str | Path | None) -> Path | None:
    """Return the directory that is asked for, or else the one that the environment names."""
    if data_dir is None:
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        return Path(os.path.expanduser(named)) if named else None
    directory = Path(os.path.expanduser(data_dir))  # Path.expanduser raises on ~nobody
    if not os.path.isdir(directory):
        raise CallError(f"{option('data_dir')}: {data_dir} is not a folder")
    return directory


def _copies(
    entry: CatalogEntry, data_dir: str | Path | None
) -> Iterator[tuple[str, Path, list[str]]]:
    """Yield kind and folder of every copy of the files, and the names of those that it lacks.

    In a data directory they are in one of the dataset's own folders, or in itself.
    """
    places, directory = [], _data_directory(data_dir)
    if directory:
        places = [("directory", directory / name) for name in (*entry.folders, "")]
    if entry.system and data_dir is None:
        places.append(("system package", entry.system))
    for kind, folder in places:
        files, missing = LAYOUTS[entry.layout].look(folder, entry)
        if files:
            yield kind, folder, missing


def _from_scikit_learn(entry: CatalogEntry) -> Dataset:
    """Read the digits that scikit-learn brings: the last 447 are the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[..., None] * entry.raw_unit).astype(np.uint8)
    labels, n = digits.target.astype(np.int32), entry.counts[0]
    train, test = Part(images[:n], labels[:n]), Part(images[n:], labels[n:])
    return Dataset(entry, train, test, "scikit-learn", "load_digits")


# --- all sources ----------------------------------------------------------------------------


def find(entry: CatalogEntry, data_dir: str | Path | None = None, sample: bool = False) -> Dataset:
    """Read the dataset from the first source that has it.

    ``data_dir`` wins over the environment variable ``KERASCW_DATA_DIR``; a ``data_dir`` that
    does not have the dataset is an error, since its user means that copy and no other.

    Raises CallError: ``data_dir`` is no folder, or a sample is asked of a dataset that has none;
    NotFoundError: no source has the dataset: what was tried, and the remedies; DataError: a source
    is damaged.
    """
    if sample:
        if entry.sample is None:
            raise CallError(f"{option('sample', True)}: no sample of {entry.title} is bundled")
        return replace(_read_folder("sample", entry.sample, entry), location=entry.sample.name)
    if entry.layout is None:
        return _from_scikit_learn(entry)
    for kind, folder, _ in _copies(entry, data_dir):
        return _read_folder(kind, folder, entry)
    tried: list[str] = []
    layout, directory = LAYOUTS[entry.layout], _data_directory(data_dir)
    if directory:
        without = f"no {layout.title} there, nor in its {choices(entry.folders)}"
        tried.append(f"{directory}: {without if os.path.isdir(directory) else 'not a folder'}")
    if data_dir is not None:
        raise NotFoundError(
            f"{entry.title} not found in {option('data_dir')} {tried[0]}; expected "
            f"{layout.expected(entry)}"
        )
    if entry.system:
        tried.append(f"{entry.system}: no {layout.title} there")
    if entry.tfds:
        try:
            return read_catalogued(entry)
        except NotFoundError as reason:
            tried.append(str(reason))
    raise NotFoundError(
        f"{entry.title} not found. Tried {'; '.join(tried)}. Any of these helps: {remedies(entry)}"
    )


def remedies(entry: CatalogEntry) -> str:
    """Say in one line what helps where the dataset was not found."""
    title = LAYOUTS[entry.layout].title
    known = [f"{option('data_dir')} with its {title} (or {ENVIRONMENT_VARIABLE})"]
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
    A folder that lacks some of its files says so. The bundled sample comes last.

    Raises CallError: ``data_dir`` is no folder.
    """
    if entry.layout is None:
        return [("scikit-learn", "sklearn.datasets.load_digits")]
    copies = []
    for kind, folder, missing in _copies(entry, data_dir):
        note = f" (incomplete: no {', '.join(missing)})" if missing else ""
        copies.append((kind, f"{folder}{note}"))
    prepared = prepared_by_tfds(entry.tfds) if entry.tfds and data_dir is None else None
    if prepared:
        copies.append(("tfds", str(prepared)))
    if entry.sample:
        copies.append(("sample", entry.sample.name))
    return copies
