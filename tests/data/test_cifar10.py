"""CIFAR-10: the published forms are read alike, damage gives its line, no pickle runs code."""

import gzip
import hashlib
import io
import os
import pickle
import resource
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import CATALOG, load_data
from kerascw.data.cifar10 import BATCHES, read_pickled
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
def test_all_published_forms_give_the_same_arrays(tmp_path, make, place, form):
    where = make(tmp_path / place.replace(PYTHON, form), form)
    before = sorted(tmp_path.rglob("*"))
    images, labels = load(tmp_path)
    np.testing.assert_array_equal(images, PICTURES)
    np.testing.assert_array_equal(labels, LABELS)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked
    folder = where if make is write else where.parent
    assert locate(CATALOG["cifar10"], tmp_path) == [("directory", str(folder))]


def test_unpacked_python_then_unpacked_binary_then_the_archives(tmp_path):
    def first() -> int:
        """Return the first pixel's red, by which the forms are told apart here."""
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


def test_a_batch_that_this_python_and_numpy_write():
    rows, labels = batch(0)
    content = pickle.dumps({"labels": labels, "data": rows}, protocol=2)
    planes, read = read_pickled(content, "here")
    np.testing.assert_array_equal(planes, PLANES[:COUNT], strict=True)
    np.testing.assert_array_equal(read, labels)


def test_official_files_are_known_by_their_md5(tmp_path, monkeypatch):
    folder = write(tmp_path / PYTHON, PYTHON)
    assert load_data("cifar10", data_dir=tmp_path).is_official is False
    runner = CliRunner()
    words = ["data", "check", "cifar10", "--data-dir", str(tmp_path), "--output", str(tmp_path)]
    result = runner.invoke(main, words)
    assert result.exit_code == 1
    assert f"{folder}: not the published CIFAR-10, by the MD5 of its files" in result.stderr
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], md5=md5))
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


def pickled(**changed: object) -> bytes:
    rows, labels = batch(2)
    return pickle.dumps({"labels": labels, "data": rows} | changed, protocol=2)


