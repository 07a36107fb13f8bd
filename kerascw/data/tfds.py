"""Datasets of TensorFlow Datasets: the catalogue's, and any other with an image and a label.

A dataset is read from where TFDS prepared it, or downloaded by TFDS if its server answers.
"""

import io
import logging
import os
import re
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data.arrays import fitted_all
from kerascw.data.catalogue import CatalogEntry
from kerascw.data.dataset import Dataset, Part
from kerascw.data.image_files import Fit
from kerascw.data.layout import NotFoundError, one_line, part_of, room_for
from kerascw.data.own import Options, own_dataset
from kerascw.errors import CallError, DataError, KerascwError, printable
from kerascw.experiment.spec import Folder
from kerascw.quiet import import_tensorflow

PREFIX = "tfds:"
"""What stands before the name of a TFDS dataset, with ``/CONFIG`` after it where it has several."""

_PATIENCE = 5.0
"""Seconds that TFDS' server may take to answer. TFDS 4.9.10 itself asks ten times over, without
a timeout: with no network it ended after 205 s and left empty folders behind."""

_BATCH = 1000  # images that are in memory twice while a dataset is read


def prepared_by_tfds(name: str) -> Path | None:
    """Find the newest version that TFDS has prepared here, without importing TFDS.

    TFDS renames a folder to its version when it is whole; ``incomplete.*`` are passed over.
    """
    whole = [
        file.parent
        for file in (_tfds_root() / name).glob("*/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name)
        and os.path.isfile(file.with_name("features.json"))
    ]
    return max(whole, key=lambda f: [int(part) for part in f.name.split(".")], default=None)


def _tfds_root() -> Path:
    """Return the folder that TFDS keeps its datasets in (read at every call, as TFDS does not)."""
    return Path(os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"))


def _download_by_tfds(name: str, title: str) -> Path:
    """Have TFDS download and prepare the dataset; return its folder, or raise NotFoundError."""
    import tensorflow_datasets as tfds
    from filelock import FileLock

    try:
        tfds.display_progress_bar(False)
        root = _tfds_root()
        builder = tfds.builder(name, data_dir=root)
        urls = builder.url_infos
        complaint = _unreachable(next(iter(urls))) if urls else None
        if complaint:
            raise NotFoundError(f"TFDS {name}: not in {root}, and {complaint}")
        size = sum(info.size for info in urls.values()) / 1e6
        print(f"{title}: TFDS downloads {size:.0f} MB into {root}", file=sys.stderr)
        import_tensorflow()
        root.mkdir(parents=True, exist_ok=True)
        file_name = name.replace("/", "-")
        with FileLock(root / f".{file_name}.lock"):  # runs that start together: one downloads
            downloads = root / "downloads" / file_name
            before = set(downloads.glob("*.tmp.*"))
            try:
                builder.download_and_prepare()
            finally:  # what a failed download leaves is never taken up again
                end = time.monotonic() + _PATIENCE
                # other files' threads may write still
                while (left := {*downloads.glob("*.tmp.*")} - before) and time.monotonic() < end:
                    for folder in left:
                        shutil.rmtree(folder, ignore_errors=True)
    except NotFoundError:
        raise
    except Exception as error:  # TFDS lets whatever its HTTP and file layers raise through
        raise NotFoundError(f"TFDS {name}: {one_line(error)}") from error
    return Path(builder.data_dir)


def _unreachable(url: str) -> str | None:
    """Return why the server of ``url`` cannot be used; None: it can."""
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


@contextmanager
def _opened(name: str, title: str) -> Iterator[tuple[Any, Path]]:
    """Yield TFDS' builder of a dataset, downloaded if need be, and its folder.

    Meanwhile TFDS' notices, some printed and some logged by it and urllib3, are kept from the
    terminal, and what it raises on a damaged copy is one line.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            folder = prepared_by_tfds(name) or _download_by_tfds(name, title)
            import_tensorflow()
            import tensorflow_datasets as tfds

            try:
                yield tfds.builder_from_directory(folder), folder
            except KerascwError:
                raise
            except Exception as error:  # TensorFlow's, TFDS' and protobuf's have no common base
                raise DataError(
                    f"{folder}: TFDS cannot read it ({one_line(error)}); delete the folder, "
                    "and TFDS makes it again"
                ) from None
    finally:
        logging.disable(before)


def _read(
    builder: Any,
    parts: tuple[str, ...],
    keys: tuple[str, str],
    shape: tuple[int, int, int],
    fit: Fit = "pad",
) -> tuple[np.ndarray, np.ndarray]:
    """Read images uint8 ``[n, *shape]`` and labels int64 ``[n]`` of TFDS' splits in turn.

    TFDS' own sum of splits would mix them.
    """
    import tensorflow_datasets as tfds

    once = tfds.ReadConfig(try_autocache=False)  # or up to 250 MB are kept for a second pass
    once.options.autotune.enabled = False  # see kerascw.data.pipeline.without_autotuning
    image, label = keys
    one_size = None not in builder.info.features[image].shape
    count, where = sum(builder.info.splits[p].num_examples for p in parts), str(builder.data_dir)
    images, labels = room_for(count, shape, where), np.empty(count, np.int64)
    end = 0
    for part in parts:
        batches = builder.as_dataset(
            split=part, batch_size=_BATCH if one_size else None, read_config=once
        )  # which raises where a file has lost examples
        for batch in tfds.as_numpy(batches):
            found = batch[image] if one_size else batch[image][None]
            here = slice(end, end + len(found))
            images[here] = fitted_all(found, shape, fit, where)
            labels[here] = batch[label]
            end = here.stop
    return images, labels


def read_catalogued(entry: CatalogEntry) -> Dataset:
    """Read TFDS' copy of a catalogued dataset.

    Its order is not that of the published files, so "the first 5,000" are other images and the
    fingerprint is another.

    Raises NotFoundError: it is not prepared here and cannot be downloaded; DataError: the copy is
    damaged.
    """
    assert entry.tfds is not None, f"TFDS does not have {entry.name}"
    with _opened(entry.tfds, entry.title) as (builder, folder):
        shape, keys = builder.info.features["image"].shape, ("image", "label")
        train, test = (
            part_of(*_read(builder, of, keys, shape), entry, folder, folder)
            for of in (entry.tfds_train, ("test",))
        )
    return Dataset(entry, train, test, "tfds", str(folder))


# --- any dataset --------------------------------------------------------------------------------


@contextmanager
def _own(path: str) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Yield TFDS' builder of ``tfds:NAME`` and the names of its image and its label."""
    name = path.removeprefix(PREFIX).strip("/")
    if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)?", name):
        raise CallError(f"{printable(path)}: write {PREFIX}NAME or {PREFIX}NAME/CONFIG")
    try:
        with _opened(name, path) as (builder, _):
            yield builder, _keys(path, builder.info.features)
    except NotFoundError as reason:
        raise NotFoundError(f"{path}: not found. Tried {reason}") from None


def _keys(path: str, features: Any) -> tuple[str, str]:
    """Find the one image and the one label among the features."""
    import tensorflow_datasets as tfds

    keys = []
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    named = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    for kind, own in kinds.items():
        found = [name for name, feature in named.items() if isinstance(feature, own)]
        if kind not in found and len(found) != 1:
            raise DataError(
                f"{path}: {len(found)} features of kind {kind} (it has "
                f"{', '.join(named):.150}); expected one image with one label"
            )
        keys.append(kind if kind in found else found[0])
    image, label = keys
    if features[image].np_dtype != np.uint8:
        raise DataError(f"{path}: images of {features[image].np_dtype}; expected uint8")
    return image, label


def describe_tfds(name: str, options: Options) -> Folder:
    """Describe ``tfds:NAME`` or ``tfds:NAME/CONFIG`` as a spec; it is downloaded if need be.

    Raises NotFoundError: it is not prepared here and cannot be downloaded; DataError: it has no
    image with a label.
    """
    with _own(name) as (builder, (image, _)):
        height, width, channels = builder.info.features[image].shape
    sizes = {(height, width)} if height and width else set()
    return options.spec(name, sizes, has_colour=channels != 1)


def load_tfds(spec: Folder) -> Dataset:
    """Load a TFDS dataset: its splits train, test and validation, as far as they have labels."""
    shape = (spec.height, spec.width, 3 if spec.colour else 1)
    read: dict[str, Part] = {}
    with _own(spec.path) as (builder, keys):
        info = builder.info
        for split in ("train", "validation", "test"):
            if split in info.splits:
                images, labels = _read(builder, (split,), keys, shape, spec.fit)
                read[split] = Part(images, labels.astype(np.int32))
    # a label below 0 is how TFDS writes that it is not known
    parts = {name: part for name, part in read.items() if (part.labels >= 0).all()}
    if "train" not in parts:
        there = ", ".join(info.splits) or "none"
        raise DataError(f"{spec.path}: no labelled split train (it has {there})")
    left_out = tuple(
        f"{name} (it has examples without a label)" for name in read if name not in parts
    )
    if left_out:
        warnings.warn(f"{spec.path}: left out: {', '.join(left_out)}", stacklevel=2)
    return own_dataset(
        spec,
        parts,
        source="tfds",
        class_names=[printable(label) for label in info.features[keys[1]].names],
        left_out=left_out,
    )
