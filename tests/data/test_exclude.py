import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import Dataset, data_named, dataset_for, load_data, split
from kerascw.data.exclude import image_digest, read_exclude
from kerascw.errors import CallError, DataError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DataSpec, Exclude, Experiment, Holdout
from kerascw.lab.plan import planned
from kerascw.studies import study_named


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def test_what_is_held_out_stays_the_same_without_what_is_excluded(digits: Dataset) -> None:
    exclude = Exclude(train=(1349, 3, 200, 3), test=(0,))
    for how in ("first", "stratified", "fold"):
        counts = {"folds": 5} if how == "fold" else {"count": 150}
        spec = DataSpec(name="digits", holdout=Holdout.model_validate({"how": how, **counts}))
        whole = split(digits, spec)
        left = split(digits, spec.model_copy(update={"exclude": exclude}))
        assert whole.validation is not None
        assert left.validation is not None
        gone = {image_digest(digits.train.images[at]) for at in (3, 200, 1349)}
        for before, after in ((whole.train, left.train), (whole.validation, left.validation)):
            kept = [image for image in before.images if image_digest(image) not in gone]
            np.testing.assert_array_equal(np.array(kept), after.images)
        assert len(left.train) + len(left.validation) == 1350 - 3
        np.testing.assert_array_equal(left.test.images, digits.test.images[1:])


def test_the_key_covers_what_is_excluded_and_nothing_else(small: Experiment) -> None:
    one, same, other = (
        override(small, {"data.exclude": {"train": positions}})
        for positions in ([5, 2], [2, 5, 5], [2])
    )
    assert one.key("x") == same.key("x") != other.key("x")
    assert len({each.key("x") for each in (small, one, other)}) == 3
    assert "exclude" not in small.canonical_json()


def test_excluding_what_is_not_there_or_all_that_is(digits: Dataset) -> None:
    ones = tuple(np.flatnonzero(digits.train.labels == 1).tolist())
    for exclude, complaint in (
        (Exclude(test=(447,)), "data.exclude.test: 447, but .* has 447 test images"),
        (Exclude(validation=(0,)), "data.exclude.validation: 0, but .* 0 validation images"),
        (Exclude(train=ones), "data.exclude.train: leaves no train images of class 1"),
    ):
        with pytest.raises(CallError, match=complaint):
            split(digits, DataSpec(name="digits", exclude=exclude))


def test_a_file_is_read_as_it_was_edited(digits: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "findings.csv"
    digest = image_digest(digits.train.images[7])
    file.write_text(f"\ufeffsplit,position,image,why\ntest,3,,a\ntraining,7,{digest},b\n", "utf-8")
    assert read_exclude(file, digits) == Exclude(train=(7,), test=(3,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path\nx\n", "no columns split and position, or file (it has path)"),
        ("split,position\n", "it names no image"),
        ("split,position\ntrial,3\n", "line 2: split 'trial'; choose train or test"),
        ("split,position\ntrain,-1\n", "line 2: position '-1'; there are 1,350 train images"),
        ("split,position\ntrain,1350\n", "line 2: position '1350'"),
        ("split,position\ntrain,99999999999999999999\n", "line 2: position '9999"),
        ("split,position\ntrain,\n", "line 2: position ''"),
        ("file\n\x1b[2Ja.png\n", r"line 2: \x1b[2Ja.png is no image of digits"),
        ("split,position,image\ntrain,3,abcdefabcdef\n", "line 2: train image 3 of digits"),
        ("split,position\ntrain,\xff\n", "it is not UTF-8"),
    ],
)
def test_a_bad_file_is_one_line(text: str, complaint: str, digits: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as raised:
        read_exclude(file, digits)
    assert complaint in str(raised.value)
    assert str(file) in str(raised.value)
    assert not {"\n", "\x1b"} & set(str(raised.value))


def test_a_bad_call_ends_the_commands_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "none.csv"
    for words in (["run", "digits"], ["train", "digits"]):
        done = CliRunner().invoke(main, [*words, "--exclude", str(file), "--runs", str(tmp_path)])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert f"--exclude: {file}: no such file" in done.stderr


def test_files_of_ones_own_are_named_by_their_path(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for label in ("=a", "b"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for at in range(count):
                pixels = random.integers(0, 256, (8, 8), np.uint8)
                Image.fromarray(pixels).save(folder / f"{at}.png")
    spec = data_named(tmp_path / "images")
    dataset = dataset_for(spec)
    assert tuple(dataset.files["test"]) == (
        "test/=a/0.png",
        "test/=a/1.png",
        "test/b/0.png",
        "test/b/1.png",
    )
    file = tmp_path / "out.csv"
    file.write_text("file,split,position\ntrain/b/3.png,test,0\ntest/=a/1.png,,\n")
    exclude = read_exclude(file, dataset)
    assert exclude == Exclude(train=(7,), test=(1,))


def test_a_plan_leaves_them_out_everywhere(digits: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("split", "position"), ("train", 5), ("test", 6)])
    study = study_named("digits")
    plan = planned(study, exclude=file, seeds=2)
    for experiments in plan.experiments.values():
        for experiment in experiments:
            assert experiment.data.exclude == Exclude(train=(5,), test=(6,))
    assert any("1 training image and 1 test image" in words for words in plan.cautions)
    file.write_text("split,position\ntrain,5\n")  # the other content is another study's folder
    assert planned(study, exclude=file, seeds=2).label != plan.label
