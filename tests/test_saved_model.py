import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerascw.export as exporting
from kerascw.errors import CallError, KerascwError
from kerascw.export import export
from kerascw.models import build_model
from kerascw.pictures import read_pictures
from kerascw.saved_model import load_model
from kerascw.spec import ConvNet, Dropout

CARD = {"name": "tiny", "light_on_dark": True, "metrics": {"test": {"accuracy": 0.1}}}
COLOURS = ("red", "grün", "blue")


@pytest.fixture(scope="module")
def model():
    spec = ConvNet(
        filters=(4, 6),
        pool_after=(1, 2),
        batch_norm=True,
        dropout=(Dropout(after="flatten", rate=0.5),),
        dense=(16,),
    )
    return build_model(spec, seed=3)


@pytest.fixture(scope="module")
def exported(model, sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    images = sample.test.images[:256]
    names = sample.entry.class_names
    return export(model, folder, class_names=names, card=CARD, check_images=images)


@pytest.fixture(scope="module")
def colour():
    """A model whose class is the strongest colour of the picture's 10 x 6 pixels."""
    model = keras.Sequential(
        [
            keras.Input((10, 6, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 25.5),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Softmax(),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 10, 6, 3), np.uint8)
    return model, images


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported))
    return {**loaded.signatures, "keep": loaded}  # the variables go with the loaded object


def encoded(picture, form="PNG", **options):
    stream = io.BytesIO()
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    picture.save(stream, form, **options)
    return stream.getvalue()


def foreign(path, function, spec, name="serving_default"):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures={name: module.serve})
    return path


# --- what is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("serving_default", {"images": ([None, 28, 28, 1], "uint8")}),
        ("encoded", {"pictures": ([None], "string")}),
    ],
)
def test_signatures(signatures, name, inputs):
    signature = signatures[name]
    assert _facts(signature.structured_input_signature[1]) == inputs
    assert _facts(signature.structured_outputs) == {
        "probabilities": ([None, 10], "float32"),
        "class_id": ([None], "int64"),
        "label": ([None], "string"),
    }


def _facts(specs):
    return {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in specs.items()}


def test_outputs_are_the_live_models(signatures, model, sample):
    images = sample.test.images[300:340]
    outputs = signatures["serving_default"](images=tf.constant(images))
    live = model.predict(images, verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], live, atol=1e-6)
    np.testing.assert_array_equal(outputs["class_id"], live.argmax(1))
    labels = [label.decode() for label in outputs["label"].numpy()]
    assert labels == [sample.entry.class_names[i] for i in live.argmax(1)]


@pytest.mark.parametrize("as_colour", [False, True])
def test_encoded_at_native_size_is_exact(signatures, sample, as_colour):
    images = sample.test.images[:50]
    pictures = np.repeat(images, 3, axis=-1) if as_colour else images
    files = tf.constant([encoded(picture) for picture in pictures])
    expected = signatures["serving_default"](images=tf.constant(images))
    outputs = signatures["encoded"](pictures=files)
    for name, value in expected.items():
        np.testing.assert_array_equal(outputs[name], value)


