"""Images of one's own: manifests, arrays, TFDS datasets and how images are fitted."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import kerascw
from kerascw.commands.main import main
from kerascw.data import data_label, data_named, load_data, load_for
from kerascw.errors import CallError, DataError
from kerascw.experiment.spec import DataSpec, Experiment
from kerascw.studies import fashion


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERASCW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def one_line(result: Result, code: int) -> str:
    """Return what a refused command printed, having seen that it is one line."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def images(n: int, side: int = 12, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (n, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# --- how a dataset is named -----------------------------------------------------------------


def test_a_path_is_a_dataset_where_the_catalogue_has_no_such_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pets/cat", "pets/dog", "mnist/a", "mnist/b"):
        Path(name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (9, 12), 40 * number).save(f"{name}/{number}.png")
    spec = data_named("pets")
    assert spec.folder is not None
    assert spec.folder.path == str(tmp_path / "pets")
    assert spec == data_named("pets/") == data_named(Path("pets"))
    assert data_named("mnist") == DataSpec(name="mnist")
    assert data_named("./mnist").folder is not None
    assert load_data("pets").fingerprint == load_for(spec).fingerprint
    # the old spelling goes on padding, so that its runs keep their keys
    old = data_named("folder:pets")
    assert old.folder is not None
    assert (spec.folder.fit, old.folder.fit) == ("crop", "pad")
    assert "fit" not in _experiment(old).canonical_json()
    assert data_label(spec) == data_label(old) == f"folder:{tmp_path / 'pets'}"


def _experiment(data: DataSpec) -> Experiment:
    recipe = fashion.recipe()
    moved = data.model_copy(update={"holdout": recipe.data.holdout})
    return recipe.model_copy(update={"data": moved})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "no dataset 'nope'; choose fashion_mnist"),
        (["folder:nope"], "nope: no such folder"),
        (["nope/"], "nope: no such folder"),
        (["nope.csv"], "nope.csv: no such file"),
        (["nope.npz"], "nope.npz: no such file"),
        (["tfds:../x"], "tfds:../x: write tfds:NAME or tfds:NAME/CONFIG"),
        (["mnist", "--fit", "crop"], "--fit: mnist has images of one shape; leave it out"),
        (["mnist", "--size", "9"], "--size: mnist has images of one shape; leave it out"),
    ],
)
def test_a_wrong_name_is_one_line_and_a_wrong_call(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert said in one_line(call("data", "show", *words), 2)


def test_tune_fits_images_as_it_is_told(tmp_path, monkeypatch):
    asked = []

    def planned(*_: object, data: DataSpec, **__: object) -> None:
        asked.append(data)
        raise CallError("planned")

    monkeypatch.setattr("kerascw.commands.tune.planned_search", planned)
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x_train=X, y_train=Y)
    said = one_line(call("tune", "any", "--data", "data.npz", "--fit", "stretch"), 2)
    assert said == "kerascw: planned\n"
    assert asked == [data_named("data.npz", fit="stretch")]


def test_wrong_options_in_python():
    with pytest.raises(
        CallError, match="data: sise: no such field; the fields are bad_files, fit or size"
    ):
        kerascw.load_data("digits", sise=3)
    with pytest.raises(CallError, match="data: int; expected a name, a path, a tuple"):
        kerascw.load_data(3)
    with pytest.raises(CallError, match="sample=True: no sample of a folder is bundled"):
        kerascw.load_data((images(4), [0, 1, 0, 1]), sample=True)


# --- how images are fitted ------------------------------------------------------------------


