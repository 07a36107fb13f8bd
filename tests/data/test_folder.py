"""Folders of pictures: their layouts, what is read of them, what is kept, and every refusal."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kerascw.data import Dataset, data_named, split
from kerascw.data.cache import cache_folder
from kerascw.data.folder import describe_folder, load_folder
from kerascw.data.image_files import fit_picture, pillow_filters, read_pictures
from kerascw.data.own import Options
from kerascw.errors import CallError, DataError
from kerascw.experiment.spec import DataSpec, Folder, Holdout

FLAT = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
PARTS = (
    "train/cat/1.png",
    "train/cat/2.png",
    "train/dog/1.png",
    "test/cat/1.png",
    "test/dog/1.png",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of these tests, so that none touches the user's."""
    monkeypatch.setenv("KERASCW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pets"


def pixels(name: str, shape: tuple[int, ...] = (4, 5, 3)) -> np.ndarray:
    """Return noise that is the same for the same name."""
    seed = list(os.fsencode(unicodedata.normalize("NFC", name)))
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def make(root: Path, *names: str, shape: tuple[int, ...] = (4, 5, 3)) -> Path:
    """Write a PNG file of noise under every name."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(name, shape)).save(file, "PNG")
    return root


def describe(root: Path | str, **options: Any) -> Folder:
    return describe_folder(root, Options(**options))


def load(root: Path, **options: Any) -> Dataset:
    return load_folder(describe(root, **options))


def expected(*names: str) -> np.ndarray:
    return np.stack([pixels(name) for name in names])


def refusal(root: Path, **options: object) -> str:
    """Return the one line with which loading ends, having seen that it names the folder."""
    with pytest.raises(DataError) as raised:
        load(root, **options)
    message = str(raised.value)
    assert str(root) in message
    assert "\n" not in message
    return message


def age(*files: Path) -> None:
    """Make files an hour older, so that a change shows however coarse the clock is."""
    for file in files:
        time = file.stat().st_mtime_ns - 3600 * 10**9
        os.utime(file, ns=(time, time))


# --- layouts --------------------------------------------------------------------------------


def test_train_and_test_folders(root):
    make(root, *PARTS)
    spec = describe(root)
    assert spec == Folder(path=str(root), height=4, width=5, colour=True, fit="crop")
    data = load_folder(spec)
    assert (data.source, data.location, data.title) == ("folder", str(root), "pets")
    entry = data.entry
    assert (entry.name, entry.class_names) == ("folder", ("cat", "dog"))
    assert (entry.shape, entry.counts, entry.layout) == ((4, 5, 3), (3, 2), None)
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(data.train.images, expected(*PARTS[:3]))
    np.testing.assert_array_equal(data.test.images, expected(*PARTS[3:]))
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.validation is None
    assert data.is_official is None


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        *(("train", "val", "test"), ("Train", "VALID", "Test"), ("TRAIN", "validation", "TEST")),
        ("training", "Validation", "testing"),
    ],
)
def test_names_of_parts(root, train, validation, test):
    names = [f"{train}/a/1.png", f"{train}/b/1.png", f"{validation}/b/1.png", f"{test}/a/1.png"]
    make(root, *names)
    make(root, "extra/c/1.png")  # what is no part stays out
    with pytest.warns(UserWarning, match=r"1 other file is left out: extra/ \(no train, val"):
        data = load(root)
    np.testing.assert_array_equal(data.train.images, expected(*names[:2]))
    np.testing.assert_array_equal(data.validation.images, expected(names[2]))
    np.testing.assert_array_equal(data.test.images, expected(names[3]))
    # neither has all classes; the labels are those of the training part all the same
    assert (data.validation.labels.tolist(), data.test.labels.tolist()) == ([1], [0])
    own = split(data, DataSpec(name="folder", folder=describe(root), holdout=Holdout(how="own")))
    assert own.validation is data.validation


def test_class_folders_are_split_from_the_seed(root):
    names = [f"{label}/{i:02}.png" for label, n in (("a", 20), ("b", 10)) for i in range(n)]
    make(root, *names)
    positions = {pixels(name).tobytes(): position for position, name in enumerate(names)}
    spec = describe(root)
    assert (spec.test_share, spec.seed) == (0.2, 0)

    def drawn(**changes: object) -> tuple[list[int], list[int]]:
        data = load_folder(spec.model_copy(update=changes))
        both = []
        for part in (data.train, data.test):
            order = [positions[image.tobytes()] for image in part.images]
            assert order == sorted(order)
            assert part.labels.tolist() == [int(position >= 20) for position in order]
            both.append(order)
        assert sorted(both[0] + both[1]) == list(range(30))
        return both[0], both[1]

    train, test = drawn()
    assert [sum(position < 20 for position in test), len(test)] == [4, 6]
    assert drawn() == (train, test)
    assert drawn(seed=1)[1] != test
    assert [len(part) for part in drawn(test_share=0.5)] == [15, 15]


def test_a_class_may_be_called_train(root):
    make(root, *(f"{label}/{i}.png" for label in ("bus", "train") for i in range(3)))
    assert load(root).entry.class_names == ("bus", "train")


def test_images_at_any_depth_by_path(root):
    inside = [
        "cat/B.png",
        "cat/a/z.png",
        "cat/a.png",
        "cat/b/c/1.PNG",
        "cat/b/c/10.png",
        "cat/b1.png",
    ]
    make(root / "train", *reversed(inside), "dog/1.png")
    make(root / "test", "cat/1.png")
    hidden = ["cat/.x.png", "cat/._a.png", "cat/.trash/1.png", "cat/__MACOSX/1.png", ".git/1.png"]
    make(root / "train", *hidden)
    make(root, "__MACOSX/train/1.png", ".val/cat/1.png", "stray.png")
    for junk in ("Thumbs.db", "notes.txt", "a.heic"):
        (root / "train" / "cat" / junk).write_bytes(b"junk")
    with pytest.warns(UserWarning, match=r"pets: 3 other files are left out: ") as caught:
        data = load(root)
    assert len(caught) == 1
    assert data.left_out == (
        "stray.png (in no class folder)",
        "train/cat/a.heic (no image by its name)",
        "train/cat/notes.txt (no image by its name)",
    )
    assert str(caught[0].message).endswith(f": {', '.join(data.left_out)}")
    np.testing.assert_array_equal(data.train.images, expected(*sorted(inside), "dog/1.png"))
    assert sorted(inside)[:3] == ["cat/B.png", "cat/a.png", "cat/a/z.png"]
    assert data.entry.class_names == ("cat", "dog")


def test_links(root, tmp_path):
    make(root, *PARTS)
    make(tmp_path / "elsewhere", "more/3.png", "bird/1.png")
    cat = root / "train" / "cat"
    (cat / "loop").symlink_to(cat)
    (cat / "up").symlink_to(tmp_path)  # the class lies in it
    (cat / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (cat / "linked again").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "elsewhere" / "more" / "back").symlink_to(cat)
    (cat / "nowhere").symlink_to(tmp_path / "nothing")
    (root / "train" / "nowhere").symlink_to(tmp_path / "nothing")
    (root / "train" / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    (root / "test" / "dog" / "2.png").symlink_to(tmp_path / "elsewhere" / "bird" / "1.png")
    data = load(root)
    assert data.entry.class_names == ("bird", "cat", "dog")
    assert data.train.labels.tolist() == [0, 1, 1, 1, 2]
    names = ("bird/1.png", *PARTS[:2], "more/3.png", PARTS[2])
    np.testing.assert_array_equal(data.train.images, expected(*names))
    np.testing.assert_array_equal(data.test.images, expected(*PARTS[3:], "bird/1.png"))


NAMES = ("Zürich", "犬", "кошка", "a b", "🐈‍⬛", "100%[x]")


def test_names_of_any_script(tmp_path):
    root = tmp_path / "Bilder 🖼 für" / "données"
    make(root, *(f"{name}/{i} ñ.png" for name in NAMES for i in range(5)))
    data = load(root)
    assert data.title == "données"
    assert data.entry.class_names == tuple(sorted(NAMES))
    (root / "犬" / "2.png").write_bytes(b"text")
    assert "犬/2.png (no PNG" in refusal(root)


def test_relative_paths_and_the_home_folder(root, monkeypatch):
    make(root, *FLAT)
    monkeypatch.chdir(root.parent)
    assert describe("pets").path == str(root)
    monkeypatch.setenv("HOME", str(root.parent))
    assert describe("~/pets").path == str(root)


def test_neither_place_nor_order_changes_the_data(root, tmp_path):
    names = [f"{label}/{i}.png" for label in "ab" for i in range(6)]
    make(root, *names)
    make(tmp_path / "copy", *reversed(names))
    data, copy = load(root), load(tmp_path / "copy")
    assert data.fingerprint == copy.fingerprint
    assert data.sha256 == copy.sha256
    Image.fromarray(pixels("other")).save(root / "a" / "0.png")
    assert load(root).fingerprint != copy.fingerprint


# --- size and colour --------------------------------------------------------------------------


def saved(file: Path, mode: str, size: tuple[int, int], **options: object) -> None:
    """Save a picture of this mode; size is width and height, as Pillow has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if mode == "I;16":
        deep = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size[::-1]) * 97
        Image.fromarray(deep).save(file, **options)
    else:
        noise = Image.fromarray(pixels(file.name, (size[1], size[0], 3)))
        noise.convert(mode).save(file, **options)