def test_encoded_takes_mixed_sizes_and_formats(signatures, sample, tmp_path):
    files = []
    for number, size in enumerate([(280, 280), (300, 200), (12, 31), (28, 28)]):
        picture = Image.fromarray(sample.test.images[number, ..., 0]).resize(size)
        form = "JPEG" if number < 2 else "PNG"
        (tmp_path / f"{number}.{form.lower()}").write_bytes(encoded(picture, form))
        files.append(encoded(picture, form))
    read = np.stack([picture.array for picture in read_pictures([tmp_path], (28, 28, 1))])
    expected = signatures["serving_default"](images=tf.constant(read))["probabilities"]
    got = signatures["encoded"](pictures=tf.constant(files))["probabilities"]
    np.testing.assert_allclose(got, expected, atol=2e-3)  # a level or two of 255 apart


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("size", [(6, 10), (200, 133), (5, 7), (1000, 1), (1, 500)])
@pytest.mark.parametrize("channels", [1, 3])
def test_graph_and_pillow_fit_alike(mode, size, channels, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(noise).convert(mode)
    (tmp_path / "picture.png").write_bytes(encoded(picture))
    shape = (10, 6, channels)
    [read] = read_pictures([tmp_path / "picture.png"], shape)
    graph = tf.function(exporting._decode)(tf.constant(encoded(picture)), shape)
    assert graph.dtype == tf.uint8
    assert graph.shape == read.array.shape == shape
    assert np.abs(graph.numpy().astype(int) - read.array).max() <= 2


def test_encoded_shows_black_where_transparent(colour):
    clear = Image.new("RGBA", (6, 10), (255, 255, 255, 0))
    clear.paste((0, 200, 0, 255), (0, 0, 6, 5))
    pixels = exporting._decode(tf.constant(encoded(clear)), (10, 6, 3)).numpy()
    assert (pixels[:5] == (0, 200, 0)).all()
    assert not pixels[5:].any()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_pictures(signatures, sample, count):
    images = sample.test.images[:count]
    files = tf.constant([encoded(image) for image in images], tf.string)
    for outputs in (
        signatures["serving_default"](images=tf.constant(images)),
        signatures["encoded"](pictures=files),
    ):
        assert outputs["probabilities"].shape == (count, 10)
        assert outputs["class_id"].shape == outputs["label"].shape == (count,)


def test_what_lies_beside_the_model(exported, sample):
    document = json.loads((exported / "assets.extra" / "kerascw.json").read_text())
    assert document["format"] == 1
    assert tuple(document["class_names"]) == sample.entry.class_names
    assert document["input_shape"] == [28, 28, 1]
    assert document["card"] == CARD
    check = document["check"]
    assert check["pictures"] == 256
    assert check["tolerance"] == exporting.TOLERANCE == 1e-5
    assert check["near_ties"] < 128
    assert check["versions"]["tensorflow"] == tf.__version__
    assert check["versions"]["keras"] == keras.__version__
    for signature in ("serving_default", "encoded"):
        assert 0 <= check[signature]["probabilities"]["max_abs_difference"] <= 1e-5
        assert check[signature]["class_id"] == check[signature]["label"] == {"differing": 0}


def test_export_names_no_place_of_this_machine(exported):
    for path in exported.rglob("*"):
        if path.is_file():
            assert os.fsencode(exported.parent.parent) not in path.read_bytes()
            assert os.fsencode(Path(exporting.__file__).parent) not in path.read_bytes()


def test_saved_model_cli_shows_and_runs(exported, sample, tmp_path):
    np.save(tmp_path / "images.npy", sample.test.images[:4])
    program = [Path(sys.executable).parent / "saved_model_cli"]
    where = ["--dir", exported]
    commands = [
        ["show", *where, "--all"],
        ["run", *where, "--tag_set", "serve", "--signature_def", "serving_default",
         "--inputs", f"images={tmp_path / 'images.npy'}", "--outdir", tmp_path],
    ]  # fmt: skip
    started = [
        subprocess.Popen(program + c, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for c in commands
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [code for *_, code in ended] == [0, 0], ended
    shown = ended[0][0]
    assert "signature_def['serving_default']" in shown
    assert "signature_def['encoded']" in shown
    assert "inputs['images']" in shown
    assert "shape: (-1, 28, 28, 1)" in shown
    expected = load_model(exported).predict(sample.test.images[:4])
    got = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(got, expected.probabilities, atol=1e-6)
    labels = [label.decode() for label in np.load(tmp_path / "label.npy", allow_pickle=True)]
    assert tuple(labels) == expected.labels


def test_versions_count_up_and_the_highest_is_loaded(exported, colour, tmp_path):
    folder = tmp_path / "many"
    for name in ("2", "9", "10", "x11", ".12"):
        (folder / name).mkdir(parents=True)
    model, images = colour
    path = export(model, folder, class_names=COLOURS, card={}, check_images=images)
    assert path == folder / "11"
    assert sorted(p.name for p in folder.iterdir()) == sorted(["2", "9", "10", "11", "x11", ".12"])
    assert exported.name == "1"
    assert path.stat().st_mode & 0o777 == (folder / "9").stat().st_mode & 0o777
    loaded = load_model(folder)
    assert loaded.path == path
    assert loaded.input_shape == (10, 6, 3)
    assert loaded.class_names == COLOURS
    assert loaded.light_on_dark is False
    pure = np.zeros((3, 10, 6, 3), np.uint8)
    for channel in range(3):
        pure[channel, ..., channel] = 255
    predictions = loaded.predict(pure)
    assert predictions.labels == COLOURS
    assert loaded.predict(pure[1]).labels == ("grün",)


# --- what is refused ------------------------------------------------------------------------


class Noise(keras.layers.Layer):
    """Gives another answer at every call, as dropout left on by mistake would."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, inputs):
        return inputs + 20 * keras.random.uniform(keras.ops.shape(inputs), seed=self.seed)


class Local(keras.layers.Layer):
    """Calls back into the Python that built it, which no other process has."""

    def call(self, inputs):
        values = tf.py_function(lambda x: x, [inputs], tf.float32)
        return tf.ensure_shape(values, inputs.shape)


@pytest.mark.parametrize(
    ("layer", "said"),
    [(Noise, "another class_id than the live model"), (Local, "another process cannot use it")],
)
def test_refused_export_leaves_nothing(layer, said, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((10, 6, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            layer(),
            keras.layers.Softmax(),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 10, 6, 3), np.uint8)
    with pytest.raises(KerascwError, match=said) as refused:
        export(model, tmp_path / "new", class_names=COLOURS, card={}, check_images=images)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_tolerance_refuses_and_keeps_the_versions_there(colour, tmp_path, monkeypatch):
    model, images = colour
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(exporting, "TOLERANCE", -1)
    with pytest.raises(KerascwError, match=r"probabilities differ .* by up to"):
        export(model, tmp_path, class_names=COLOURS, card={}, check_images=images)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_names": ("a", "b")}, "class_names: 2 names for 3 classes"),
        (
            {"check_images": np.zeros((2, 28, 28, 1), np.uint8)},
            r"check_images: uint8 \[2, 28, 28, 1\]; expected uint8 \[n, 10, 6, 3\]",
        ),
        ({"check_images": np.zeros((0, 10, 6, 3), np.uint8)}, r"uint8 \[0, 10, 6, 3\]"),
        ({"check_images": np.zeros((2, 10, 6, 3))}, r"float64 \[2, 10, 6, 3\]"),
    ],
)
def test_export_names_what_does_not_fit(colour, tmp_path, changes, said):
    model, images = colour
    call = {"class_names": COLOURS, "card": {}, "check_images": images} | changes
    with pytest.raises(CallError, match=said):
        export(model, tmp_path / "new", **call)
    assert not list(tmp_path.iterdir())


def test_export_onto_a_file(colour, tmp_path):
    model, images = colour
    (tmp_path / "file").touch()
    with pytest.raises(CallError, match="file is in the way"):
        export(model, tmp_path / "file", class_names=COLOURS, card={}, check_images=images)


# --- loading and predicting -----------------------------------------------------------------


def test_load_by_name_or_version(exported, sample):
    for path in (exported, exported.parent, str(exported.parent)):
        loaded = load_model(path)
        assert loaded.path == exported
        assert loaded.class_names == sample.entry.class_names
        assert loaded.input_shape == (28, 28, 1)
        assert loaded.light_on_dark is True
        assert loaded.card == CARD


def test_predict_takes_stacks_and_single_pictures(exported, sample, model):
    loaded = load_model(exported)
    images = sample.train.images[:2300]
    predictions = loaded.predict(images)
    live = model.predict(images, verbose=0)
    np.testing.assert_allclose(predictions.probabilities, live, atol=1e-6)
    assert predictions.probabilities.dtype == np.float32
    assert predictions.class_ids.dtype == np.int64
    assert predictions.labels == tuple(sample.entry.class_names[i] for i in predictions.class_ids)
    for shape in (images[:5, ..., 0], images[4], images[4, ..., 0]):
        got = loaded.predict(shape)
        np.testing.assert_allclose(got.probabilities[-1], live[4], atol=1e-6)
    assert loaded.predict(images[:0]).probabilities.shape == (0, 10)
    assert loaded.predict(images[:0]).labels == ()


@pytest.mark.parametrize(
    ("images", "shown"),
    [
        (np.zeros((2, 28, 28, 1), np.float32), "float32 [2, 28, 28, 1]"),
        (np.zeros((2, 27, 28, 1), np.uint8), "uint8 [2, 27, 28, 1]"),
        (np.zeros((2, 28, 28, 3), np.uint8), "uint8 [2, 28, 28, 3]"),
        (np.zeros((2, 2, 28, 28), np.uint8), "uint8 [2, 2, 28, 28]"),
        (np.uint8(3), "uint8 []"),
    ],
)
def test_predict_names_wrong_pictures(exported, images, shown):
    with pytest.raises(CallError) as error:
        load_model(exported).predict(images)
    assert str(error.value) == f"images: {shown}; expected uint8 [n, 28, 28, 1]"


def damaged(path, exported, file, content):
    for source in exported.rglob("*"):
        if source.is_file():
            target = path / source.relative_to(exported)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (path / file).write_bytes(content((path / file).read_bytes()))


VARIABLES = "variables/variables.data-00000-of-00001"
EXTRA = "assets.extra/kerascw.json"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("saved_model.pb", lambda data: b"garbage" * 9, "a damaged SavedModel: "),
        ("saved_model.pb", lambda data: data[: len(data) // 2], "a damaged SavedModel: "),
        ("saved_model.pb", lambda data: b"", "a damaged SavedModel: "),
        (VARIABLES, lambda data: data[:100], "a damaged SavedModel: "),
        (VARIABLES, lambda data: data[:-1] + b"?", "a damaged SavedModel: "),
        (VARIABLES, lambda data: bytes(len(data)), "a damaged SavedModel: "),
        (EXTRA, lambda data: data[:50], "kerascw.json: damaged; expected JSON with format"),
        (EXTRA, lambda data: b"[]", "kerascw.json: damaged"),
        (EXTRA, lambda data: b'{"format": 2}', "format 2, of a newer kerascw; this one reads 1"),
        (
            EXTRA,
            lambda data: b'{"format": 1, "class_names": ["a"], "card": {}}',
            "kerascw.json: 1 class names for 10 classes",
        ),
    ],
)
def test_damage_is_one_line(exported, tmp_path, file, content, said):
    damaged(tmp_path, exported, file, content)
    with pytest.raises(CallError) as error:
        load_model(tmp_path)
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_nothing_there_is_said_without_tensorflow(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "7").mkdir(parents=True)
    code = """
import sys
from kerascw.errors import CallError
from kerascw.saved_model import load_model
for path in sys.argv[1:]:
    try:
        load_model(path)
    except CallError as error:
        print(error)
assert "tensorflow" not in sys.modules
"""
    names = ("missing", "file", "empty", "hollow")
    paths = [str(tmp_path / name) for name in names]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"{paths[0]}: no such folder; expected the folder of an exported model",
        f"{paths[1]}: a file; expected the folder of an exported model",
        f"{paths[2]}: no SavedModel there, neither saved_model.pb nor a version folder",
        f"{paths[3]}/7: no SavedModel there, saved_model.pb is missing",
    ]


def test_foreign_model_that_fits(tmp_path):
    def classify(images):
        means = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2, 3]) / 255
        return {"probabilities": tf.stack([1 - means, means], axis=-1)}

    path = foreign(tmp_path / "1", classify, tf.TensorSpec([None, 8, 9, 1], tf.uint8, "images"))
    loaded = load_model(path)
    assert loaded.class_names is None
    assert loaded.card == {}
    assert loaded.input_shape == (8, 9, 1)
    assert loaded.light_on_dark is False
    assert loaded.predict(np.full((8, 9), 250, np.uint8)).labels == ("1",)


@pytest.mark.parametrize(
    ("shape", "dtype", "name", "output", "said"),
    [
        ([None, 8, 8, 1], tf.float32, "images", "probabilities", "images float32 [n, 8, 8, 1]; "),
        ([None, 8, 8, 1], tf.uint8, "x", "probabilities", "takes x uint8 [n, 8, 8, 1]; expected"),
        ([None, 64], tf.uint8, "images", "probabilities", "takes images uint8 [n, 64]; expected"),
        ([None, None, 8, 1], tf.uint8, "images", "probabilities", "images uint8 [n, n, 8, 1]"),
        ([None, 8, 8, 1], tf.uint8, "images", "scores", "gives scores float32 [n, 8]; expected"),
    ],
)  # fmt: skip
def test_foreign_model_that_does_not_fit(tmp_path, shape, dtype, name, output, said):
    def classify(images):
        flat = tf.reshape(tf.cast(images, tf.float32), [tf.shape(images)[0], -1, 8])
        return {output: tf.reduce_mean(flat, axis=1)}

    foreign(tmp_path / "1", classify, tf.TensorSpec(shape, dtype, name))
    with pytest.raises(CallError) as error:
        load_model(tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_foreign_model_without_the_default_signature(tmp_path):
    spec = tf.TensorSpec([None], tf.float32, "x")
    foreign(tmp_path / "1", lambda x: {"y": x}, spec, name="other")
    with pytest.raises(CallError, match="no signature serving_default; it has other"):
        load_model(tmp_path)
