"""The file formats that models are exported to, and how each is opened in its own runtime.

ONNX and LiteRT files are opened without TensorFlow. Importing this loads no runtime.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kerascw.errors import CallError, DataError, KerascwError, printable
from kerascw.quiet import import_tensorflow, stderr_held_back

Format = Literal["saved_model", "keras", "onnx", "litert"]
FORMATS: tuple[Format, ...] = get_args(Format)

FILES: dict[Format, str] = {"keras": "model.keras", "onnx": "model.onnx", "litert": "model.tflite"}
"""The model's file in the folder of a version; a SavedModel is the folder itself."""

TITLES: dict[Format, str] = {
    "saved_model": "SavedModel",
    "keras": "Keras file",
    "onnx": "ONNX model",
    "litert": "LiteRT model",
}

SIGNATURE = "serving_default"
"""The signature of SavedModels and LiteRT models that takes raw images."""

DOCUMENT = "kerascw.json"
"""The facts about a model: beside its file, and without the proof inside it."""

MOST_BYTES = 32 * 2**20
"""A larger document is damaged: no zip archive may make the reader fill its memory."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A model in its runtime."""

    input_shape: tuple[int, int, int]  # height, width, channels
    classes: int | None  # None where the model does not fix their number
    document: Mapping[str, Any]  # from inside the file; empty where export() did not write it
    # uint8 [n, height, width, channels], n at least 0, to float32 [n, classes] by output name
    outputs: Callable[[np.ndarray], dict[str, np.ndarray]]


def with_article(form: Format) -> str:
    """Name a format's exports in a sentence.

    >>> with_article("onnx"), with_article("litert")
    ('an ONNX model', 'a LiteRT model')
    """
    return f"{'an' if form == 'onnx' else 'a'} {TITLES[form]}"


def output_name(head: str) -> str:
    """Name the output of an export that holds a head's probabilities."""
    # not imported with this module: predicting with a small file needs no specs, and no Pydantic
    from kerascw.experiment.spec import MAIN_HEAD

    return head if head == MAIN_HEAD else f"{head}_probabilities"


def open_model(path: Path, form: Format) -> Opened:
    """Open a SavedModel's folder, or a ``.keras``, ``.onnx`` or ``.tflite`` file, in its runtime.

    Any model of these formats will do that takes ``images`` uint8 ``[n, h, w, c]`` and gives
    ``probabilities`` float32 ``[n, k]``.

    Raises
    ------
    CallError
        A model with other inputs or outputs.
    DataError
        A damaged file, now or when the model first answers.
    KerascwError
        The runtime is not installed.
    """
    with _damage_named(path, form):
        opened = _OPENERS[form](path)

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # neither LiteRT nor TensorFlow's convolution takes an empty batch
        some = images if len(images) else np.zeros((1, *opened.input_shape), np.uint8)
        with _damage_named(path, form):
            return {name: values[: len(images)] for name, values in opened.outputs(some).items()}

    return replace(opened, outputs=outputs)


@contextmanager
def _damage_named(path: Path, form: Format) -> Iterator[None]:
    """Turn what a runtime raises for a damaged file into one line."""
    try:
        yield
    except KerascwError:
        raise
    # each runtime has errors of its own, and TypeError, KeyError, RecursionError as chance has it
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        raise damaged(path, form, message.splitlines()[0]) from error


def damaged(path: Path, form: Format, reason: str) -> DataError:
    """Say in one line that a model's files are damaged."""
    return DataError(f"{path}: a damaged {TITLES[form]}: {printable(reason):.200}")


def missing(purpose: str, form: Format, package: str, extra: str) -> KerascwError:
    """Say in one line what to install."""
    return KerascwError(
        f"{purpose} {with_article(form)}, {package} is needed, which is not installed; "
        f"next: pip install 'kerascw[{extra}]'"
    )


