"""Datasets: find them, check them, split them. Importing this loads NumPy and no TensorFlow."""

import hashlib
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data.catalog import CATALOG, CatalogEntry, entry_for
from kerascw.data.rows import Rows
from kerascw.data.sources import find
from kerascw.errors import CallError, DataError
from kerascw.experiment.spec import DataSpec, Holdout

__all__ = ["CATALOG", "Dataset", "Part", "Splits", "data_named", "load_data", "load_for", "split"]


LARGE = 2**30
"""Bytes of pictures that are not copied."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Part:
    """Pictures with their labels: uint8 ``[n, height, width, channels]`` and int32 ``[n]``.

    ``images`` is an array, or, of a part of what is larger than 1 GiB, its :class:`Rows`, which
    are read by position or slice just the same.
    """

    images: np.ndarray | Rows
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of each picture."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def take(self, positions: np.ndarray) -> "Part":
        """Return the examples at these positions (or where a mask holds), in their order."""
        images = self.images
        if isinstance(images, Rows) or images.nbytes > LARGE:
            return Part(Rows.of(images, positions), self.labels[positions])
        return Part(images[positions], self.labels[positions])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A whole dataset as its source gave it, with where it came from."""

    entry: CatalogEntry
    train: Part
    test: Part
    source: str  # sample, directory, system package, tfds, scikit-learn or folder
    location: str
    validation: Part | None = None  # where the dataset has a part of its own for it
    official_files: bool | None = None  # by the MD5 of its files; None: not known

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of the decoded uint8 arrays, in C order."""
        byte = np.uint8 if len(self.entry.class_names) <= 256 else np.uint16
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            f"{name}_{what}": hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
            for name, part in parts.items()
            if part is not None
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
        """One SHA-256 for the pictures with their labels, part by part, whatever their order.

        Of each part, the sorted SHA-256 of its examples (pixels, then the label's byte) are
        hashed; the two results are hashed together.
        """
        whole = hashlib.sha256()
        for part in (self.train, self.test):
            examples = zip(np.asarray(part.images), part.labels.astype(np.uint8), strict=True)
            digests = (
                hashlib.sha256(image.tobytes() + bytes([label])) for image, label in examples
            )
            joined = b"".join(sorted(digest.digest() for digest in digests))
            whole.update(hashlib.sha256(joined).digest())
        return whole.hexdigest()

    @property
    def is_reordered(self) -> bool:
        """Whether these are the published pictures and labels in another order, as TFDS' are."""
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
    """The three parts an experiment uses. ``validation`` is None where none is held out."""

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]
    raw_unit: int = 1  # see CatalogEntry
    # how many pictures of other classes follow in train, for an autoencoder; their labels are 0
    # and mean nothing
    also: int = 0

    def parts(self) -> dict[str, Part]:
        """Return the parts that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training pictures that are of this experiment's own classes."""
        return self.train.labels[: len(self.train) - self.also]


