"""SVHN: its MATLAB files are read whole and in order, and each kind of damage gives its line."""

import hashlib
import os
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from kerascw.commands.main import main
from kerascw.data import CATALOG, load_data, split
from kerascw.data.sources import NotFoundError, locate
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
def test_the_files_are_read_in_their_order(tmp_path, place, compressed, name, of_train):
    folder = write(tmp_path / place, compressed)
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


def test_labels_may_be_double_and_a_row(tmp_path):
    write(tmp_path)
    held = variables("train")
    savemat(tmp_path / "train_32x32.mat", held | {"y": held["y"].T.astype(float)})
    data = load_data("svhn", data_dir=tmp_path)
    np.testing.assert_array_equal(data.train.labels, PARTS["train"][1])


def test_without_the_extra_part_only_svhn_is_there(tmp_path):
    write(tmp_path, parts=("train", "test"))
    assert len(load_data("svhn", data_dir=tmp_path).train) == 30
    with pytest.raises(DataError) as raised:
        load_data("svhn_extra", data_dir=tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: extra_32x32.mat is missing, other MATLAB files are there; put it beside them"
    )
    ((_, place),) = locate(CATALOG["svhn_extra"], tmp_path)
    assert place == f"{tmp_path} (incomplete: no extra_32x32.mat)"
    assert locate(CATALOG["svhn"], tmp_path) == [("directory", str(tmp_path))]


def test_official_files_are_known_by_their_md5(tmp_path, monkeypatch):
    write(tmp_path)
    assert load_data("svhn", data_dir=tmp_path).is_official is False
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert set(CATALOG["svhn"].md5) == set(md5)
    for name in ("svhn", "svhn_extra"):
        monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], md5=md5))
    assert load_data("svhn_extra", data_dir=tmp_path).is_official is True
    savemat(tmp_path / "extra_32x32.mat", variables("test"))
    assert load_data("svhn_extra", data_dir=tmp_path).is_official is False
    assert load_data("svhn", data_dir=tmp_path).is_official is True  # has nothing of that file


def test_a_random_tenth_is_held_out_without_a_copy(tmp_path, monkeypatch):
    data = load_data("svhn_extra", data_dir=write(tmp_path))
    spec = DataSpec(name="svhn_extra", holdout=Holdout(how="random", count=8, seed=2))
    copied = split(data, spec)
    monkeypatch.setattr("kerascw.data.dataset.LARGE", 0)
    parts = split(data, spec)
    for part, copy in ((parts.train, copied.train), (parts.validation, copied.validation)):
        assert part.images.base is data.train.images
        assert isinstance(copy.images, np.ndarray)
        np.testing.assert_array_equal(part.images[:], copy.images)
        np.testing.assert_array_equal(part.labels, copy.labels)


# --- damage ---------------------------------------------------------------------------------

TRAIN = variables("train")


def with_label(value: float, kind: type = np.uint8) -> dict[str, np.ndarray]:
    labels = TRAIN["y"].astype(kind)
    labels[7] = value
    return TRAIN | {"y": labels}


def cells(*values: object) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


RANGE = "expected 1 to 10, where 10 is the digit 0"
DAMAGES = {
    "X of floats": (
        *(TRAIN | {"X": TRAIN["X"].astype(np.float64)},),
        "X of double 32 x 32 x 3 x 30, expected uint8 32 x 32 x 3 x n",
    ),
    "complex X": (
        TRAIN | {"X": TRAIN["X"][..., :2] * 1j},
        "X of class 2054 32 x 32 x 3 x 2, expected uint8",
    ),
    "n first": (
        *(TRAIN | {"X": TRAIN["X"].transpose(3, 0, 1, 2)},),
        "X of uint8 30 x 32 x 32 x 3, expected uint8 32 x 32 x 3 x n",
    ),
    "X of cells": (TRAIN | {"X": cells("a", 1)}, "X of class 1 1 x 2, expected uint8"),
    "no pictures": (TRAIN | {"X": TRAIN["X"][..., :0]}, "X of uint8 32 x 32 x 3 x 0, expected"),
    "fewer labels": (TRAIN | {"y": TRAIN["y"][1:]}, "y of uint8 29 x 1, expected uint8 30 x 1"),
    "more pictures": (
        TRAIN | {"X": TRAIN["X"][..., 1:]},
        "y of uint8 30 x 1, expected uint8",
    ),
    "labels in a square": (TRAIN | {"y": TRAIN["y"].reshape(6, 5)}, "y of uint8 6 x 5, expected"),
    "labels of text": (TRAIN | {"y": np.array(["a"] * 30)}, "y of class 4 30 x 1, expected uint8"),
    "label 0": (with_label(0), f"label 0 at position 7 (from 0), {RANGE}"),
    "label 11": (with_label(11), f"label 11 at position 7 (from 0), {RANGE}"),
    "label 2.5": (with_label(2.5, np.float64), f"label 2.5 at position 7 (from 0), {RANGE}"),
    "no number": (with_label(np.nan, np.float64), f"label nan at position 7 (from 0), {RANGE}"),
    "no X": (
        {"x": TRAIN["X"], "y": TRAIN["y"]},
        "its variables are 'x', 'y', expected X and y",
    ),
    "no y": ({"X": TRAIN["X"]}, "its variables are 'X', expected X and y"),
    "no variables": ({}, "its variables are none, expected X and y"),
}