@pytest.mark.parametrize(
    ("pictures", "size", "colour"),
    [
        ([("L", (96, 20)), ("L", (96, 20))], (20, 96), False),
        ([("L", (97, 20)), ("L", (97, 20))], (32, 32), False),
        ([("L", (20, 20)), ("L", (20, 21))], (32, 32), False),
        ([("1", (9, 9)), ("L", (9, 9)), ("LA", (9, 9)), ("I;16", (9, 9))], (9, 9), False),
        ([("L", (9, 9)), ("RGB", (9, 9))], (9, 9), True),
        ([("P", (9, 9)), ("L", (9, 9))], (9, 9), True),
        ([("RGBA", (300, 200)), ("L", (9, 9))], (32, 32), True),
    ],
)
def test_size_and_colour_that_images_have(root, pictures, size, colour):
    for number, (mode, shape) in enumerate(pictures):
        saved(root / "ab"[number % 2] / f"{number}.png", mode, shape)
    spec = describe(root)
    assert ((spec.height, spec.width), spec.colour) == (size, colour)


def test_size_and_colour_that_are_asked_for(root):
    make(root, *PARTS)
    spec = describe(str(root), size=(7, 6), bad_files="skip")
    asked = {"height": 7, "width": 6, "colour": True, "fit": "crop", "bad_files": "skip"}
    assert spec == Folder(path=str(root), **asked)
    assert load_folder(spec).train.images.shape == (3, 7, 6, 3)
    with pytest.raises(CallError, match=r"data: size\.0: Input should be greater than 0"):
        data_named(str(root), size=(0, 6))


