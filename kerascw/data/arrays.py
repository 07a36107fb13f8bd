"""Arrays as a dataset: an .npz file, NumPy arrays in memory, or what a function returns.

``x_train`` and ``y_train``, and perhaps ``x_test`` and ``y_test``, ``x_val`` and ``y_val``, as
Keras' own datasets name them, and ``class_names``. Images are uint8 ``[n, h, w]`` or
``[n, h, w, 1 or 3]``, labels text or whole numbers. Without class names the labels are the names,
sorted; with them the classes are in their order: number 0 is the first, and a text is one of them.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data.cache import cache_folder, replacing
from kerascw.data.dataset import Dataset, Part
from kerascw.data.image_files import Fit, fitted, of_pixels, read_npz
from kerascw.data.layout import one_line, room_for
from kerascw.data.own import Options, own_dataset
from kerascw.errors import CallError, DataError, counted, printable
from kerascw.experiment.own_file import call_function, find_function, is_function, sha256_of
from kerascw.experiment.spec import Folder

LARGEST_FILE = 2**35
"""Bytes of an .npz file, unpacked, that are read."""

NAMES = {
    "train": ("x_train", "y_train"),
    "validation": ("x_val", "y_val"),
    "test": ("x_test", "y_test"),
}
"""What the images and the labels of each split are called."""

_EXPECTED = "expected x_train and y_train, with x_test and y_test where there is a test set"


def describe_arrays(path: str | Path, options: Options) -> Folder:
    """Describe an .npz file, or ``FILE.py:FUNCTION``, as a spec."""
    if is_function(str(path)):
        module, function = find_function(str(path), "data")
        file = f"{module}:{function}"
    else:
        file = os.path.abspath(os.path.expanduser(path))
        if not os.path.isfile(file):
            raise CallError(f"{printable(file)}: no such file")
    shapes = {part.shape for part in _read(file)[0].values()}
    sizes = {(height, width) for height, width, _ in shapes}
    return options.spec(file, sizes, has_colour=any(shape[2] == 3 for shape in shapes))


def load_arrays(spec: Folder) -> Dataset:
    """Load an .npz file, or call a function; a DataError names the array that will not do."""
    read, class_names = _read(spec.path)
    shape, where = (spec.height, spec.width, 3 if spec.colour else 1), printable(spec.path)
    parts = {
        name: Part(fitted_all(np.asarray(part.images), shape, spec.fit, where), part.labels)
        for name, part in read.items()
    }
    return own_dataset(spec, parts, source="arrays", class_names=class_names)


def fitted_all(
    images: np.ndarray, shape: tuple[int, int, int], fit: Fit, where: str = "images"
) -> np.ndarray:
    """Bring uint8 images ``[n, h, w, c]`` to ``shape``; those that have it are not copied.

    Raises DataError: there is no room for them; it begins with ``where``.
    """
    if images.shape[1:] == shape:
        return images
    made = room_for(len(images), shape, where)
    for at, pixels in enumerate(images):
        made[at] = fitted(of_pixels(pixels), shape, fit=fit)
    return made


def keep(data: tuple[Any, ...] | Mapping[str, Any]) -> Path:
    """Write arrays by their names, or two or four in a tuple, into the cache folder.

    Returns the .npz file, which is named by its content.
    """
    arrays = _named(data, "data")
    _checked(arrays, "data")
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    file = cache_folder() / "arrays" / f"arrays-{digest.hexdigest()[:16]}.npz"
    if file.is_file():
        return file
    try:
        with replacing(file) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror})") from None
    return file


def _named(data: tuple[Any, ...] | Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    if isinstance(data, tuple):
        if len(data) not in (2, 4):
            raise CallError(
                f"{where}: {len(data)} arrays; expected (x_train, y_train) or "
                "(x_train, y_train, x_test, y_test)"
            )
        data = dict(zip((*NAMES["train"], *NAMES["test"]), data, strict=False))
    arrays = {}
    for name, given in data.items():
        try:
            array = np.asarray(given)
        except ValueError:
            raise DataError(f"{where}: {printable(str(name))}: rows of different lengths") from None
        if array.dtype.kind in "OT" and all(isinstance(each, str) for each in array.flat):
            array = array.astype(str)  # pandas has text as objects, whose bytes are addresses
        arrays[str(name)] = array
    return arrays


@lru_cache(maxsize=2)  # to describe the arrays and to load them
def _returned(file: str, sha256: str) -> dict[str, np.ndarray]:
    """Call the function of a file whose text has this SHA-256."""
    given = call_function(file.rpartition(":")[0], file)
    if not isinstance(given, tuple | Mapping):
        raise DataError(
            f"{printable(file)}: returned {type(given).__name__}; expected (x_train, y_train), "
            "(x_train, y_train, x_test, y_test) or a dictionary of arrays by these names"
        )
    return _named(given, printable(file))


def _read(file: str) -> tuple[dict[str, Part], tuple[str, ...]]:
    where = printable(file)
    if is_function(file):
        return _checked(_returned(file, sha256_of(file.rpartition(":")[0])), where)
    try:
        arrays = read_npz(file, LARGEST_FILE)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # NumPy, zipfile and zlib raise anything on a damaged file
        raise DataError(f"{where}: no whole .npz file ({one_line(error)})") from None
    return _checked(arrays, where)


def _checked(
    arrays: Mapping[str, np.ndarray], where: str
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Check that the arrays are a dataset; return its splits and class names."""
    raw = {}
    arrays = {
        name: np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
        for name, array in arrays.items()
    }
    for part, (x, y) in NAMES.items():
        if x in arrays and y in arrays:
            raw[part] = _checked_pair(arrays[x], arrays[y], f"{where}: {x}", f"{where}: {y}")
        elif x in arrays or y in arrays:
            missing, other = (y, x) if x in arrays else (x, y)
            raise DataError(f"{where}: {other} without {missing}; {_EXPECTED}")
    if "train" not in raw:
        has = printable(", ".join(arrays)) or "no arrays of numbers or text"
        raise DataError(f"{where}: it has {has:.150}; {_EXPECTED}")
    known = names = np.unique(raw["train"][1]).tolist()
    if len(known) < 2:
        raise DataError(
            f"{where}: {counted(len(known), 'class', 'classes')} among its training images; "
            "expected 2 or more"
        )
    if "class_names" in arrays:
        names = [str(name) for name in arrays["class_names"].ravel().tolist()]
        known = names if isinstance(known[0], str) else [*range(len(names))]
        twice = next((name for name, times in Counter(names).items() if times > 1), None)
        if twice is not None:
            raise DataError(f"{where}: class_names: two classes are named {printable(twice)}")
    numbers = {label: number for number, label in enumerate(known)}
    parts = {}
    for part, (images, labels) in raw.items():
        found = np.array([numbers.get(label, -1) for label in labels.tolist()], np.int32)
        unknown = found < 0
        if unknown.any():
            position = int(unknown.argmax())
            raise DataError(
                f"{where}: {NAMES[part][1]}: label {printable(str(labels[position]))} at position "
                f"{position:,} (from 0) is none of the {len(known):,} classes"
            )
        parts[part] = Part(images, found)
    return parts, tuple(printable(str(name)) for name in names)


def _checked_pair(
    images: np.ndarray, labels: np.ndarray, x: str, y: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return images with their channels and labels in one dimension."""
    described = f"{images.dtype} {list(images.shape)}"
    if images.ndim == 3:
        images = images[..., None]
    fits = images.ndim == 4 and images.shape[3] in (1, 3) and images.size
    if images.dtype != np.uint8 or not fits:
        raise DataError(f"{x}: {described}; expected uint8 [n, h, w] or [n, h, w, 1 or 3]")
    if labels.ndim == 2 and labels.shape[1] == 1:  # as Keras has CIFAR-10's
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{y}: {labels.dtype} {list(labels.shape)}; expected whole numbers or text [n] (of "
            "one-hot labels take argmax(-1))"
        )
    if len(labels) != len(images):
        raise DataError(f"{y}: {len(labels):,} labels for {len(images):,} images")
    return images, labels
