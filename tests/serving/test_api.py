"""TensorFlow Serving's REST API and image files, over real HTTP."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascw.evaluation.explain import grad_cam, occlusion
from kerascw.experiment.spec import ConvNet, DenseNet
from kerascw.export.load import LoadedModel
from kerascw.export.runtimes import keras_outputs
from kerascw.models import build_model
from kerascw.report.figures import overlaid
from kerascw.serving.tensorflow_serving import Refusal, _quickly, asked

Rows = list[dict[str, Any]]


def same(rows: Rows, mnist: LoadedModel, images: np.ndarray) -> None:
    """Answers in rows are what the model itself says."""
    own = mnist.predict(images)
    assert [row["class_id"] for row in rows] == own.class_ids.tolist()
    assert [row["label"] for row in rows] == list(own.labels)
    told = np.array([row["probabilities"] for row in rows])
    np.testing.assert_allclose(told, own.probabilities, atol=1e-5)


def test_all_forms_of_a_request_have_the_models_own_answers(
    running: Any, mnist: LoadedModel, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    values = digits.tolist()
    files = [{"b64": base64.b64encode(file_of(image)).decode()} for image in digits]
    encoded = {"signature_name": "encoded"}
    for request in (
        {"instances": values},
        {"instances": [{"images": value} for value in values]},
        {"instances": values, "signature_name": "serving_default"},
        {"instances": files, **encoded},
        {"instances": [{"pictures": file} for file in files], **encoded},
    ):
        answer = running.predict(request)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["predictions"]
        same(answer.json()["predictions"], mnist, digits)
    for request in (
        {"inputs": values},
        {"inputs": {"images": values}},
        {"inputs": files, **encoded},
        {"inputs": {"pictures": files}, **encoded},
    ):
        answer = running.predict(request).json()
        assert list(answer) == ["outputs"]
        columns = answer["outputs"]
        rows = zip(*columns.values(), strict=True)
        same([dict(zip(columns, row, strict=True)) for row in rows], mnist, digits)


def test_a_version_may_be_named(running: Any, mnist: LoadedModel, digits: np.ndarray) -> None:
    body = {"instances": digits[:1].tolist()}
    answer = running.client.post("/v1/models/mnist/versions/1:predict", json=body)
    same(answer.json()["predictions"], mnist, digits[:1])
    for path, error in (
        ("mnist/versions/2:predict", "mnist has no version 2 here; this server has 1"),
        ("other:predict", "no model other; this server has mnist"),
    ):
        answer = running.client.post(f"/v1/models/{path}", json=body)
        assert (answer.status_code, answer.json()) == (404, {"error": error})


def test_status_and_metadata_have_tensorflow_servings_form(running: Any) -> None:
    fine = {"error_code": "OK", "error_message": ""}
    status = {"version": "1", "state": "AVAILABLE", "status": fine}
    for path in ("/v1/models/mnist", "/v1/models/mnist/versions/1"):
        assert running.client.get(path).json() == {"model_version_status": [status]}
        metadata = running.client.get(f"{path}/metadata").json()
        assert metadata["model_spec"] == {"name": "mnist", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() == {"serving_default", "encoded"}
    images = signatures["serving_default"]["inputs"]["images"]
    assert images["dtype"] == "DT_UINT8"
    sizes = [dim["size"] for dim in images["tensor_shape"]["dim"]]
    assert sizes == ["-1", "28", "28", "1"]
    assert signatures["encoded"]["inputs"].keys() == {"pictures"}
    outputs = signatures["serving_default"]["outputs"]
    assert {name: each["dtype"] for name, each in outputs.items()} == {
        "probabilities": "DT_FLOAT",
        "class_id": "DT_INT64",
        "label": "DT_STRING",
    }
    assert running.client.get("/v1/models/nix").status_code == 404


def test_metadata_is_that_of_the_savedmodel_itself(running: Any) -> None:
    import tensorflow as tf

    told = running.client.get("/v1/models/mnist/metadata").json()
    told = told["metadata"]["signature_def"]["signature_def"]
    loaded = tf.saved_model.load(str(running.shelf.current.model.path))
    for name, signature in loaded.signatures.items():
        assert told[name]["inputs"].keys() == signature.structured_input_signature[1].keys()
        assert told[name]["outputs"].keys() == signature.structured_outputs.keys()


WRONG: list[tuple[Any, str]] = [
    (b"{", "the body is no JSON"),
    (b"", "the body is no JSON"),
    (b'{"instances": [[1, 2', "the body is no JSON"),  # cut off
    (b'{"instances": [NaN]}', "the body has NaN"),
    (b'{"instances": [-Infinity]}', "the body has -Infinity"),
    (b"\xff\xfe\x00", "the body is no JSON"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"instances": [' + b"9" * 5000 + b"]}", "the body is no JSON"),
    (b"[1]", "the body is a list; expected an object"),
    (b"[]", "the body is an empty list; expected an object"),
    ({}, "the body has neither instances nor inputs; expected one of them"),
    ({"instances": [1], "inputs": [1]}, "the body has both instances and inputs"),
    ({"instances": []}, "instances: an empty list"),
    ({"instances": "abc"}, "instances: a string"),
    ({"instances": None}, "instances: null"),
    ({"instances": [1]}, "shape [1]"),
    ({"instances": [[[1, 2], [3]]]}, "expected uint8 [n, 28, 28, 1]"),
    ({"instances": [{"other": 1}]}, "instances[0]: an object with other; expected images"),
    (b'{"instances": [{"\\ud800": 1}]}', "instances[0]: an object with \\ud800"),
    ({"instances": [{}]}, "instances[0]: an object with nothing"),
    ({"inputs": {"pictures": []}}, "inputs: an object with pictures; expected images"),
    ({"instances": [{"b64": "AAAA"}]}, 'files in base64 need "signature_name": "encoded"'),
    ({"instances": [1], "signature_name": "nix"}, "signature_name: 'nix'"),
    ({"instances": [1], "signature_name": ["nix"]}, "signature_name: ['nix']"),
    ({"instances": [1], "signature_name": "encoded"}, 'expected {"b64": "..."}'),
    ({"instances": [{"b64": "?"}], "signature_name": "encoded"}, "instances[0]: b64 is no base64"),
    ({"instances": [{"b64": "AAAA"}], "signature_name": "encoded"}, "no PNG, JPEG"),
    ({"inputs": {"b64": "AAAA"}, "signature_name": "encoded"}, "inputs: an object"),
]


@pytest.mark.parametrize(("body", "says"), WRONG, ids=[f"{b!s:.40}" for b, _ in WRONG])
def test_a_wrong_request_gets_one_line(running: Any, body: Any, says: str) -> None:
    way = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = running.client.post("/v1/models/mnist:predict", **way)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert says in error
    assert "\n" not in error
    assert len(error) < 250


def test_the_quick_way_to_read_json_takes_the_same_and_no_more(digits: np.ndarray) -> None:
    shape = (28, 28, 1)
    values = digits[:3].tolist()
    for key in ("instances", "inputs"):
        for separators in (None, (",", ":")):
            body = json.dumps({key: values}, separators=separators).encode()
            quick = _quickly(body, shape)
            assert quick is not None
            assert quick.by_row == (key == "instances")
            np.testing.assert_array_equal(quick.images, digits[:3])
            # spread over lines, it takes the other way, with the same answer
            slow = asked(body.replace(b"[[[", b"[\n[["), shape)
            assert (slow.by_row, slow.images.tolist()) == (quick.by_row, values)
    body = json.dumps({"instances": [[[1, 2], [3, 40]]]}).encode()
    assert _quickly(body, (2, 2)).images.tolist() == [[[1, 2], [3, 40]]]  # type: ignore[union-attr]
    for old, new in (
        (b"40", b"256"), (b"40", b"-4"), (b"40", b"4 0"), (b"40", b"040"), (b"40", b""),
        (b"40", b"4.0"), (b"40", b"4e1"), (b"40", b"4_0"), (b"40", b"[40]"), (b"]]]", b"]]"),
        (b"]}", b"]"), (b"]}", b"]}]"), (b"]}", b"]} {}"), (b"]}", b"]}}"), (b", 40", b""),
        (b"[3, 40", b"5[3, 40"), (b"40]", b"40]7"), (b"]}", b"]}9"), (b"[[[", b"[[8["),
        (b"instances", b"instance"), (b"]}", b',"signature_name":"encoded"}'),
    ):  # fmt: skip
        wrong = body.replace(old, new)
        assert wrong != body
        assert _quickly(wrong, (2, 2)) is None
        with pytest.raises(Refusal):
            asked(wrong, (2, 2))


@pytest.mark.parametrize("value", [1.5, 12.0, -1, 256, 10**400, "7", True, None, [3], {}])
def test_pixels_are_integers_from_0_to_255(running: Any, digits: np.ndarray, value: Any) -> None:
    images = digits[:3].tolist()
    images[2][27][27][0] = value
    for key in ("instances", "inputs"):
        answer = running.predict({key: images})
        assert answer.status_code == 400
        assert f"{key}: " in answer.json()["error"]
        assert "expected" in answer.json()["error"]


def test_an_image_file_is_answered_with_labels(
    running: Any, mnist: LoadedModel, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    own = mnist.predict(digits[3])
    png = file_of(digits[3])
    for words in (
        {"content": png},
        {"content": png, "headers": {"content-type": "image/png"}},
        {"content": png, "headers": {"content-type": "application/octet-stream"}},
        {"files": {"any": ("digit.png", png, "image/png")}},
        {"files": {"file": ("a.jpg", png)}, "data": {"more": "words"}},
    ):
        answer = running.client.post("/predict", **words).json()
        assert (answer["model"], answer["version"]) == ("mnist", "1")
        guesses = answer["predictions"]
        assert guesses[0]["label"] == own.labels[0]
        shares = [guess["probability"] for guess in guesses]
        assert shares == sorted(shares, reverse=True)
        for guess in guesses:
            share = own.probabilities[0, guess["class_id"]]
            assert guess["probability"] == pytest.approx(share, abs=1e-5)
        assert "image" not in answer


def test_the_image_as_the_model_sees_it_is_sent(
    running: Any, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    def seen(pixels: np.ndarray, query: str) -> np.ndarray:
        answer = running.client.post(f"/predict?image=1{query}", content=file_of(pixels)).json()
        _, _, content = answer["image"].partition("base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))

    digit = digits[0].squeeze()
    np.testing.assert_array_equal(seen(digit, ""), digit)
    np.testing.assert_array_equal(seen(255 - digit, ""), digit)  # dark on light
    np.testing.assert_array_equal(seen(255 - digit, "&invert=no"), 255 - digit)
    large = np.kron(digit, np.ones((10, 10), np.uint8))
    assert np.abs(seen(large, "").astype(int) - digit).mean() < 10
    colour = np.stack([large] * 3, axis=-1)
    np.testing.assert_array_equal(seen(colour, ""), seen(large, ""))
    answer = running.client.post("/predict?invert=maybe", content=file_of(digit))
    assert answer.status_code == 400
    assert "auto, yes or no" in answer.json()["error"]


def test_a_file_as_curl_sends_it_is_an_image(
    running: Any, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = running.client.post("/predict", content=file_of(digits[0]), headers=kind)
    assert answer.status_code == 200, answer.text


def test_what_is_no_image_is_refused(
    running: Any, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    png, jpeg = (
        file_of(digits[0]),
        file_of(np.kron(digits[0, ..., 0], np.ones((9, 9), np.uint8)), "JPEG"),
    )
    half = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for status, words in (
        (400, {"content": b""}),
        (400, {"content": b"no image"}),
        (400, {"content": png[: len(png) // 2]}),  # cut off
        (400, {"content": jpeg[: len(jpeg) // 2]}),
        (415, {"json": {"instances": []}}),
        (415, {"content": png, "headers": {"content-type": "text/html"}}),
        (400, {"files": {"a": png, "b": png}}),
        (400, {"files": {"a": b"no image"}}),
        (400, {"content": part + png, "headers": {"content-type": "multipart/form-data"}}),
        (400, {"content": part + png[:50], "headers": half}),
        (400, {"content": b"--y--", "headers": half}),
    ):
        answer = running.client.post("/predict", **words)
        assert answer.status_code == status, (words, answer.text)
        assert list(answer.json()) == ["error"]
        assert "\n" not in answer.json()["error"]
    answer = running.client.post("/predict", files={"a": (None, "words")})
    assert answer.json() == {"error": "the form has no file"}


def test_a_path_that_is_none_and_a_wrong_method_have_the_error_form(running: Any) -> None:
    for method, path, status in (
        ("GET", "/nix%0a", 404),
        ("GET", "/predict", 405),
        ("GET", "/v1/models/mnist:predict", 404),
        ("POST", "/v1/models/mnist", 405),
        ("POST", "/v1/models/mnist:classify", 405),
        ("DELETE", "/", 405),
    ):
        answer = running.client.request(method, path)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
        assert "\n" not in answer.json()["error"]


def test_auxiliary_heads_answer_too(
    tmp_path: Path, serving: Any, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the SavedModel's own signature does."""
    spec = ConvNet(filters=(2, 2), pool_after=(1, 2), dense=(4,), auxiliary=(1,))
    outputs = keras_outputs(build_model(spec, (28, 28, 1), 3, seed=0))
    loaded = LoadedModel(
        tmp_path / "heads" / "1", "heads", ("a", "b", "c"), (28, 28, 1), "saved_model", {}, outputs
    )
    monkeypatch.setattr("kerascw.serving.shelf.load_model", lambda _: loaded)
    with serving(tmp_path / "heads" / "1") as heads:
        words = {"json": {"instances": digits[:2].tolist()}}
        rows = heads.client.post("/v1/models/heads:predict", **words).json()["predictions"]
    own = outputs(digits[:2])
    assert own.keys() == {"probabilities", "aux1_probabilities"}
    assert rows[0].keys() == own.keys() | {"class_id", "label"}
    for name, values in own.items():
        np.testing.assert_allclose([row[name] for row in rows], values, atol=1e-6)


