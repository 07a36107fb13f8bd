"""Export a model with its preprocessing inside, and prove the export before it gets its name.

Importing this loads no TensorFlow.
"""

import errno
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, choices
from kerascw.export.formats import check_installed, write
from kerascw.export.load import DOCUMENT_VERSION, described, document_beside, expected, versions_in
from kerascw.export.proof import prove
from kerascw.export.runtimes import FORMATS, Format


def export(
    model: Any,
    folder: str | Path,
    *,
    class_names: Sequence[str],
    card: Mapping[str, Any],
    check_images: np.ndarray,
    form: Format = "saved_model",
) -> Path:
    """Write ``model`` to ``folder/<version>/`` once it is proved, and return that path.

    The version is the highest integer there plus 1. A SavedModel has two signatures, for any
    number of pictures n, 0 included, both with the outputs ``probabilities`` float32 ``[n, k]``,
    ``class_id`` int64 ``[n]`` and ``label`` string ``[n]``, and of a model with auxiliary heads
    ``aux1_probabilities`` and so on, float32 ``[n, k]``:

    - ``serving_default`` takes ``images`` uint8 ``[n, height, width, channels]``;
    - ``encoded`` takes ``pictures`` string ``[n]``, each a PNG or JPEG file of any size. It is
      fitted in as by :func:`kerascw.data.image_files.read_pictures`, but never inverted, nor
      turned as EXIF says, and what is transparent gets black. One that cannot be decoded fails
      the batch.

    ONNX (``model.onnx``) and LiteRT (``model.tflite``) take ``images`` alone and give the
    probabilities alone, of every head, for n of at least 1. A Keras file (``model.keras``) is the
    live model: raw pictures in, its heads by their names out.

    Another process then loads the files with nothing but the format's own runtime, and every
    output is compared with the live model's. ``kerascw.json`` beside the model, in a SavedModel
    below ``assets.extra/``, keeps the result with ``class_names``, input shape and ``card``; a
    model that is one file carries these inside too.

    Parameters
    ----------
    model : live Keras model; raw uint8 ``[n, height, width, channels]`` (1 or 3) to float32
        probabilities ``[n, k]``, or a dictionary of these by head.
    class_names : the k labels.
    card : what there is to know of the model, as JSON has it; ``light_on_dark`` is read back.
    check_images : uint8 ``[n, height, width, channels]``, n at least 1.
    form : ``saved_model``, ``keras``, ``onnx`` or ``litert``.

    Raises
    ------
    CallError
        Class names or pictures that do not fit the model, or a folder that is a file.
    KerascwError
        The export differs from the live model, or cannot be loaded, or what writes or opens this
        format is not installed. Nothing is left behind.
    """
    folder = Path(folder)
    if form not in FORMATS:
        raise CallError(f"form: {form!r}; choose {choices(FORMATS)}")
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or None in shape or shape[2] not in (1, 3):
        raise CallError(f"model: its input is {shape}; expected (height, width, 1 or 3)")
    for output in model.outputs:  # of every head
        if (classes := output.shape[-1]) != len(class_names):
            raise CallError(f"class_names: {len(class_names)} names for {classes} classes")
    if check_images.dtype != np.uint8 or check_images.shape[1:] != shape or not len(check_images):
        raise CallError(f"check_images: {described(check_images)}; expected {expected(shape)}")
    check_installed(form)
    document = {
        "format": DOCUMENT_VERSION,
        "class_names": list(class_names),
        "input_shape": list(shape),
        "card": dict(card),
    }
    json.dumps(document, allow_nan=False)  # better to fail now than after the proof
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CallError(f"{folder}: cannot export there, a file is in the way") from None
    try:
        # the model goes one level deeper: the temporary folder itself is for this user alone,
        # and a serving system is another
        with tempfile.TemporaryDirectory(prefix=".unproved-", dir=folder) as scratch:
            unproved = Path(scratch, "model")
            write(model, unproved, form, document)
            document["check"] = prove(model, unproved, form, class_names, check_images, folder)
            beside = unproved / document_beside(form)
            beside.parent.mkdir(exist_ok=True)
            beside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
            return _publish(unproved, folder)
    finally:
        for made in missing:
            with suppress(OSError):  # it holds the export: all is well
                made.rmdir()


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
