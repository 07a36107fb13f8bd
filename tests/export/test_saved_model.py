import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerascw.errors import CallError, DataError
from kerascw.export.load import _titled, load_model


def test_load_by_name_or_version(exported, sample, card):
    for path in (exported, exported.parent, str(exported.parent)):
        loaded = load_model(path)
        assert loaded.path == exported
        assert loaded.class_names == sample.entry.class_names
        assert loaded.input_shape == (28, 28, 1)
        assert loaded.light_on_dark is True
        assert loaded.card == card


@pytest.mark.parametrize(
    ("version", "form", "title"),
    [
        ("/models/fashion/2", "saved_model", "fashion, version 2, SavedModel"),
        ("/models/fashion/onnx/2", "onnx", "fashion, version 2, ONNX model"),
        ("/opt/fashion", "saved_model", "fashion, SavedModel"),
        ("/opt/fashion/litert", "litert", "fashion, LiteRT model"),
        ("/model/1", "keras", "model, version 1, Keras file"),
        ("/model", "saved_model", "model, SavedModel"),
        ("/1", "saved_model", "1, SavedModel"),
        ("/", "litert", "/, LiteRT model"),
    ],
)
def test_a_title_is_of_the_folder(version, form, title):
    assert _titled(Path(version), form) == f"{title} ({version})"


def test_predict_takes_stacks_and_single_pictures(exported, sample, tiny_model):
    loaded = load_model(exported)
    images = sample.train.images[:2300]
    predictions = loaded.predict(images)
    live = tiny_model.predict(images, verbose=0)
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


VARIABLES = "variables/variables.data-00000-of-00001"
EXTRA = "assets.extra/kerascw.json"


def test_every_weight_is_written_once(exported, tiny_model):
    weights = 4 * tiny_model.count_params()
    assert weights <= (exported / VARIABLES).stat().st_size < 1.1 * weights + 10_000
    variables = tf.saved_model.load(str(exported)).variables
    for loaded, own in zip(variables, tiny_model.weights, strict=True):
        np.testing.assert_array_equal(loaded, own)


def damaged(path, exported, file, content, hashed=True):
    """Copy an export and change one of its files; ``hashed``: keep the files' hashes."""
    shutil.copytree(exported, path, dirs_exist_ok=True)
    if not hashed:
        document = json.loads((path / EXTRA).read_text())
        (path / EXTRA).write_text(json.dumps({**document, "files": {}}))
    (path / file).write_bytes(content((path / file).read_bytes()))
    with pytest.raises(DataError) as error:
        load_model(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("saved_model.pb", lambda data: b"garbage" * 9),
        ("saved_model.pb", lambda data: data[: len(data) // 2]),
        ("saved_model.pb", lambda data: b""),
        (VARIABLES, lambda data: data[:100]),
        (VARIABLES, lambda data: data[:-1] + b"?"),
        (VARIABLES, lambda data: bytes(len(data))),
    ],
)
def test_damage_is_one_line(exported, tmp_path, file, content):
    said = damaged(tmp_path, exported, file, content, hashed=False)
    assert said.startswith(f"{tmp_path}: a damaged SavedModel: ")


@pytest.mark.parametrize("file", ["saved_model.pb", "fingerprint.pb", VARIABLES])
def test_one_flipped_bit_is_found(exported, tmp_path, file):
    def flip(data):
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]

    said = damaged(tmp_path, exported, file, flip)
    assert said == (
        f"{tmp_path}: a damaged SavedModel: {file} is not as it was exported (SHA-256 differs)"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"\xff\xfe",
        b"[" * 10**5,
        b'{"card": ' * 10**5,
        b'{"format": 1}',
        b'{"format": 1, "class_names": "ab", "card": {}}',
        b'{"format": 1, "class_names": [1], "card": {}}',
        b'{"format": 1, "class_names": ["a"], "card": []}',
        b'{"format": 1, "class_names": ["a"], "card": {}, "files": 3}',
        b'{"format": 1, "class_names": ["a"], "card": {}, "files": {}, "input_shape": [9, 0, 1]}',
    ],
    ids=lambda content: content[:30].decode(errors="replace"),
)
def test_a_damaged_document_is_one_line(exported, tmp_path, content):
    said = damaged(tmp_path, exported, EXTRA, lambda _: content)
    assert said.startswith(f"{tmp_path / EXTRA}: damaged; expected JSON with format, class_names")


def test_a_document_of_a_newer_version(exported, tmp_path):
    said = damaged(tmp_path, exported, EXTRA, lambda _: b'{"format": 2}')
    assert said == f"{tmp_path / EXTRA}: format 2, of a newer kerascw; this one reads 1"


def test_class_names_that_do_not_fit(exported, sample, tmp_path):
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    document = json.loads((tmp_path / EXTRA).read_text())
    (tmp_path / EXTRA).write_text(json.dumps({**document, "class_names": ["a"]}))
    with pytest.raises(DataError, match="1 class names for 10 classes"):
        load_model(tmp_path).predict(sample.test.images[:1])


def test_a_model_that_kerascw_did_not_write(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    with pytest.raises(CallError, match=r"no kerascw\.json beside it; expected a model that"):
        load_model(tmp_path)


def test_nothing_there_is_said_without_tensorflow(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "7").mkdir(parents=True)
    code = """
import sys
from kerascw.errors import CallError
from kerascw.export.load import load_model
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
    expected = "the folder of an exported model, or its .keras, .onnx or .tflite file"
    parts = "saved_model.pb, model.keras, model.onnx or model.tflite"
    assert done.stdout.splitlines() == [
        f"{paths[0]}: no such folder; expected {expected}",
        f"{paths[1]}: a file; expected {expected}",
        f"{paths[2]}: no model there, neither {parts} nor a version folder with one",
        f"{paths[3]}: no model there, neither {parts} nor a version folder with one",
    ]
