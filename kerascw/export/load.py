"""Load an exported model of any format, or a run's, and predict with it.

Importing this loads no TensorFlow, nor does loading an ONNX or LiteRT model.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.errors import CallError, DataError, choices
from kerascw.export.runtimes import (
    DOCUMENT,
    FILES,
    TITLES,
    Format,
    damaged,
    open_model,
    read_json,
)

if TYPE_CHECKING:
    from kerascw.data.image_files import Fit
    from kerascw.export.card import Card

DOCUMENT_VERSION = 1
"""Of the file beside the model; raised when a reader of the old one would go wrong."""

EXTRA_FILE = Path("assets.extra", DOCUMENT)  # SavedModel's folder for what is not graph

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's answers for n images, in their order."""

    probabilities: np.ndarray  # float32 [n, k]
    class_ids: np.ndarray  # int64 [n], the most probable class
    labels: tuple[str, ...]  # n names; the number of the class where the model has no names


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """An exported model, or a run's, ready to predict."""

    path: Path  # of the version's folder, or of the file where there is none
    title: str  # its name and version, for people
    class_names: tuple[str, ...] | None  # None where it was not written by export()
    input_shape: tuple[int, int, int]  # height, width, channels
    form: Format
    _card: Mapping[str, Any] = field(repr=False)
    # uint8 [n, height, width, channels], n at least 0, to float32 [n, k]
    _probabilities: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    @property
    def card(self) -> "Card":
        """The facts about it; all of them missing where it was not written by export().

        Raises
        ------
        DataError
            The card is damaged.
        """
        # here and not above: a small model predicts sooner without Pydantic
        from pydantic import ValidationError

        from kerascw.export.card import Card

        try:
            return Card.model_validate(self._card)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("card", *first["loc"]))
            raise DataError(f"{self.path}: damaged card: {where}: {first['msg']}") from None

    @property
    def light_on_dark(self) -> bool:
        """Whether it learned light things on black; False where the card does not say."""
        return self._card.get("light_on_dark") is True

    @property
    def fit(self) -> "Fit":
        """How images of another shape are fitted for it; ``pad`` where the card does not say."""
        fit = self._card.get("fit")
        return fit if fit in ("crop", "stretch") else "pad"

    def predict(self, images: np.ndarray) -> Predictions:
        """Classify images, 1,000 at a time.

        ``images`` is uint8 ``[n, h, w, c]`` or one image ``[h, w, c]``; ``c`` may be left out
        where it is 1.

        Raises
        ------
        CallError
            Another dtype or shape.
        """
        images, shape = np.asarray(images), self.input_shape
        stack = images
        if shape[2] == 1 and images.ndim in (2, 3) and images.shape != shape:
            stack = stack[..., None]
        if stack.ndim == 3:
            stack = stack[None]
        if images.dtype != np.uint8 or stack.ndim != 4 or stack.shape[1:] != shape:
            raise CallError(f"images: {described(images)}; expected {expected(shape)}")
        probabilities = np.concatenate(
            [
                self._probabilities(stack[start : start + _BATCH])
                for start in range(0, max(len(stack), 1), _BATCH)
            ]
        )
        class_ids = probabilities.argmax(axis=-1)
        names = self.class_names or range(probabilities.shape[1])
        return Predictions(probabilities, class_ids, tuple(str(names[i]) for i in class_ids))

    def _repr_html_(self) -> str:
        from kerascw.runs.summary import fragment

        rows = [
            ("takes", f"images: {expected(self.input_shape)}"),
            ("classes", ", ".join(self.class_names or ()) or "not named"),
        ]
        if (test := self.card.test) is not None:
            rows.append(("test accuracy", f"{test.accuracy:.2%}"))
        return fragment(None, self.title, rows)


def load_model(path: str | Path) -> LoadedModel:
    """Load an export: the folder of one version, or of all, of which the highest is taken.

    A model that is one file (``.keras``, ``.onnx`` or ``.tflite``) may be named itself. A run's
    folder loads the run's ``model.keras``.

    Any SavedModel will do whose ``serving_default`` takes ``images`` uint8 ``[n, h, w, c]`` and
    gives ``probabilities`` float32 ``[n, k]``, and any file whose model does.

    Raises
    ------
    CallError
        No such folder, no model in it, or one with another signature.
    DataError
        A damaged model or card.
    KerascwError
        What opens the format is not installed.
    """
    found, form = _find(Path(path))  # before TensorFlow, which takes seconds to import
    version = found if form == "saved_model" else found.parent
    where = version / document_beside(form)
    if form == "keras" and (version / "manifest.json").is_file() and not where.is_file():  # a run
        title, document, where = *_of_run(version), version / "metrics.json"
    else:
        document = read_document(where)
        _check_files(found, form, document)
        title = _titled(version, form)
    opened = open_model(found, form)
    if not document:
        version, where = found, found
        document, title = _checked_document(opened.document, found), str(found)
    names = document.get("class_names")
    if names is not None and opened.classes not in (None, len(names)):
        raise DataError(f"{where}: {len(names)} class names for {opened.classes} classes")
    return LoadedModel(
        path=version,
        title=title,
        class_names=None if names is None else tuple(names),
        input_shape=opened.input_shape,
        form=form,
        _card=document.get("card", {}),
        _probabilities=lambda images: opened.outputs(images)["probabilities"],
    )


