"""The file formats that models are exported to, and how each is opened in its own runtime.

ONNX and LiteRT files are opened without TensorFlow. Importing this loads no runtime.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kerascw.errors import CallError, KerascwError
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

DOCUMENT = "kerascw.json"
"""What there is to know of a model: beside its file, and without the proof inside of it."""

_PACKAGES: dict[Format, dict[str, str]] = {
    "onnx": {"onnxruntime": "onnxruntime"},
    "litert": {"ai_edge_litert": "ai-edge-litert"},
}
"""By format, what opens it: module and package."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A model in its runtime."""

    input_shape: tuple[int, int, int]  # height, width, channels
    classes: int
    document: Mapping[str, Any]  # from inside the file; empty where export() did not write it
    # uint8 [n, height, width, channels], n at least 0, to float32 [n, classes] by output name
    outputs: Callable[[np.ndarray], dict[str, np.ndarray]]


def with_article(form: Format) -> str:
    """Return what a format's exports are called, in a sentence.

    >>> with_article("onnx"), with_article("litert")
    ('an ONNX model', 'a LiteRT model')
    """
    return f"{'an' if form == 'onnx' else 'a'} {TITLES[form]}"


def output_name(head: str) -> str:
    """Return the name that a head's probabilities have among the outputs of an export."""
    from kerascw.experiment.spec import (
        MAIN_HEAD,  # not with this module: predict needs none of the specs
    )

    return head if head == MAIN_HEAD else f"{head}_probabilities"


def format_of(path: Path) -> Format | None:
    """Return the format that a file's suffix stands for, None for any other file.

    >>> format_of(Path("somewhere/model.tflite"))
    'litert'
    """
    for form, name in FILES.items():
        if path.suffix.lower() == Path(name).suffix:
            return form
    return None


def open_model(path: Path, form: Format) -> Opened:
    """Open a ``.keras``, ``.onnx`` or ``.tflite`` file in its runtime.

    Any model of these formats will do that takes ``images`` uint8 ``[n, h, w, c]`` and gives
    ``probabilities`` float32 ``[n, k]``.

    Raises
    ------
    CallError
        A damaged file, or a model with other inputs or outputs.
    KerascwError
        The runtime is not installed.
    """
    try:
        opened = _OPENERS[form](path)
    except KerascwError:
        raise
    # each runtime has errors of its own for a damaged file, and TypeError, KeyError and more
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        raise CallError(
            f"{path}: a damaged {TITLES[form]}: {message.splitlines()[0]:.200}"
        ) from error

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # neither LiteRT nor TensorFlow's convolution takes an empty batch
        some = images if len(images) else np.zeros((1, *opened.input_shape), np.uint8)
        return {name: values[: len(images)] for name, values in opened.outputs(some).items()}

    return Opened(opened.input_shape, opened.classes, opened.document, outputs)


def runtime(form: Format) -> Any:
    """Return the module that opens a format.

    Raises
    ------
    KerascwError
        It is not installed; the message says how to.
    """
    [(module, package)] = _PACKAGES[form].items()
    try:
        return import_module(module)
    except ImportError as error:
        raise KerascwError(missing(f"to open {with_article(form)}", package, "light")) from error


def missing(purpose: str, package: str, extra: str) -> str:
    """Return the line that says what to install."""
    return (
        f"{purpose}, {package} is needed, which is not installed; "
        f"next: pip install 'kerascw[{extra}]'"
    )


def _open_onnx(path: Path) -> Opened:
    onnxruntime = runtime("onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised all the same
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shape, classes = _checked(
        path,
        {i.name: (_numpy_name(i.type), i.shape) for i in session.get_inputs()},
        {o.name: (_numpy_name(o.type), o.shape) for o in session.get_outputs()},
    )
    text = session.get_modelmeta().custom_metadata_map.get(DOCUMENT)
    return Opened(
        shape,
        classes,
        json.loads(text) if text else {},
        lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True)),
    )


