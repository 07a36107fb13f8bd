"""Where a dataset may come from: each source is tried in turn, and says why it did not serve."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerascw.data.catalog import CatalogEntry
from kerascw.data.idx import find_idx, read_idx
from kerascw.errors import CallError, DataError

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Train images, train labels, test images, test labels: uint8 as decoded."""

FILES = {  # the names that MNIST's authors gave, shared by its kin
    "train images": ("train-images-idx3-ubyte", 3),
    "train labels": ("train-labels-idx1-ubyte", 1),
    "test images": ("t10k-images-idx3-ubyte", 3),
    "test labels": ("t10k-labels-idx1-ubyte", 1),
}

ENVIRONMENT_VARIABLE = "KERASCW_DATA_DIR"


class NotHere(Exception):
    """This source does not have the dataset; the text says what was looked for."""


def read_folder(folder: Path, entry: CatalogEntry) -> Arrays:
    """Read and check the four IDX files of one folder.

    Raises
    ------
    NotHere
        None of the four is there.
    DataError
        Some are there but not all, or one is damaged, or they do not fit together.
    """
    paths = {role: find_idx(folder, name) for role, (name, _) in FILES.items()}
    if not any(paths.values()):
        raise NotHere(f"{folder}: no IDX files there")
    arrays = {}
    for role, (name, dimensions) in FILES.items():
        path = paths[role]
        if path is None:
            raise DataError(f"{folder}: {name}[.gz] is missing, the other IDX files are there")
        arrays[role] = read_idx(path, dimensions)
    for part in ("train", "test"):
        images, labels = arrays[f"{part} images"], arrays[f"{part} labels"]
        where = paths[f"{part} labels"]
        if images.shape[1:] != entry.shape[:2]:
            raise DataError(
                f"{paths[f'{part} images']}: pictures of {images.shape[1:]}, "
                f"{entry.title} has {entry.shape[:2]}"
            )
        if len(images) != len(labels):
            raise DataError(f"{where}: {len(labels):,} labels for {len(images):,} images")
        if not len(images):
            raise DataError(f"{where}: no examples")
        if labels.max() >= len(entry.class_names):
            at = int(np.argmax(labels >= len(entry.class_names)))
            raise DataError(
                f"{where}: label {labels[at]} at position {at:,}, "
                f"expected 0 to {len(entry.class_names) - 1}"
            )
    return (
        arrays["train images"][..., None],
        arrays["train labels"],
        arrays["test images"][..., None],
        arrays["test labels"],
    )


def _from_directory(directory: Path, entry: CatalogEntry) -> tuple[Arrays, Path]:
    """Look in the dataset's own folder of a data directory, then in the directory itself."""
    for folder in (*(directory / name for name in entry.folders), directory):
        try:
            return read_folder(folder, entry), folder
        except NotHere:
            continue
    raise NotHere(f"{directory}: no IDX files there, nor in its folder {entry.folders[0]}")


def _from_tfds(entry: CatalogEntry) -> tuple[Arrays, Path]:
    """Read TFDS' copy, downloaded at the first call.

    TFDS stores examples in an order of its own, so `the first 5,000` are other pictures than
    those of the IDX files; the fingerprint differs accordingly.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    try:
        tfds.display_progress_bar(False)
        builder = tfds.builder(entry.tfds)
        builder.download_and_prepare()
        parts = tfds.as_numpy(builder.as_dataset(batch_size=-1, shuffle_files=False))
    except Exception as error:  # TFDS lets whatever its HTTP and file layers raise through
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise NotHere(f"TFDS {entry.tfds}: {type(error).__name__}: {reason:.120}") from error
    train, test = parts["train"], parts["test"]
    arrays = (train["image"], train["label"], test["image"], test["label"])
    images, labels, test_images, test_labels = (array.astype(np.uint8) for array in arrays)
    return (images, labels, test_images, test_labels), Path(builder.data_dir)


def find(
    entry: CatalogEntry, data_dir: str | Path | None = None, sample: bool = False
) -> tuple[Arrays, str, str]:
    """Return the arrays of the first source that has the dataset, its kind and its place.

    ``data_dir`` wins over the environment variable ``KERASCW_DATA_DIR``; a ``data_dir`` that
    does not have the dataset is an error, since its user means that copy and no other.

    Raises
    ------
    CallError
        ``data_dir`` is no folder, or a sample is asked of a dataset that has none.
    DataError
        A source is damaged, or none has the dataset: what was tried, and the remedies.
    """
    if sample:
        if entry.sample is None:
            raise CallError(f"--sample: no sample of {entry.title} is bundled")
        return read_folder(entry.sample, entry), "sample", entry.sample.name
    if data_dir is not None:
        if not Path(data_dir).is_dir():
            raise CallError(f"--data-dir: {data_dir} is not a folder")
        try:
            arrays, folder = _from_directory(Path(data_dir), entry)
        except NotHere as reason:
            raise DataError(
                f"{entry.title} not found in --data-dir {reason}; expected "
                f"{', '.join(name for name, _ in FILES.values())}, gzipped or not"
            ) from None
        return arrays, "directory", str(folder)
    tried = []
    for kind, look in _sources(entry):
        try:
            arrays, folder = look()
            return arrays, kind, str(folder)
        except NotHere as reason:
            tried.append(str(reason))
    remedies = [f"--data-dir DIR with its IDX files (or {ENVIRONMENT_VARIABLE})"]
    if entry.package:
        remedies.append(f"'apt-get install {entry.package}'")
    remedies.append("a network, for TFDS to download it")
    if entry.sample:
        remedies.append("--sample for the bundled sample")
    raise DataError(f"{entry.title} not found. Tried {'; '.join(tried)}. Any of these helps: "
                    f"{'; '.join(remedies)}")  # fmt: skip


def _sources(
    entry: CatalogEntry,
) -> list[tuple[str, Callable[[], tuple[Arrays, Path]]]]:
    sources: list[tuple[str, Callable[[], tuple[Arrays, Path]]]] = []
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        sources.append(("directory", lambda: _from_directory(Path(named), entry)))
    system = entry.system
    if system:
        sources.append(("system package", lambda: (read_folder(system, entry), system)))
    sources.append(("tfds", lambda: _from_tfds(entry)))
    return sources
