"""Where a dataset may come from: each source is tried in turn, and says why it did not serve."""

import hashlib
import io
import logging
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import cifar10, idx, svhn
from kerascw.data.catalog import CatalogEntry
from kerascw.data.layout import ROLES, Layout, check_labels
from kerascw.errors import CallError, DataError, choices
from kerascw.quiet import import_tensorflow

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Train images, train labels, test images, test labels: uint8 as decoded."""

ENVIRONMENT_VARIABLE = "KERASCW_DATA_DIR"


class NotHere(Exception):
    """This source does not have the dataset; the text says what was looked for."""


class NotFoundError(DataError):
    """No source has the dataset. A damaged copy is a plain :class:`DataError`: it was found."""


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
    return _checked(arrays, places, entry), official_files(files, entry)


def official_files(files: Sequence[Path], entry: CatalogEntry) -> bool | None:
    """Return whether the files have the MD5 stated for their names; None: none is stated."""
    stated = {path: entry.md5[path.name] for path in files if path.name in entry.md5}
    if not stated:
        return None
    for path, digest in stated.items():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != digest:
                return False
    return True


def _checked(arrays: dict[str, np.ndarray], places: dict[str, str], entry: CatalogEntry) -> Arrays:
    """Return the arrays if they fit together and the entry; both dicts have the keys of ROLES."""
    for part in ("train", "test"):
        images, labels = arrays[f"{part} images"], arrays[f"{part} labels"]
        where = places[f"{part} labels"]
        if images.shape[1:] != entry.shape:
            raise DataError(
                f"{places[f'{part} images']}: pictures of {_size(images.shape[1:])}, expected "
                f"{_size(entry.shape)} for {entry.title}; this is another dataset's file"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{where}: {len(labels):,} labels for {len(images):,} images; "
                "fetch both files again"
            )
        if not len(images):
            raise DataError(f"{where}: no examples; fetch the file again")
        check_labels(labels, where, entry)
    train_images, train_labels, test_images, test_labels = (arrays[role] for role in ROLES)
    return train_images, train_labels, test_images, test_labels


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _folders(directory: Path, entry: CatalogEntry) -> list[Path]:
    """Return where in a data directory the dataset may be: its own folders, then itself."""
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


def _from_scikit_learn(entry: CatalogEntry) -> Found:
    """Return the digits as scikit-learn ships them: the last 447 are the test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[..., None] * entry.raw_unit).astype(np.uint8)
    labels, n = digits.target.astype(np.uint8), entry.counts[0]
    arrays = (images[:n], labels[:n], images[n:], labels[n:])
    return Found(arrays, "scikit-learn", "load_digits")


# --- TFDS -----------------------------------------------------------------------------------

_PATIENCE = 5.0
"""Seconds that TFDS' server may take to answer. TFDS 4.9.10 itself asks ten times over, without
a timeout: with no network it ended after 205 s and left empty folders behind."""


def _tfds_root() -> Path:
    """Return the folder that TFDS keeps its datasets in (read at every call, as TFDS does not)."""
    root = os.environ.get("TFDS_DATA_DIR")
    return (Path(root) if root else Path("~/tensorflow_datasets")).expanduser()


def prepared_by_tfds(entry: CatalogEntry) -> Path | None:
    """Return the folder of the newest version that TFDS has prepared here, without importing it.

    TFDS renames a folder to its version when it is whole; ``incomplete.*`` are passed over.
    """
    if entry.tfds is None:
        return None
    try:
        folders = list((_tfds_root() / entry.tfds).iterdir())
    except OSError:
        return None
    whole = [
        folder
        for folder in folders
        if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)
        and all(os.path.isfile(folder / name) for name in ("dataset_info.json", "features.json"))
    ]
    return max(whole, key=lambda f: [int(part) for part in f.name.split(".")], default=None)


def _from_tfds(entry: CatalogEntry) -> Found:
    """Read TFDS' copy, downloaded at the first call if its server answers.

    TFDS stores examples in an order of its own (the same at every reading), so `the first
    5,000` are other pictures than those of the IDX files; the fingerprint differs accordingly.
    """
    with _quiet():
        folder = prepared_by_tfds(entry) or _download_by_tfds(entry)
        return Found(_read_tfds(folder, entry), "tfds", str(folder))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS' notices, some printed and some logged by it and urllib3, from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _download_by_tfds(entry: CatalogEntry) -> Path:
    """Have TFDS download and prepare the dataset; return its folder, or raise NotHere."""
    import tensorflow_datasets as tfds
    from filelock import FileLock

    assert entry.tfds is not None, f"TFDS does not have {entry.name}"
    try:
        tfds.display_progress_bar(False)
        root = _tfds_root()
        builder = tfds.builder(entry.tfds, data_dir=root)
        first_url, *_ = builder.url_infos
        complaint = _unreachable(first_url)
        if complaint:
            raise NotHere(f"TFDS {entry.tfds}: not in {root}, and {complaint}")
        size = sum(info.size for info in builder.url_infos.values()) / 1e6
        print(f"{entry.title}: TFDS downloads {size:.0f} MB into {root}", file=sys.stderr)
        import_tensorflow()
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{entry.tfds}.lock"):  # runs that start together: one downloads
            downloads = root / "downloads" / entry.tfds
            before = set(downloads.glob("*.tmp.*"))
            try:
                builder.download_and_prepare()
            finally:  # what a failed download leaves is never taken up again
                for folder in set(downloads.glob("*.tmp.*")) - before:
                    shutil.rmtree(folder, ignore_errors=True)
    except NotHere:
        raise
    except Exception as error:  # TFDS lets whatever its HTTP and file layers raise through
        raise NotHere(f"TFDS {entry.tfds}: {_one_line(error)}") from error
    return Path(builder.data_dir)


