import csv
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import load_data
from kerascw.data.exclude import read_exclude
from kerascw.evaluation.duplicates import embedded, exact_pairs, near_pairs
from kerascw.evaluation.label_errors import confident_errors, out_of_fold
from kerascw.report.data_check import FILE, check_images

RANDOM = np.random.default_rng(0)


def pictures(count: int, side: int = 16) -> np.ndarray:
    return RANDOM.integers(0, 200, (count, side, side, 1), np.uint8)


def test_copies_are_found_within_and_across() -> None:
    one, other = pictures(5), pictures(4)
    one[4], other[0], other[3] = one[1], one[2], other[1]
    assert exact_pairs([one, other]).tolist() == [[1, 4], [2, 5], [6, 8]]
    assert exact_pairs([one[:4]]).shape == (0, 2)


@pytest.mark.parametrize("side", [8, 16, 40])
def test_near_duplicates_are_brighter_copies_and_not_strangers(side: int) -> None:
    images = pictures(600, side)
    images[599] = (images[3] * 1.2 + 5).astype(np.uint8)  # in another of the blocks
    images[10] = images[11] // 2
    images[20] = images[21] = 77  # of one value: similar to none
    found, similarity = near_pairs(embedded([images]))
    assert sorted(found.tolist()) == [[3, 599], [10, 11]]
    assert (similarity > 0.98).all()
    assert (np.diff(similarity) <= 0).all()


def test_what_all_are_alike_in_makes_no_duplicates() -> None:
    """Images of one shape, as trousers are, and two of them that are closer than all others."""
    shape = np.zeros((16, 16))
    shape[:, 4:12] = 180
    images = shape + RANDOM.normal(20, 5, (500, 16, 16))
    images[50] = images[7] + RANDOM.normal(0, 0.5, (16, 16))
    # two others, less similar than all of these are to one another
    images[60] = RANDOM.uniform(50, 200, (16, 16))
    images[70] = images[60] + RANDOM.normal(0, 7, (16, 16))
    values = embedded([images.clip(0, 255).astype(np.uint8)[..., None]])
    alike = np.delete(np.arange(500), [60, 70])
    assert (values[0] @ values[alike].T).min() > 0.98
    found, similarity = near_pairs(values)
    assert found.tolist() == [[7, 50], [60, 70]]
    assert 0.98 < similarity[1] < (values[alike] @ values[alike].T).min()


def test_confident_learning_by_hand() -> None:
    probabilities = np.array(
        [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.95, 0.05]]
    )
    labels = np.array([0, 0, 0, 1, 1, 1])
    # class 0 is confident from (.9 + .7 + .2) / 3 = .6 on, class 1 from (.9 + .6 + .05) / 3 = .517
    found = confident_errors(probabilities, labels)
    assert found.rows.tolist() == [5, 2]
    assert found.suggested.tolist() == [0, 1]
    np.testing.assert_allclose(found.margin, [0.9, 0.6])
    assert found.accuracy == pytest.approx(4 / 6)


def test_flipped_labels_of_the_digits_are_found() -> None:
    digits = load_data("digits").train.take(np.arange(700))
    flipped = np.random.default_rng(1).choice(700, 20, replace=False)
    labels = digits.labels.copy()
    labels[flipped] = (labels[flipped] + 1) % 10
    predicted = out_of_fold(digits.images, labels, digits.images[:5], 10)
    assert predicted is not None
    np.testing.assert_allclose(predicted[0].sum(axis=1), 1, rtol=1e-5)
    assert predicted[1].shape == (5, 10)
    found = confident_errors(predicted[0], labels)
    hits = set(found.rows.tolist()) & set(flipped.tolist())
    assert len(hits) >= 14  # of 20
    assert len(found.rows) <= 30
    assert out_of_fold(digits.images[:3], np.array([0, 0, 1]), digits.images[:1], 2) is None


def write_folder(root: Path) -> None:
    """Two classes that differ clearly, with a copy across the splits and images to be found."""
    random = np.random.default_rng(2)
    for part, count in (("train", 30), ("test", 5)):
        for name, level in (("dark", 40), ("bright", 160)):
            (root / part / name).mkdir(parents=True)
            for at in range(count):
                pixels = random.integers(level, level + 60, (20, 20), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{at:02}.png")
    leak = (root / "test" / "dark" / "03.png").read_bytes()
    (root / "train" / "bright" / "07.png").write_bytes(leak)  # of another class
    Image.new("L", (20, 20), 99).save(root / "train" / "dark" / "01.png")
    Image.fromarray(random.integers(0, 90, (6, 6), np.uint8)).save(root / "train/dark/02.png")
    Image.fromarray(random.integers(0, 90, (20, 70), np.uint8)).save(root / "train/dark/04.png")


def test_a_folder_is_checked_and_its_findings_are_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path / "images<b>")
    output, data = tmp_path / "out", str(tmp_path / "images<b>")
    words = ("data", "check", data, "--size", "20", "--output", str(output))
    done = CliRunner().invoke(main, [*words, "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    assert re.search(r"copies +train and test +1 +1 +1\n", done.stdout)
    with (output / FILE).open() as stream:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    assert rows["train/bright/07.png"].startswith("copy of test 8, of another class; label: ")
    assert rows["train/dark/01.png"].startswith("blank")
    assert rows["train/dark/02.png"] == "tiny: 6 x 6 pixels"
    assert rows["train/dark/04.png"] == "odd ratio: 70 x 20 pixels"
    page = (output / "report.html").read_text()
    assert "<b>" not in page
    assert page.count("data:image/png;base64,") == len(rows) + 2  # two reasons; the test image
    exclude = read_exclude(output / FILE, load_data(data, size=(20, 20)))
    assert exclude.train == (7, 31, 32, 34)
    assert exclude.test == ()


def test_a_model_that_is_often_wrong_names_no_label_errors() -> None:
    from dataclasses import replace

    digits = load_data("digits")
    train = digits.train.take(np.arange(300))
    wrong = replace(train, labels=np.random.default_rng(0).integers(0, 10, 300).astype(np.int32))
    findings = check_images(replace(digits, train=wrong))
    assert findings.kinds["probable label errors"] == []
    assert "too few to tell errors" in findings.doubt