def complaint(directory: Path, name: str) -> str:
    """Return the one line that the directory gives."""
    with pytest.raises(DataError) as raised:
        load_data(name, data_dir=directory)
    assert not isinstance(raised.value, NotFoundError)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, damage):
    held, expected = DAMAGES[damage]
    file = write(tmp_path, parts=("train", "test")) / "test_32x32.mat"
    savemat(file, held, do_compression=True)
    message = complaint(tmp_path, "svhn")
    assert message.startswith(f"{file}: not a whole MATLAB file of SVHN ({expected}")
    assert "fetch the file again" in message


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.5])
def test_a_truncated_file(tmp_path, compressed, share):
    file = write(tmp_path, compressed) / "train_32x32.mat"
    os.truncate(file, int(share * file.stat().st_size))
    message = complaint(tmp_path, "svhn")
    assert message.startswith(f"{file}: not a whole MATLAB file of SVHN (")
    assert "fetch the file again" in message


@pytest.mark.parametrize(
    "content",
    [
        *(b"<!DOCTYPE html>" * 100, b"\x89HDF\r\n\x1a\n" + bytes(1000), bytes(10_000)),
        # MATLAB's own container of version 7.3, which is HDF5
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(1000),
    ],
    ids=["html", "hdf5", "zeros", "version 7.3"],
)
def test_no_matlab_file_of_version_5(tmp_path, content):
    file = write(tmp_path) / "test_32x32.mat"
    file.write_bytes(content)
    message = complaint(tmp_path, "svhn_extra")
    assert message.startswith(f"{file}: ")
    assert "fetch the file again" in message


# --- hostile files ----------------------------------------------------------------------------


def read_or_refused(directory: Path) -> bool:
    """Return whether the files are read; if not, they are refused in one line."""
    said = ""
    try:
        load_data("svhn", data_dir=directory)
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    return not said


def test_any_altered_byte_of_the_headers_is_read_or_refused(tmp_path):
    """SciPy's reader ended the process with a segmentation fault on most of the type bytes."""
    file = write(tmp_path, compressed=False) / "test_32x32.mat"
    whole = bytearray(file.read_bytes())
    pixels = whole.index(PARTS["test"][0][0].transpose(2, 1, 0).tobytes())
    outcomes = set()
    for at in (*range(124, pixels), *range(len(whole) - 80, len(whole))):
        changed = whole.copy()
        changed[at] = (14, 255)[at % 2]
        file.write_bytes(changed)
        outcomes.add(read_or_refused(tmp_path))
    assert outcomes == {True, False}


@pytest.mark.parametrize("value", [1, 255])
def test_an_altered_type_byte_ends_the_command_with_one_line(tmp_path, value):
    file = write(tmp_path, compressed=False) / "train_32x32.mat"
    raw = bytearray(file.read_bytes())
    raw[136] = value  # of the first element of X: its flags
    file.write_bytes(raw)
    result = CliRunner().invoke(main, ["data", "check", "svhn", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (
        f"{file}: not a whole MATLAB file of SVHN (an element of type {value} and" in result.stderr
    )


def test_a_compressed_variable_takes_no_more_memory_than_the_catalogue_s_sizes(tmp_path):
    """50 MB of zeros behind the pixels, and a variable's name of 50 MB."""
    file = write(tmp_path) / "train_32x32.mat"
    packed = file.read_bytes()
    size = int.from_bytes(packed[132:136], "little")
    whole = zlib.decompress(packed[136 : 136 + size])
    long_name = whole[:48] + b"\1\0\0\0" + (5 * 10**7).to_bytes(4, "little")
    for content in (whole, long_name):
        squeeze = zlib.compressobj(1)
        bomb = squeeze.compress(content)
        for _ in range(50):
            bomb += squeeze.compress(bytes(10**6))
        bomb += squeeze.flush()
        element = b"\x0f\0\0\0" + len(bomb).to_bytes(4, "little") + bomb
        file.write_bytes(packed[:128] + element + packed[136 + size :])
        tracemalloc.start()
        message = complaint(tmp_path, "svhn")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert message.startswith(f"{file}: not a whole MATLAB file of SVHN (")
        assert peak < 20e6


def test_more_images_than_were_published_are_refused(tmp_path):
    file = write(tmp_path, compressed=False) / "train_32x32.mat"
    raw = bytearray(file.read_bytes())
    for count in (73_258, 2**31 - 1):
        raw[172:176] = count.to_bytes(4, "little")
        file.write_bytes(raw)
        assert f"{count:,} images, expected at most 73,257" in complaint(tmp_path, "svhn")
