"""The TFDS source: what TFDS prepared is read, and without a network it gives up at once.

Nothing here downloads: what is read was written by TFDS' own writers from bundled pictures.
"""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import CATALOG, Dataset, load_data
from kerascw.data.sources import NotFoundError, locate
from kerascw.data.tfds import prepared_by_tfds
from kerascw.errors import DataError


@pytest.fixture(scope="module")
def pictures(sample: Dataset) -> Dataset:
    """200 training and 100 test pictures of the sample."""
    train = sample.train.take(np.arange(0, len(sample.train), 30))
    test = sample.test.take(np.arange(0, len(sample.test), 10))
    return replace(sample, train=train, test=test)


def store(root: Path, name: str, shape: tuple[int, ...], splits: dict[str, list[Any]]) -> None:
    """Prepare images, each with its label, as TFDS prepares its dataset of this name."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=tfds.builder(name, data_dir=root).version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: [(at, {"image": image, "label": int(label)}) for at, (image, label) in
                    enumerate(examples)]
            for split, examples in splits.items()
        },
        data_dir=root,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, pictures: Dataset) -> Path:
    """A data directory of TFDS with these pictures prepared as its fashion_mnist."""
    root = tmp_path_factory.mktemp("tfds")
    splits = {
        name: list(zip(part.images, part.labels, strict=True))
        for name, part in (("train", pictures.train), ("test", pictures.test))
    }
    store(root, "fashion_mnist", (28, 28, 1), splits)
    return root


@pytest.fixture
def root(
    tmp_path: Path, prepared: Path, pictures: Dataset, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the prepared directory, the only source there is; the catalogue knows it."""
    copy = tmp_path / "tfds"
    shutil.copytree(prepared, copy)
    monkeypatch.setenv("TFDS_DATA_DIR", str(copy))
    only_source(monkeypatch, unordered_sha256=pictures.unordered_sha256)
    monkeypatch.setattr("kerascw.data.tfds._BATCH", 60)  # so that there are several
    return copy