# --- where the model is ---------------------------------------------------------------------

_PARTS = ("saved_model.pb", *FILES.values())


def _find(path: Path) -> tuple[Path, Format]:
    """Return the SavedModel's folder or the model's file: in ``path``, or its highest version."""
    suffixes = {Path(name).suffix: form for form, name in FILES.items()}
    if not os.path.isdir(path):  # unlike Path.is_dir, this raises nothing
        there = os.path.exists(path)
        if there and path.suffix.lower() in suffixes:
            return path, suffixes[path.suffix.lower()]
        raise CallError(
            f"{path}: {'a file' if there else 'no such folder'}; expected the folder of an "
            f"exported model, or its {choices(suffixes)} file"
        )
    if found := _model_in(path):
        return found
    versions = versions_in(path)
    if not versions:
        forms = [path / form for form in FILES if os.path.isdir(path / form)]
        hint = f"; choose {choices(forms)}" if forms else ""
        raise CallError(
            f"{path}: no model there, neither {choices(_PARTS)} nor a version folder{hint}"
        )
    highest = versions[max(versions)]
    if found := _model_in(highest):
        return found
    raise CallError(f"{highest}: no model there; expected {choices(_PARTS)}")


def _model_in(folder: Path) -> tuple[Path, Format] | None:
    if os.path.isfile(folder / "saved_model.pb"):
        return folder, "saved_model"
    for form, name in FILES.items():
        if os.path.isfile(folder / name):
            return folder / name, form
    return None


def versions_in(folder: Path) -> dict[int, Path]:
    """Find what has an integer for a name, as serving systems number versions."""
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isascii() and path.name.isdecimal()
    }


def _titled(version: Path, form: Format) -> str:
    """Name an export by its folder.

    >>> _titled(Path("models/fashion/onnx/2"), "onnx")
    'fashion, version 2, ONNX model (models/fashion/onnx/2)'
    """
    *_, name, number = version.absolute().parts
    if name == form:
        name = version.absolute().parent.parent.name
    return f"{name}, version {number}, {TITLES[form]} ({version})"


# --- the facts about it ---------------------------------------------------------------------


def document_beside(form: Format) -> Path:
    """Return where kerascw.json is, from the folder of a version."""
    return EXTRA_FILE if form == "saved_model" else Path(DOCUMENT)


def read_document(path: Path) -> dict[str, Any]:
    """Read what :func:`export` wrote beside the model; empty where it did not write it.

    Raises
    ------
    DataError
        A damaged file, or one of a newer kerascw.
    """
    if not path.is_file():
        return {}
    try:
        document = read_json(path.read_bytes())
    except (OSError, ValueError):
        document = {"format": None}
    return _checked_document(document, path)


def _checked_document(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a document that has what is read of it; one of another program's file is empty."""
    match document:
        case {"format": int(version)} if version > DOCUMENT_VERSION:
            raise DataError(
                f"{path}: format {version}, of a newer kerascw; this one reads {DOCUMENT_VERSION}"
            )
        case {"format": int(), "class_names": [*names], "card": dict()} if all(
            isinstance(name, str) for name in names
        ) and isinstance(document.get("files", {}), dict):
            return dict(document)
        case _ if document:
            raise DataError(f"{path}: damaged; expected JSON with format, class_names and card")
    return {}


def file_hashes(version: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a version by its place there, but for kerascw.json."""
    return {
        path.relative_to(version).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(version.rglob("*"))
        if path.is_file() and path.name != DOCUMENT
    }


def _check_files(found: Path, form: Format, document: Mapping[str, Any]) -> None:
    """Compare the files with their hashes, where the document has any.

    The runtimes do not see every fault: of 250 flipped bits in a LiteRT file, each alone, 57 were
    an error and 46 gave other probabilities.
    """
    if stated := document.get("files"):
        found_there = file_hashes(found if form == "saved_model" else found.parent)
        for name, digest in stated.items():
            if found_there.get(name) != digest:
                raise damaged(found, form, f"{name} is not as it was exported (SHA-256 differs)")


def _of_run(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return title and document of a run's own model."""
    # here and not above: a small model predicts sooner without Pydantic
    from kerascw.experiment.spec import Custom
    from kerascw.export.card import card_of
    from kerascw.models.custom import custom_objects
    from kerascw.quiet import import_tensorflow
    from kerascw.runs.store import Run, find_fault

    if fault := find_fault(folder):
        raise DataError(f"{folder}: a damaged run: {fault}")
    run = Run(folder)
    if isinstance(run.experiment.model, Custom):  # its model may have layers of that file
        import_tensorflow()
        import keras

        keras.saving.get_custom_objects().update(custom_objects(run.experiment.model))
    document = {"class_names": run.metrics["class_names"], "card": card_of(run).as_json()}
    return f"run {run.name} ({folder})", document


# --- arrays in messages ---------------------------------------------------------------------


def described(array: np.ndarray) -> str:
    """Show an array's dtype and shape.

    >>> described(np.zeros((2, 3)))
    'float64 [2, 3]'
    """
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"


def expected(shape: tuple[int, ...]) -> str:
    """Show the dtype and shape that images must have."""
    return f"uint8 [n, {', '.join(map(str, shape))}]"
