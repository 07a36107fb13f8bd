"""SVHN: its MATLAB files are read whole and in order; what is altered gives its line."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from kerascw.commands.main import main
from kerascw.data import CATALOG, load_data, split
from kerascw.data.sources import locate
from kerascw.errors import DataError
from kerascw.experiment.spec import DataSpec, Holdout

COUNTS = {"train": 30, "extra": 50, "test": 20}


def made(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 ``[n, 32, 32, 3]`` and digits 0 to 9, all of them among these."""
    n, generator = COUNTS[part], np.random.default_rng(len(part) * COUNTS[part])
    digits = generator.permutation(np.arange(n) % 10)
    return generator.integers(0, 256, (n, 32, 32, 3), np.uint8), digits


PARTS = {part: made(part) for part in COUNTS}


def variables(part: str) -> dict[str, np.ndarray]:
    """Return X and y as the published files have them: the digit 0 is 10."""
    images, digits = PARTS[part]
    labels = np.where(digits == 0, 10, digits).astype(np.uint8)
    return {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]}


@pytest.fixture
def publish(monkeypatch):
    """Return what makes the files of a folder the published ones."""

    def published(folder: Path) -> None:
        md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        assert set(md5) <= set(CATALOG["svhn"].md5)
        for name in ("svhn", "svhn_extra"):
            monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], md5=md5))

    return published


def write(folder: Path, compressed: bool = True, parts: tuple[str, ...] = tuple(COUNTS)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        savemat(folder / f"{part}_32x32.mat", variables(part), do_compression=compressed)
    return folder


# --- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_train", "place", "compressed"),
    [("svhn", ["train"], "SVHN", False), ("svhn_extra", ["train", "extra"], "", True)],
)
def test_the_files_are_read_in_their_order(tmp_path, publish, place, compressed, name, of_train):
    folder = write(tmp_path / place, compressed)
    publish(folder)
    data = load_data(name, data_dir=tmp_path)
    assert (data.source, data.location) == ("directory", str(folder))
    images = np.concatenate([PARTS[part][0] for part in of_train])
    digits = np.concatenate([PARTS[part][1] for part in of_train])
    np.testing.assert_array_equal(data.train.images, images, strict=True)
    np.testing.assert_array_equal(data.train.labels, digits.astype(np.int32), strict=True)
    np.testing.assert_array_equal(data.test.images, PARTS["test"][0], strict=True)
    np.testing.assert_array_equal(data.test.labels, PARTS["test"][1].astype(np.int32), strict=True)
    assert data.train.images.flags.c_contiguous  # so that it is hashed where it is
    assert data.sha256["train_images"] == hashlib.sha256(images.tobytes()).hexdigest()


def test_without_the_extra_part_only_svhn_is_there(tmp_path, publish):
    publish(write(tmp_path, parts=("train", "test")))
    assert len(load_data("svhn", data_dir=tmp_path).train) == 30
    with pytest.raises(DataError) as raised:
        load_data("svhn_extra", data_dir=tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: extra_32x32.mat is missing, other MATLAB files are there; put it beside them"
    )
    ((_, place),) = locate(CATALOG["svhn_extra"], tmp_path)
    assert place == f"{tmp_path} (incomplete: no extra_32x32.mat)"
    assert locate(CATALOG["svhn"], tmp_path) == [("directory", str(tmp_path))]


def test_official_files_are_known_by_their_md5_and_no_others_are_opened(tmp_path, publish):
    publish(write(tmp_path))
    assert load_data("svhn_extra", data_dir=tmp_path).is_official is True
    altered = tmp_path / "extra_32x32.mat"
    raw = bytearray(altered.read_bytes())
    raw[136] ^= 255
    altered.write_bytes(raw)
    assert load_data("svhn", data_dir=tmp_path).is_official is True  # has nothing of that file
    result = CliRunner().invoke(main, ["data", "check", "svhn_extra", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == (
        f"kerascw: {altered}: not the file that was published, by its MD5; fetch the file again\n"
    )


def test_a_random_tenth_is_held_out_without_a_copy(tmp_path, publish, monkeypatch):
    publish(write(tmp_path))
    data = load_data("svhn_extra", data_dir=tmp_path)
    spec = DataSpec(name="svhn_extra", holdout=Holdout(how="random", count=8, seed=2))
    copied = split(data, spec)
    monkeypatch.setattr("kerascw.data.dataset.LARGE", 0)
    parts = split(data, spec)
    for part, copy in ((parts.train, copied.train), (parts.validation, copied.validation)):
        assert part.images.base is data.train.images
        assert isinstance(copy.images, np.ndarray)
        np.testing.assert_array_equal(part.images[:], copy.images)
        np.testing.assert_array_equal(part.labels, copy.labels)
