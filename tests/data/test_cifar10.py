"""CIFAR-10: the published forms are read alike; what is altered gives one line, unopened."""

import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import CATALOG, load_data
from kerascw.data.cifar10 import BATCHES
from kerascw.data.sources import NotFoundError, locate
from kerascw.errors import DataError

COUNT = 12  # pictures in a batch
PLANES = np.random.default_rng(0).integers(0, 256, (6 * COUNT, 3, 32, 32), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, 6 * COUNT)
PICTURES = PLANES.transpose(0, 2, 3, 1)
PYTHON, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"
ARCHIVES = {PYTHON: "cifar-10-python.tar.gz", BINARY: "cifar-10-binary.tar.gz"}


def published_pickle(rows: np.ndarray, labels: list[int]) -> bytes:
    """Return the pickle that Python 2 made of a batch, opcode by opcode as in the real files."""
    n, width = rows.shape

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    raw = rows.tobytes()
    return b"".join(
        [
            *(b"\x80\x02}q\x01(", text(b"batch_label"), b"q\x02", text(b"training batch 1 of 5")),
            *(b"q\x03", text(b"labels"), b"q\x04]q\x05(", *map(number, labels), b"e"),
            *(text(b"data"), b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07"),
            *(b"cnumpy\nndarray\nq\x08K\x00\x85", text(b"b"), b"\x87Rq\x09(K\x01"),
            *(
                number(n),
                number(width),
                b"\x86cnumpy\ndtype\nq\x0a",
                text(b"u1"),
                b"K\x00K\x01\x87",
            ),
            *(b"Rq\x0b(K\x03", text(b"|"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"),
            *(b"T", struct.pack("<i", len(raw)), raw, b"tb"),
            *(text(b"filenames"), b"q\x0c]q\x0d(", *(text(b"a.png") for _ in labels), b"eu."),
        ]
    )


def batch(number: int) -> tuple[np.ndarray, list[int]]:
    """Return rows uint8 ``[COUNT, 3072]`` and labels; number 5 is the test part."""
    here = slice(number * COUNT, (number + 1) * COUNT)
    return PLANES[here].reshape(COUNT, -1), LABELS[here].tolist()


def contents(form: str) -> dict[str, bytes]:
    """Return the six files of a form by their names."""
    if form == PYTHON:
        return {name: published_pickle(*batch(at)) for at, name in enumerate(BATCHES)}
    files = {}
    for at, name in enumerate(BATCHES):
        rows, labels = batch(at)
        files[f"{name}.bin"] = np.column_stack([np.array(labels, np.uint8), rows]).tobytes()
    return files


def write(folder: Path, form: str, **changed: bytes | None) -> Path:
    """Write the files of a form, with some changed or (None) left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (contents(form) | changed).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def write_archive(folder: Path, form: str, **changed: bytes | None) -> Path:
    """Write the archive of a form, in the order of names' ends as a disk may give them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ARCHIVES[form]
    files = {"batches.meta": b"never read", "readme.html": b"<p>", **contents(form)} | changed
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        directory = tarfile.TarInfo(form)
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name in sorted(files, key=lambda name: name[::-1]):
            content = files[name]
            if content is not None:
                member = tarfile.TarInfo(f"{form}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def publish(monkeypatch):
    """Return what makes the files below a folder the published ones."""

    def published(folder: Path) -> None:
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".bin"]
        md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in files}
        monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], md5=md5))

    return published