ROWS, OF_BATCH = batch(2)
OTHER_DATA = "other data, expected an array of unsigned bytes of shape (n, 3072)"
DAMAGED_PICKLES = {
    "floats": (pickled(data=ROWS.astype(np.float32)), OTHER_DATA),
    "signed bytes": (pickled(data=ROWS.view(np.int8)), OTHER_DATA),
    "unsplit": (pickled(data=ROWS.reshape(-1, 32, 96)), OTHER_DATA),
    "too narrow": (pickled(data=ROWS[:, :3000].copy()), OTHER_DATA),
    "column by column": (pickled(data=np.asfortranarray(ROWS)), OTHER_DATA),
    "list of rows": (pickled(data=[[0] * 3072]), OTHER_DATA),
    "a list": (pickle.dumps([1, 2], protocol=2), OTHER_DATA),
    "empty": (published_pickle(ROWS[:0], []), "0 bytes of data for 0 images"),
    "no labels": (pickled(labels=None), "0 whole numbers as labels for 12 images"),
    "labels of floats": (pickled(labels=[0.5] * COUNT), "0 whole numbers as labels"),
    "fewer labels": (pickled(labels=OF_BATCH[1:]), "11 whole numbers as labels for 12 images"),
    "label 10": (
        *(pickled(labels=[*OF_BATCH[:7], 10, *OF_BATCH[8:]]),),
        "label 10 at position 7 (from 0), expected 0 to 9 for CIFAR-10",
    ),
    "label -1": (pickled(labels=[*OF_BATCH[:11], -1]), "label -1 at position 11 (from 0)"),
    "no pickle": (b"<!DOCTYPE html>", "not a whole pickle ("),
    "nothing": (b"", "not a whole pickle (ValueError: pickle exhausted"),
    "cut": (pickled()[:20_000], "not a whole pickle ("),
    "one image more": (
        published_pickle(ROWS, OF_BATCH).replace(b"K\x0cM\x00\x0c\x86", b"K\x0dM\x00\x0c\x86"),
        "36,864 bytes of data for 13 images, expected 3,072 each",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED_PICKLES)
def test_a_damaged_batch_is_one_line_that_names_it(tmp_path, damage):
    content, expected = DAMAGED_PICKLES[damage]
    write(tmp_path, PYTHON, data_batch_3=content)
    message = complaint(tmp_path)
    assert message.startswith(f"{tmp_path / 'data_batch_3'}: {expected}")
    assert "fetch the file again" in message


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
    made = write_archive(tmp_path, BINARY, **{"test_batch.bin": content})
    assert complaint(tmp_path).startswith(f"{made}, test_batch.bin: {expected}")


@pytest.mark.parametrize(("form", "name"), [(PYTHON, "data_batch_4"), (BINARY, "test_batch.bin")])
def test_a_missing_batch(tmp_path, form, name):
    write(tmp_path / "unpacked", form, **{name: None})
    message = complaint(tmp_path / "unpacked")
    expected = f"{name} is missing, other CIFAR-10 batches are there; put it beside them"
    assert message == f"{tmp_path / 'unpacked'}: {expected}"
    ((_, place),) = locate(CATALOG["cifar10"], tmp_path / "unpacked")
    assert place.endswith(f"(incomplete: no {name})")
    path = write_archive(tmp_path / "packed", form, **{name: None})
    assert complaint(tmp_path / "packed").startswith(f"{path}: {form}/{name} is not in it")


def test_a_batch_larger_than_any_is_not_read(tmp_path):
    write(tmp_path, PYTHON)
    os.truncate(tmp_path / "data_batch_5", 2**40)  # a file with a hole: it takes no disk
    message = complaint(tmp_path)
    assert message.startswith(f"{tmp_path / 'data_batch_5'}: 1,099,511,627,776 bytes, a batch of")


def middle_inverted(raw: bytes) -> bytes:
    middle = len(raw) // 2
    inverted = bytes(byte ^ 0xFF for byte in raw[middle : middle + 64])
    return raw[:middle] + inverted + raw[middle + 64 :]


def wrong_checksum(raw: bytes) -> bytes:
    return raw[:-8] + bytes(byte ^ 0xFF for byte in raw[-8:-4]) + raw[-4:]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: raw[: len(raw) // 2], "damaged archive (EOFError: "),
        (lambda raw: raw[:-4], "damaged archive (EOFError: "),
        (middle_inverted, ""),  # where zlib, gzip or tarfile sees it depends on the bytes
        (wrong_checksum, "damaged archive (BadGzipFile: CRC check failed"),
        (lambda raw: b"<!DOCTYPE html>", "damaged archive (BadGzipFile: Not a gzip"),
        (lambda raw: gzip.compress(b"<p>" * 1000), "damaged archive ("),
        (lambda raw: gzip.compress(gzip.decompress(raw)[:100_000]), ""),
        (lambda raw: b"", "damaged archive (ReadError: empty file)"),
    ],
    ids=["half", "end", "middle", "checksum", "html", "no tar", "half a tar", "empty"],
)
def test_a_damaged_archive(tmp_path, change: Callable[[bytes], bytes], expected):
    path = write_archive(tmp_path, BINARY)
    path.write_bytes(change(path.read_bytes()))
    message = complaint(tmp_path)
    assert message.startswith(f"{path}: {expected}")
    assert "fetch the file again" in message


def test_only_regular_members_of_the_published_folder_are_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(contents(PYTHON)["test_batch"])
    path = tmp_path / ARCHIVES[PYTHON]
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents(PYTHON).items():
            place = tarfile.TarInfo(f"{PYTHON}/{name}")
            if name == "test_batch":  # a link out of the archive
                place.type, place.linkname = tarfile.SYMTYPE, str(secret)
                archive.addfile(place)
                place = tarfile.TarInfo(f"elsewhere/{name}")
                place.type = tarfile.REGTYPE
            place.size = len(content)
            archive.addfile(place, io.BytesIO(content))
    assert complaint(tmp_path).startswith(f"{path}: {PYTHON}/test_batch is not in it")


