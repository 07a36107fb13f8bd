"""The file formats that models are exported to, and how each is opened in its own runtime.

ONNX and LiteRT files are opened without TensorFlow. Importing this loads no runtime.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kerascw.errors import DataError, KerascwError, printable
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

Outputs = Callable[[np.ndarray], dict[str, np.ndarray]]
"""uint8 ``[n, height, width, channels]``, n at least 0, to float32 ``[n, k]`` by output name."""


def with_article(form: Format) -> str:
    """Name a format's exports in a sentence.

    >>> with_article("onnx"), with_article("litert")
    ('an ONNX model', 'a LiteRT model')
    """
    return f"{'an' if form == 'onnx' else 'a'} {TITLES[form]}"


def open_model(path: Path, form: Format) -> Outputs:
    """Open a SavedModel's folder, or a ``.keras``, ``.onnx`` or ``.tflite`` file, in its runtime.

    Raises DataError: a damaged file, now or when the model first answers; KerascwError: the runtime
    is not installed.
    """
    with _damage_named(path, form):
        opened = _OPENERS[form](path)

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # neither LiteRT nor TensorFlow's convolution takes an empty batch
        some = images if len(images) else np.zeros((1, *images.shape[1:]), np.uint8)
        with _damage_named(path, form):
            return {name: values[: len(images)] for name, values in opened(some).items()}

    return outputs


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


# --- the runtimes ---------------------------------------------------------------------------


def _open_saved_model(path: Path) -> Outputs:
    import_tensorflow()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        # by way of ``loaded``: the variables go with that object
        answer = loaded.signatures[SIGNATURE](images=tf.constant(images))
        return {name: value.numpy() for name, value in answer.items() if value.dtype == tf.float32}

    return outputs


def _open_keras(path: Path) -> Outputs:
    import_tensorflow()
    import keras

    return keras_outputs(keras.saving.load_model(path, compile=False))


def keras_outputs(model: Any) -> Outputs:
    """Return what a live Keras model gives, by output name."""
    return lambda images: {
        name: np.asarray(values) for name, values in keras_answers(model, images).items()
    }


def keras_answers(model: Any, images: Any) -> dict[str, Any]:
    """Call a live Keras model, also in a graph: float32 probabilities by output name."""
    from kerascw.models import by_head

    return {
        head if head == "probabilities" else f"{head}_probabilities": values
        for head, values in by_head(model(images, training=False)).items()
    }


def _open_onnx(path: Path) -> Outputs:
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
    names = [node.name for node in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


def _open_litert(path: Path) -> Outputs:
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError as error:
        raise missing("to open", "litert", "ai-edge-litert", "light") from error
    with stderr_held_back():  # it tells of its delegate
        interpreter = litert.Interpreter(model_path=str(path))
        runner = interpreter.get_signature_runner(SIGNATURE)
        shape = runner.get_input_details()["images"]["shape"][1:]
        runner(images=np.zeros((1, *shape), np.uint8))  # the first call tells of it too
    return lambda images: dict(runner(images=images))


_OPENERS: dict[Format, Callable[[Path], Outputs]] = {
    "saved_model": _open_saved_model,
    "keras": _open_keras,
    "onnx": _open_onnx,
    "litert": _open_litert,
}