def test_turned_images_have_the_size_they_are_shown_in(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a/1", "a/2", "b/1", "b/2"):
        saved(root / f"{name}.jpg", "RGB", (40, 30), exif=exif)
    spec = describe(root)
    assert (spec.height, spec.width) == (40, 30)


def test_only_headers_are_read_for_it(root):
    make(root, *FLAT, shape=(50, 50, 3))
    for name in FLAT:
        raw = (root / name).read_bytes()
        (root / name).write_bytes(raw[:100])  # PNG's header has 33 bytes
    (root / "cat" / "text.png").write_text("no picture decides nothing")
    os.mkfifo(root / "cat" / "pipe.png")
    spec = describe(root)
    assert (spec.height, spec.width, spec.colour) == (50, 50, True)
    assert "6 of 6 images cannot be read" in refusal(root)


def test_training_sees_what_predict_sees(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        saved(root / "a" / f"{mode.replace(';', '')}.png", mode, (40, 30))
        saved(root / "b" / f"{mode.replace(';', '')}.png", mode, (32, 32), exif=exif)
    for mode in ("L", "RGB", "CMYK"):
        saved(root / "a" / f"{mode}.jpg", mode, (50, 20), exif=exif)
    saved(root / "b" / "P.gif", "P", (5, 60))
    saved(root / "b" / "L.bmp", "L", (200, 300))
    clear = Image.new("P", (28, 28), 1)
    clear.putpalette([255, 255, 255, 0, 0, 0])
    clear.save(root / "b" / "clear.gif", transparency=1)
    files = [file for label in "ab" for file in sorted((root / label).iterdir())]
    assert len(files) == 20
    for colour, fit in ((True, "crop"), (False, "pad"), (True, "stretch")):
        shape = (32, 32, 3 if colour else 1)
        spec = describe(root, size=(32, 32), fit=fit)
        data = load_folder(spec.model_copy(update={"colour": colour}))
        seen = [picture.array for picture in read_pictures(files, shape, fit=fit)]
        order = {array.tobytes(): position for position, array in enumerate(seen)}
        both = [*data.train.images, *data.test.images]
        assert sorted(order[image.tobytes()] for image in both) == sorted(order.values())
        with pillow_filters():
            for file, array in zip(files, seen, strict=True):
                np.testing.assert_array_equal(fit_picture(str(file), shape, fit).array, array)


def test_threads_leave_the_warning_filters_as_they_were(root):
    make(root, *(f"{label}/{i}.png" for label in "ab" for i in range(40)))
    before = list(warnings.filters)
    load(root)
    assert warnings.filters == before


# --- files that cannot be read ----------------------------------------------------------------


def damaged(root: Path) -> Path:
    make(root, *PARTS, "train/dog/2.png", "train/dog/3.png")
    whole = (root / PARTS[0]).read_bytes()
    (root / PARTS[0]).write_bytes(b"text")
    (root / "train/dog/2.png").write_bytes(b"")
    (root / "train/dog/3.png").write_bytes(whole[:-30])
    (root / "test/dog/1.png").unlink()
    (root / "test/dog/1.png").symlink_to("nothing")
    return root


def test_bad_files_are_an_error(root):
    none = "no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image"
    for _ in range(2):  # the second time from the cache
        message = refusal(damaged(root) if not root.exists() else root)
        # parts in the order train, test; within them by class and path
        assert message.startswith(
            f"{root}: 4 of 7 images cannot be read: train/cat/1.png ({none}), "
            f"train/dog/2.png ({none}), train/dog/3.png (damaged: "
        )
        assert message.endswith(
            ") and 1 more; mend or remove them, or leave them out with bad_files='skip'"
        )


def test_bad_files_are_skipped(root):
    damaged(root)
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match="images cannot be read") as caught:
            data = load(root, bad_files="skip")
        [warning] = caught
        message = str(warning.message)
        assert message.startswith(
            f"{root}: 4 of 7 images cannot be read and are left out: train/cat/1.png (no PNG"
        )
        assert message.endswith(") and 1 more")
        assert "\n" not in message
        assert warning.filename == __file__
        np.testing.assert_array_equal(data.train.images, expected(PARTS[1], PARTS[2]))
        np.testing.assert_array_equal(data.test.images, expected(PARTS[3]))
        assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1], [0])
        assert data.entry.counts == (2, 1)


