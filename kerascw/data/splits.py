"""Split a dataset into what an experiment trains on, validates on and tests on."""

import warnings
from dataclasses import replace
from itertools import islice

import numpy as np

from kerascw.data.dataset import Dataset, Part, Splits
from kerascw.errors import CallError, counted
from kerascw.experiment.spec import DataSpec, Holdout


def split(dataset: Dataset, spec: DataSpec) -> Splits:
    """Split as ``spec`` says: hold out for validation, then select classes, then a fraction.

    Images that ``spec.exclude`` names are left out of what the holdout leaves and holds out.
    With ``spec.test_in_training`` the training set is the dataset's with its test set after it.

    Folds are scikit-learn's ``StratifiedKFold(folds, shuffle=True, random_state=seed)`` over the
    whole training set, so that every selection of classes holds out the same images of each
    class. A validation set of the dataset's own is used only where it is asked for.

    The fraction is a stratified draw, or the first images, and nested: with the same
    ``fraction_seed`` a larger fraction has all images of a smaller one. The images that
    ``spec.also`` names are appended to the training set, which is then a copy whatever its size,
    with labels of 0 (see :class:`Splits`).

    Raises CallError: a holdout as large as the training set, more folds than a class has images, a
    class that does not exist or is named twice, classes of which a split has no image, or images
    to exclude that are not there or all that there are.
    """
    class_names = dataset.entry.class_names
    _refuse_unknown("classes", spec.classes or (), class_names)
    parts = _hold_out(dataset, spec)
    others = _others(parts, spec, class_names)
    if spec.classes is not None:
        for name, part in parts.items():
            title = "training" if name == "train" else name
            parts[name] = _of_classes(part, spec.classes, "classes", title)
        if spec.relabel:
            parts = {name: _relabelled(part, spec.classes) for name, part in parts.items()}
            class_names = tuple(class_names[label] for label in spec.classes)
    train = parts["train"]
    if spec.fraction < 1:
        train = train.take(subset_of(train.labels, spec))
    also = sum(map(len, others))
    if also:
        train = Part(
            np.concatenate([np.asarray(part.images) for part in (train, *others)]),
            np.concatenate([train.labels, np.zeros(also, np.int32)]),
        )
    raw_unit = dataset.entry.raw_unit
    return Splits(train, parts.get("validation"), parts["test"], class_names, raw_unit, also)


def _refuse_unknown(field: str, labels: tuple[int, ...], class_names: tuple[str, ...]) -> None:
    unknown = [label for label in labels if not 0 <= label < len(class_names)]
    if unknown:
        raise CallError(
            f"data.{field}: {unknown[0]} is no class; choose from 0 to {len(class_names) - 1}"
        )


def _others(parts: dict[str, Part], spec: DataSpec, class_names: tuple[str, ...]) -> list[Part]:
    """Return the images that ``spec.also`` names, in its order; ``parts`` are after holding out."""
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
            if name not in parts:
                raise CallError(
                    "data.also: no validation set, for data.holdout is none; hold some out or "
                    "leave validation out of the parts"
                )
            for label in also.classes:
                if (name, label) in named:
                    raise CallError(
                        f"data.also: the {name} images of class {label} are named twice"
                    )
                named.add((name, label))
            others.append(_of_classes(parts[name], also.classes, "also", name))
    return others


def _without_excluded(dataset: Dataset, spec: DataSpec) -> dict[str, Part]:
    """Return the dataset's own splits without the images that are excluded."""
    parts = dict(dataset.parts)
    for name, positions in spec.exclude or ():
        if not positions:
            continue
        whole = parts.get(name)
        count = 0 if whole is None else len(whole)
        if whole is None or positions[-1] >= count:
            raise CallError(
                f"data.exclude.{name}: {positions[-1]}, but {dataset.title} has "
                f"{counted(count, f'{name} image')}"
            )
        parts[name] = part = whole.take(np.delete(np.arange(count), positions))
        lost = np.setdiff1d(whole.labels, part.labels)
        if not len(part) or (name == "train" and len(lost)):
            of = f" of class {dataset.entry.class_names[lost[0]]}" if name == "train" else ""
            raise CallError(f"data.exclude.{name}: leaves no {name} images{of}")
    return parts


