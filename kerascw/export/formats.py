"""Write a live model in each format that models are exported to; raw uint8 images in.

Importing this loads no TensorFlow.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kerascw.errors import CallError, KerascwError, choices
from kerascw.export.fold import folded_norms
from kerascw.export.proof import RUNTIMES
from kerascw.export.runtimes import (
    FILES,
    FORMATS,
    SIGNATURE,
    Format,
    keras_answers,
    missing,
    with_article,
)
from kerascw.quiet import import_tensorflow, stderr_held_back

_OPSET = 17
"""Of ONNX: what this writes needs no newer one, and runtimes since 2022 have it."""


def check_format(form: Format) -> None:
    """Check that a format can be written here.

    Raises CallError: there is no such format; KerascwError: what is to be installed for it.
    """
    if form not in FORMATS:
        raise CallError(f"form: {form!r}; choose {choices(FORMATS)}")
    for package in RUNTIMES.get(form, ()):
        if find_spec(package.replace("-", "_")) is None:
            raise missing("to export", form, package, "export")


def write(model: Any, path: Path, form: Format, class_names: Sequence[str], fit: str) -> None:
    """Write ``model`` to the new folder ``path``, as one file or as a SavedModel.

    Only a SavedModel holds the class names, and decodes images, which ``fit`` brings to its shape.

    Raises KerascwError: the format has no equivalent for something in the model, or the disk is
    full.
    """
    import_tensorflow()
    path.mkdir()
    try:
        match form:
            case "saved_model":
                _write_saved_model(model, path, class_names, fit)
            case "keras":
                model.save(path / FILES[form], include_optimizer=False)
            case "onnx":
                _write_onnx(model, path / FILES[form])
            case "litert":
                _write_litert(model, path / FILES[form])
    # a converter that lacks an operation says so in a way of its own, and TensorFlow of a full disk
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        raise KerascwError(
            f"the model cannot be written as {with_article(form)}: {message.splitlines()[0]:.200}"
        ) from error


def _images(model: Any) -> list[Any]:
    """Return the input signature of raw images."""
    import tensorflow as tf

    return [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, "images")]


def _write_onnx(model: Any, file: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = _images(model)
    function = tf.function(partial(keras_answers, model), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    onnx.save(proto, file)


def _write_litert(model: Any, file: Path) -> None:
    import keras
    import tensorflow as tf

    # the names of inputs and outputs reach the converter only by way of a SavedModel
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        archive = keras.export.ExportArchive()
        archive.add_endpoint(SIGNATURE, partial(keras_answers, model), _images(model))
        archive.write_out(scratch, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[SIGNATURE])
        with stderr_held_back():  # its notices come from C++
            file.write_bytes(converter.convert())


def _write_saved_model(model: Any, path: Path, class_names: Sequence[str], fit: str) -> None:
    import keras
    import tensorflow as tf

    shape = tuple(model.input_shape[1:])

    def classify(images: Any) -> dict[str, Any]:
        # TensorFlow 2.21's oneDNN convolution gives an empty batch the shape of its input, which
        # fails in the next layer: an empty batch becomes one black image, its answer is cut off
        count = tf.shape(images)[0]
        empty = tf.cast(count == 0, tf.int32)
        images = tf.pad(images, [[0, empty], [0, 0], [0, 0], [0, 0]])
        images = tf.ensure_shape(images, (None, *shape))
        with folded_norms(model):
            answers = keras_answers(model, images)
        outputs = {name: values[:count] for name, values in answers.items()}
        class_id = tf.argmax(outputs["probabilities"], axis=-1)  # int64
        return {
            **outputs,
            "class_id": class_id,
            "label": tf.gather(tf.constant(list(class_names)), class_id),
        }

    def classify_encoded(pictures: Any) -> dict[str, Any]:
        spec = tf.TensorSpec(shape, tf.uint8)
        return classify(
            tf.map_fn(lambda each: decode(each, shape, fit), pictures, fn_output_signature=spec)
        )

    # no `track(model)`, by which Keras 3.15 writes weights twice: an endpoint's are written anyway
    archive = keras.export.ExportArchive()
    # tf.saved_model.load(...).variables has them in the model's order
    archive.add_variable_collection("variables", [weight.value for weight in model.weights])
    archive.add_endpoint(SIGNATURE, classify, _images(model))
    archive.add_endpoint(
        "encoded", classify_encoded, [tf.TensorSpec((None,), tf.string, "pictures")]
    )
    archive.write_out(str(path), verbose=False)


def decode(picture: Any, shape: tuple[int, ...], fit: str = "pad") -> Any:
    """Decode the bytes of a PNG or JPEG to uint8 of ``shape``, fitted in: graph code.

    The arithmetic is that of :mod:`kerascw.data.image_files`; the two differ by rounding, at
    most by a level or two of 255.
    """
    import tensorflow as tf

    height, width, channels = shape
    pixels = tf.io.decode_image(picture, channels=0, expand_animations=False)
    pixels = tf.ensure_shape(pixels, (None, None, None))  # grey, grey + alpha, RGB or RGBA
    count = tf.shape(pixels)[2]
    colours = tf.where(count > 2, 3, 1)
    floats = tf.cast(pixels, tf.float32)
    alpha = tf.where(count % 2 == 0, floats[..., -1:] / 255, 1.0)  # 1.0 leaves pixels exact
    floats = floats[..., :colours] * alpha
    if channels == 1:
        weights = tf.where(count > 2, [0.299, 0.587, 0.114], [1.0, 0.0, 0.0])[:colours]
        floats = tf.reduce_sum(floats * weights, axis=-1, keepdims=True)
    else:
        floats = tf.broadcast_to(floats, tf.concat([tf.shape(floats)[:2], [3]], 0))
    floats = tf.ensure_shape(floats, (None, None, channels))
    # float64 as in Python: in float32 some halves would be rounded the other way
    size = tf.cast(tf.shape(floats)[:2], tf.float64)
    target = tf.constant([height, width])
    if fit == "stretch":
        scaled = target
    else:
        sides = tf.constant([height, width], tf.float64)
        scale = (tf.reduce_max if fit == "crop" else tf.reduce_min)(sides / size)
        scaled = tf.maximum(1, tf.cast(tf.round(size * scale), tf.int32))
    # what tf.image.resize calls; with a translation it cuts off or fills up with 0 as well
    fitted = tf.raw_ops.ScaleAndTranslate(
        images=floats[None],
        size=target,
        scale=tf.cast(tf.cast(scaled, tf.float64) / size, tf.float32),
        translation=tf.cast((target - scaled) // 2, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.saturate_cast(tf.round(fitted), tf.uint8)
