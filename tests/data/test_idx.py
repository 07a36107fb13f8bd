"""IDX files: what is read, and the one line that each kind of damage gives."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from kerascw.data.idx import find_idx, read_idx, write_idx
from kerascw.errors import DataError

_PICTURES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
_HEADER = struct.pack(">4B3I", 0, 0, 8, 3, 5, 3, 2)


@pytest.mark.parametrize("name", ["pictures", "pictures.gz"])
@pytest.mark.parametrize("shape", [(5, 3, 2), (30,), (0,)])
def test_what_was_written_is_read(tmp_path, name, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_idx(tmp_path / name, array)
    back = read_idx(tmp_path / name, len(shape))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array, strict=True)


def test_written_gzip_is_reproducible_and_told_by_its_bytes(tmp_path):
    write_idx(tmp_path / "a.gz", _PICTURES)
    write_idx(tmp_path / "b.gz", _PICTURES)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    (tmp_path / "a.gz").rename(tmp_path / "plain-name")
    np.testing.assert_array_equal(read_idx(tmp_path / "plain-name", 3), _PICTURES)


@pytest.mark.parametrize(
    "name",
    [
        *("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"),
        *("train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"),
    ],
)
def test_both_ways_of_naming_are_found(tmp_path, name):
    (tmp_path / name).touch()
    assert find_idx(tmp_path, "train-images-idx3-ubyte") == tmp_path / name
    assert find_idx(tmp_path, "t10k-images-idx3-ubyte") is None
    assert find_idx(tmp_path / "nowhere", "train-images-idx3-ubyte") is None


_GZIPPED = gzip.compress(_HEADER + _PICTURES.tobytes(), mtime=0)
_NOISE = np.random.default_rng(0).integers(0, 256, 10_000, np.uint8).tobytes()  # stays 10 kB
_LONG = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 10_000) + _NOISE, mtime=0)
_MIDDLE = len(_LONG) // 2


@pytest.mark.parametrize(
    ("content", "dimensions", "complaint"),
    [
        pytest.param(_GZIPPED[:-9], 3, "gzip stream ends early", id="truncated gzip"),
        pytest.param(_GZIPPED[:5], 3, "gzip stream ends early", id="half a gzip header"),
        pytest.param(
            _LONG[:_MIDDLE] + b"\xff" * 20 + _LONG[_MIDDLE + 20 :],
            *(1, "damaged gzip"),
            id="corrupted in the middle",
        ),
        pytest.param(
            _GZIPPED[:-8] + b"\0\0\0\0" + _GZIPPED[-4:], 3, "damaged gzip", id="wrong checksum"
        ),
        pytest.param(_GZIPPED + b"more", 3, "damaged gzip", id="something after the gzip"),
        pytest.param(b"", 3, "starts with nothing", id="empty"),
        pytest.param(gzip.compress(b""), 3, "starts with nothing", id="gzip of nothing"),
        pytest.param(
            b"<!DOCTYPE html>",
            3,
            "starts with 3c21444f, expected the IDX magic 00000803",
            id="html",
        ),
        pytest.param(
            struct.pack(">4BI", 0, 0, 8, 1, 3) + b"abc",
            *(3, "starts with 00000801, expected the IDX magic 00000803"),
            id="labels for pictures",
        ),
        pytest.param(
            struct.pack(">4BI", 0, 0, 0x0D, 1, 3) + b"abc", 1, "unsigned bytes", id="floats"
        ),
        pytest.param(_HEADER[:11], 3, "ends within its 16-byte header", id="half a header"),
        pytest.param(
            _HEADER, 3, r"0 bytes of data, expected 30 for shape \(5, 3, 2\)", id="header"
        ),
        pytest.param(
            _HEADER + bytes(29), 3, r"29 bytes of data, expected 30 for shape", id="one byte short"
        ),
        pytest.param(_HEADER + bytes(31), 3, "more than 30 bytes of data", id="one byte long"),
        pytest.param(
            # 2^32 x 2^32 overflows 64 bits to 0, which would be what the file has
            struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 4),
            *(3, "states 18,446,744,073,709,551,616 bytes of data"),
            id="absurd shape",
        ),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, content, dimensions, complaint):
    path = tmp_path / "some-idx-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as raised:
        read_idx(path, dimensions)
    message = str(raised.value)
    assert str(path) in message
    assert "fetch the file again" in message
    assert "\n" not in message


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_idx(tmp_path, 3)


def test_no_more_is_read_than_the_header_states(tmp_path):
    """A few hundred kilobytes that inflate to 50 MB, after a header of 30 bytes of data."""
    path = tmp_path / "bomb-idx-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(_HEADER)
        for _ in range(50):
            file.write(bytes(10**6))
    assert path.stat().st_size < 2e6
    tracemalloc.start()
    with pytest.raises(DataError, match="more than 30 bytes of data, expected 30"):
        read_idx(path, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    stated = struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 1000, 1000)
    path.write_bytes(gzip.compress(stated + bytes(100)))
    with pytest.raises(DataError, match="states 60,000,000,000 bytes of data"):
        read_idx(path, 3)