def load(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load from the directory, see that the split is right, and return all in order."""
    data = load_data("cifar10", data_dir=directory)
    assert (len(data.train), len(data.test)) == (5 * COUNT, COUNT)
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    assert data.train.images.flags.c_contiguous
    images = np.concatenate([data.train.images, data.test.images])
    return images, np.concatenate([data.train.labels, data.test.labels])


# --- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "place"),
    [(write, PYTHON), (write, f"cifar10/{PYTHON}"), (write_archive, "cifar10")],
)
@pytest.mark.parametrize("form", [PYTHON, BINARY])
def test_all_published_forms_give_the_same_arrays(tmp_path, publish, make, place, form):
    where = make(tmp_path / place.replace(PYTHON, form), form)
    publish(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    images, labels = load(tmp_path)
    np.testing.assert_array_equal(images, PICTURES)
    np.testing.assert_array_equal(labels, LABELS)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked
    folder = where if make is write else where.parent
    assert locate(CATALOG["cifar10"], tmp_path) == [("directory", str(folder))]


def test_unpacked_python_then_unpacked_binary_then_the_archives(tmp_path, publish):
    def first() -> int:
        """Return the first pixel's red, by which the forms are told apart here."""
        publish(tmp_path)
        return int(load(tmp_path)[0][0, 0, 0, 0])

    marked = [PLANES[:COUNT].reshape(COUNT, -1).copy() for _ in range(4)]
    for mark, rows in enumerate(marked):
        rows[0, 0] = mark
    labels = [0] * COUNT
    write_archive(tmp_path, BINARY, **{"data_batch_1.bin": binary(marked[3], labels)})
    assert first() == 3
    write_archive(tmp_path, PYTHON, data_batch_1=published_pickle(marked[2], labels))
    assert first() == 2
    write(tmp_path, BINARY, **{"data_batch_1.bin": binary(marked[1], labels)})
    assert first() == 1
    write(tmp_path, PYTHON, data_batch_1=published_pickle(marked[0], labels))
    assert first() == 0


def binary(rows: np.ndarray, labels: list[int]) -> bytes:
    return np.column_stack([np.array(labels, np.uint8), rows]).tobytes()


def test_official_files_are_known_by_their_md5(tmp_path, publish):
    write(tmp_path / PYTHON, PYTHON)
    publish(tmp_path)
    assert load_data("cifar10", data_dir=tmp_path).is_official is True
    (tmp_path / "binary").mkdir()
    write(tmp_path / "binary", BINARY)  # whose batches' MD5 nobody states
    assert load_data("cifar10", data_dir=tmp_path / "binary").is_official is None


# --- damage ---------------------------------------------------------------------------------


def complaint(directory: Path) -> str:
    """Return the one line that the directory gives."""
    with pytest.raises(DataError) as raised:
        load_data("cifar10", data_dir=directory)
    assert not isinstance(raised.value, NotFoundError)
    message = str(raised.value)
    assert "\n" not in message
    return message


class Creates:
    """Pickles as a call that makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self._file), "w")


ROWS, OF_BATCH = batch(2)


@pytest.mark.parametrize("make", [write, write_archive])
def test_an_altered_file_is_named_and_nothing_of_it_is_run(tmp_path, publish, make):
    make(tmp_path, PYTHON)
    publish(tmp_path)
    created = tmp_path / "created"
    content = {"payload": Creates(created), "labels": OF_BATCH, "data": ROWS}
    make(tmp_path, PYTHON, data_batch_3=pickle.dumps(content, 2))
    altered = tmp_path / ("data_batch_3" if make is write else ARCHIVES[PYTHON])
    assert complaint(tmp_path) == (
        f"{altered}: not the file that was published, by its MD5; fetch the file again"
    )
    assert not created.exists()
    words = ["data", "check", "cifar10", "--data-dir", str(tmp_path), "--output", str(tmp_path)]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{altered}: not the file that was published" in result.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (binary(ROWS, OF_BATCH)[:-1], "36,875 bytes, expected a multiple of 3,073"),
        (b"", "0 bytes, expected a multiple of 3,073"),
        (
            binary(ROWS, [*OF_BATCH[:7], 10, *OF_BATCH[8:]]),
            "label 10 at position 7 (from 0), expected 0 to 9 for CIFAR-10",
        ),
    ],
)
def test_a_damaged_binary_batch(tmp_path, content, expected):
    write(tmp_path, BINARY, **{"test_batch.bin": content})
    assert complaint(tmp_path).startswith(f"{tmp_path / 'test_batch.bin'}: {expected}")


@pytest.mark.parametrize(("form", "name"), [(PYTHON, "data_batch_4"), (BINARY, "test_batch.bin")])
def test_a_missing_batch(tmp_path, form, name):
    write(tmp_path, form, **{name: None})
    expected = f"{name} is missing, other CIFAR-10 batches are there; put it beside them"
    assert complaint(tmp_path) == f"{tmp_path}: {expected}"
    ((_, place),) = locate(CATALOG["cifar10"], tmp_path)
    assert place.endswith(f"(incomplete: no {name})")


def test_a_batch_larger_than_any_is_not_read_whole(tmp_path):
    write(tmp_path, BINARY)
    os.truncate(tmp_path / "data_batch_5.bin", 2**40)  # a file with a hole: it takes no disk
    message = complaint(tmp_path)
    assert message.startswith(f"{tmp_path / 'data_batch_5.bin'}: 67,108,864 bytes, expected a")


def test_nothing_there_names_the_files_that_are_meant(tmp_path):
    with pytest.raises(NotFoundError, match="CIFAR-10 not found in data_dir") as raised:
        load_data("cifar10", data_dir=tmp_path)
    for name in ("data_batch_1", "test_batch", *ARCHIVES.values()):
        assert name in str(raised.value)
