"""Dataset objects of other libraries: what torchvision's and Hugging Face's look like."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascw.data import load_data
from kerascw.data.items import arrays_of
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


GREY = IMAGES[..., :1]
PALETTE = RANDOM.permutation(256 * 3).reshape(256, 3).astype(np.uint8)


def palette_image(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels[..., 0], "L")
    image.putpalette(PALETTE.tobytes())
    assert image.mode == "P"
    return image


def turned(pixels: np.ndarray) -> Image.Image:
    """Return an image as a camera on its head writes it."""
    image = Image.fromarray(pixels[::-1, ::-1])
    image.getexif()[0x0112] = 3
    return image


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(palette_image, PALETTE[GREY[..., 0]], id="P"),
        pytest.param(lambda grey: Image.fromarray(np.concatenate([grey, grey * 0 + 255], -1)),
                     np.repeat(GREY, 3, -1), id="LA"),
        pytest.param(lambda grey: Image.fromarray(np.dstack([grey] * 3 + [grey * 0 + 255])),
                     np.repeat(GREY, 3, -1), id="RGBA"),
        pytest.param(lambda grey: Image.fromarray(grey[..., 0] > 127),
                     np.where(GREY > 127, 255, 0).astype(np.uint8), id="1"),
        pytest.param(lambda grey: Image.fromarray(grey[..., 0].astype(np.uint16) * 257), GREY,
                     id="I;16"),
        pytest.param(lambda grey: Image.fromarray((grey[..., 0] / 255).astype(np.float32)), GREY,
                     id="F"),
        pytest.param(lambda grey: turned(grey[..., 0]), GREY, id="EXIF"),
    ],
)  # fmt: skip
def test_pil_images_of_every_mode_are_what_files_of_them_are(made: Any, expected: Any) -> None:
    items = [(made(grey), label) for grey, label in zip(GREY, LABELS, strict=True)]
    np.testing.assert_array_equal(arrays_of(Items(items))["x_train"], expected)


def test_a_dictionary_of_splits_with_columns() -> None:
    features = {"img": None, "label": SimpleNamespace(names=["cat", "dog"])}
    rows = [{"img": Image.fromarray(i), "label": int(k)}
            for i, k in zip(IMAGES, LABELS, strict=True)]  # fmt: skip
    splits = {"train": rows[:30], "test": rows[30:], "validation": rows[20:26], "unsure": rows[:3]}
    data = {name: Items(own, features=features) for name, own in splits.items()}
    with pytest.warns(UserWarning, match="^data: left out: unsure; the splits are train, valid"):
        dataset = load_data(data)
    assert np.array_equal(dataset.train.images, IMAGES[:30])
    assert dataset.validation is not None
    assert np.array_equal(dataset.validation.images, IMAGES[20:26])
    assert np.array_equal(dataset.validation.labels, LABELS[20:26])
    assert np.array_equal(dataset.test.images, IMAGES[30:])
    assert dataset.entry.class_names == ("cat", "dog")
    assert np.array_equal(dataset.test.labels, LABELS[30:])


def test_labels_are_numbers_or_text_of_any_type() -> None:
    labels = [0, np.int8(1), "dog", np.str_("cat"), True, np.array(0)]
    items = Items(list(zip(IMAGES, labels, strict=False)), classes=["cat", "dog"])
    words = ["cat", "dog", "dog", "cat", "dog", "cat"]
    assert arrays_of(items)["y_train"].tolist() == words
    unnamed = arrays_of(Items([(IMAGES[0], True), (IMAGES[1], -1)]))
    assert unnamed["y_train"].tolist() == [1, -1]


def test_without_names_classes_are_numbers() -> None:
    grey = [(image[..., 0], np.int64(label)) for image, label in zip(IMAGES, LABELS, strict=True)]
    images, labels = whole(Items(grey))
    assert as_set(images, labels) == as_set(IMAGES[..., :1], [str(label) for label in LABELS])


def labelled(label: object) -> Items:
    """A dataset with class names, whose second label is this one."""
    return Items([(IMAGES[0], 0), (IMAGES[1], label)], classes=["cat", "dog"])


def as_png(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(stream := io.BytesIO(), "PNG")
    return stream.getvalue()


PNG = as_png(IMAGES[0])


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
        (labelled(-1), r"data\[1\]: label -1; expected 0 to 1$"),
        ({"train": labelled(1), "test": labelled(-1)}, r"data\['test'\]\[1\]: label -1; expected"),
        (labelled(7), r"data\[1\]: label 7; expected 0 to 1$"),
        (labelled(0.7), r"data\[1\]: label 0\.7; expected a whole number or text$"),
        (labelled(None), r"data\[1\]: label None; expected a whole number or text$"),
        (labelled(np.eye(9)), r"data\[1\]: label array\(\[\[1\., .*; expected a whole number or"),
        (Items([(Image.open(io.BytesIO(PNG[:-60])), 0)]),
         r"data\[0\]: an image that cannot be read \(OSError: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(data: Any, says: str) -> None:
    with pytest.raises(CallError, match=says) as raised:
        load_data(data)
    assert "\n" not in str(raised.value)
