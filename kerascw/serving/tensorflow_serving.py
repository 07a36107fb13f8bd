"""TensorFlow Serving's REST API: what its requests say, and the form of its answers.

After https://www.tensorflow.org/tfx/serving/api_rest. As there, ``serving_default`` takes integers
from 0 to 255 of exactly the model's shape, and ``encoded`` takes files of images in base64.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from kerascw.errors import choices, printable
from kerascw.export.load import expected
from kerascw.export.runtimes import SIGNATURE
from kerascw.serving.batching import Answer
from kerascw.serving.shelf import Served

ENCODED = "encoded"
INPUTS = {SIGNATURE: "images", ENCODED: "pictures"}
"""The input of each signature."""


class Refusal(Exception):
    """A request is not done: an HTTP status, and one line of why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, eq=False)
class Asked:
    """What a request asks for: arrays or files, and in which form the answers go."""

    by_row: bool  # asked by instances; else by inputs
    images: np.ndarray | None = None  # uint8 [n, h, w, c]
    files: tuple[bytes, ...] = ()


def asked(body: bytes, shape: tuple[int, ...]) -> Asked:
    """Read the body of a ``:predict`` request for a model that takes images of ``shape``.

    Raises Refusal: no JSON, or not what the model takes, by the name of the key.
    """
    if quick := _quickly(body, shape):
        return quick
    document = _json(body)
    if not isinstance(document, dict):
        raise Refusal(400, f"the body is {_kind(document)}; expected an object")
    signature = document.get("signature_name", SIGNATURE)
    if not isinstance(signature, str) or signature not in INPUTS:
        raise Refusal(400, f"signature_name: {signature!r:.60}; choose {choices(INPUTS)}")
    keys = [key for key in ("instances", "inputs") if key in document]
    if len(keys) != 1:
        has = "both instances and inputs" if keys else "neither instances nor inputs"
        raise Refusal(400, f"the body has {has}; expected one of them")
    (key,) = keys
    name, value = INPUTS[signature], document[key]
    if key == "inputs":
        if isinstance(value, dict) and "b64" not in value:
            value = _named(value, name, key)
    elif isinstance(value, list):
        value = [
            _named(each, name, f"{key}[{at}]") if isinstance(each, dict) and "b64" not in each
            else each for at, each in enumerate(value)
        ]  # fmt: skip
    if not isinstance(value, list) or not value:
        raise Refusal(400, f"{key}: {_kind(value)}; expected a list with an item for each image")
    if signature == ENCODED:
        files = (_file(each, f"{key}[{at}]") for at, each in enumerate(value))
        return Asked(key == "instances", files=tuple(files))
    if isinstance(value[0], dict):
        raise Refusal(400, f'{key}: files in base64 need "signature_name": "{ENCODED}"')
    return Asked(key == "instances", images=_uint8(value, shape, key))


_NUMBERS = {str(number).encode(): number for number in range(256)}
_TO_ZEROS = bytes.maketrans(b"0123456789", b"0" * 10)


def _quickly(body: bytes, shape: tuple[int, ...]) -> Asked | None:
    """Read ``{"instances": [...]}`` as programs write it; None if it is anything else.

    With its digits taken out such a body is brackets and commas in an order that the shape gives,
    and no digit stands before an opening or after a closing bracket. A list for each pixel, which
    JSON makes of a last axis of 1, takes four times as long.
    """
    head, _, rest = body.partition(b":")
    by_row = head == b'{"instances"'
    if not by_row and head != b'{"inputs"':
        return None
    rest = rest.lstrip(b" ").replace(b", ", b",")
    image = _brackets(shape)
    found = rest.translate(None, b"0123456789")
    count = (len(found) - 2) // (len(image) + 1)  # [image,image]}
    if count < 1 or found != b"[" + b",".join([image] * count) + b"]}":
        return None
    marked = rest.translate(_TO_ZEROS)
    if any(wrong in marked for wrong in (b"0[", b"]0", b"}0")):
        return None
    try:
        numbers = rest.translate(None, b"[]}").split(b",")
        flat = bytes(map(_NUMBERS.__getitem__, numbers))
    except KeyError:  # 256, 007 or nothing
        return None
    return Asked(by_row, images=np.frombuffer(flat, np.uint8).reshape(count, *shape))


@cache
def _brackets(shape: tuple[int, ...]) -> bytes:
    """Return the JSON of an array without its numbers.

    >>> _brackets((2, 3))
    b'[[,,],[,,]]'
    """
    if not shape:
        return b""
    return b"[" + b",".join([_brackets(shape[1:])] * shape[0]) + b"]"