def test_a_part_or_class_of_which_nothing_can_be_read(root):
    make(root, *PARTS)
    (root / PARTS[2]).write_bytes(b"text")
    with pytest.warns(UserWarning, match="1 of 5"):
        message = refusal(root, bad_files="skip")
    assert "none of the training images of class dog can be read" in message
    make(root, PARTS[2])
    for name in PARTS[3:]:
        (root / name).write_bytes(b"text")
    with pytest.warns(UserWarning, match="2 of 5"):
        message = refusal(root, bad_files="skip")
    assert "none of the test images can be read" in message


@contextmanager
def unprivileged() -> Iterator[None]:
    """Do without the rights of root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_folders_without_permission():
    with tempfile.TemporaryDirectory() as folder:  # tmp_path may be entered by its owner only
        os.chmod(folder, 0o755)
        root = make(Path(folder, "pets"), *PARTS)
        (root / PARTS[0]).chmod(0)
        with unprivileged():
            assert "1 of 5 images cannot be read: train/cat/1.png (Permission denied)" in refusal(
                root
            )
        (root / PARTS[0]).chmod(0o644)  # changes neither size nor time
        with unprivileged():
            np.testing.assert_array_equal(load(root).train.images, expected(*PARTS[:3]))
        (root / "train" / "dog").chmod(0)
        with unprivileged():
            message = refusal(root)
        (root / "train" / "dog").chmod(0o755)
        assert (
            f"{root / 'train' / 'dog'}: this folder cannot be read (Permission denied)" in message
        )


# --- refusals ---------------------------------------------------------------------------------


def test_no_folder(root):
    with pytest.raises(CallError, match=f"{root}: no such folder"):
        load(root)
    root.write_bytes(b"PK")
    assert f"{root}: this is a file, not a folder" in refusal(root)
    with pytest.raises(DataError, match="no such folder"):  # gone after it was described
        load_folder(Folder(path=str(root.parent / "nothing"), height=4, width=5))


def others(*names: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"other")

    return write


def folders(*names: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for name in names:
            (root / name).mkdir(parents=True)

    return write


COMPOSED, DECOMPOSED = "Z\u00fcrich", "Zu\u0308rich"
NOT_TEXT = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("names", "more", "said"),
    [
        pytest.param(
            ["1.png", "2.png", "3.jpg"],
            *(None, ": 0 class folders; expected a folder for"),
            id="pictures directly",
        ),
        pytest.param(["cat/1.png"], None, ": 1 class folder cat; expected", id="one class"),
        pytest.param(
            ["data/cat/1.png", "data/dog/1.png"],
            *(None, ": 1 class folder data; expected"),
            id="one folder too high",
        ),
        pytest.param(
            FLAT,
            folders("bird"),
            ": class bird has no images (0 other files there); expected .apng, ",
            id="empty class",
        ),
        pytest.param(
            FLAT,
            others("bird/b.svg", "bird/a.heic", "bird/x/c.txt", "bird/Thumbs.db", "bird/.z.tif"),
            ": class bird has no images (3 other files there); expected",
            id="class of other files",
        ),
        pytest.param(
            ["train/1.png", "train/2.png", "test/cat/1.png"],
            *(None, ": a folder test with folders in it, but none named train; expected"),
            id="train without classes",
        ),
        pytest.param(
            PARTS, folders("test/bird"), ": test/bird is no class, train has no", id="unknown class"
        ),
        pytest.param(
            PARTS[:3], folders("test/cat"), ": no images in test; add some, or", id="empty test"
        ),
        pytest.param(
            [*PARTS, "val/cat/1.png", "validation/cat/1.png"],
            *(None, ": val and validation both stand for the validation set; keep one"),
            id="two validation parts",
        ),
        pytest.param(
            ["test/cat/1.png", "test/dog/1.png", "val/cat/1.png"],
            *(None, ": a folder test with folders in it, but none named train; expected"),
            id="test without train",
        ),
        pytest.param(
            [f"{COMPOSED}/1.png", f"{DECOMPOSED}/1.png"],
            *(None, f"two folders are named {COMPOSED}, in different Unicode forms; merge"),
            id="equal after normalisation",
        ),
        pytest.param(
            [*FLAT, f"{NOT_TEXT}/1.png"],
            *(None, r": caf\udce9 is no valid Unicode; rename it"),
            id="no Unicode",
        ),
        pytest.param(
            [*FLAT, "bird/1.png"],
            None,
            ": 5 images of 3 classes are too few to hold 20% out as a test set: every class needs "
            "some to train and to test on; add images, or make a test set of your own",
            id="class of one picture",
        ),
        pytest.param(
            [*FLAT, "bird/1.png", "bird/2.png"],
            None,
            ": 6 images of 3 classes are too few to hold 20% out as a test set",
            id="fewer test pictures than classes",
        ),
    ],
)
def test_refusals(root, cache, names, more, said):
    try:
        make(root, *names)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    if more:
        more(root)
    if said.startswith("two folders") and len(os.listdir(root)) == 1:
        pytest.skip("this file system normalises names")
    assert said.replace("{root}", str(root)) in refusal(root)


def test_a_path_that_is_no_text(tmp_path):
    try:
        make(tmp_path / NOT_TEXT, *FLAT)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with pytest.raises(DataError, match=r"caf\\udce9: this path is no valid Unicode; rename"):
        describe(tmp_path / NOT_TEXT)


def test_more_than_there_is_memory(root):
    make(root, *PARTS)
    message = refusal(root, size=(10**9, 10**9))
    assert "5 images of 1000000000 x 1000000000 x 3 need 15,000,000,000.0 GB" in message


# --- what is kept -----------------------------------------------------------------------------


def hidden_change(file: Path) -> None:
    """Give a picture other pixels, but leave its size in bytes and its time."""
    raw, facts = bytearray(file.read_bytes()), file.stat()
    assert file.suffix == ".bmp"
    raw[-1] ^= 255
    file.write_bytes(raw)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.fixture
def bitmaps(root: Path) -> Path:
    """A folder of BMP files, whose last byte is a pixel."""
    for name in PARTS:
        saved((root / name).with_suffix(".bmp"), "L", (4, 4))
    return root


def was_kept(root: Path, **changes: object) -> bool:
    """Return whether loading takes the arrays from the cache: it does not see a hidden change."""
    spec = describe(root).model_copy(update=changes)
    before = load_folder(spec).fingerprint
    hidden_change(root / "train" / "cat" / "1.bmp")
    return load_folder(spec).fingerprint == before


def test_images_are_decoded_once(bitmaps, cache):
    assert not cache.exists()
    assert was_kept(bitmaps)
    [entry] = cache.iterdir()
    assert entry.suffix == ".npz"
    [place, key] = entry.stem.split("-")
    assert int(place, 16)
    assert int(key, 16)
    with np.load(entry, allow_pickle=False) as archive:
        assert archive["images"].shape == (5, 4, 4, 1)
    assert was_kept(bitmaps, test_share=0.5, seed=3, bad_files="skip")  # these change no pixel
    assert list(cache.iterdir()) == [entry]
    entry.unlink()
    assert was_kept(bitmaps)


def test_a_change_means_decoding_anew(bitmaps, cache):
    first = load(bitmaps).fingerprint
    steps: list[Callable[[], object]] = [
        lambda: (
            hidden_change(bitmaps / "train" / "cat" / "1.bmp")
            or age(bitmaps / "train" / "cat" / "1.bmp")
        ),
        lambda: saved(bitmaps / "train" / "dog" / "new.bmp", "L", (4, 4)),
        lambda: (bitmaps / "train" / "dog" / "new.bmp").rename(bitmaps / "train" / "cat" / "n.bmp"),
        lambda: (bitmaps / "train" / "cat" / "n.bmp").unlink(),
        lambda: (
            hidden_change(bitmaps / "train" / "cat" / "1.bmp")
            or age(bitmaps / "train" / "cat" / "1.bmp")
        ),
    ]
    prints = [first]
    for step in steps:
        [old] = cache.iterdir()
        step()
        prints.append(load(bitmaps).fingerprint)
        [new] = cache.iterdir()  # the old one went
        assert new.name != old.name
        assert new.name.split("-")[0] == old.name.split("-")[0]
    assert prints[5] == first  # the change is undone
    assert prints[4] == prints[1]
    assert len(set(prints)) == 4


def test_only_entries_of_the_same_folder_are_removed(bitmaps, cache, tmp_path):
    shutil.copytree(bitmaps, tmp_path / "copy")
    load(tmp_path / "copy")
    [other] = cache.iterdir()
    load(bitmaps)
    [own] = set(cache.iterdir()) - {other}
    left = cache / f"{own.name.split('-')[0]}-killed.tmp"
    left.write_bytes(b"half")
    (cache / "somebody's").touch()
    load(bitmaps, size=(5, 5))
    kept = set(cache.iterdir())
    assert {other, cache / "somebody's"} < kept
    assert not {own, left} & kept
    assert len(kept) == 3


def flip(raw: bytes) -> bytes:
    """Return the bytes with another pixel, in the middle of the array."""
    start = raw.index(b"NUMPY") + 127
    return raw[:start] + bytes([raw[start] ^ 255]) + raw[start + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: raw[:-10], id="cut late"),
        pytest.param(flip, id="one pixel"),
    ],
)
def test_a_damaged_cache_file_is_replaced(bitmaps, cache, damage):
    first = load(bitmaps).fingerprint
    [entry] = cache.iterdir()
    raw = entry.read_bytes()
    entry.write_bytes(damage(raw))
    assert load(bitmaps).fingerprint == first
    assert list(cache.iterdir()) == [entry]
    assert load(bitmaps).fingerprint == first
    assert was_kept(bitmaps)


NO_BAD = np.frombuffer(b"{}", np.uint8)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((4, 4, 4, 1), np.uint8), "bad": NO_BAD},
        {"images": np.zeros((5, 4, 4, 1), np.float32), "bad": NO_BAD},
        {"images": np.zeros((5, 4, 4, 1), np.uint8), "bad": np.zeros(3, np.uint8)},
        {"images": np.zeros((5, 4, 4, 1), np.uint8)},
        {"images": np.array([{}] * 5), "bad": NO_BAD},
    ],
)
def test_other_arrays_in_the_cache_file_are_not_taken(bitmaps, cache, arrays):
    first = load(bitmaps).fingerprint
    [entry] = cache.iterdir()
    np.savez(entry, **arrays)
    assert load(bitmaps).fingerprint == first
    assert was_kept(bitmaps)


def test_without_a_place_to_write(bitmaps, cache, recwarn):
    first = load(bitmaps).fingerprint
    shutil.rmtree(cache)
    cache.write_text("a file where the folder would be")
    assert load(bitmaps).fingerprint == first
    assert cache.read_text() == "a file where the folder would be"
    assert not was_kept(bitmaps)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KERASCW_CACHE_DIR": "/own"}, "/own"),
        ({"KERASCW_CACHE_DIR": "~/own"}, "/home/me/own"),
        ({"KERASCW_CACHE_DIR": "", "XDG_CACHE_HOME": "/x"}, "/x/kerascw"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs has other places")
def test_the_cache_folder(monkeypatch, variables, expected):
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


# --- progress and imports ---------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_on_a_terminal(root, monkeypatch, terminal):
    make(root, *(f"train/{label}/{i}.png" for label in "ab" for i in range(20)), "test/a/1.png")
    written = io.StringIO()
    monkeypatch.setattr(
        "kerascw.console.console", lambda _: Console(file=written, force_terminal=terminal)
    )
    assert load(root).entry.counts == (40, 1)
    assert ("reading images" in written.getvalue()) == terminal
    assert terminal or not written.getvalue()


def test_importing_it_is_quick():
    code = (
        "import sys, kerascw.data.folder; "
        "print({'tensorflow', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_folder_is_shown_without_its_bad_files(root, tmp_path):
    from click.testing import CliRunner

    from kerascw.commands.main import main

    damaged(root)
    words = ["data", "show", f"folder:{root}", "--output", str(tmp_path / "grid.png")]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1
    assert "leave them out with --bad-files skip" in refused.output
    with pytest.warns(UserWarning, match="4 of 7 images cannot be read and are left out"):
        shown = CliRunner().invoke(main, [*words, "--bad-files", "skip", "--size", "8"])
    assert shown.exit_code == 0, shown.output
    assert "8 x 8 x" in shown.output


def test_class_names_with_control_characters_are_shown_escaped(root, tmp_path):
    """Such a name could colour a terminal, clear it, or hide its own end."""
    from click.testing import CliRunner

    from kerascw.commands.main import main

    names = ("a\x1b[2Jb", "c\rd\x07", "e\u202ef", "g[red]h")
    make(root, *(f"{split}/{name}/1.png" for split in ("train", "test") for name in names))
    words = ["data", "show", str(root), "--output", str(tmp_path / "grid.png")]
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == 0, shown.output
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set(shown.output)
    for escaped in (r"a\x1b[2Jb", r"c\rd\x07", r"e\u202ef", "g[red]h"):
        assert escaped in shown.output
    (root / "test" / names[0] / "1.png").write_bytes(b"no image")
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1
    assert r"test/a\x1b[2Jb/1.png" in refused.stderr
    assert "\x1b" not in refused.stderr
