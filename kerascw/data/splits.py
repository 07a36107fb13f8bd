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
    class. Where the dataset has a validation set of its own and another one is asked for, its own
    is not used.

    The fraction is a stratified draw, or the first images, and nested: with the same
    ``fraction_seed`` a larger fraction has all images of a smaller one. The images that
    ``spec.also`` names are appended to the training set, which is then a copy whatever its size,
    with labels of 0 (see :class:`Splits`).

    Raises CallError: a holdout as large as the training set, more folds than a class has images, a
    class that does not exist or is named twice, classes of which a split has no image, or images
    to exclude that are not there or all that there are.
    """
    keep = _kept(dataset, spec)
    train, validation = _hold_out(dataset, spec, keep)
    test, class_names = _without(dataset.test, keep["test"]), dataset.entry.class_names
    others = _others({"train": train, "validation": validation, "test": test}, spec, class_names)
    if spec.classes is not None:
        _refuse_unknown("classes", spec.classes, class_names)
        train = _only(train, spec)
        validation = None if validation is None else _only(validation, spec)
        test = _only(test, spec)
        for name, part in (("training", train), ("validation", validation), ("test", test)):
            if part is not None and not len(part):
                raise CallError(f"data.classes: none of the {name} images is of these classes")
        if spec.relabel:
            class_names = tuple(class_names[label] for label in spec.classes)
    if spec.fraction < 1:
        train = train.take(subset_of(train.labels, spec))
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
            part = parts[name]
            if part is None:
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
            part = part.take(np.isin(part.labels, also.classes))
            if not len(part):
                raise CallError(f"data.also: none of the {name} images is of these classes")
            others.append(part)
    return others


def _kept(dataset: Dataset, spec: DataSpec) -> dict[str, np.ndarray | None]:
    """Return of each split which images are not excluded, bool ``[n]``; None: all of them."""
    keep: dict[str, np.ndarray | None] = {}
    for name in ("train", "validation", "test"):
        part, positions = getattr(dataset, name), getattr(spec.exclude, name, ())
        keep[name] = None
        if not positions:
            continue
        count = 0 if part is None else len(part)
        if positions[-1] >= count:
            raise CallError(
                f"data.exclude.{name}: {positions[-1]}, but {dataset.title} has "
                f"{counted(count, f'{name} image')}"
            )
        keep[name] = mask = np.ones(count, bool)
        mask[list(positions)] = False
        lost = np.setdiff1d(part.labels, part.labels[mask])
        if not mask.any() or (name == "train" and len(lost)):
            of = f" of class {dataset.entry.class_names[lost[0]]}" if name == "train" else ""
            raise CallError(f"data.exclude.{name}: leaves no {name} images{of}")
    return keep


def _without(part: Part, keep: np.ndarray | None) -> Part:
    return part if keep is None else part.take(keep)


def _hold_out(
    dataset: Dataset, spec: DataSpec, keep: dict[str, np.ndarray | None]
) -> tuple[Part, Part | None]:
    train, holdout = dataset.train, spec.holdout
    if spec.test_in_training:
        own, test = _without(train, keep["train"]), _without(dataset.test, keep["test"])
        images = np.concatenate([np.asarray(own.images), np.asarray(test.images)])
        return Part(images, np.concatenate([own.labels, test.labels])), None
    if holdout is None:
        return _without(train, keep["train"]), None
    if holdout.how == "own":
        if dataset.validation is None:
            raise CallError(f"data.holdout.how: own, but {dataset.title} has no validation set")
        return _without(train, keep["train"]), _without(dataset.validation, keep["validation"])
    held = held_out(dataset, spec)
    kept = np.ones(len(train), bool) if keep["train"] is None else keep["train"]
    return train.take(~held & kept), train.take(held & kept)


def held_out(dataset: Dataset, spec: DataSpec) -> np.ndarray:
    """Return which training images are held out of all: a mask, bool ``[n]``."""
    train, holdout = dataset.train, spec.holdout
    assert holdout is not None, "nothing is held out"
    if holdout.how == "fold":
        return _fold(dataset, holdout, spec.classes)
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
    return held


def _fold(dataset: Dataset, holdout: Holdout, classes: tuple[int, ...] | None) -> np.ndarray:
    """Return which training images are in the fold: a mask, bool ``[n]``."""
    from sklearn.model_selection import StratifiedKFold

    labels, names = dataset.train.labels, dataset.entry.class_names
    counts = np.bincount(labels, minlength=len(names))
    own = [c for c in classes or range(len(names)) if 0 <= c < len(names) and counts[c]]
    fewest = min(own, key=lambda c: counts[c], default=None)
    assert holdout.folds is not None  # Holdout sees to it
    if fewest is None or counts[fewest] < holdout.folds:
        which = "there are" if fewest is None else f"class {fewest} ({names[fewest]}) has"
        most = 0 if fewest is None else int(counts[fewest])
        choices = f"; choose from 2 to {most}" if most > 1 else ""
        raise CallError(
            f"data.holdout.folds: {holdout.folds}, but {which} only "
            f"{counted(most, 'training image')}{choices}"
        )
    folds = StratifiedKFold(holdout.folds, shuffle=True, random_state=holdout.seed)
    with warnings.catch_warnings():  # about a class that this experiment does not use
        warnings.simplefilter("ignore", UserWarning)
        _, chosen = next(islice(folds.split(labels, labels), holdout.fold, None))
    held = np.zeros(len(labels), bool)
    held[chosen] = True
    return held


def _only(part: Part, spec: DataSpec) -> Part:
    classes = spec.classes
    assert classes is not None  # split sees to it
    part = part.take(np.isin(part.labels, classes))
    if not spec.relabel:
        return part
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