def picture_in(answer: Any, name: str) -> np.ndarray:
    _, _, content = answer.json()[name].partition("base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


def test_where_a_saved_model_looked_is_what_covering_costs(
    running: Any, mnist: LoadedModel, digits: np.ndarray, file_of: Callable[..., bytes]
) -> None:
    answer = running.client.post("/predict?map=1", content=file_of(digits[3]))
    best = answer.json()["predictions"][0]["class_id"]
    (evidence,) = occlusion(lambda x: mnist.predict(x).probabilities, digits[3:4], [best])
    expected = overlaid(digits[3], evidence)
    np.testing.assert_allclose(picture_in(answer, "map"), expected, atol=1)
    assert "when a patch is covered" in running.client.get("/").text
    answer = running.client.post("/predict", content=file_of(digits[3]))
    assert "map" not in answer.json()


@pytest.mark.parametrize("convolves", [True, False])
def test_where_a_keras_model_looked_follows_its_gradients(
    serving: Any,
    mnist: LoadedModel,
    digits: np.ndarray,
    file_of: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    convolves: bool,
) -> None:
    """One without a convolution is covered patch by patch."""
    spec = ConvNet(filters=(4,), pool_after=(1,)) if convolves else DenseNet(dense=(8,))
    model = build_model(spec, seed=3)
    loaded = replace(mnist, form="keras", outputs=keras_outputs(model))
    monkeypatch.setattr("kerascw.serving.shelf.load_model", lambda _: loaded)
    monkeypatch.setattr(LoadedModel, "live", lambda _: model)
    with serving(mnist.path) as server:
        answer = server.client.post("/predict?map=1", content=file_of(digits[3]))
        page = server.client.get("/").text
    best = answer.json()["predictions"][0]["class_id"]
    if convolves:
        (evidence,) = grad_cam(model, digits[3:4], [best], by_place=True)
    else:
        (evidence,) = occlusion(lambda x: loaded.predict(x).probabilities, digits[3:4], [best])
    expected = overlaid(digits[3], evidence)
    assert evidence.max() > 0
    np.testing.assert_allclose(picture_in(answer, "map"), expected, atol=1)
    assert ("HiResCAM" in page) == convolves
