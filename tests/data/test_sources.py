"""Sources of a dataset, the line that each kind of bad data gives, and the data commands."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import CATALOG, Dataset, Part, load_data, split
from kerascw.data.idx import FILES, read_idx, write_idx
from kerascw.data.sources import NotFoundError, locate
from kerascw.errors import CallError, DataError
from kerascw.experiment.spec import DataSpec, Holdout

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (name for name, _ in FILES.values())


def write_files(folder: Path, train: Part, test: Part, suffix: str = ".gz") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (
        (TRAIN_IMAGES, train.images[..., 0]),
        (TRAIN_LABELS, train.labels),
        (TEST_IMAGES, test.images[..., 0]),
        (TEST_LABELS, test.labels),
    ):
        write_idx(folder / f"{name}{suffix}", array)


def official(name: str) -> Dataset:
    """Return the real dataset from its files, or skip the test where there are none."""
    copies = [kind for kind, place in locate(CATALOG[name]) if "incomplete" not in place]
    if not {"directory", "system package", "scikit-learn"} & set(copies):
        pytest.skip(f"no files of {CATALOG[name].title} here (KERASCW_DATA_DIR names them)")
    return load_data(name)


@pytest.fixture
def folder(tmp_path: Path, sample: Dataset) -> Path:
    """A folder with the four gzipped files: 60 and 30 real pictures, every class among them."""
    write_files(
        tmp_path / "data", sample.train.take(np.arange(60)), sample.test.take(np.arange(30))
    )
    return tmp_path / "data"


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no copy of any dataset, and a network that does not answer."""
    monkeypatch.delenv("KERASCW_DATA_DIR", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the discard port: refused at once
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for entry in list(CATALOG.values()):
        system = entry.system and tmp_path / "system" / entry.name
        monkeypatch.setitem(CATALOG, entry.name, replace(entry, system=system))
    monkeypatch.chdir(tmp_path)  # data check writes its page into runs/
    return tmp_path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def one_line(result: Result, exit_code: int) -> str:
    """Return what a failed command said, having seen that it is one line and no traceback."""
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


# --- sources --------------------------------------------------------------------------------


def test_the_sample_is_what_was_recorded(sample):
    assert tuple(sample.sha256.values()) == sample.entry.sample_sha256
    assert sample.source == "sample"
    assert sample.title == "Fashion-MNIST (bundled sample)"
    assert not sample.is_official
    assert np.bincount(sample.train.labels).tolist() == [600] * 10
    assert np.bincount(sample.test.labels).tolist() == [100] * 10
    files = list(sample.entry.sample.iterdir())
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert "Zalando" in (sample.entry.sample / "LICENSE").read_text()


def test_the_sample_is_real_pictures(sample):
    whole = official("fashion_mnist")
    for part, of in ((sample.train, whole.train), (sample.test, whole.test)):
        per_class = len(part) // 10
        first = [np.flatnonzero(of.labels == label)[:per_class] for label in range(10)]
        np.testing.assert_array_equal(part.images, of.images[np.sort(np.concatenate(first))])


@pytest.mark.parametrize(
    ("suffix", "place", "dotted"),
    [(".gz", "", False), ("", "fashion-mnist", True), (".gz", "FashionMNIST/raw", True)],
)
def test_directories_and_names_in_circulation(tmp_path, sample, suffix, place, dotted):
    train, test = sample.train.take(np.arange(60)), sample.test.take(np.arange(30))
    write_files(tmp_path / place, train, test, suffix)
    if dotted:
        for file in (tmp_path / place).iterdir():
            file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    data = load_data("fashion_mnist", data_dir=tmp_path)
    assert (data.source, Path(data.location)) == ("directory", tmp_path / place)
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(data.train.images, train.images)
    np.testing.assert_array_equal(data.train.labels, train.labels)
    np.testing.assert_array_equal(data.test.images, test.images)
    np.testing.assert_array_equal(data.test.labels, test.labels)


def test_the_order_of_the_sources(nothing, folder, monkeypatch):
    system = CATALOG["fashion_mnist"].system
    shutil.copytree(folder, system)
    assert load_data("fashion_mnist").source == "system package"
    monkeypatch.setenv("KERASCW_DATA_DIR", str(nothing / "nowhere"))
    assert load_data("fashion_mnist").source == "system package"
    monkeypatch.setenv("KERASCW_DATA_DIR", str(folder))
    assert load_data("fashion_mnist").location == str(folder)
    shutil.copytree(folder, nothing / "mine")
    assert load_data("fashion_mnist", data_dir=nothing / "mine").location == str(nothing / "mine")
    assert [kind for kind, _ in locate(CATALOG["fashion_mnist"])] == [
        *("directory", "system package", "sample")
    ]


def test_fingerprints_see_order_and_the_unordered_one_does_not(sample):
    order = np.random.default_rng(0).permutation(len(sample.train))
    shuffled = replace(sample, train=sample.train.take(order))
    assert shuffled.fingerprint != sample.fingerprint
    assert shuffled.unordered_sha256 == sample.unordered_sha256
    labels = sample.train.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    relabelled = replace(sample, train=replace(sample.train, labels=labels))
    assert relabelled.unordered_sha256 != sample.unordered_sha256
    swapped = replace(sample, train=sample.test, test=sample.train)
    assert swapped.unordered_sha256 != sample.unordered_sha256


@pytest.mark.parametrize("name", CATALOG)
def test_official_hashes(name):
    data = official(name)
    assert data.is_official
    assert not data.is_reordered
    assert (len(data.train), len(data.test)) == data.entry.counts
    if data.entry.unordered_sha256 is None:
        return
    assert data.unordered_sha256 == data.entry.unordered_sha256
    turned = replace(data, train=data.train.take(np.arange(len(data.train))[::-1]))
    assert turned.is_reordered


def test_loading_and_splitting_is_quick():
    official("fashion_mnist")  # the files are in the page cache from here on
    started = time.perf_counter()
    data = load_data("fashion_mnist")
    split(data, DataSpec(name="fashion_mnist", holdout=Holdout(count=5000)))
    # promised: 1.5 s; 0.25 s measured on two cores at 2.5 GHz
    assert time.perf_counter() - started < 3


# --- data that is missing or damaged -----------------------------------------------------------


def test_nothing_found_says_what_was_tried_and_takes_no_sample(nothing):
    with pytest.raises(NotFoundError) as raised:
        load_data("fashion_mnist")
    message = str(raised.value)
    assert message.startswith("Fashion-MNIST not found. Tried ")
    assert str(nothing / "system" / "fashion_mnist") in message
    assert str(nothing / "tfds") in message
    assert "cannot be reached" in message
    remedies = message.partition("Any of these helps: ")[2].split("; ")
    assert [remedy.split(" ")[0] for remedy in remedies] == [
        *("data_dir", "'apt-get", "a", "sample=True")
    ]
    assert "\n" not in message
    assert list(nothing.iterdir()) == []


def test_nothing_found_in_the_named_directories(nothing, monkeypatch):
    (nothing / "empty").mkdir()
    monkeypatch.setenv("KERASCW_DATA_DIR", str(nothing / "empty"))
    with pytest.raises(NotFoundError, match="empty: no IDX files there, nor in its mnist or MNIST"):
        load_data("mnist")
    monkeypatch.setenv("KERASCW_DATA_DIR", str(nothing / "nowhere"))
    with pytest.raises(NotFoundError, match="nowhere: not a folder") as raised:
        load_data("mnist")
    assert "sample" not in str(raised.value)  # there is none of MNIST


def unpacked(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return what changes the bytes of the unpacked file."""
    return lambda file: file.write_bytes(gzip.compress(change(gzip.decompress(file.read_bytes()))))


def of_array(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Return what changes the array of the file."""
    return lambda file: write_idx(file, change(read_idx(file, 3 if "images" in file.name else 1)))


def with_label(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(labels: np.ndarray) -> np.ndarray:
        changed = labels.copy()
        changed[7] = value
        return changed

    return change


DAMAGES = {
    "short file": (
        *(TEST_IMAGES, unpacked(lambda raw: raw[:-100])),
        r"23,420 bytes of data, expected 23,520 for shape \(30, 28, 28\)",
    ),
    "fewer labels": (TRAIN_LABELS, of_array(lambda a: a[:-1]), "59 labels for 60 images"),
    "label out of range": (
        *(TEST_LABELS, of_array(with_label(10))),
        r"label 10 at position 7 \(from 0\), expected 0 to 9 for Fashion-MNIST",
    ),
    "other size": (
        *(TRAIN_IMAGES, of_array(lambda a: a[:, :20])),
        "images of 20 x 28 x 1, expected 28 x 28 x 1 for Fashion-MNIST",
    ),
    "file missing": (TEST_LABELS, Path.unlink, f"{TEST_LABELS}\\[.gz\\] is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_one_line_that_names_the_file(nothing, folder, damage):
    name, change, complaint = DAMAGES[damage]
    change(folder / f"{name}.gz")
    with pytest.raises(DataError, match=complaint) as raised:
        load_data("fashion_mnist", data_dir=folder)
    message = str(raised.value)
    assert not isinstance(raised.value, NotFoundError)
    assert str(folder) in message
    assert name in message
    assert "\n" not in message


@pytest.mark.parametrize("where", ["--data-dir", "system package"])
def test_damage_ends_every_command_with_its_line(nothing, folder, where):
    name, change, complaint = DAMAGES["short file"]
    change(folder / f"{name}.gz")
    options = ["--data-dir", str(folder)]
    if where == "system package":  # a damaged copy is not passed over for the next source
        shutil.copytree(folder, CATALOG["fashion_mnist"].system)
        options = []
    before = sorted(nothing.rglob("*"))
    grid = nothing / "out" / "grid.png"
    run = ("run", "fashion", "--runs", nothing / "runs", "--models", nothing / "exported")
    for words in (
        ("data", "check", "fashion_mnist"),
        ("data", "show", "fashion_mnist", "--output", grid),
        run,
    ):
        assert re.search(complaint, one_line(invoke(*words, *options), 1))
    assert sorted(nothing.rglob("*")) == before


def test_a_bad_data_dir(nothing, folder):
    message = one_line(invoke("data", "check", "mnist", "--data-dir", nothing / "nowhere"), 2)
    assert f"--data-dir: {nothing / 'nowhere'} is not a folder" in message
    file = folder / f"{TRAIN_IMAGES}.gz"
    assert "is not a folder" in one_line(invoke("data", "show", "mnist", "--data-dir", file), 2)
    (nothing / "empty").mkdir()
    shutil.copytree(folder, CATALOG["fashion_mnist"].system)  # it is not what was asked for
    message = one_line(invoke("data", "check", "fashion_mnist", "--data-dir", nothing / "empty"), 1)
    assert "Fashion-MNIST not found in --data-dir" in message
    assert all(name in message for name, _ in FILES.values())
    assert list((nothing / "empty").iterdir()) == []


def test_an_unknown_name_and_a_sample_that_is_not(nothing):
    with pytest.raises(CallError, match="no dataset 'fashion'; choose fashion_mnist, mnist,"):
        load_data("fashion")
    assert "no dataset 'cifar'" in one_line(invoke("data", "check", "cifar"), 2)
    message = one_line(invoke("data", "show", "mnist", "--sample"), 2)
    assert "--sample: no sample of MNIST is bundled" in message
    assert list(nothing.iterdir()) == []


def test_one_dataset_under_the_others_name(nothing, folder, monkeypatch):
    """With a few pictures catalogued as MNIST, as the real one needs not be here."""
    sha256 = tuple(load_data("fashion_mnist", data_dir=folder).sha256.values())
    monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], sha256=sha256))
    assert load_data("mnist", data_dir=folder).is_official
    complaint = f"{folder}: these files are MNIST, not Fashion-MNIST; ask for mnist"
    assert complaint in one_line(invoke("data", "check", "fashion_mnist", "--data-dir", folder), 1)


def test_the_sample_is_known_wherever_it_lies(tmp_path, sample):
    shutil.copytree(sample.entry.sample, tmp_path / "copy")
    copy = load_data("fashion_mnist", data_dir=tmp_path / "copy")
    assert (copy.source, copy.title) == ("sample", sample.title)
    assert copy.location == str(tmp_path / "copy")
    with pytest.raises(DataError, match="these files are Fashion-MNIST, not MNIST"):
        load_data("mnist", data_dir=tmp_path / "copy")


# --- commands -------------------------------------------------------------------------------


def test_list_says_what_is_where_and_what_helps(nothing, folder, monkeypatch):
    result = invoke("data", "list")
    assert result.exit_code == 0
    text = result.stdout
    for entry in CATALOG.values():
        row = next(line for line in text.splitlines() if line.startswith(f"{entry.name} "))
        counts = [f"{count:,}" for count in entry.counts]
        size = " x ".join(map(str, entry.shape))
        assert row.split() == [
            *(entry.name, *entry.title.split(), str(len(entry.class_names)), *counts, *size.split())
        ]
    assert text.count("not found") == sum(entry.layout is not None for entry in CATALOG.values())
    assert "sklearn.datasets.load_digits" in text
    assert "apt-get install dataset-fashion-mnist" in text
    assert "bundled fashion_mnist_sample" in text

    monkeypatch.setenv("KERASCW_DATA_DIR", str(folder))
    assert re.search(f"fashion_mnist +directory +{folder}", invoke("data", "list").stdout)
    (folder / f"{TEST_LABELS}.gz").unlink()
    text = invoke("data", "list").stdout
    assert f"{folder} (incomplete: no {TEST_LABELS}[.gz])" in text
    monkeypatch.delenv("KERASCW_DATA_DIR")
    assert str(folder) in invoke("data", "list", "--data-dir", folder).stdout
    assert "is not a folder" in one_line(invoke("data", "list", "--data-dir", nothing / "no"), 2)


def test_list_is_quick_and_imports_no_tensorflow():
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kerascw", "data", "list"],
        **{"capture_output": True, "text": True, "check": True},
    )
    after = os.times()
    modules = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "kerascw.data.sources" in modules
    imported = {module.partition(".")[0] for module in modules}
    slow = {"tensorflow", "tensorflow_datasets", "keras", "sklearn", "matplotlib", "requests"}
    assert not slow & imported
    # of processor time, which other work on the machine changes little; 0.55 s measured so
    assert after.children_user - before.children_user < 1


def test_lines_are_whole_in_a_pipe(sample, tmp_path):
    command = [sys.executable, "-m", "kerascw", "data", "check", "fashion_mnist", "--sample"]
    command += ["--output", str(tmp_path)]
    environment = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    for array, digest in sample.sha256.items():
        assert re.search(rf"{array} +ok +{digest}", done.stdout)


def test_show_prints_figures_and_draws_the_grid(tmp_path, sample, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("data", "show", "fashion_mnist", "--sample")
    assert result.exit_code == 0
    text = result.stdout
    assert "Fashion-MNIST (bundled sample): fashion_mnist_sample" in text
    assert "the bundled sample of Fashion-MNIST, unaltered" in text
    pixels = sample.train.images
    for part in (
        *("6,000", "1,000", "28 x 28 x 1", "uint8", "0 to 255"),
        *(f"{pixels.mean():.2f} ({pixels.mean() / 255:.4f} of 255)", f"{pixels.std():.2f} ("),
        *sample.entry.class_names,
        *("600", "100", "10.00 %"),
        *sample.sha256.values(),
    ):
        assert part in text
    file = Path("runs", "data", "fashion_mnist-sample.png")
    assert f"images: {file}" in text
    with Image.open(file) as image:
        grid = np.asarray(image.convert("L"))
    # the first picture of the first class stands in it, three times as large and unblurred
    first = sample.train.images[np.flatnonzero(sample.train.labels == 0)[0], ..., 0]
    large = first.repeat(3, 0).repeat(3, 1)
    tops = [np.lib.stride_tricks.sliding_window_view(grid[y : y + 84], (84, 84))[0]
            for y in range(8)]  # fmt: skip
    assert any((windows == large).all((1, 2)).any() for windows in tops)


def test_show_says_where_it_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    grid = tmp_path / "file" / "grid.png"
    result = invoke("data", "show", "digits", "--output", grid)
    assert result.exit_code == 1
    assert f"--output: {grid} cannot be written (" in result.stderr


def test_check_of_unaltered_data(nothing, folder, monkeypatch):
    result = invoke("data", "check", "fashion_mnist", "--sample")
    assert result.exit_code == 0
    assert result.stdout.count(" ok ") == 4
    assert "the bundled sample of Fashion-MNIST, unaltered" in result.stdout
    data = load_data("fashion_mnist", data_dir=folder)
    entry = replace(
        CATALOG["fashion_mnist"],
        **{"sha256": tuple(data.sha256.values()), "unordered_sha256": data.unordered_sha256},
    )
    monkeypatch.setitem(CATALOG, "fashion_mnist", entry)
    result = invoke("data", "check", "fashion_mnist", "--data-dir", folder)
    assert result.exit_code == 0
    assert "the published Fashion-MNIST, byte for byte" in result.stdout

    write_files(folder, data.train.take(np.arange(60)[::-1]), data.test)
    result = invoke("data", "check", "fashion_mnist", "--data-dir", folder)
    assert result.exit_code == 0
    assert "same images and labels, other order" in result.stdout
    assert result.stdout.count("DIFFERENT") == 2


def test_check_of_altered_data(nothing, folder):
    result = invoke("data", "check", "fashion_mnist", "--data-dir", folder)
    assert result.exit_code == 1
    assert result.stdout.count("DIFFERENT") == 4
    assert result.stderr.count("\n") == 1
    assert (
        f"kerascw: {folder}: not the published Fashion-MNIST (train_images, train_labels, "
        "test_images, test_labels differ; 60 and 30 images)"
    ) in result.stderr