def test_fit_pads_crops_or_stretches(tmp_path):
    """A wide image: green in the middle third, red and blue at the sides."""
    pixels = np.zeros((20, 60, 3), np.uint8)
    for third, channel in enumerate((0, 1, 2)):
        pixels[:, 20 * third : 20 * third + 20, channel] = 200
    for label in "ab":
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")

    def loaded(*, fit: str | None, prefix: str = "") -> np.ndarray:
        data = kerascw.load_data(f"{prefix}{tmp_path / 'pets'}", size=(30, 30), fit=fit)
        return data.train.images[0]

    cropped, padded, stretched = (loaded(fit=fit) for fit in ("crop", "pad", "stretch"))
    assert (cropped[:, 2:-2] == (0, 200, 0)).all()  # at the edges bilinear sees the others
    assert (padded[:9] == 0).all()
    assert (padded[15, ::14] == ((200, 0, 0), (0, 200, 0), (0, 0, 200))).all()
    assert (stretched[::29, ::14] == ((200, 0, 0), (0, 200, 0), (0, 0, 200))).all()
    np.testing.assert_array_equal(loaded(fit=None), cropped)
    np.testing.assert_array_equal(loaded(fit=None, prefix="folder:"), padded)
    shown = call("data", "show", tmp_path / "pets", "--fit", "pad", "--size", "30",
                 "--output", tmp_path / "grid.png")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    padded_data = kerascw.load_data(str(tmp_path / "pets"), size=(30, 30), fit="pad")
    assert padded_data.sha256["train_images"] in shown.stdout
    with pytest.raises(CallError, match="data: fit: Input should be 'pad', 'crop' or 'stretch'"):
        loaded(fit="fill")


# --- manifests ------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of 12 images in folders that do not say what they are."""
    lines = ["path,label,split,photographer"]
    for number, pixels in enumerate(images(12, channels=3)):
        file = tmp_path / "shots" / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file)
        split = ("train", "TRAINING", "test", "")[number % 4] if number < 10 else "val"
        lines.append(f'shots/{number:02}.png,"{("eel, smoked", "ant")[number % 2]}",{split},me')
    path = tmp_path / "images.csv"
    path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_manifest_has_paths_labels_and_splits(manifest, tmp_path):
    data = kerascw.load_data(str(manifest))
    assert (data.source, data.entry.class_names) == ("manifest", ("ant", "eel, smoked"))
    pixels = images(12, channels=3)
    # by class, then path: 1, 3, 5, 7, 9 are ants
    np.testing.assert_array_equal(data.train.images, pixels[[1, 3, 5, 7, 9, 0, 4, 8]])
    assert data.train.labels.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(data.test.images, pixels[[2, 6]])
    assert data.validation is not None
    np.testing.assert_array_equal(data.validation.images, pixels[[11, 10]])
    shown = call("data", "show", manifest, "--output", tmp_path / "grid.png")
    assert shown.exit_code == 0, shown.output
    assert data.sha256["validation_labels"] in shown.stdout
    # it may move with its images
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(manifest, moved)
    shutil.move(tmp_path / "shots", moved)
    assert kerascw.load_data(moved / manifest.name).fingerprint == data.fingerprint


def test_a_manifest_s_missing_image_is_named(manifest, tmp_path):
    (tmp_path / "shots" / "03.png").unlink()
    said = one_line(call("data", "show", manifest), 1)
    assert "1 of 12 images cannot be read: shots/03.png (No such file or directory)" in said
    with pytest.warns(UserWarning, match="1 of 12 images cannot be read and are left out"):
        data = kerascw.load_data(manifest, bad_files="skip")
    assert len(data.train) == 7


HEADER = "path,label,split\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no column label (it has none); expected the header path,label or"),
        ("file,label\na.png,a\n", "no column path (it has file, label)"),
        (HEADER + "a.png,a\nb.png,,test\n", "line 3: no label; a line needs both"),
        (HEADER + ",a\n", "line 2: no path; a line needs both"),
        (HEADER + "a.png,a,dev\n", "line 2: split 'dev'; choose train, validation or test"),
        (HEADER + "a.png,a\nb.png,b\na.png,b\n", "line 4: a.png stands in line 2 already"),
        (HEADER + "a.png,a\nb.png,b\n./c/..//a.png,a,test\n", "line 4: a.png stands in line 2"),
        (HEADER + "a.png,a\nb.png,a\n", "1 label among its training images; expected 2"),
        (HEADER + "a.png,a\nb.png,b\nc.png,c,test\n", "line 4: no training image has the label c"),
        ('path,label\n"' + "a" * 200_000 + '",a\n', "no CSV file (field larger than"),
        (b"path,label\n\xff\xfe.png,a\n", "it is not UTF-8; save it as CSV in UTF-8"),
    ],
)
def test_a_wrong_manifest_is_one_line(tmp_path, content, said):
    file = tmp_path / "images.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = one_line(call("data", "show", file), 1)
    assert message.startswith(f"kerascw: {file}")
    assert said in message