def _unreachable(url: str) -> str | None:
    """Return why the server of ``url`` cannot be used, or None where it answers well."""
    import requests  # what TFDS downloads with: the same proxies and certificates

    server = url.split("/")[2]
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            with requests.get(url, stream=True, timeout=_PATIENCE) as answer:  # headers only
                code = answer.status_code
                outcome.append(None if answer.ok else f"{server} answered {code} {answer.reason}")
        except (OSError, ValueError) as error:  # requests' own are OSErrors
            outcome.append(f"{server} cannot be reached ({type(error).__name__})")

    # in a thread of its own, for requests' timeout does not cover the name's resolution
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return outcome[0] if outcome else f"{server} did not answer within {_PATIENCE:.0f} s"


def _read_tfds(folder: Path, entry: CatalogEntry) -> Arrays:
    """Read what TFDS prepared; raises DataError where the folder is damaged."""
    import_tensorflow()
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(folder)
        arrays = {}
        for part, own in (("train", entry.tfds_train), ("test", ("test",))):
            arrays[f"{part} images"], arrays[f"{part} labels"] = _read_tfds_parts(builder, own)
    except Exception as error:  # TensorFlow's, TFDS' and protobuf's have no common base
        raise DataError(
            f"{folder}: TFDS cannot read it ({_one_line(error)}); delete the folder, "
            "and TFDS makes it again"
        ) from None
    return _checked(arrays, {role: f"{folder}, {role}" for role in ROLES}, entry)


def _read_tfds_parts(builder: Any, parts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pictures and labels of TFDS' parts, one part's after the other's.

    Read by the thousand, so that they are in memory once. TFDS' own sum of parts mixes them.
    """
    import tensorflow_datasets as tfds

    once = tfds.ReadConfig(try_autocache=False)  # or up to 250 MB are kept for a second pass
    once.options.autotune.enabled = False  # see kerascw.data.pipeline.without_autotuning
    counts = [builder.info.splits[part].num_examples for part in parts]
    images = np.empty((sum(counts), *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(sum(counts), np.uint8)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        first = start
        batches = builder.as_dataset(
            split=part, batch_size=1000, shuffle_files=False, read_config=once
        )
        for batch in tfds.as_numpy(batches):
            here = slice(start, start + len(batch["label"]))
            images[here] = batch["image"]
            labels[here] = batch["label"]  # int64
            start = here.stop
        if start - first != count:
            raise ValueError(f"{start - first:,} examples in {part}, expected {count:,}")
    return images, labels


def _one_line(error: Exception) -> str:
    """Return an exception's type and the beginning of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]:.300}" if lines else type(error).__name__


# --- all sources ----------------------------------------------------------------------------


def find(entry: CatalogEntry, data_dir: str | Path | None = None, sample: bool = False) -> Found:
    """Return what the first source that has the dataset gives.

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
            raise CallError(f"--sample: no sample of {entry.title} is bundled")
        return Found(read_folder(entry.sample, entry)[0], "sample", entry.sample.name)
    if entry.layout is None:
        return _from_scikit_learn(entry)
    if data_dir is not None:
        directory = _data_directory(data_dir)
        try:
            return _from_directory(directory, entry)
        except NotHere as reason:
            raise NotFoundError(
                f"{entry.title} not found in --data-dir {reason}; expected "
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
    directory = Path(data_dir).expanduser()
    if not os.path.isdir(directory):
        raise CallError(f"--data-dir: {data_dir} is not a folder")
    return directory


def remedies(entry: CatalogEntry) -> str:
    """Return what helps where the dataset was not found, in one line."""
    if entry.layout is None:
        return "none is needed, scikit-learn has it"
    known = [f"--data-dir DIR with its {_layout(entry).title} (or {ENVIRONMENT_VARIABLE})"]
    if entry.package:
        known.append(f"'apt-get install {entry.package}'")
    if entry.tfds:
        known.append("a network, for TFDS to download it")
    if entry.sample:
        known.append("--sample for the bundled sample")
    return "; ".join(known)


def locate(entry: CatalogEntry, data_dir: str | Path | None = None) -> list[tuple[str, str]]:
    """Return kind and place of every copy here, the one that :func:`find` would take first.

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
        folders += [("directory", f) for f in _folders(Path(named).expanduser(), entry)]
    if entry.system and data_dir is None:
        folders.append(("system package", entry.system))
    copies = []
    for kind, folder in folders:
        files, absent = _layout(entry).look(folder, entry)
        if files:
            note = f" (incomplete: no {', '.join(absent)})" if absent else ""
            copies.append((kind, f"{folder}{note}"))
    prepared = prepared_by_tfds(entry) if data_dir is None else None
    if prepared:
        copies.append(("tfds", str(prepared)))
    if entry.sample:
        copies.append(("sample", entry.sample.name))
    return copies


def _sources(entry: CatalogEntry) -> list[Callable[[], Found]]:
    sources: list[Callable[[], Found]] = []
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        sources.append(partial(_from_directory, Path(named).expanduser(), entry))
    if entry.system:
        sources.append(partial(_from_folder, "system package", entry.system, entry))
    if entry.tfds:
        sources.append(partial(_from_tfds, entry))
    return sources
