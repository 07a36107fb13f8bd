"""What a dataset is in memory: its examples, its splits, and figures over its pixels."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kerascw.data.catalogue import CatalogEntry
from kerascw.data.rows import Rows

LARGE = 2**30
"""Images of more bytes than this are not copied when some of them are taken."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Part:
    """Images with their labels: uint8 ``[n, height, width, channels]`` and int32 ``[n]``."""

    images: np.ndarray | Rows
    labels: np.ndarray
    files: np.ndarray | None = None  # str [n]: of images that are files, their paths in the folder

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def take(self, positions: np.ndarray) -> "Part":
        """Return the examples at these positions (or where a mask is true), in their order."""
        in_place = isinstance(self.images, Rows) or self.images.nbytes > LARGE
        images = Rows.of(self.images, positions) if in_place else self.images[positions]
        files = None if self.files is None else self.files[positions]
        return Part(images, self.labels[positions], files)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A whole dataset as its source gave it, with where it came from."""

    entry: CatalogEntry
    train: Part
    test: Part
    # sample, directory, system package, tfds or scikit-learn; of one's own images: folder,
    # manifest, arrays or tfds
    source: str
    location: str
    validation: Part | None = None  # where the dataset has a validation set of its own
    official_files: bool | None = None  # by the MD5 of its files; None: not known
    left_out: tuple[str, ...] = ()  # files that are not in it, each with the reason

    @property
    def files(self) -> dict[str, list[str]]:
        """The paths of images that are files below the dataset's folder, by split."""
        return {
            name: part.files.tolist() for name, part in self.parts.items() if part.files is not None
        }

    @property
    def parts(self) -> dict[str, Part]:
        """The splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of the decoded uint8 arrays, in C order."""
        byte = np.uint8 if len(self.entry.class_names) <= 256 else np.uint16
        return {
            f"{name}_{what}": hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
            for name, part in self.parts.items()
            for what, array in (("images", part.images), ("labels", part.labels.astype(byte)))
        }

    @property
    def fingerprint(self) -> str:
        """One SHA-256 for the whole dataset: it changes with any pixel, label or their order."""
        return hashlib.sha256("".join(self.sha256.values()).encode()).hexdigest()

    @property
    def is_official(self) -> bool | None:
        """Whether these are the published bytes in the published order; None: not known."""
        if self.entry.sha256 is None:
            return self.official_files
        return tuple(self.sha256.values()) == self.entry.sha256

    @cached_property
    def unordered_sha256(self) -> str:
        """One SHA-256 for the images with their labels, split by split, whatever their order.

        Each example (pixels, then the label's byte) is hashed; of each split the sorted hashes
        are hashed, and these two results together.
        """
        whole = hashlib.sha256()
        for part in (self.train, self.test):
            digests = sorted(
                hashlib.sha256(image.tobytes() + bytes([label])).digest()
                for image, label in zip(np.asarray(part.images), part.labels, strict=True)
            )
            whole.update(hashlib.sha256(b"".join(digests)).digest())
        return whole.hexdigest()

    @property
    def is_reordered(self) -> bool:
        """Whether these are the published images and labels in another order, as TFDS' are."""
        return (
            self.entry.unordered_sha256 is not None
            and not self.is_official
            and self.unordered_sha256 == self.entry.unordered_sha256
        )

    @property
    def title(self) -> str:
        """The dataset's name for people, marked where this is the bundled sample."""
        mark = " (bundled sample)" if self.source == "sample" else ""
        return f"{self.entry.title}{mark}"


@dataclass(frozen=True, eq=False)
class Splits:
    """The splits that an experiment uses. ``validation`` is None where nothing is held out."""

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]
    raw_unit: int = 1  # see CatalogEntry
    # how many images of other classes are at the end of train, for an autoencoder; their labels
    # are 0 and mean nothing
    also: int = 0

    def parts(self) -> dict[str, Part]:
        """Return the splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training images that are of this experiment's own classes."""
        return self.train.labels[: len(self.train) - self.also]


def mean_and_deviation(*several: np.ndarray | Rows) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels of these images, to double precision.

    >>> mean_and_deviation(np.array([[0, 2], [4, 6]], np.uint8))
    (3.0, 2.23606797749979)
    """
    histogram = np.sum([pixel_histogram(images) for images in several], axis=0)
    values, n = np.arange(256), histogram.sum()
    mean = float((histogram * values).sum() / n)
    return mean, float((histogram * (values - mean) ** 2).sum() / n) ** 0.5


def pixel_histogram(images: np.ndarray | Rows) -> np.ndarray:
    """Count how often each value of 0 to 255 occurs: int64 ``[256]``."""
    histogram = np.zeros(256, np.int64)
    for start in range(0, len(images), 1000):  # bincount makes 8 bytes of every pixel
        histogram += np.bincount(images[start : start + 1000].ravel(), minlength=256)
    return histogram