# --- arrays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "labels"), [(0, "numbers"), (1, "names"), (3, "column"), (1, "class names")]
)
def test_arrays_of_an_npz_file(tmp_path, channels, labels):
    x, x_test = images(20, channels=channels or 1), images(6, channels=channels or 1, seed=1)
    numbers = np.arange(26) % 3
    stored = {
        "numbers": numbers * 2 + 5,
        "names": np.array(["cat", "dog", "eel"])[numbers],
        "column": numbers[:, None].astype(np.uint8),
        "class names": numbers,
    }[labels]
    arrays = {"x_train": x, "y_train": stored[:20], "x_test": x_test, "y_test": stored[20:]}
    if labels == "class names":
        arrays["class_names"] = np.array(["cat", "dog", "eel"])
    if not channels:
        arrays |= {name: arrays[name][..., 0] for name in ("x_train", "x_test")}
    np.savez_compressed(tmp_path / "data.npz", **arrays)
    data = kerascw.load_data(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.train.images, x)
    np.testing.assert_array_equal(data.test.images, x_test)
    np.testing.assert_array_equal(data.train.labels, numbers[:20])
    np.testing.assert_array_equal(data.test.labels, numbers[20:])
    expected = {"numbers": ("5", "7", "9"), "column": ("0", "1", "2")}
    assert data.entry.class_names == expected.get(labels, ("cat", "dog", "eel"))
    if labels != "class names":
        same = kerascw.load_data(tuple(arrays.values()))
        assert (same.fingerprint, same.entry.shape) == (data.fingerprint, data.entry.shape)


def test_without_a_test_set_one_is_drawn_and_large_images_are_fitted(tmp_path):
    x, y = images(50, side=120, channels=3), ["ab"[at % 2] for at in range(50)]
    data = kerascw.load_data((x, y))
    assert data.entry.shape == (32, 32, 3)
    assert (len(data.train), len(data.test)) == (40, 10)
    assert np.bincount(data.test.labels).tolist() == [5, 5]
    other = kerascw.load_data((x, y), size=(20, 10), fit="stretch")
    assert other.entry.shape == (20, 10, 3)


X, Y = images(4), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X, "y": Y}, "it has x, y; expected x_train and y_train"),
        ({}, "it has no arrays of numbers or text"),
        ({"x_train": X}, "x_train without y_train"),
        ({"x_train": X / 255, "y_train": Y}, "x_train: float64 [4, 12, 12, 1]; expected uint8"),
        ({"x_train": X[0], "y_train": Y}, "y_train: 4 labels for 12 images"),
        (
            {"x_train": images(4, channels=2), "y_train": Y},
            "uint8 [n, h, w] or [n, h, w, 1 or",
        ),
        ({"x_train": X, "y_train": Y[:3]}, "y_train: 3 labels for 4 images"),
        ({"x_train": X, "y_train": np.eye(2)[Y]}, "text [n] (of one-hot labels take argmax"),
        ({"x_train": X, "y_train": Y / 2}, "y_train: float64 [4]; expected whole numbers or text"),
        ({"x_train": X, "y_train": Y * 0}, "1 class among its training images; expected 2 or more"),
        (
            {"x_train": X, "y_train": Y, "class_names": ["cat", "dog", "cow"]},
            "data.npz: class cow has no training images\n",
        ),
        (
            {"x_train": X, "y_train": Y, "class_names": ["cat", "cat"]},
            "data.npz: class_names: two classes are named cat\n",
        ),
        (
            {"x_train": X, "y_train": Y, "class_names": np.array([], str)},
            "y_train: label 0 at position 0 (from 0) is none of the 0 classes",
        ),
        (
            {"x_train": X, "y_train": np.array(["cat", "dog"])[Y], "class_names": ["cat", "cow"]},
            "y_train: label dog at position 1 (from 0) is none of the 2 classes",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)},
            "y_test: label 0 at position 0 (from 0) is none of the 2 classes",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            "y_test: label 2 at position 1 (from 0) is none of the 2 classes",
        ),
        ({"x_train": X, "y_train": np.array([{}] * 4)}, "x_train without y_train"),
    ],
)
def test_wrong_arrays_are_one_line(tmp_path, arrays, said):
    np.savez(tmp_path / "data.npz", **arrays)
    assert said in one_line(call("data", "show", tmp_path / "data.npz"), 1)


