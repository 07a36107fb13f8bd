"""NumPy arrays as a dataset."""

from typing import Any

import numpy as np

from kerascw.data import Dataset, Part
from kerascw.data.catalog import CatalogEntry
from kerascw.errors import CallError, choices

_TEST_SHARE = 0.2
"""Share of the images that becomes the test set, if none is given."""


def dataset_of(arrays: Any) -> Dataset:
    """Make a dataset of ``(images, labels)``, or of such a pair for training and one for testing.

    Images are uint8 ``[n, height, width]`` or ``[n, height, width, channels]``, with 1 or 3
    channels; labels are integers ``[n]`` from 0. Of a single pair a stratified fifth, drawn with
    seed 0, becomes the test set.

    Raises
    ------
    CallError
        Arrays of another shape or dtype, of different lengths, or too few of a class to split.
    """
    if not isinstance(arrays, tuple | list) or len(arrays) != 2:
        raise CallError(
            f"data: {type(arrays).__name__}; expected a name, (images, labels), or "
            "((images, labels), (test_images, test_labels))"
        )
    if isinstance(arrays[0], tuple | list):
        train, test = (_part(*pair) for pair in arrays)
    else:
        whole = _part(*arrays)
        chosen = _stratified(whole.labels)
        train, test = whole.take(~chosen), whole.take(chosen)
    if train.shape != test.shape:
        raise CallError(f"data: training images {train.shape}, test images {test.shape}")
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    entry = CatalogEntry(
        name="arrays",
        title="NumPy arrays",
        class_names=tuple(str(label) for label in range(classes)),
        shape=train.shape,
        counts=(len(train), len(test)),
        layout=None,
    )
    return Dataset(entry, train, test, source="arrays", location="memory")


def _part(images: Any, labels: Any) -> Part:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise CallError(
            f"images: {images.dtype} {list(images.shape)}; expected uint8 [n, height, width] or "
            f"[n, height, width, {choices([1, 3])}]"
        )
    if labels.shape == (len(images), 1):  # as Keras has CIFAR-10's
        labels = labels[:, 0]
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise CallError(
            f"labels: {labels.dtype} {list(labels.shape)}; expected integers [{len(images)}], one "
            "for each image"
        )
    if not len(images) or labels.min() < 0:
        raise CallError("labels: expected at least one, none below 0")
    return Part(images, labels.astype(np.int32))


def _stratified(labels: np.ndarray) -> np.ndarray:
    """Return a mask of the examples to test on: bool ``[n]``."""
    from sklearn.model_selection import train_test_split

    try:
        _, chosen = train_test_split(
            np.arange(len(labels)), test_size=_TEST_SHARE, stratify=labels, random_state=0
        )
    except ValueError as error:
        raise CallError(f"labels: no stratified fifth to test on ({error})") from None
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return mask
