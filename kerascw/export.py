"""Export a model with its preprocessing inside, and prove the export before it gets its name.

Importing this loads no TensorFlow.
"""

import errno
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, KerascwError
from kerascw.models import by_head
from kerascw.quiet import import_tensorflow
from kerascw.saved_model import EXTRA_FILE, FORMAT, described, expected, versions_in
from kerascw.spec import MAIN_HEAD

TOLERANCE = 1e-5
"""How far a probability may be from the live model's. A convnet of 32, 64 and 64 filters on
Fashion-MNIST came back with no difference at all; other batch sizes moved its probabilities by
5e-7, which is float32 rounding, and pixels scaled by 1/256 in place of 1/255 by 3e-3."""

_NEAR_TIE = 2 * TOLERANCE  # two classes this close may change places within the tolerance


def export(
    model: Any,
    folder: str | Path,
    *,
    class_names: Sequence[str],
    card: Mapping[str, Any],
    check_images: np.ndarray,
) -> Path:
    """Write ``model`` as a SavedModel to ``folder/<version>/`` once it is proved, and return that.

    The version is the highest integer there plus 1. There are two signatures, for any number of
    pictures n, 0 included, both with the outputs ``probabilities`` float32 ``[n, k]``,
    ``class_id`` int64 ``[n]`` and ``label`` string ``[n]``, and of a model with auxiliary heads
    ``aux1_probabilities`` and so on, float32 ``[n, k]``:

    - ``serving_default`` takes ``images`` uint8 ``[n, height, width, channels]``;
    - ``encoded`` takes ``pictures`` string ``[n]``, each a PNG or JPEG file of any size. It is
      fitted in as by :func:`kerascw.pictures.read_pictures`, but never inverted, nor turned as
      EXIF says, and what is transparent gets black. One that cannot be decoded fails the batch.

    Another process then loads the files with nothing but TensorFlow, and every output of both
    signatures is compared with the live model's. ``assets.extra/kerascw.json`` keeps the result
    with ``class_names``, input shape and ``card``.

    Parameters
    ----------
    model : live Keras model; raw uint8 ``[n, height, width, channels]`` (1 or 3) to float32
        probabilities ``[n, k]``, or a dictionary of these by head.
    class_names : the k labels.
    card : what there is to know of the model, as JSON has it; ``light_on_dark`` is read back.
    check_images : uint8 ``[n, height, width, channels]``, n at least 1.

    Raises
    ------
    CallError
        Class names or pictures that do not fit the model, or a folder that is a file.
    KerascwError
        The export differs from the live model, or cannot be loaded. Nothing is left behind.
    """
    folder = Path(folder)
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or None in shape or shape[2] not in (1, 3):
        raise CallError(f"model: its input is {shape}; expected (height, width, 1 or 3)")
    for output in model.outputs:  # of every head
        if (classes := output.shape[-1]) != len(class_names):
            raise CallError(f"class_names: {len(class_names)} names for {classes} classes")
    if check_images.dtype != np.uint8 or check_images.shape[1:] != shape or not len(check_images):
        raise CallError(f"check_images: {described(check_images)}; expected {expected(shape)}")
    document = {
        "format": FORMAT,
        "class_names": list(class_names),
        "input_shape": list(shape),
        "card": dict(card),
    }
    json.dumps(document, allow_nan=False)  # better to fail now than after the proof
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CallError(f"{folder}: cannot export there, a file is in the way") from None
    try:
        # the model goes one level deeper: the temporary folder itself is for this user alone,
        # and a serving system is another
        with tempfile.TemporaryDirectory(prefix=".unproved-", dir=folder) as scratch:
            unproved = Path(scratch, "model")
            _write(model, unproved, shape, class_names)
            document["check"] = _prove(model, unproved, class_names, check_images, folder)
            extra = unproved / EXTRA_FILE
            extra.parent.mkdir(exist_ok=True)
            extra.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
            return _publish(unproved, folder)
    finally:
        if made:
            with suppress(OSError):  # it holds the export: all is well
                folder.rmdir()


def _output_name(head: str) -> str:
    """Return the name that a head's probabilities have among a signature's outputs."""
    return head if head == MAIN_HEAD else f"{head}_probabilities"


def _write(model: Any, path: Path, shape: tuple[int, ...], class_names: Sequence[str]) -> None:
    import_tensorflow()
    import keras
    import tensorflow as tf

    def classify(images: Any) -> dict[str, Any]:
        # TensorFlow 2.21's oneDNN convolution gives an empty batch the shape of its input, which
        # fails in the next layer: no pictures become one black one, and its answer is cut off
        count = tf.shape(images)[0]
        empty = tf.cast(count == 0, tf.int32)
        images = tf.pad(images, [[0, empty], [0, 0], [0, 0], [0, 0]])
        images = tf.ensure_shape(images, (None, *shape))
        heads = {
            _output_name(head): tf.cast(values, tf.float32)[:count]
            for head, values in by_head(model(images, training=False)).items()
        }
        class_id = tf.argmax(heads["probabilities"], axis=-1)  # int64
        return {
            **heads,
            "class_id": class_id,
            "label": tf.gather(tf.constant(list(class_names)), class_id),
        }

    def classify_encoded(pictures: Any) -> dict[str, Any]:
        spec = tf.TensorSpec(shape, tf.uint8)
        return classify(
            tf.map_fn(lambda picture: decode(picture, shape), pictures, fn_output_signature=spec)
        )

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", classify, [tf.TensorSpec((None, *shape), tf.uint8, "images")]
    )
    archive.add_endpoint(
        "encoded", classify_encoded, [tf.TensorSpec((None,), tf.string, "pictures")]
    )
    archive.write_out(str(path), verbose=False)