def flipped_at(content: bytes, at: int, bits: int) -> bytes:
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


def test_a_damaged_npz_file_is_one_line(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, x_train=X, y_train=Y)
    whole = file.read_bytes()
    middle = whole.index(b"NUMPY") + 150
    flipped = flipped_at(whole, middle, 255)
    entry = whole.index(b"PK\1\2")  # of the zip's directory: the version, then the flags
    version, locked = flipped_at(whole, entry + 6, 128), flipped_at(whole, entry + 8, 1)
    np.save(array := io.BytesIO(), X)
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as members:
        members.writestr("x_train.npy", flipped_at(array.getvalue(), 9, 2))
    unparsed = archive.getvalue()  # NumPy's header, which Python parses, is cut off
    damaged = (b"", b"no zip", whole[:300], whole[:-40], flipped, version, locked, unparsed)
    for content in damaged:
        file.write_bytes(content)
        assert f"{file}: no whole .npz file (" in one_line(call("data", "show", file), 1)


def test_arrays_are_kept_by_their_content_and_are_the_experiment_of_an_npz_file(
    tmp_path, own_cache
):
    data = (images(60, side=16), np.array(["day", "night"])[np.arange(60) % 2])
    spec = data_named(data)
    assert spec == data_named(data)
    assert len(list((own_cache / "arrays").iterdir())) == 1  # from which other processes read them
    np.savez(tmp_path / "mine.npz", x_train=data[0], y_train=data[1])
    mine = data_named(tmp_path / "mine.npz")
    assert load_for(mine).fingerprint == load_for(spec).fingerprint
    keys = {_experiment(of).key(load_for(of).fingerprint) for of in (spec, mine)}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("labels", "names", "classes", "numbers"),
    [
        (np.array([b"dog", b"cat"])[Y], None, ("cat", "dog"), 1 - Y),
        (Y, np.array([b"dog", b"cat"]), ("dog", "cat"), Y),
        (np.array(["dog", "cat"])[Y], ["dog", "cat"], ("dog", "cat"), Y),
        (np.array(["dog", "cat"])[Y], None, ("cat", "dog"), 1 - Y),
    ],
)
def test_the_order_of_classes_is_that_of_their_names(tmp_path, labels, names, classes, numbers):
    arrays = {"x_train": X, "y_train": labels, "x_test": X, "y_test": labels[::-1]}
    np.savez(tmp_path / "data.npz", **arrays, **({} if names is None else {"class_names": names}))
    data = kerascw.load_data(tmp_path / "data.npz")
    assert data.entry.class_names == classes
    np.testing.assert_array_equal(data.train.labels, numbers)
    np.testing.assert_array_equal(data.test.labels, numbers[::-1])


def test_text_as_pandas_has_it_is_kept_like_other_text():
    words = ["dog", "cat", "dog", "cat"]
    kept = [data_named((X, given, X, np.array(given))) for given in
            (words, np.array(words), np.array(words, object))]  # fmt: skip
    assert kept[0] == kept[1] == kept[2]
    assert load_for(kept[2]).entry.class_names == ("cat", "dog")