def _json(body: bytes) -> Any:
    def refuse(word: str) -> NoReturn:
        raise Refusal(400, f"the body has {word}, which is no JSON number")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except ValueError as error:  # of JSON, of UTF-8, of an integer with thousands of digits
        raise Refusal(400, f"the body is no JSON: {str(error).splitlines()[0]:.120}") from None


def _kind(value: Any) -> str:
    if value == []:
        return "an empty list"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _named(value: dict[str, Any], name: str, where: str) -> Any:
    if list(value) != [name]:
        held = choices(map(printable, value)) if value else "nothing"
        raise Refusal(400, f"{where}: an object with {held:.60}; expected {name}")
    return value[name]


def _file(value: Any, where: str) -> bytes:
    if not isinstance(value, dict) or list(value) != ["b64"] or not isinstance(value["b64"], str):
        raise Refusal(400, f'{where}: expected {{"b64": "..."}}, an image file in base64')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, f"{where}: b64 is no base64") from None


def _uint8(value: list[Any], shape: tuple[int, ...], key: str) -> np.ndarray:
    """Make uint8 ``[n, *shape]`` of nested lists; strictly, where NumPy would guess and round."""
    level = value
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise Refusal(400, f"{key}: shape {_shape(value)}; expected {expected(shape)}")
        level = list(chain.from_iterable(level))
    others = set(map(type, level)) - {int}
    if others & {list}:
        raise Refusal(400, f"{key}: shape {_shape(value)}; expected {expected(shape)}")
    if others:
        wrong = next(item for item in level if type(item) is not int)
        raise Refusal(400, f"{key}: {json.dumps(wrong):.40}; expected integers from 0 to 255")
    try:
        flat = bytes(level)
    except ValueError:
        wrong = next(item for item in level if not 0 <= item <= 255)
        raise Refusal(400, f"{key}: {wrong!s:.20}; expected integers from 0 to 255") from None
    return np.frombuffer(flat, np.uint8).reshape(len(value), *shape)


def _shape(value: Any) -> str:
    """Show the shape of nested lists by their first items.

    >>> _shape([[0, 0], [0, 0, 0]])
    '[2, 2] or ragged'
    """
    sizes = []
    while isinstance(value, list):
        sizes.append(str(len(value)))
        value = value[0] if value else None
    return f"[{', '.join(sizes[:6])}] or ragged"


# --- answers --------------------------------------------------------------------------------


def outputs_of(served: Served, answer: Answer, *, by_row: bool) -> dict[str, Any]:
    """Return the answer to ``:predict``: all outputs of the SavedModel's signatures."""
    best = answer["probabilities"].argmax(axis=-1).tolist()
    columns: dict[str, list[Any]] = {name: values.tolist() for name, values in answer.items()}
    columns["class_id"] = best
    columns["label"] = [served.model.class_names[number] for number in best]
    if not by_row:
        return {"outputs": columns}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def status_of(served: Served, refused: dict[int, str]) -> dict[str, Any]:
    """Return the answer to ``GET /v1/models/NAME``."""
    states = [(served.version, "AVAILABLE", "OK", "")]
    states += [(version, "END", "UNKNOWN", reason) for version, reason in refused.items()]
    return {
        "model_version_status": [
            {
                "version": str(version),
                "state": state,
                "status": {"error_code": code, "error_message": message},
            }
            for version, state, code, message in sorted(states, reverse=True)
        ]
    }


def metadata_of(served: Served) -> dict[str, Any]:
    """Return the answer to ``GET /v1/models/NAME/metadata``: the SavedModel's signatures."""
    outputs = {name: _tensor("DT_FLOAT", -1, size) for name, size in served.heads.items()}
    outputs |= {"class_id": _tensor("DT_INT64", -1), "label": _tensor("DT_STRING", -1)}
    inputs = {
        SIGNATURE: _tensor("DT_UINT8", -1, *served.model.input_shape),
        ENCODED: _tensor("DT_STRING", -1),
    }
    signatures = {
        signature: {
            "inputs": {name: inputs[signature]},
            "outputs": outputs,
            "method_name": "tensorflow/serving/predict",
        }
        for signature, name in INPUTS.items()
    }
    return {
        "model_spec": {
            "name": served.name,
            "signature_name": "",
            "version": str(served.version),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(kind: str, *sizes: int) -> dict[str, Any]:
    return {
        "dtype": kind,
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in sizes],
            "unknown_rank": False,
        },
        "name": "",
    }
