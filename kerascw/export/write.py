"""Export a model with its preprocessing inside, and prove the export before it gets its name.

Importing this loads no TensorFlow.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, KerascwError, choices
from kerascw.export.card import Card
from kerascw.export.formats import check_installed, write
from kerascw.export.load import (
    DOCUMENT_VERSION,
    described,
    document_beside,
    expected,
    file_hashes,
    versions_in,
)
from kerascw.export.proof import prove
from kerascw.export.runtimes import FORMATS, Format

_UNPROVED = ".unproved-"
"""How temporary folders begin. A process that is killed leaves its own behind."""


def export(
    model: Any,
    folder: str | Path,
    *,
    class_names: Sequence[str],
    card: Card | None = None,
    check_images: np.ndarray,
    form: Format = "saved_model",
) -> Path:
    """Write ``model`` to ``folder/<version>/`` once it is proved, and return that path.

    The version is the highest integer there plus 1. A SavedModel has two signatures, for any
    number of images n, 0 included, both with the outputs ``probabilities`` float32 ``[n, k]``,
    ``class_id`` int64 ``[n]`` and ``label`` string ``[n]``, and of a model with auxiliary heads
    ``aux1_probabilities`` and so on, float32 ``[n, k]``:

    - ``serving_default`` takes ``images`` uint8 ``[n, height, width, channels]``;
    - ``encoded`` takes ``pictures`` string ``[n]``, each the bytes of a PNG or JPEG file of any
      size. It is fitted in as by :func:`kerascw.data.image_files.read_pictures`, but never
      inverted, nor turned as EXIF says, and transparent pixels become black. One file that cannot
      be decoded fails the batch.

    ONNX and LiteRT take ``images`` alone and give the probabilities alone, of all heads, for n of
    at least 1. A Keras file is the live model: raw images in, its heads by their names out.

    Another process then loads the files with nothing but the format's own runtime, and every
    output is compared with the live model's. ``kerascw.json`` beside the model, in a SavedModel
    below ``assets.extra/``, keeps the result with ``class_names``, input shape, ``card`` and the
    SHA-256 of every file; a model that is one file carries names, shape and card inside too.

    Parameters
    ----------
    model : live Keras model; raw uint8 ``[n, height, width, channels]`` (1 or 3) to float32
        probabilities ``[n, k]``, or a dictionary of these by head.
    class_names : the k labels.
    card : the facts about the model; ``light_on_dark`` decides how ``predict`` reads images.
    check_images : uint8 ``[n, height, width, channels]``, n at least 1.

    Raises
    ------
    CallError
        Class names or images that do not fit the model, or a folder that is a file.
    KerascwError
        The export differs from the live model, or cannot be written or loaded, or what writes or
        opens this format is not installed. Nothing is left behind.
    """
    with exclusive(Path(folder)):
        return write_version(model, Path(folder), class_names, card or Card(), check_images, form)


def write_version(
    model: Any,
    folder: Path,
    class_names: Sequence[str],
    card: Card,
    check_images: np.ndarray,
    form: Format,
) -> Path:
    """Do what :func:`export` does, for a caller that has ``folder`` to itself."""
    _check_call(model, class_names, check_images, form)
    document = {
        "format": DOCUMENT_VERSION,
        "class_names": list(class_names),
        "input_shape": list(model.input_shape[1:]),
        "card": card.as_json(),
    }
    json.dumps(document, allow_nan=False)  # better to fail now than after the proof
    for abandoned in folder.glob(f"{_UNPROVED}*"):  # their processes are gone: this one has it all
        shutil.rmtree(abandoned, ignore_errors=True)
    # the model goes one level deeper: the temporary folder itself is for this user alone, and a
    # serving system is another
    with tempfile.TemporaryDirectory(prefix=_UNPROVED, dir=folder) as scratch:
        unproved = Path(scratch, "model")
        write(model, unproved, form, document)
        document["check"] = prove(model, unproved, form, class_names, check_images, folder)
        document["files"] = file_hashes(unproved)
        beside = unproved / document_beside(form)
        beside.parent.mkdir(exist_ok=True)
        beside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        for path in [*unproved.rglob("*"), unproved]:
            _sync(path)
        final = folder / str(max(versions_in(folder), default=0) + 1)
        unproved.rename(final)
        _sync(folder)
        return final


def _check_call(
    model: Any, class_names: Sequence[str], check_images: np.ndarray, form: Format
) -> None:
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


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make ``folder`` and have it to this process alone; remove it afterwards if it is empty.

    Waits while another process exports to it. The lock is the system's, on the folder itself: it
    goes with the process however that ends, and a serving system sees no file of ours.

    Raises
    ------
    CallError
        A file is in the way.
    KerascwError
        The folder cannot be made or written to, as on a full disk.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        descriptor = _locked(folder)
        try:
            yield
        finally:
            for made in missing:
                with suppress(OSError):  # it holds the export: all is well
                    made.rmdir()
            os.close(descriptor)
    except (FileExistsError, NotADirectoryError):
        raise CallError(f"{folder}: cannot export there, a file is in the way") from None
    except OSError as error:
        raise KerascwError(
            f"{folder}: cannot export there: {error.strerror or error}; nothing was exported"
        ) from error


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # who had it before may have removed it, and somebody else made it anew
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
