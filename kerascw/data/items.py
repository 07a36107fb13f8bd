"""A dataset object of another library: anything with ``len`` and items of (image, label).

So are the datasets of torchvision, whose items are pairs, and of Hugging Face, whose items are
dictionaries; a dictionary of such datasets has ``train`` and perhaps ``validation`` and ``test``.
Neither library is imported.
"""

import operator
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from kerascw.data.arrays import NAMES
from kerascw.data.image_files import opaque
from kerascw.data.layout import one_line, sides
from kerascw.errors import CallError, choices, printable

_IMAGES, _LABELS = ("image", "img", "pixel_values"), ("label", "labels", "fine_label")
"""What Hugging Face's datasets call their columns."""


def is_items(data: Any) -> bool:
    """Whether this is a dataset object, or a dictionary of them, and not a path or arrays."""
    if isinstance(data, Mapping):
        return bool(data) and all(is_items(one) for one in data.values())
    return (
        hasattr(data, "__len__")
        and hasattr(data, "__getitem__")
        and not isinstance(data, str | tuple | np.ndarray)
    )


def arrays_of(data: Any) -> dict[str, np.ndarray]:
    """Return the arrays by their names: ``x_train``, ``y_train`` and those of the other splits.

    Images are uint8 ``[n, h, w, c]``; floats must be in [0, 1], as torchvision's ``ToTensor`` gives
    them. Labels are the classes' names where the dataset knows them. A warning names other splits
    than train, validation and test, which are left out.

    Raises CallError: an item that is no image with a label, by its position; images of different
    sizes; no ``train``.
    """
    if not isinstance(data, Mapping):
        return dict(zip(NAMES["train"], _stacked(data, "data"), strict=True))
    if "train" not in data:
        raise CallError(
            f"data: a dictionary with {choices(data)}; expected train, and perhaps validation "
            "and test"
        )
    others = ", ".join(str(name) for name in data if name not in NAMES)
    if others:
        warnings.warn(f"data: left out: {others}; the splits are {choices(NAMES)}", stacklevel=2)
    return {
        name: array
        for split, names in NAMES.items()
        if split in data
        for name, array in zip(names, _stacked(data[split], f"data[{split!r}]"), strict=True)
    }


def _stacked(dataset: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = list[np.ndarray](), list[str | int]()
    if not len(dataset):
        raise CallError(f"{where}: has no items")
    names = _class_names(dataset)
    for at in range(len(dataset)):
        image, label = _pair(dataset[at], f"{where}[{at}]")
        if images and image.shape != images[0].shape:
            raise CallError(
                f"{where}[{at}]: an image of {sides(image.shape)}, where the first has "
                f"{sides(images[0].shape)}; bring them to one size and colour first"
            )
        if names is not None and isinstance(label, int):
            if label not in range(len(names)):  # also the -1 that hides a label
                raise CallError(f"{where}[{at}]: label {label}; expected 0 to {len(names) - 1}")
            label = names[label]
        images.append(image)
        labels.append(label)
    return np.stack(images), np.array(labels)


def _pair(item: Any, where: str) -> tuple[np.ndarray, str | int]:
    if isinstance(item, Mapping):
        x = next((name for name in _IMAGES if name in item), None)
        y = next((name for name in _LABELS if name in item), None)
        if x is None or y is None:
            raise CallError(f"{where}: has {choices(item)}; expected image and label")
        item = item[x], item[y]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise CallError(f"{where}: {type(item).__name__}; expected a pair of image and label")
    image, label = _pixels(item[0], where), item[1]
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3):
        image = image.transpose(1, 2, 0)  # channels first, as torch has them
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype.kind == "f" and image.size and 0 <= image.min() <= image.max() <= 1:
        image = np.rint(image * 255).astype(np.uint8)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise CallError(
            f"{where}: an image of {image.dtype} {list(image.shape)}; expected grey or RGB, uint8 "
            "or floats in [0, 1] (leave out transforms that normalise)"
        )
    if isinstance(label, str):
        return image, label
    try:
        return image, int(operator.index(label))  # int: True is 1
    except TypeError:
        given = printable(f"{label!r:.50}")
        raise CallError(f"{where}: label {given}; expected a whole number or text") from None


def _pixels(image: Any, where: str) -> np.ndarray:
    """Return the array of what an item has as its image; of a PIL image as of an image file."""
    if not isinstance(image, Image.Image) or image.mode == "F":
        return np.asarray(image)
    try:
        return np.asarray(opaque(ImageOps.exif_transpose(image)))
    except Exception as error:  # its file is read only now, and if damaged raises anything
        raise CallError(f"{where}: an image that cannot be read ({one_line(error)})") from None


def _class_names(dataset: Any) -> list[str] | None:
    """Return the names that torchvision and Hugging Face keep of the classes, if any."""
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        column = next((name for name in _LABELS if name in features), None)
        names = getattr(features.get(column), "names", None)
    else:
        names = getattr(dataset, "classes", None)
    return None if names is None else [str(name) for name in names]