def test_nothing_there_names_the_files_that_are_meant(tmp_path):
    with pytest.raises(NotFoundError, match="CIFAR-10 not found in data_dir") as raised:
        load_data("cifar10", data_dir=tmp_path)
    for name in ("data_batch_1", "test_batch", *ARCHIVES.values()):
        assert name in str(raised.value)


# --- crafted pickles ------------------------------------------------------------------------


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_payload_that_would_create_a_file_is_not_run(tmp_path, protocol):
    created = tmp_path / "created"
    system = f"asks for '{os.system.__module__}.system', which no batch of CIFAR-10 needs"
    for payload in (Calls(os.system, f"touch {created}"), Calls(open, str(created), "w")):
        rows, labels = batch(0)
        content = {"payload": payload, "labels": labels, "data": rows}
        write(tmp_path / "data", PYTHON, data_batch_1=pickle.dumps(content, protocol))
        message = complaint(tmp_path / "data")
        assert not created.exists()
        if protocol > 2:
            assert f"data_batch_1: pickle protocol {protocol}, expected 2" in message
        elif payload._call[0] is os.system:
            assert system in message
    pickled_then_run = b"(S'touch'\niposix\nsystem\n."  # as protocol 0 writes an instance
    with pytest.raises(DataError, match=r"here: asks for 'posix\.system'"):
        read_pickled(pickled_then_run, "here")


CLAIMS = {
    "memo index of 2^32 - 1": b"K\x01r\xff\xff\xff\xff",
    "string of 2 GiB": b"T\xff\xff\xff\x7fabc",
    "string of 2^62 bytes": b"\x8e" + (2**62).to_bytes(8, "little") + b"abc",
    "byte array of 64 GiB": b"\x96" + (2**36).to_bytes(8, "little") + b"abc",
    "number of 20,000 digits": b"\x8b\x40\x1f\0\0" + b"\x7f" * 8000,
    "tuples nested without end": b")" + b"\x85" * 100_000,
    "shape of 2^46 images": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        b"\x8a\x06" + (2**46).to_bytes(6, "little") + b"\x85U\x02u1tR"
    ),
    "frame of 2^62 bytes": b"\x95" + (2**62).to_bytes(8, "little") + b"K\x01",
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_pickle_claims_takes_no_memory(claim):
    content = b"\x80\x02}(U\x06labels](K\x01eU\x04data" + CLAIMS[claim] + b"u."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as raised:
        read_pickled(content, "some/file")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    message = str(raised.value)
    assert message.startswith("some/file: ")
    assert "\n" not in message
    assert "fetch the file again" in message


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE])
def test_an_archive_takes_no_memory_for_what_no_batch_needs(tmp_path, kind):
    """An extended header, a long name or a file of 30 MB beside the batches."""
    path = tmp_path / ARCHIVES[PYTHON]
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(f"{PYTHON}/other")
        member.type, member.size = kind, 3 * 10**7
        archive.addfile(member, zeros(member.size))
        for name, content in contents(PYTHON).items():
            member = tarfile.TarInfo(f"{PYTHON}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    tracemalloc.start()
    if kind == tarfile.REGTYPE:
        np.testing.assert_array_equal(load(tmp_path)[0], PICTURES)
    else:
        assert "damaged archive (ValueError: 30,000,128 bytes at once" in complaint(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def zeros(size: int) -> io.BufferedIOBase:
    """Return a stream of so many zero bytes, which takes no memory."""

    class Zeros(io.RawIOBase):
        left = size

        def readable(self) -> bool:
            return True

        def readinto(self, into: memoryview) -> int:  # type: ignore[override]
            count = min(len(into), self.left)
            into[:count] = bytes(count)
            self.left -= count
            return count

    return io.BufferedReader(Zeros())


def test_an_archive_of_gigabytes_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("kerascw.data.cifar10._LARGEST_ARCHIVE", 2**24)
    path = tmp_path / ARCHIVES[PYTHON]
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(f"{PYTHON}/other")
        member.size = 2 * 10**7
        archive.addfile(member, zeros(member.size))
    expected = f"{path}: damaged archive (ValueError: more than 16,777,216 bytes unpacked"
    assert complaint(tmp_path).startswith(expected)