def read_json(text: str | bytes) -> dict[str, Any]:
    """Parse a document.

    Raises
    ------
    ValueError
        It is not a JSON object, too deeply nested, or too large.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes of JSON")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("JSON that is not an object")
    return content


# --- the runtimes ---------------------------------------------------------------------------


def _open_saved_model(path: Path) -> Opened:
    import_tensorflow()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    _check_signature(path, getattr(loaded, "signatures", {}))
    signature = loaded.signatures[SIGNATURE]
    _, inputs = signature.structured_input_signature
    takes, gives = (
        {name: (spec.dtype.name, _sizes(spec.shape)) for name, spec in specs.items()}
        for specs in (inputs, signature.structured_outputs)
    )
    shape, classes = _checked(path, takes, gives)

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # by way of ``loaded``: the variables go with that object
        answer = loaded.signatures[SIGNATURE](images=tf.constant(images))
        return {name: value.numpy() for name, value in answer.items() if value.dtype == tf.float32}

    return Opened(shape, classes, {}, outputs)


def _sizes(shape: Any) -> list[int | None] | None:
    return None if shape.rank is None else shape.as_list()


def _open_keras(path: Path) -> Opened:
    import_tensorflow()
    import keras

    from kerascw.models import by_head

    model = keras.saving.load_model(path, compile=False)
    # Keras renames the input of a Sequential as it likes
    inputs = {"images": model.inputs[0]} | {each.name: each for each in model.inputs[1:]}
    heads = by_head(model.outputs[0] if len(model.outputs) == 1 else model.output)
    takes, gives = (
        {name: (tensor.dtype, list(tensor.shape)) for name, tensor in tensors.items()}
        for tensors in (inputs, {output_name(head): out for head, out in heads.items()})
    )
    shape, classes = _checked(path, takes, gives)

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        answers = by_head(model(images, training=False))
        return {output_name(head): np.asarray(values) for head, values in answers.items()}

    return Opened(shape, classes, _zipped_document(path), outputs)


def _open_onnx(path: Path) -> Opened:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("to open", "onnx", "onnxruntime", "light") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised all the same
    with redirect_stdout(io.StringIO()):  # before it raises, it prints of a second attempt
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    takes, gives = (
        {node.name: (_ONNX_TYPES.get(node.type, node.type), node.shape) for node in nodes}
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    shape, classes = _checked(path, takes, gives)
    text = session.get_modelmeta().custom_metadata_map.get(DOCUMENT)
    return Opened(
        shape,
        classes,
        read_json(text) if text else {},
        lambda images: dict(zip(gives, session.run(list(gives), {"images": images}), strict=True)),
    )


_ONNX_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def _open_litert(path: Path) -> Opened:
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError as error:
        raise missing("to open", "litert", "ai-edge-litert", "light") from error
    with stderr_held_back():  # it tells of its delegate
        interpreter = litert.Interpreter(model_path=str(path))
    _check_signature(path, interpreter.get_signature_list())
    runner = interpreter.get_signature_runner(SIGNATURE)
    takes, gives = (
        {
            name: (
                np.dtype(one["dtype"]).name,
                [None if size < 0 else size for size in one["shape_signature"].tolist()],
            )
            for name, one in details.items()
        }
        for details in (runner.get_input_details(), runner.get_output_details())
    )
    shape, classes = _checked(path, takes, gives)
    with stderr_held_back():  # the first call tells of it too
        runner(images=np.zeros((1, *shape), np.uint8))
    return Opened(
        shape, classes, _zipped_document(path), lambda images: dict(runner(images=images))
    )


_OPENERS: dict[Format, Callable[[Path], Opened]] = {
    "saved_model": _open_saved_model,
    "keras": _open_keras,
    "onnx": _open_onnx,
    "litert": _open_litert,
}


def _zipped_document(path: Path) -> dict[str, Any]:
    """Read the document of a file that is a ZIP archive, or has one behind it."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        if DOCUMENT not in archive.namelist():
            return {}
        with archive.open(DOCUMENT) as file:
            return read_json(file.read(MOST_BYTES + 1))


# --- what is asked of a model ---------------------------------------------------------------

_Tensors = Mapping[str, tuple[str, list[Any] | None]]
"""Data type and sizes by name; no sizes where their number is unknown."""


def _check_signature(path: Path, signatures: Iterable[str]) -> None:
    if SIGNATURE not in signatures:
        there = printable(", ".join(signatures)) or "none"
        raise CallError(f"{path}: no signature {SIGNATURE}; it has {there}")


def _checked(
    path: Path, takes: _Tensors, gives: _Tensors
) -> tuple[tuple[int, int, int], int | None]:
    """Return the shape of an image and the number of classes, or say what does not fit."""
    match list(takes.items()):
        case [("images", ("uint8", [_, int(height), int(width), int(channels)]))]:
            shape = height, width, channels
        case _:
            raise CallError(
                f"{path}: it takes {_listed(takes)}; "
                "expected images uint8 [n, height, width, channels]"
            )
    match gives.get("probabilities"):
        case ("float32", [_, classes]):
            return shape, classes if isinstance(classes, int) else None
        case _:
            raise CallError(
                f"{path}: it gives {_listed(gives)}; expected probabilities float32 [n, classes]"
            )


def _listed(tensors: _Tensors) -> str:
    shown = []
    for name, (kind, sizes) in tensors.items():
        known = ["?"] if sizes is None else [s if isinstance(s, int) else "n" for s in sizes]
        shown.append(f"{printable(name)} {kind} [{', '.join(map(str, known))}]")
    return ", ".join(shown) or "nothing"