def only_source(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.delenv("KERASCW_DATA_DIR", raising=False)
    entry = replace(CATALOG["fashion_mnist"], system=None, **fields)
    monkeypatch.setitem(CATALOG, "fashion_mnist", entry)


def test_what_tfds_prepared_is_read_whole_and_always_in_one_order(root, pictures, capfd):
    data = load_data("fashion_mnist")
    assert (data.source, Path(data.location).parent) == ("tfds", root / "fashion_mnist")
    assert data.train.images.shape == (200, 28, 28, 1)
    assert data.test.images.shape == (100, 28, 28, 1)
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    assert data.unordered_sha256 == pictures.unordered_sha256
    assert data.fingerprint != pictures.fingerprint  # TFDS has an order of its own
    assert data.is_reordered
    assert load_data("fashion_mnist").fingerprint == data.fingerprint
    assert "tfds" not in "".join(capfd.readouterr()).lower()


def test_the_commands_know_it(root, tmp_path):
    runner = CliRunner()
    folder = prepared_by_tfds("fashion_mnist")
    listed = runner.invoke(main, ["data", "list"]).stdout
    assert re.search(f"fashion_mnist +tfds +{folder}", listed)
    result = runner.invoke(main, ["data", "check", "fashion_mnist", "--output", str(tmp_path)])
    assert result.exit_code == 0
    assert "the published Fashion-MNIST: same images and labels, other order" in result.stdout


def test_the_newest_whole_version_serves(root):
    folder = root / "fashion_mnist"
    (current,) = folder.iterdir()
    for name in ("3.0.0", "2.10.0"):
        shutil.copytree(current, folder / name)
    for name in ("incomplete.ABCDEF_9.0.0", "9.0.0"):  # the second lacks what says it is whole
        (folder / name).mkdir()
    (folder / "incomplete.ABCDEF_9.0.0" / "dataset_info.json").touch()
    (folder / "notes.txt").touch()
    entry = CATALOG["fashion_mnist"]
    assert prepared_by_tfds(entry.tfds) == current
    shutil.rmtree(current)
    assert prepared_by_tfds(entry.tfds) == folder / "3.0.0"
    shutil.rmtree(folder / "3.0.0")
    assert prepared_by_tfds(entry.tfds) == folder / "2.10.0"
    shutil.rmtree(folder / "2.10.0")
    assert prepared_by_tfds(entry.tfds) is None
    assert [kind for kind, _ in locate(entry)] == ["sample"]


@pytest.mark.parametrize("damage", ["shortened", "no test split"])
def test_a_damaged_copy_is_one_line(root, damage):
    (folder,) = (root / "fashion_mnist").iterdir()
    (records,) = folder.glob("*-train.tfrecord*")
    if damage == "shortened":
        records.write_bytes(records.read_bytes()[:-1000])
    else:
        info = folder / "dataset_info.json"
        info.write_text(info.read_text().replace('"name": "test"', '"name": "validation"'))
    with pytest.raises(DataError, match=f"{folder}: TFDS cannot read it") as raised:
        load_data("fashion_mnist")
    assert "delete the folder" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_splits_that_are_the_training_set(tmp_path, monkeypatch):
    """Each image holds its number, and its label follows from it: the order is TFDS' own."""
    numbers = {"train": range(30), "extra": range(30, 80), "test": range(80, 100)}
    splits = {
        split: [(np.full((32, 32, 3), number, np.uint8), number % 10) for number in of_split]
        for split, of_split in numbers.items()
    }
    store(tmp_path, "svhn_cropped", (32, 32, 3), splits)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("KERASCW_DATA_DIR", raising=False)
    data = load_data("svhn_extra")
    assert (data.source, Path(data.location).parent) == ("tfds", tmp_path / "svhn_cropped")
    assert data.official_files is None
    for part, expected in ((data.train, range(80)), (data.test, range(80, 100))):
        found = part.images[:, 0, 0, 0]
        assert sorted(found) == list(expected)
        np.testing.assert_array_equal(part.images, found[:, None, None, None] + 0 * part.images)
        np.testing.assert_array_equal(part.labels, found % 10)
    assert sorted(data.train.images[:30, 0, 0, 0]) == list(range(30))  # not mixed


# --- with no network, or a bad one ----------------------------------------------------------

_LOAD = """
from kerascw.data import load_data
from kerascw.errors import KerascwError
try:
    load_data("mnist")
except KerascwError as error:
    raise SystemExit(str(error))
"""


def test_without_a_network_it_ends_at_once_in_one_line_and_writes_nothing(tmp_path):
    root = tmp_path / "tfds"
    unset = ("KERASCW_DATA_DIR", "NO_PROXY", "no_proxy", "http_proxy", "https_proxy")
    environment = {
        **{name: value for name, value in os.environ.items() if name not in unset},
        **{"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
        "TFDS_DATA_DIR": str(root),
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _LOAD], capture_output=True, text=True, env=environment
    )
    # 0.4 s measured; TFDS left to itself took 205 s
    assert time.perf_counter() - started < 10
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"TFDS mnist: not in {root}, and storage.googleapis.com cannot be reached" in done.stderr
    assert not root.exists()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[http.server.BaseHTTPRequestHandler]]:
    """A proxy that answers every request alike; Fashion-MNIST's server is asked without TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        code, content = 200, b"<html>Log in to use this network</html>"

        def do_GET(self) -> None:
            self.send_response(self.code)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        yield Handler
        server.shutdown()


def test_a_server_that_is_down(tmp_path, proxy, monkeypatch):
    only_source(monkeypatch)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    proxy.code = 503
    with pytest.raises(NotFoundError, match=r"amazonaws\.com answered 503 Service Unavailable"):
        load_data("fashion_mnist")
    assert not (tmp_path / "tfds").exists()


def test_what_is_not_the_dataset_is_not_kept(tmp_path, proxy, monkeypatch, capfd):
    only_source(monkeypatch)
    root = tmp_path / "tfds"
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    remove, late = shutil.rmtree, set()

    def written_meanwhile(folder, **options):
        """Delete the folder as another of TFDS' threads writes into it."""
        remove(folder, **options)
        if ".tmp." in str(folder) and folder not in late:
            late.add(folder)
            folder.mkdir()
            (folder / "train-images-idx3-ubyte.gz").touch()

    monkeypatch.setattr("kerascw.data.tfds.shutil.rmtree", written_meanwhile)
    for _ in range(2):  # the first attempt leaves nothing that the second stumbles over
        with pytest.raises(NotFoundError, match="TFDS fashion_mnist: NonMatchingChecksumError"):
            load_data("fashion_mnist")
        out, err = capfd.readouterr()
        assert out == ""
        assert err == f"Fashion-MNIST: TFDS downloads 31 MB into {root}\n"
    kept = [path.name for path in root.rglob("*") if path.is_file()]
    assert kept == [".fashion_mnist.lock"]
    assert late
