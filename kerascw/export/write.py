"""Export a model with its preprocessing inside, and prove the export before it gets its name.

Importing this loads no TensorFlow.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from kerascw.errors import CallError, KerascwError
from kerascw.export.formats import check_format, write
from kerascw.export.load import DOCUMENT_VERSION, document_beside, file_hashes, versions_in
from kerascw.export.proof import prove
from kerascw.export.runtimes import Format
from kerascw.runs.store import fsync

_UNPROVED = ".unproved-"
"""How temporary folders begin. A process that is killed leaves its own behind."""


def export(
    model: Any,
    folder: str | Path,
    *,
    class_names: Sequence[str],
    card: Mapping[str, Any] | None = None,
    check_images: np.ndarray,
    form: Format = "saved_model",
) -> Path:
    """Write ``model`` to ``folder/<version>/`` once it is proved, and return that path.

    The version is the highest integer there plus 1. A SavedModel has two signatures, for any number
    of images n, 0 included, both with the outputs ``probabilities`` float32 ``[n, k]``, of
    auxiliary heads ``aux1_probabilities`` and so on, ``class_id`` int64 ``[n]`` and ``label``
    string ``[n]``:

    - ``serving_default`` takes ``images`` uint8 ``[n, height, width, channels]``;
    - ``encoded`` takes ``pictures`` string ``[n]``, each the bytes of a PNG or JPEG file of any
      size, fitted in as by :func:`kerascw.data.image_files.read_pictures`, but never inverted, nor
      turned as EXIF says; transparent pixels become black. One bad file fails the batch.

    ONNX and LiteRT take ``images`` and give the probabilities of all heads, for n of at least 1. A
    Keras file is the live model. ``kerascw.json`` beside the model, in a SavedModel below
    ``assets.extra/``, keeps the proof with ``class_names``, ``card`` and the SHA-256 of every file.

    Parameters
    ----------
    model : live Keras model; raw uint8 ``[n, height, width, channels]`` (1 or 3) to float32
        probabilities ``[n, k]``, or a dictionary of these by head.
    class_names : the k labels.
    card : the facts about the model; ``light_on_dark`` decides how ``predict`` reads images.
    check_images : uint8 ``[n, height, width, channels]``, n at least 1, for the proof.

    Raises CallError: an unknown format, or a folder that is a file; KerascwError: the export
    differs from the live model, or cannot be written or loaded, or what writes or opens this format
    is not installed. Nothing is exported.
    """
    check_format(form)
    folder, card = Path(folder), card or {}
    document = {
        "format": DOCUMENT_VERSION,
        "class_names": list(class_names),
        "input_shape": list(model.input_shape[1:]),
        "card": dict(card),
    }
    with exclusive(folder), _refusal_named(folder):
        for abandoned in folder.glob(f"{_UNPROVED}*"):  # their processes are gone
            shutil.rmtree(abandoned, ignore_errors=True)
        # the model goes one level deeper: the temporary folder itself is for this user alone, and a
        # serving system is another
        with tempfile.TemporaryDirectory(prefix=_UNPROVED, dir=folder) as scratch:
            unproved = Path(scratch, "model")
            write(model, unproved, form, class_names, card.get("fit", "pad"))
            document["check"] = prove(model, unproved, form, class_names, check_images, folder)
            document["files"] = file_hashes(unproved)
            beside = unproved / document_beside(form)
            beside.parent.mkdir(exist_ok=True)
            beside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
            for path in [*unproved.rglob("*"), unproved]:
                fsync(path)
            final = folder / str(max(versions_in(folder), default=0) + 1)
            unproved.rename(final)
            fsync(folder)
            return final


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make ``folder`` and have it to this thread alone; remove it afterwards if it is empty.

    The folders above it that were made for it go the same way. Waits while another thread or
    process of this machine exports to it; the one that has it may enter again. The lock is the
    system's, on a file in its temporary folder: it goes with the process however that ends.

    Raises CallError: a file is in the way; KerascwError: the folder cannot be made, as on a full
    disk. What is raised while it is had passes as it is.
    """
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    with ExitStack() as held:
        with _refusal_named(folder):
            lock = Path(tempfile.gettempdir(), f"kerascw-export-{digest}.lock")
            held.enter_context(FileLock(lock, is_singleton=True))
            made = [folder, *(above for above in folder.parents if not above.exists())]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise CallError(f"{folder}: cannot export there, a file is in the way") from None
        try:
            yield
        finally:
            for each in made:
                with suppress(OSError):  # it holds the export: all is well
                    each.rmdir()


@contextmanager
def _refusal_named(folder: Path) -> Iterator[None]:
    """Say in one line what the system refused."""
    try:
        yield
    except OSError as error:
        raise KerascwError(
            f"{folder}: cannot export there: {error.strerror or error}; nothing was exported"
        ) from error