def _hold_out(dataset: Dataset, spec: DataSpec) -> dict[str, Part]:
    """Return train, test and, if any images are held out, validation, none of them excluded."""
    parts, holdout = _without_excluded(dataset, spec), spec.holdout
    train, test, own = parts["train"], parts["test"], parts.pop("validation", None)
    if spec.test_in_training:
        images = np.concatenate([np.asarray(train.images), np.asarray(test.images)])
        parts["train"] = Part(images, np.concatenate([train.labels, test.labels]))
    elif holdout is not None and holdout.how == "own":
        if own is None:
            raise CallError(f"data.holdout.how: own, but {dataset.title} has no validation set")
        parts["validation"] = own
    elif holdout is not None:
        held = held_out(dataset, spec)
        if spec.exclude is not None:
            held = np.delete(held, spec.exclude.train)
        parts |= {"train": train.take(~held), "validation": train.take(held)}
    return parts


def held_out(dataset: Dataset, spec: DataSpec) -> np.ndarray:
    """Return which training images are held out of all: a mask, bool ``[n]``."""
    train, holdout = dataset.train, spec.holdout
    assert holdout is not None, "nothing is held out"
    n, count = len(train), holdout.count
    if count >= n and holdout.how != "fold":
        raise CallError(f"data.holdout.count: {count:,} of {n:,} training images leaves none")
    if holdout.how == "fold":
        chosen = _fold(dataset, holdout, spec.classes)
    elif holdout.how == "first":
        chosen = np.arange(count)
    elif holdout.how == "last":
        chosen = np.arange(n - count, n)
    elif holdout.how == "random":
        chosen = np.random.default_rng(holdout.seed).permutation(n)[:count]
    elif holdout.how == "numpy":
        # the legacy generator: np.random.seed(seed) and np.random.choice draw from the same stream
        chosen = np.random.RandomState(holdout.seed).choice(n, n, replace=False)[n - count :]
    else:
        from sklearn.model_selection import train_test_split

        stratify = train.labels if holdout.how == "stratified" else None
        try:
            _, chosen = train_test_split(
                np.arange(n), test_size=count, stratify=stratify, random_state=holdout.seed
            )
        except ValueError as error:
            raise CallError(f"data.holdout.count: {count:,}: {error}") from None
    return np.isin(np.arange(n), chosen)


def _fold(dataset: Dataset, holdout: Holdout, classes: tuple[int, ...] | None) -> np.ndarray:
    """Return the positions of the training images that are in the fold."""
    from sklearn.model_selection import StratifiedKFold

    labels, names = dataset.train.labels, dataset.entry.class_names
    counts = np.bincount(labels, minlength=len(names))
    own = [label for label in classes or range(len(names)) if counts[label]]
    assert holdout.folds is not None  # Holdout sees to it
    if own and counts[fewest := min(own, key=lambda label: counts[label])] < holdout.folds:
        most = int(counts[fewest])
        choices = f"; choose from 2 to {most}" if most > 1 else ""
        raise CallError(
            f"data.holdout.folds: {holdout.folds}, but class {fewest} ({names[fewest]}) has only "
            f"{counted(most, 'training image')}{choices}"
        )
    folds = StratifiedKFold(holdout.folds, shuffle=True, random_state=holdout.seed)
    with warnings.catch_warnings():  # about a class that this experiment does not use
        warnings.simplefilter("ignore", UserWarning)
        _, chosen = next(islice(folds.split(labels, labels), holdout.fold, None))
    return chosen


def _of_classes(part: Part, classes: tuple[int, ...], field: str, name: str) -> Part:
    part = part.take(np.isin(part.labels, classes))
    if not len(part):
        raise CallError(f"data.{field}: none of the {name} images is of these classes")
    return part


def _relabelled(part: Part, classes: tuple[int, ...]) -> Part:
    relabel = np.full(max(classes) + 1, -1, np.int32)
    relabel[list(classes)] = np.arange(len(classes))
    return replace(part, labels=relabel[part.labels])


def subset_of(labels: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Return the sorted positions of the training images that ``spec.fraction`` takes."""
    if spec.subset == "first":
        return np.arange(max(1, round(spec.fraction * len(labels))))
    return nested_subset(labels, spec.fraction, spec.fraction_seed)


def nested_subset(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw a stratified fraction, at least one example of every class; return sorted positions.

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