RAGGED = [[[1, 2], [3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        ((RAGGED, [0, 1]), DataError, "x_train: rows of different lengths"),
        ((X, [[0], [0, 1], [1], [1]]), DataError, "y_train: rows of different lengths"),
        ((X, Y, X), CallError, r"3 arrays; expected \(x_train, y_train\) or \("),
        ((X, np.array(["a", None, "b", "a"])), DataError, r"y_train: object \[4\]; expected whole"),
    ],
)
def test_wrong_arrays_in_python_name_where_they_are(tmp_path, monkeypatch, data, error, said):
    with pytest.raises(error, match=f"^data: {said}"):
        load_data(data)
    (tmp_path / "own.py").write_text("def load():\n    return GIVEN\n")
    monkeypatch.setattr("builtins.GIVEN", data, raising=False)
    with pytest.raises(error, match=f"^{tmp_path}/own.py:load: {said}"):
        load_data(f"{tmp_path}/own.py:load")


def test_images_larger_than_there_is_memory_are_one_line(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=X, y_train=Y)
    said = one_line(call("data", "show", tmp_path / "data.npz", "--size", 10**9), 1)
    assert f"{tmp_path}/data.npz: 4 images of 1000000000 x 1000000000 x 1 need 4,0" in said


def test_an_image_that_is_not_there_is_refused_before_anything_is_printed(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
    result = call("data", "show", tmp_path / "data.npz", "--image", 4)
    assert one_line(result, 2) == "kerascw: --image: 4; choose from 0 to 3\n"
    assert result.stdout == ""


# --- TFDS -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of TFDS with two datasets of our own; nothing is downloaded."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tfds")
    generator = np.random.default_rng(0)

    def stored(name: str, config: str | None, features: dict[str, object], splits: dict) -> None:
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            config=config,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={part: list(enumerate(examples)) for part, examples in splits.items()},
            data_dir=root,
        )

    label = tfds.features.ClassLabel(names=["ant", "bee", "cow"])

    def examples(n: int, *, varied: bool = False, labelled: bool = True) -> list[dict]:
        return [
            {
                "photo": np.full((20, 30 + at % 5 * varied, 3), 3 * at, np.uint8),
                "species": at % 3 if labelled else -1,
                "weight": float(generator.random()),
            }
            for at in range(n)
        ]

    kinds = {"photo": tfds.features.Image(shape=(None, None, 3)), "species": label,
             "weight": tfds.features.Scalar(np.float32)}  # fmt: skip
    stored("farm", "small", kinds, {"train": examples(30, varied=True), "test": examples(9)})
    fixed = kinds | {"photo": tfds.features.Image(shape=(20, 30, 3))}
    unlabelled = {"train": examples(30), "test": examples(9, labelled=False)}
    stored("barn", None, fixed, unlabelled)
    pairs = {name: tfds.features.Image(shape=(20, 30, 3)) for name in ("left", "right")}
    both = [{"left": one["photo"], "right": one["photo"]} for one in examples(4)]
    stored("pairs", None, pairs, {"train": both})
    return root


@pytest.fixture
def tfds_root(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    return prepared


def test_any_tfds_dataset_with_an_image_and_a_label(tfds_root, tmp_path):
    data = kerascw.load_data("tfds:farm/small")
    assert (data.source, data.entry.class_names) == ("tfds", ("ant", "bee", "cow"))
    assert (data.entry.shape, len(data.train), len(data.test)) == ((32, 32, 3), 30, 9)
    for part, n in ((data.train, 30), (data.test, 9)):
        numbers = part.images[:, 16, 16, 0] // 3
        assert sorted(numbers) == list(range(n))
        np.testing.assert_array_equal(part.labels, numbers % 3)
    shown = call("data", "show", "tfds:farm/small", "--output", tmp_path / "grid.png")
    assert shown.exit_code == 0, shown.output
    assert data.sha256["train_images"] in shown.stdout


def test_a_tfds_split_without_labels_is_named_and_another_is_drawn(tfds_root):
    with pytest.warns(UserWarning, match=r"tfds:barn: left out: test \(it has examples without a"):
        data = kerascw.load_data("tfds:barn")
    assert data.entry.shape == (20, 30, 3)
    assert (len(data.train), len(data.test)) == (24, 6)
    assert data.left_out == ("test (it has examples without a label)",)


def test_a_tfds_dataset_that_will_not_do_is_one_line(tfds_root):
    with pytest.raises(DataError, match=r"tfds:pairs: 2 features of kind image \(it has "):
        kerascw.load_data("tfds:pairs")
    with pytest.raises(
        DataError, match=r"1.0.0: 30 images of 1000000 x 1000000 x 3 need 90,"
    ) as no:
        kerascw.load_data("tfds:farm/small", size=(10**6, 10**6))
    assert str(no.value).endswith("more than there is; take a smaller size")
    said = one_line(call("data", "show", "tfds:no_such_dataset"), 1)
    assert "tfds:no_such_dataset: not found. Tried TFDS no_such_dataset: " in said
