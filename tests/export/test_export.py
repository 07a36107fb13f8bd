import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerascw.export.formats as writing
import kerascw.export.proof as proving
import kerascw.export.write as exporting
from kerascw.data.image_files import read_pictures
from kerascw.errors import CallError, KerascwError
from kerascw.export.load import load_model
from kerascw.export.write import export

COLOURS = ("red", "grün", "blue")


@pytest.fixture
def colour(live, images):
    """A model whose class is the strongest colour of the image's 10 x 6 pixels."""
    return live["colour"], images["colour"][:8]


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


def test_outputs_are_the_live_models(signatures, tiny_model, sample):
    images = sample.test.images[300:340]
    outputs = signatures["serving_default"](images=tf.constant(images))
    live = tiny_model.predict(images, verbose=0)
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
    np.testing.assert_allclose(got, expected, atol=1e-2)  # a level or two of 255 apart


decode = tf.function(writing.decode)  # traced once for each shape and fit


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
# of the last two a side is a half to be rounded, one of "pad" and one of "crop"
@pytest.mark.parametrize(
    "size", [(6, 10), (200, 133), (5, 7), (1000, 1), (1, 500), (148, 37), (45, 36)]
)
@pytest.mark.parametrize(("channels", "fit"), [(1, "pad"), (3, "pad"), (3, "crop"), (3, "stretch")])
def test_graph_and_pillow_fit_alike(mode, size, channels, fit, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(noise).convert(mode)
    (tmp_path / "picture.png").write_bytes(encoded(picture))
    shape = (10, 6, channels)
    [read] = read_pictures([tmp_path / "picture.png"], shape, fit=fit)
    graph = decode(tf.constant(encoded(picture)), shape, fit)
    assert graph.dtype == tf.uint8
    assert graph.shape == read.array.shape == shape
    assert np.abs(graph.numpy().astype(int) - read.array).max() <= 2


def test_encoded_shows_black_where_transparent(colour):
    clear = Image.new("RGBA", (6, 10), (255, 255, 255, 0))
    clear.paste((0, 200, 0, 255), (0, 0, 6, 5))
    pixels = writing.decode(tf.constant(encoded(clear)), (10, 6, 3)).numpy()
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


def test_what_lies_beside_the_model(exported, sample, card):
    document = json.loads((exported / "assets.extra" / "kerascw.json").read_text())
    assert document["format"] == 1
    assert tuple(document["class_names"]) == sample.entry.class_names
    assert document["input_shape"] == [28, 28, 1]
    assert document["card"] == card
    assert sorted(document["files"]) == [
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    check = document["check"]
    assert check["pictures"] == 256
    assert check["tolerance"] == proving.TOLERANCE == 1e-5
    assert check["versions"]["tensorflow"] == tf.__version__
    assert check["versions"]["keras"] == keras.__version__
    for signature in ("serving_default", "encoded"):
        assert 0 <= check[signature]["probabilities"]["max_abs_difference"] <= 1e-5


def test_export_names_no_place_of_this_machine(exported):
    for path in exported.rglob("*"):
        if path.is_file():
            assert os.fsencode(exported.parent.parent) not in path.read_bytes()
            assert os.fsencode(Path(exporting.__file__).parent) not in path.read_bytes()


def test_saved_model_cli_runs_it(exported, sample, tmp_path):
    np.save(tmp_path / "images.npy", sample.test.images[:4])
    program = [
        *(Path(sys.executable).parent / "saved_model_cli", "run", "--dir", exported),
        *("--tag_set", "serve", "--signature_def", "serving_default", "--outdir", tmp_path),
        *("--inputs", f"images={tmp_path / 'images.npy'}"),
    ]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
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
    path = export(model, folder, class_names=COLOURS, check_images=images, form="onnx")
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
    [(Noise, "differ from the live model's by up to"), (Local, "another process cannot use it")],
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
        export(model, tmp_path / "new", class_names=COLOURS, check_images=images)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 1
    assert not list(tmp_path.glob("[!.]*"))


def test_tolerance_refuses_and_keeps_the_versions_there(colour, tmp_path, monkeypatch):
    model, images = colour
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(proving, "TOLERANCE", -1)
    with pytest.raises(KerascwError, match=r"probabilities .* differ .* by up to"):
        export(model, tmp_path, class_names=COLOURS, check_images=images, form="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


HOLDER = """
import sys, tempfile, time
from pathlib import Path
from kerascw.export.write import exclusive
with exclusive(Path(sys.argv[1])):
    tempfile.mkdtemp(prefix=".unproved-", dir=sys.argv[1])
    print("has it", flush=True)
    time.sleep(600)
"""


def test_a_killed_export_holds_nobody_up_and_is_cleaned_away(colour, tmp_path):
    model, images = colour
    folder = tmp_path / "new" / "folder"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"has it\n"
    [abandoned] = folder.glob(".unproved-*")
    made = []

    def work():
        made.append(export(model, folder, class_names=COLOURS, check_images=images, form="onnx"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(1)
    assert thread.is_alive()  # waits, and leaves a living process its folder
    assert abandoned.is_dir()
    holder.kill()
    holder.wait()
    thread.join()
    assert made == [folder / "1"]
    assert list(folder.iterdir()) == made


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOTDIR])
def test_a_full_disk_is_one_line(colour, tmp_path, monkeypatch, number):
    model, images = colour

    def refused(*arguments, **named):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(exporting.tempfile, "TemporaryDirectory", refused)
    with pytest.raises(KerascwError) as error:
        export(model, tmp_path / "new", class_names=COLOURS, check_images=images, form="onnx")
    assert error.value.exit_code == 1
    assert str(error.value) == (
        f"{tmp_path / 'new'}: cannot export there: {os.strerror(number)}; nothing was exported"
    )
    assert not list(tmp_path.glob("[!.]*"))


def test_export_onto_a_file(colour, tmp_path):
    model, images = colour
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CallError, match="file is in the way"):
            export(model, folder, class_names=COLOURS, check_images=images)
