"""Datasets: find them, check them, split them. Importing this loads NumPy and no TensorFlow."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from kerascw.data.catalog import CATALOG, CatalogEntry, entry_for
from kerascw.data.sources import find
from kerascw.errors import CallError, DataError
from kerascw.spec import DataSpec, Holdout

__all__ = ["CATALOG", "Dataset", "Part", "Splits", "load_data", "split"]


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Part:
    """Pictures with their labels: uint8 ``[n, height, width, channels]`` and int32 ``[n]``."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> "Part":
        """Return the examples at these positions (or where a mask holds), in their order."""
        return Part(self.images[positions], self.labels[positions])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A whole dataset as its source gave it, with where it came from."""

    entry: CatalogEntry
    train: Part
    test: Part
    source: str  # sample, directory, system package or tfds
    location: str

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of the decoded uint8 arrays, in C order."""
        arrays = {
            "train_images": self.train.images,
            "train_labels": self.train.labels.astype(np.uint8),
            "test_images": self.test.images,
            "test_labels": self.test.labels.astype(np.uint8),
        }
        return {
            name: hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
            for name, array in arrays.items()
        }

    @property
    def fingerprint(self) -> str:
        """One SHA-256 for the whole dataset: it changes with any pixel, label or their order."""
        return hashlib.sha256("".join(self.sha256.values()).encode()).hexdigest()

    @property
    def is_official(self) -> bool:
        """Whether these are the published bytes in the published order."""
        return tuple(self.sha256.values()) == self.entry.sha256

    @cached_property
    def unordered_sha256(self) -> str:
        """One SHA-256 for the pictures with their labels, part by part, whatever their order.

        Of each part, the sorted SHA-256 of its examples (pixels, then the label's byte) are
        hashed; the two results are hashed together.
        """
        whole = hashlib.sha256()
        for part in (self.train, self.test):
            examples = zip(part.images, part.labels.astype(np.uint8), strict=True)
            digests = (
                hashlib.sha256(image.tobytes() + bytes([label])) for image, label in examples
            )
            joined = b"".join(sorted(digest.digest() for digest in digests))
            whole.update(hashlib.sha256(joined).digest())
        return whole.hexdigest()

    @property
    def is_reordered(self) -> bool:
        """Whether these are the published pictures and labels in another order, as TFDS' are."""
        return not self.is_official and self.unordered_sha256 == self.entry.unordered_sha256

    @property
    def title(self) -> str:
        """The dataset's name for people, marked where this is the bundled sample."""
        mark = " (bundled sample)" if self.source == "sample" else ""
        return f"{self.entry.title}{mark}"


@dataclass(frozen=True, eq=False)
class Splits:
    """The three parts an experiment uses. ``validation`` is None where none is held out."""

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]


def load_data(name: str, *, data_dir: str | Path | None = None, sample: bool = False) -> Dataset:
    """Load a catalogued dataset from the first source that has it.

    Parameters
    ----------
    name : one of :data:`CATALOG`, such as ``fashion_mnist``.
    data_dir : a folder with the dataset's files; see :func:`kerascw.data.sources.find`.
    sample : take the bundled sample instead of the whole dataset.

    Raises
    ------
    CallError, DataError
        One line each, before anything is trained.

    >>> data = load_data("fashion_mnist", sample=True)
    >>> data.train.images.shape, data.train.images.dtype
    ((6000, 28, 28, 1), dtype('uint8'))
    """
    entry = entry_for(name)
    arrays, source, location = find(entry, data_dir, sample)
    images, labels, test_images, test_labels = arrays
    dataset = Dataset(
        entry,
        Part(images, labels.astype(np.int32)),
        Part(test_images, test_labels.astype(np.int32)),
        source,
        location,
    )
    sha256 = tuple(dataset.sha256.values())
    if sha256 == entry.sample_sha256:  # even where a data directory holds a copy of it
        return replace(dataset, source="sample")
    for other in CATALOG.values():  # MNIST's files and Fashion-MNIST's have the same names
        if other.name != name and sha256 in (other.sha256, other.sample_sha256):
            raise DataError(
                f"{location}: these files are {other.title}, not {entry.title}; "
                f"ask for {other.name}, or name the folder with {entry.title}'s files"
            )
    return dataset


def split(dataset: Dataset, spec: DataSpec) -> Splits:
    """Return the parts that ``spec`` asks for: hold out, then select classes, then a fraction.

    The fraction is stratified and nested: with the same ``fraction_seed`` a smaller fraction's
    examples are all in a larger one's.

    Raises
    ------
    CallError
        A holdout as large as the training set, a class that does not exist, or classes of
        which no picture is left in a part.
    """
    train, validation = _hold_out(dataset.train, spec.holdout)
    test, class_names = dataset.test, dataset.entry.class_names
    if spec.classes is not None:
        unknown = [label for label in spec.classes if not 0 <= label < len(class_names)]
        if unknown:
            raise CallError(
                f"data.classes: {unknown[0]} is no class; choose from 0 to {len(class_names) - 1}"
            )
        train = _only(train, spec.classes)
        validation = None if validation is None else _only(validation, spec.classes)
        test = _only(test, spec.classes)
        for name, part in (("training", train), ("validation", validation), ("test", test)):
            if part is not None and not len(part):
                raise CallError(f"data.classes: none of the {name} pictures is of these classes")
        class_names = tuple(class_names[label] for label in spec.classes)
    if spec.fraction < 1:
        train = train.take(nested_subset(train.labels, spec.fraction, spec.fraction_seed))
    return Splits(train, validation, test, class_names)


def _hold_out(train: Part, holdout: Holdout | None) -> tuple[Part, Part | None]:
    if holdout is None:
        return train, None
    n, count = len(train), holdout.count
    if count >= n:
        raise CallError(f"data.holdout.count: {count:,} of {n:,} training images leaves none")
    held = np.zeros(n, bool)
    if holdout.how == "first":
        held[:count] = True
    elif holdout.how == "last":
        held[n - count :] = True
    else:
        from sklearn.model_selection import train_test_split

        try:
            _, chosen = train_test_split(
                np.arange(n), test_size=count, stratify=train.labels, random_state=holdout.seed
            )
        except ValueError as error:
            raise CallError(f"data.holdout.count: {count:,}: {error}") from None
        held[chosen] = True
    return train.take(~held), train.take(held)


def _only(part: Part, classes: tuple[int, ...]) -> Part:
    part = part.take(np.isin(part.labels, classes))
    relabel = np.full(max(classes) + 1, -1, np.int32)
    relabel[list(classes)] = np.arange(len(classes))
    return replace(part, labels=relabel[part.labels])


def nested_subset(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return sorted positions of a stratified fraction, at least one of every class.

    >>> labels = np.repeat([0, 1], 50)
    >>> small, large = (nested_subset(labels, f, seed=0) for f in (0.1, 0.2))
    >>> len(small), len(large), set(small) <= set(large)
    (10, 20, True)
    """
    chosen = []
    for label in np.unique(labels):
        members = np.random.default_rng([seed, int(label)]).permutation(
            np.flatnonzero(labels == label)
        )
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))