def load_data(name: str, *, data_dir: str | Path | None = None, sample: bool = False) -> Dataset:
    """Load a catalogued dataset from the first source that has it, or a folder of pictures.

    Parameters
    ----------
    name : one of :data:`CATALOG`, such as ``fashion_mnist``, or ``folder:PATH``
        (see :mod:`kerascw.data.folder`).
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
    if name.startswith(FOLDER):
        return load_for(data_named(name), data_dir=data_dir, sample=sample)
    entry = entry_for(name)
    found = find(entry, data_dir, sample)
    images, labels, test_images, test_labels = found.arrays
    location = found.location
    dataset = Dataset(
        entry,
        Part(images, labels.astype(np.int32)),
        Part(test_images, test_labels.astype(np.int32)),
        found.source,
        location,
        official_files=found.official_files,
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


FOLDER = "folder:"
"""What the name of a folder of pictures begins with."""


def data_named(name: str, **options: Any) -> DataSpec:
    """Return the whole of a dataset: its name in the catalogue, or ``folder:PATH``.

    ``options`` are those of :func:`kerascw.data.folder.describe_folder`.

    Raises
    ------
    CallError, DataError
        An unknown name, or a folder that holds no dataset.
    """
    if not name.startswith(FOLDER):
        return DataSpec(name=entry_for(name).name)
    from kerascw.data.folder import describe_folder

    return DataSpec(name="folder", folder=describe_folder(name.removeprefix(FOLDER), **options))


def load_for(
    spec: DataSpec, *, data_dir: str | Path | None = None, sample: bool = False
) -> Dataset:
    """Load the dataset that a spec names."""
    if spec.folder is None:
        return load_data(spec.name, data_dir=data_dir, sample=sample or spec.sample)
    if sample or spec.sample:
        raise CallError("--sample: no sample of a folder is bundled")
    from kerascw.data.folder import load_folder

    return load_folder(spec.folder)


def split(dataset: Dataset, spec: DataSpec) -> Splits:
    """Return the parts that ``spec`` asks for: hold out, then select classes, then a fraction.

    With ``spec.test_in_training`` the training set is the dataset's with its test set after it.

    Folds are scikit-learn's ``StratifiedKFold(folds, shuffle=True, random_state=seed)`` over the
    whole training part, so that every selection of classes holds out the same pictures of each.
    Where the dataset has a validation part of its own and another is asked for, its own is not
    used.

    The fraction is stratified and nested: with the same ``fraction_seed`` a smaller fraction's
    examples are all in a larger one's. What ``spec.also`` names follows it in the training part,
    which is then a copy whatever its size, with labels of 0 (see :class:`Splits`).

    Raises
    ------
    CallError
        A holdout as large as the training set, more folds than a class has pictures, a class that
        does not exist or is named twice, or classes of which no picture is left in a part.
    """
    train, validation = _hold_out(dataset, spec)
    test, class_names = dataset.test, dataset.entry.class_names
    others = _others({"train": train, "validation": validation, "test": test}, spec, class_names)
    if spec.classes is not None:
        _refuse_unknown("classes", spec.classes, class_names)
        train = _only(train, spec.classes)
        validation = None if validation is None else _only(validation, spec.classes)
        test = _only(test, spec.classes)
        for name, part in (("training", train), ("validation", validation), ("test", test)):
            if part is not None and not len(part):
                raise CallError(f"data.classes: none of the {name} pictures is of these classes")
        class_names = tuple(class_names[label] for label in spec.classes)
    if spec.fraction < 1:
        train = train.take(nested_subset(train.labels, spec.fraction, spec.fraction_seed))
    also = sum(map(len, others))
    if also:
        train = Part(
            np.concatenate([np.asarray(part.images) for part in (train, *others)]),
            np.concatenate([train.labels, np.zeros(also, np.int32)]),
        )
    return Splits(train, validation, test, class_names, dataset.entry.raw_unit, also)


def _refuse_unknown(field: str, labels: tuple[int, ...], class_names: tuple[str, ...]) -> None:
    unknown = [label for label in labels if not 0 <= label < len(class_names)]
    if unknown:
        raise CallError(
            f"data.{field}: {unknown[0]} is no class; choose from 0 to {len(class_names) - 1}"
        )


def _others(
    parts: dict[str, Part | None], spec: DataSpec, class_names: tuple[str, ...]
) -> list[Part]:
    """Return what ``spec.also`` names, in its order, of the dataset's parts after holding out."""
    own = range(len(class_names)) if spec.classes is None else spec.classes
    others, named = [], set()
    for also in spec.also:
        _refuse_unknown("also", also.classes, class_names)
        for label in also.classes:
            if label in own:
                raise CallError(
                    f"data.also: class {label} ({class_names[label]}) is one of the experiment's "
                    "own; name others, and its own in data.classes"
                )
        for name in also.parts:
            part = parts[name]
            if part is None:
                raise CallError(
                    "data.also: no validation part, for data.holdout is none; hold some out or "
                    "leave validation out of the parts"
                )
            for label in also.classes:
                if (name, label) in named:
                    raise CallError(f"data.also: the {name} part of class {label} is named twice")
                named.add((name, label))
            part = part.take(np.isin(part.labels, also.classes))
            if not len(part):
                raise CallError(f"data.also: no picture of the {name} part is of these classes")
            others.append(part)
    return others


