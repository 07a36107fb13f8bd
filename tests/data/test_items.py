"""Dataset objects of other libraries: what torchvision's and Hugging Face's look like."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascw.data import load_data
from kerascw.errors import CallError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 12, 10, 3), np.uint8)
LABELS = np.arange(40) % 2


class Items:
    """A map-style dataset of torch: it has a length and items, and cannot be iterated over."""

    def __init__(self, items: list[Any], **facts: Any) -> None:
        self._items = items
        self.__dict__.update(facts)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, at: int) -> Any:
        if not 0 <= at < len(self._items):
            raise AssertionError("beyond the end")
        return self._items[at]


def whole(data: Any) -> tuple[np.ndarray, list[str]]:
    """Return the images of all splits and the names of their classes, as they came."""
    dataset = load_data(data)
    parts = (dataset.train, dataset.test)
    images = np.concatenate([np.asarray(part.images) for part in parts])
    names = dataset.entry.class_names
    return images, [names[label] for part in parts for label in part.labels]


def as_set(images: np.ndarray, labels: list[str]) -> set[tuple[bytes, str]]:
    return {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}


WORDS = [("cat", "dog")[label] for label in LABELS]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda image: Image.fromarray(image), id="PIL"),
        pytest.param(lambda image: image, id="uint8"),
        pytest.param(lambda image: (image / 255).astype(np.float32).transpose(2, 0, 1), id="torch"),
    ],
)
def test_pairs_with_class_names(made: Any) -> None:
    items = [(made(image), label) for image, label in zip(IMAGES, LABELS, strict=True)]
    assert as_set(*whole(Items(items, classes=["cat", "dog"]))) == as_set(IMAGES, WORDS)


def test_a_dictionary_of_splits_with_columns() -> None:
    features = {"img": None, "label": SimpleNamespace(names=["cat", "dog"])}
    rows = [{"img": Image.fromarray(i), "label": int(k)}
            for i, k in zip(IMAGES, LABELS, strict=True)]  # fmt: skip
    data = {"train": Items(rows[:30], features=features), "test": Items(rows[30:])}
    data["test"].features = features
    dataset = load_data(data)
    assert np.array_equal(dataset.train.images, IMAGES[:30])
    assert np.array_equal(dataset.test.images, IMAGES[30:])
    assert dataset.entry.class_names == ("cat", "dog")
    assert np.array_equal(dataset.test.labels, LABELS[30:])


def test_without_names_classes_are_numbers() -> None:
    grey = [(image[..., 0], np.int64(label)) for image, label in zip(IMAGES, LABELS, strict=True)]
    images, labels = whole(Items(grey))
    assert as_set(images, labels) == as_set(IMAGES[..., :1], [str(label) for label in LABELS])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (Items([]), "data: has no items"),
        (Items([1, 2]), r"data\[0\]: int; expected a pair of image and label"),
        (Items([(IMAGES[0], 0), (IMAGES[1, :5], 1)]),
         r"data\[1\]: an image of 5 x 10 x 3, where the first has 12 x 10 x 3"),
        (Items([(IMAGES[0] - 0.5, 0)]), r"data\[0\]: an image of float64 .* that normalise"),
        (Items([{"picture": IMAGES[0], "label": 1}]),
         r"data\[0\]: has picture or label; expected image and label"),
        ({"test": Items([(IMAGES[0], 0)])}, "a dictionary with test; expected train"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(data: Any, says: str) -> None:
    with pytest.raises(CallError, match=says):
        load_data(data)