def decode(picture: Any, shape: tuple[int, ...]) -> Any:
    """Return uint8 of ``shape`` for the bytes of a PNG or JPEG: graph code.

    The arithmetic is that of :mod:`kerascw.pictures`; the two differ by rounding, at most by a
    level or two of 255.
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
    size = tf.cast(tf.shape(floats)[:2], tf.float32)
    scale = tf.reduce_min([height, width] / size)
    # tf.image.resize_with_pad would round the short side of a 1000 x 1 picture to 0, and fail
    scaled = tf.maximum(1, tf.cast(tf.round(size * scale), tf.int32))
    floats = tf.image.resize(floats, scaled, antialias=True)
    top, left = tf.unstack(([height, width] - scaled) // 2)
    floats = tf.image.pad_to_bounding_box(floats, top, left, height, width)
    return tf.saturate_cast(tf.round(floats), tf.uint8)


def _prove(
    model: Any, path: Path, class_names: Sequence[str], images: np.ndarray, folder: Path
) -> dict[str, Any]:
    """Return the comparison of the files with the live model, or raise a KerascwError."""
    live = {
        _output_name(head): np.asarray(values, np.float32)
        for head, values in by_head(model(images, training=False)).items()
    }
    np.save(path.parent / "images.npy", images)
    package = str(Path(__file__).parent.parent)  # the process must find this very module
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kerascw.export", path, path.parent],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KerascwError(f"{folder}: export refused, another process cannot use it: {last:.200}")
    result = _compare(path.parent, live, class_names)
    for signature in ("serving_default", "encoded"):
        figures = result[signature]
        differences = {name: figures[name]["max_abs_difference"] for name in live}
        difference = differences["probabilities"]
        for output in ("class_id", "label"):
            if figures[output]["differing"]:
                raise KerascwError(
                    f"{folder}: export refused, {signature} gives another {output} than the live "
                    f"model for {figures[output]['differing']} of {len(images)} pictures "
                    f"(probabilities differ by up to {difference:.2g})"
                )
        for name, difference in differences.items():
            if not difference <= TOLERANCE:  # also where it is not a number
                raise KerascwError(
                    f"{folder}: export refused, {signature}'s {name} differ from the live "
                    f"model's by up to {difference:.2g}, at most {TOLERANCE:g} is allowed"
                )
    return result


def _compare(
    outputs: Path, live: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> dict[str, Any]:
    """Return for each output of each signature how far it is from the live model's."""
    main = live["probabilities"]
    top = np.sort(main, axis=-1)
    clear = (top[:, -1] - top[:, -2]) > _NEAR_TIE if main.shape[1] > 1 else np.full(len(main), True)
    class_id = main.argmax(axis=-1)
    label = np.asarray(class_names)[class_id]
    result: dict[str, Any] = {
        "pictures": len(main),
        "near_ties": int((~clear).sum()),  # class and label are not compared on these
        "tolerance": TOLERANCE,
        "versions": _software(),
    }
    for signature in ("serving_default", "encoded"):
        with np.load(outputs / f"{signature}.npz") as exported:
            result[signature] = {
                name: {"max_abs_difference": float(np.abs(exported[name] - own).max())}
                for name, own in live.items()
            } | {
                "class_id": {"differing": int((exported["class_id"] != class_id)[clear].sum())},
                "label": {"differing": int((exported["label"] != label)[clear].sum())},
            }
    return result


def _software() -> dict[str, str | None]:
    import keras
    import tensorflow as tf

    try:
        own: str | None = version_of("kerascw")
    except PackageNotFoundError:  # run from a checkout
        own = None
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,  # its distribution may be called tensorflow-cpu
        "keras": keras.__version__,
        "numpy": np.__version__,
        "kerascw": own,
    }


def _replay(model: Path, folder: Path) -> None:
    """Write what the SavedModel answers to ``images.npy``: what the proving process does."""
    import tensorflow as tf
    from PIL import Image

    images = np.load(folder / "images.npy")
    pictures = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(stream, "PNG")
        pictures.append(stream.getvalue())
    signatures = tf.saved_model.load(str(model)).signatures
    for name, inputs in (
        ("serving_default", {"images": tf.constant(images)}),
        ("encoded", {"pictures": tf.constant(pictures)}),
    ):
        outputs = {key: value.numpy() for key, value in signatures[name](**inputs).items()}
        outputs["label"] = np.asarray([label.decode() for label in outputs["label"]])
        np.savez(folder / f"{name}.npz", **outputs)


def _publish(unproved: Path, folder: Path) -> Path:
    """Give the export the next free version as its name, and return that path."""
    for parent, _, files in os.walk(unproved):
        for name in (*files, "."):
            _sync(Path(parent, name))
    while True:
        final = folder / str(max(versions_in(folder), default=0) + 1)
        try:
            unproved.rename(final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another export was quicker
                continue
            raise
        _sync(folder)
        return final


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    _replay(Path(sys.argv[1]), Path(sys.argv[2]))