def _hold_out(dataset: Dataset, spec: DataSpec) -> tuple[Part, Part | None]:
    train, holdout = dataset.train, spec.holdout
    if spec.test_in_training:
        images = np.concatenate([np.asarray(dataset.train.images), dataset.test.images])
        return Part(images, np.concatenate([train.labels, dataset.test.labels])), None
    if holdout is None:
        return train, None
    if holdout.how == "own":
        if dataset.validation is None:
            raise CallError(f"data.holdout.how: own, but {dataset.title} has no validation part")
        return train, dataset.validation
    if holdout.how == "fold":
        held = _fold(dataset, holdout, spec.classes)
        return train.take(~held), train.take(held)
    n, count = len(train), holdout.count
    if count >= n:
        raise CallError(f"data.holdout.count: {count:,} of {n:,} training images leaves none")
    held = np.zeros(n, bool)
    if holdout.how == "first":
        held[:count] = True
    elif holdout.how == "last":
        held[n - count :] = True
    elif holdout.how == "random":
        held[np.random.default_rng(holdout.seed).permutation(n)[:count]] = True
    elif holdout.how == "numpy":
        # the legacy generator: np.random.seed(seed) and np.random.choice draw from the same stream
        order = np.random.RandomState(holdout.seed).choice(n, n, replace=False)
        held[order[n - count :]] = True
    else:
        from sklearn.model_selection import train_test_split

        stratify = train.labels if holdout.how == "stratified" else None
        try:
            _, chosen = train_test_split(
                np.arange(n), test_size=count, stratify=stratify, random_state=holdout.seed
            )
        except ValueError as error:
            raise CallError(f"data.holdout.count: {count:,}: {error}") from None
        held[chosen] = True
    return train.take(~held), train.take(held)


def _fold(dataset: Dataset, holdout: Holdout, classes: tuple[int, ...] | None) -> np.ndarray:
    """Return a mask of the training pictures that are in the fold: bool ``[n]``."""
    from sklearn.model_selection import StratifiedKFold

    labels, names = dataset.train.labels, dataset.entry.class_names
    counts = np.bincount(labels, minlength=len(names))
    own = [c for c in classes or range(len(names)) if 0 <= c < len(names) and counts[c]]
    fewest = min(own, key=lambda c: counts[c], default=None)
    assert holdout.folds is not None  # Holdout sees to it
    if fewest is None or counts[fewest] < holdout.folds:
        which = "there are" if fewest is None else f"class {fewest} ({names[fewest]}) has"
        most = 0 if fewest is None else counts[fewest]
        choices = f"; choose from 2 to {most}" if most > 1 else ""
        raise CallError(
            f"data.holdout.folds: {holdout.folds}, but {which} only {most} training pictures"
            f"{choices}"
        )
    folds = StratifiedKFold(holdout.folds, shuffle=True, random_state=holdout.seed)
    with warnings.catch_warnings():  # of a class that is not one of this experiment's
        warnings.simplefilter("ignore", UserWarning)
        _, chosen = next(islice(folds.split(labels, labels), holdout.fold, None))
    held = np.zeros(len(labels), bool)
    held[chosen] = True
    return held


def _only(part: Part, classes: tuple[int, ...]) -> Part:
    part = part.take(np.isin(part.labels, classes))
    relabel = np.full(max(classes) + 1, -1, np.int32)
    relabel[list(classes)] = np.arange(len(classes))
    return replace(part, labels=relabel[part.labels])


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
    """Return how often each value of 0 to 255 is there."""
    histogram = np.zeros(256, np.int64)
    for start in range(0, len(images), 1000):  # bincount makes 8 bytes of every pixel
        histogram += np.bincount(images[start : start + 1000].ravel(), minlength=256)
    return histogram


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
