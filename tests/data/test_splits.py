"""Splits: what is held out, which classes are kept, which fraction is drawn."""

import numpy as np
import pytest

from kerascw.data import CATALOG, Dataset, Part, load_data, split
from kerascw.data.sources import locate
from kerascw.errors import CallError
from kerascw.experiment.spec import DataSpec


def numbered(labels: np.ndarray) -> Dataset:
    """Return a dataset whose pictures hold their own position, to see where each one goes."""
    positions = np.arange(len(labels), dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2, 1)
    part = Part(positions, labels.astype(np.int32))
    return Dataset(CATALOG["fashion_mnist"], part, part, "directory", "here")


def positions(part: Part) -> np.ndarray:
    return part.images.reshape(-1).view(np.uint32)


LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 100))


def spec(**fields: object) -> DataSpec:
    return DataSpec.model_validate({"name": "fashion_mnist", **fields})


@pytest.mark.parametrize("count", [10, 990])
@pytest.mark.parametrize("how", ["first", "last", "stratified"])
def test_holdouts_are_disjoint_whole_and_in_order(how, count):
    parts = split(numbered(LABELS), spec(holdout={"how": how, "count": count}))
    train, held = positions(parts.train), positions(parts.validation)
    assert len(held) == count
    assert np.all(np.diff(train.astype(int)) > 0)
    assert np.all(np.diff(held.astype(int)) > 0)
    np.testing.assert_array_equal(np.union1d(train, held), np.arange(1000))
    assert len(train) + len(held) == 1000
    np.testing.assert_array_equal(parts.train.labels, LABELS[train])
    np.testing.assert_array_equal(parts.validation.labels, LABELS[held])
    if how == "first":
        assert held.max() == count - 1
    elif how == "last":
        assert held.min() == 1000 - count
    else:
        assert np.bincount(LABELS[held]).tolist() == [count // 10] * 10


def test_stratified_keeps_unequal_shares_and_is_drawn_from_its_seed():
    data = numbered(np.repeat([0, 1, 2], [600, 300, 100]))
    held = [
        split(data, spec(holdout={"how": "stratified", "count": 100, "seed": seed})).validation
        for seed in (0, 0, 1)
    ]
    assert np.bincount(held[0].labels).tolist() == [60, 30, 10]
    np.testing.assert_array_equal(positions(held[0]), positions(held[1]))
    assert not np.array_equal(positions(held[0]), positions(held[2]))


@pytest.mark.parametrize("classes", [(8, 1), (0, 1, 4, 5, 8), tuple(range(9, -1, -1))])
def test_classes_are_relabelled_in_their_order(classes):
    parts = split(numbered(LABELS), spec(classes=classes, holdout={"count": 200}))
    assert parts.class_names == tuple(CATALOG["fashion_mnist"].class_names[c] for c in classes)
    for part in (parts.train, parts.validation, parts.test):
        np.testing.assert_array_equal(np.array(classes)[part.labels], LABELS[positions(part)])
        assert set(part.labels.tolist()) == set(range(len(classes)))
    assert len(parts.train) + len(parts.validation) == 100 * len(classes)
    assert positions(parts.validation).max() < 200  # held out first, then selected


def test_five_classes_of_the_real_fashion_mnist():
    if not any(kind != "sample" for kind, _ in locate(CATALOG["fashion_mnist"])):
        pytest.skip("no files of Fashion-MNIST here")
    data = load_data("fashion_mnist")
    wanted = spec(classes=(0, 1, 4, 5, 8), holdout={"how": "last", "count": 10_000})
    parts = split(data, wanted)
    counts = len(parts.train), len(parts.validation), len(parts.test)
    assert counts == (24_975, 5_025, 5_000)


@pytest.mark.parametrize("seed", [0, 1])
def test_fractions_are_stratified_and_nested(seed):
    data, before = numbered(LABELS), set()
    for fraction in (0.001, 0.05, 0.1, 0.33, 0.8, 1.0):
        wanted = spec(fraction=fraction, fraction_seed=seed, holdout={"count": 100})
        train = split(data, wanted).train
        chosen = set(positions(train).tolist())
        assert before <= chosen
        assert min(chosen) >= 100
        of_class = np.bincount(LABELS[100:])
        np.testing.assert_array_equal(
            np.bincount(train.labels), np.maximum(1, np.round(fraction * of_class))
        )
        before = chosen
    assert len(before) == 900


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"holdout": {"count": 1000}}, "data.holdout.count: 1,000 of 1,000 training images"),
        ({"holdout": {"count": 5000, "how": "last"}}, "data.holdout.count: 5,000 of 1,000"),
        ({"holdout": {"count": 5, "how": "stratified"}}, "data.holdout.count: 5: "),
        ({"classes": (0, 10)}, "data.classes: 10 is no class; choose from 0 to 9"),
        ({"classes": (-1, 3)}, "data.classes: -1 is no class"),
    ],
)
def test_splits_that_cannot_be(fields, complaint):
    with pytest.raises(CallError, match=complaint):
        split(numbered(LABELS), spec(**fields))


def test_classes_of_which_a_part_has_none():
    data = numbered(np.repeat(np.arange(10), 100))
    with pytest.raises(CallError, match=r"data\.classes: none of the validation images"):
        split(data, spec(classes=(8, 9), holdout={"count": 100}))
    with pytest.raises(CallError, match=r"data\.classes: none of the training images"):
        split(data, spec(classes=(8, 9), holdout={"how": "last", "count": 200}))
