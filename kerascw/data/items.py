"""A dataset object of another library: anything with ``len`` and items of (image, label).

So are the datasets of torchvision, whose items are pairs, and of Hugging Face, whose items are
dictionaries; a dictionary of such datasets has ``train`` and ``test``. Neither library is imported.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascw.data.layout import sides
from kerascw.errors import CallError, choices

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


def arrays_of(data: Any) -> tuple[np.ndarray, ...]:
    """Return ``(x_train, y_train)``, and ``x_test, y_test`` where there is a test set.

    Images are uint8 ``[n, h, w, c]``; floats must be in [0, 1], as torchvision's ``ToTensor`` gives
    them. Labels are the classes' names where the dataset knows them.

    Raises CallError: an item that is no image with a label, by its position; images of different
    sizes; no ``train``.
    """
    if not isinstance(data, Mapping):
        return _stacked(data, "data")
    if "train" not in data:
        raise CallError(
            f"data: a dictionary with {choices(data)}; expected train, and perhaps test"
        )
    splits = [name for name in ("train", "test") if name in data]
    return tuple(array for name in splits for array in _stacked(data[name], f"data[{name!r}]"))


def _stacked(dataset: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = list[np.ndarray](), list[Any]()
    if not len(dataset):
        raise CallError(f"{where}: has no items")
    for at in range(len(dataset)):
        image, label = _pair(dataset[at], f"{where}[{at}]")
        if images and image.shape != images[0].shape:
            raise CallError(
                f"{where}[{at}]: an image of {sides(image.shape)}, where the first has "
                f"{sides(images[0].shape)}; bring them to one size and colour first"
            )
        images.append(image)
        labels.append(label)
    names = _class_names(dataset)
    if names is not None:
        labels = [names[int(label)] for label in labels]
    return np.stack(images), np.array(labels)


def _pair(item: Any, where: str) -> tuple[np.ndarray, Any]:
    if isinstance(item, Mapping):
        x = next((name for name in _IMAGES if name in item), None)
        y = next((name for name in _LABELS if name in item), None)
        if x is None or y is None:
            raise CallError(f"{where}: has {choices(item)}; expected image and label")
        item = item[x], item[y]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise CallError(f"{where}: {type(item).__name__}; expected a pair of image and label")
    image, label = np.asarray(item[0]), item[1]
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
    return image, label if isinstance(label, str) else int(label)


def _class_names(dataset: Any) -> list[str] | None:
    """Return the names that torchvision and Hugging Face keep of the classes, if any."""
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        column = next((name for name in _LABELS if name in features), None)
        names = getattr(features.get(column), "names", None)
    else:
        names = getattr(dataset, "classes", None)
    return None if names is None else [str(name) for name in names]