def _numpy_name(onnx_type: str) -> str:
    """Return NumPy's name of a type.

    >>> _numpy_name("tensor(float)"), _numpy_name("tensor(uint8)")
    ('float32', 'uint8')
    """
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _open_litert(path: Path) -> Opened:
    runtime("litert")
    from ai_edge_litert.interpreter import Interpreter

    with stderr_held_back():  # it tells of its delegate
        interpreter = Interpreter(model_path=str(path))
    signatures = interpreter.get_signature_list()
    if "serving_default" not in signatures:
        there = ", ".join(signatures) or "none"
        raise CallError(f"{path}: no signature serving_default; it has {there}")
    runner = interpreter.get_signature_runner("serving_default")
    shape, classes = _checked(
        path,
        *(
            {
                name: (np.dtype(d["dtype"]).name, _sizes(d["shape_signature"]))
                for name, d in details.items()
            }
            for details in (runner.get_input_details(), runner.get_output_details())
        ),
    )
    quiet: list[AbstractContextManager[None]] = [stderr_held_back()]  # for the first call

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        with quiet.pop() if quiet else nullcontext():
            return dict(runner(images=images))

    return Opened(shape, classes, _zipped_document(path), outputs)


def _sizes(signature: np.ndarray) -> list[int | None]:
    return [None if size < 0 else size for size in signature.tolist()]


def _open_keras(path: Path) -> Opened:
    import_tensorflow()
    import keras

    from kerascw.models import by_head

    model = keras.saving.load_model(path, compile=False)
    shape, classes = _checked(
        path,
        {  # Keras renames the input of a Sequential as it likes
            "images" if number == 0 else f"input {number}": (tensor.dtype, list(tensor.shape))
            for number, tensor in enumerate(model.inputs)
        },
        {
            output_name(name): (tensor.dtype, list(tensor.shape))
            for name, tensor in by_head(
                model.outputs[0] if len(model.outputs) == 1 else model.output
            ).items()
        },
    )
    return Opened(
        shape,
        classes,
        _zipped_document(path),
        lambda images: {
            output_name(name): np.asarray(values)
            for name, values in by_head(model(images, training=False)).items()
        },
    )


_OPENERS: dict[Format, Callable[[Path], Opened]] = {
    "keras": _open_keras,
    "onnx": _open_onnx,
    "litert": _open_litert,
}

_Tensors = Mapping[str, tuple[str, list[Any]]]  # data type and sizes by name


def _checked(path: Path, inputs: _Tensors, outputs: _Tensors) -> tuple[tuple[int, int, int], int]:
    """Return the shape of a picture and the number of classes, or say what does not fit."""
    kind, sizes = inputs.get("images", ("", []))
    fits = len(inputs) == 1 and kind == "uint8" and len(sizes) == 4
    if not fits or not all(isinstance(size, int) for size in sizes[1:]):
        raise CallError(
            f"{path}: it takes {_listed(inputs)}; "
            "expected images uint8 [n, height, width, channels]"
        )
    output_kind, output_sizes = outputs.get("probabilities", ("", []))
    if output_kind != "float32" or len(output_sizes) != 2 or not isinstance(output_sizes[1], int):
        raise CallError(
            f"{path}: it gives {_listed(outputs)}; expected probabilities float32 [n, classes]"
        )
    return (sizes[1], sizes[2], sizes[3]), output_sizes[1]


def _listed(tensors: _Tensors) -> str:
    shown = [
        f"{name} {kind} [{', '.join(str(s) if isinstance(s, int) else 'n' for s in sizes)}]"
        for name, (kind, sizes) in tensors.items()
    ]
    return ", ".join(shown) or "nothing"


def _zipped_document(path: Path) -> dict[str, Any]:
    """Return the document of a file that is a ZIP archive, or has one behind it."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        if DOCUMENT not in archive.namelist():
            return {}
        return dict(json.loads(archive.read(DOCUMENT)))
