"""The file formats that models are exported to, and how each is opened in its own runtime.

ONNX and LiteRT files are opened without TensorFlow. Importing this loads no runtime.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
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

_RUNTIMES: dict[Format, tuple[str, str]] = {
    "onnx": ("onnxruntime", "onnxruntime"),
    "litert": ("ai_edge_litert", "ai-edge-litert"),
}
"""Module and package that open a format."""


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


def format_of(path: Path) -> Format | None:
    """Tell a file's format by its suffix; None for any other file.

    >>> format_of(Path("somewhere/model.tflite"))
    'litert'
    """
    suffixes = {Path(name).suffix: form for form, name in FILES.items()}
    return suffixes.get(path.suffix.lower())


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

    return Opened(opened.input_shape, opened.classes, opened.document, outputs)


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


def missing(purpose: str, package: str, extra: str) -> str:
    """Say in one line what to install."""
    return (
        f"{purpose}, {package} is needed, which is not installed; "
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


def _runtime(form: Format) -> Any:
    module, package = _RUNTIMES[form]
    try:
        return import_module(module)
    except ImportError as error:
        raise KerascwError(missing(f"to open {with_article(form)}", package, "light")) from error


def _open_saved_model(path: Path) -> Opened:
    import_tensorflow()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signatures = getattr(loaded, "signatures", {})
    _check_signature(path, signatures)

    def tensors(specs: Mapping[str, Any]) -> "_Tensors":
        return {
            name: (spec.dtype.name, None if spec.shape.rank is None else spec.shape.as_list())
            for name, spec in specs.items()
        }

    signature = signatures[SIGNATURE]
    shape, classes = _checked(
        path,
        tensors(signature.structured_input_signature[1]),
        tensors(signature.structured_outputs),
    )

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # by way of ``loaded``: the variables go with that object
        answer = loaded.signatures[SIGNATURE](images=tf.constant(images))
        return {name: value.numpy() for name, value in answer.items() if value.dtype == tf.float32}

    return Opened(shape, classes, {}, outputs)


def _open_keras(path: Path) -> Opened:
    import_tensorflow()
    import keras

    from kerascw.models import by_head

    def tensors(named: Iterable[tuple[str, Any]]) -> "_Tensors":
        return {name: (tensor.dtype, list(tensor.shape)) for name, tensor in named}

    model = keras.saving.load_model(path, compile=False)
    # Keras renames the input of a Sequential as it likes
    inputs = [("images", model.inputs[0])] + [(i.name, i) for i in model.inputs[1:]]
    heads = by_head(model.outputs[0] if len(model.outputs) == 1 else model.output)
    shape, classes = _checked(
        path, tensors(inputs), tensors((output_name(head), out) for head, out in heads.items())
    )

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        answers = by_head(model(images, training=False))
        return {output_name(head): np.asarray(values) for head, values in answers.items()}

    return Opened(shape, classes, _zipped_document(path), outputs)


def _open_onnx(path: Path) -> Opened:
    onnxruntime = _runtime("onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised all the same
    with redirect_stdout(io.StringIO()):  # before it raises, it prints of a second attempt
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def tensors(nodes: Iterable[Any]) -> "_Tensors":
        return {node.name: (_numpy_name(node.type), node.shape) for node in nodes}

    inputs, results = tensors(session.get_inputs()), tensors(session.get_outputs())
    shape, classes = _checked(path, inputs, results)
    names = list(results)
    text = session.get_modelmeta().custom_metadata_map.get(DOCUMENT)
    return Opened(
        shape,
        classes,
        read_json(text) if text else {},
        lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True)),
    )


def _numpy_name(onnx_type: str) -> str:
    """Translate ONNX's name of a type.

    >>> _numpy_name("tensor(float)"), _numpy_name("tensor(uint8)")
    ('float32', 'uint8')
    """
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _open_litert(path: Path) -> Opened:
    _runtime("litert")
    from ai_edge_litert.interpreter import Interpreter

    with stderr_held_back():  # it tells of its delegate
        interpreter = Interpreter(model_path=str(path))
    _check_signature(path, interpreter.get_signature_list())
    runner = interpreter.get_signature_runner(SIGNATURE)

    def tensors(details: Mapping[str, Any]) -> "_Tensors":
        return {
            name: (
                np.dtype(one["dtype"]).name,
                [None if size < 0 else size for size in one["shape_signature"].tolist()],
            )
            for name, one in details.items()
        }

    shape, classes = _checked(
        path, tensors(runner.get_input_details()), tensors(runner.get_output_details())
    )
    quiet: list[AbstractContextManager[None]] = [stderr_held_back()]  # for the first call

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        with quiet.pop() if quiet else nullcontext():
            return dict(runner(images=images))

    return Opened(shape, classes, _zipped_document(path), outputs)


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
    path: Path, inputs: _Tensors, outputs: _Tensors
) -> tuple[tuple[int, int, int], int | None]:
    """Return the shape of an image and the number of classes, or say what does not fit."""
    kind, sizes = inputs.get("images", ("", None))
    if (
        list(inputs) != ["images"]
        or kind != "uint8"
        or sizes is None
        or len(sizes) != 4
        or not all(isinstance(size, int) for size in sizes[1:])
    ):
        raise CallError(
            f"{path}: it takes {_listed(inputs)}; "
            "expected images uint8 [n, height, width, channels]"
        )
    kind, results = outputs.get("probabilities", ("", None))
    if kind != "float32" or results is None or len(results) != 2:
        raise CallError(
            f"{path}: it gives {_listed(outputs)}; expected probabilities float32 [n, classes]"
        )
    classes = results[1] if isinstance(results[1], int) else None
    return (sizes[1], sizes[2], sizes[3]), classes


def _listed(tensors: _Tensors) -> str:
    shown = []
    for name, (kind, sizes) in tensors.items():
        known = ["?"] if sizes is None else [s if isinstance(s, int) else "n" for s in sizes]
        shown.append(f"{printable(name)} {kind} [{', '.join(map(str, known))}]")
    return ", ".join(shown) or "nothing"
