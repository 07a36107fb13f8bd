"""Load an exported model of any format, and predict with it.

Importing this loads no TensorFlow, nor does loading an ONNX or LiteRT model.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, choices
from kerascw.export.runtimes import DOCUMENT, FILES, Format, format_of, open_model
from kerascw.quiet import import_tensorflow

__all__ = ["LoadedModel", "Predictions", "load_model"]

DOCUMENT_VERSION = 1
"""Of the file beside the model; raised when a reader of the old one would go wrong."""

EXTRA_FILE = Path("assets.extra", DOCUMENT)  # SavedModel's folder for what is not graph

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of n pictures, in their order."""

    probabilities: np.ndarray  # float32 [n, k]
    class_ids: np.ndarray  # int64 [n], the most probable class
    labels: tuple[str, ...]  # n names; the number of the class where the model has no names


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """An exported model, ready to predict."""

    path: Path  # of the version's folder, or of the file where there is none
    class_names: tuple[str, ...] | None  # None where it was not written by export()
    input_shape: tuple[int, int, int]  # height, width, channels
    card: dict[str, Any]  # empty where it was not written by export()
    form: Format
    # uint8 [n, height, width, channels], n at least 0, to float32 [n, k]
    _probabilities: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    @property
    def light_on_dark(self) -> bool:
        """Whether it learned light things on black; False where the card does not say."""
        return bool(self.card.get("light_on_dark", False))

    def predict(self, images: np.ndarray) -> Predictions:
        """Classify pictures, 1,000 at a time.

        ``images`` is uint8 ``[n, h, w, c]`` or one picture ``[h, w, c]``; ``c`` may be left out
        where it is 1.

        Raises
        ------
        CallError
            Another dtype or shape.
        """
        stack = self._stack(np.asarray(images))
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

        height, width, channels = self.input_shape
        rows = [
            ("takes", f"images: uint8 [n, {height}, {width}, {channels}]"),
            ("classes", ", ".join(self.class_names or ()) or "not named"),
        ]
        if "accuracy" in (test := self.card.get("test") or {}):
            rows.append(("test accuracy", f"{test['accuracy']:.2%}"))
        return fragment(None, str(self.path), rows)

    def _stack(self, images: np.ndarray) -> np.ndarray:
        shape, stack = self.input_shape, images
        if images.dtype == np.uint8:
            if shape[2] == 1 and images.ndim in (2, 3) and images.shape != shape:
                stack = stack[..., None]
            if stack.ndim == 3:
                stack = stack[None]
            if stack.ndim == 4 and stack.shape[1:] == shape:
                return stack
        raise CallError(f"images: {described(images)}; expected {expected(shape)}")


def load_model(path: str | Path) -> LoadedModel:
    """Load an export: the folder of one version, or of all, of which the highest is taken.

    A model that is one file (``.keras``, ``.onnx`` or ``.tflite``) may be named itself.

    Any SavedModel will do whose ``serving_default`` takes ``images`` uint8 ``[n, h, w, c]`` and
    gives ``probabilities`` float32 ``[n, k]``, and any file whose model does.

    Raises
    ------
    CallError
        No such folder, no model in it, a damaged one, or one with another signature.
    KerascwError
        What opens the format is not installed.
    """
    found, form = _find(Path(path))  # before TensorFlow, which takes seconds to import
    if form == "saved_model":
        return _load_saved_model(found)
    version = found.parent
    beside = _read_document(version / DOCUMENT)
    opened = open_model(found, form)
    extra = beside or _checked_document(opened.document, found)
    names = _names(extra, opened.classes, version / DOCUMENT if beside else found)
    return LoadedModel(
        path=version if beside else found,
        class_names=names,
        input_shape=opened.input_shape,
        card=extra.get("card", {}),
        form=form,
        _probabilities=lambda images: opened.outputs(images)["probabilities"],
    )


def _load_saved_model(version: Path) -> LoadedModel:
    extra = _read_document(version / EXTRA_FILE)
    import_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(version))
    # a damaged file shows as OSError, OpError, KeyError, DecodeError... as chance has it
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        raise CallError(
            f"{version}: a damaged SavedModel: {message.splitlines()[0]:.200}"
        ) from error
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is None:
        there = ", ".join(getattr(loaded, "signatures", {})) or "none"
        raise CallError(f"{version}: no signature serving_default; it has {there}")
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    shape = _picture_shape(inputs, tf)
    if shape is None:
        raise CallError(
            f"{version}: serving_default takes {_specs(inputs)}; "
            "expected images uint8 [n, height, width, channels]"
        )
    probabilities = outputs.get("probabilities")
    if probabilities is None or probabilities.dtype != tf.float32 or probabilities.shape.rank != 2:
        raise CallError(
            f"{version}: serving_default gives {_specs(outputs)}; "
            "expected probabilities float32 [n, classes]"
        )
    names = _names(extra, probabilities.shape[1], version / EXTRA_FILE)

    def classify(images: np.ndarray) -> np.ndarray:
        # by way of ``loaded``: the variables go with that object
        answer = loaded.signatures["serving_default"](images=tf.constant(images))
        return np.asarray(answer["probabilities"])

    return LoadedModel(
        path=version,
        class_names=names,
        input_shape=shape,
        card=extra.get("card", {}),
        form="saved_model",
        _probabilities=classify,
    )


def document_beside(form: Format) -> Path:
    """Return where kerascw.json is, from the folder of a version."""
    return EXTRA_FILE if form == "saved_model" else Path(DOCUMENT)


_PARTS = ("saved_model.pb", *FILES.values())


def _find(path: Path) -> tuple[Path, Format]:
    """Return the SavedModel's folder or the model's file: in ``path``, or its highest version."""
    if not os.path.isdir(path):  # unlike Path.is_dir, this raises nothing
        form = format_of(path)
        if form is not None and os.path.isfile(path):
            return path, form
        there = "a file" if os.path.exists(path) else "no such folder"
        raise CallError(
            f"{path}: {there}; expected the folder of an exported model, or its .keras, .onnx or "
            ".tflite file"
        )
    if found := _model_in(path):
        return found
    try:
        versions = versions_in(path)
    except OSError as error:
        raise CallError(f"{path}: {error.strerror}") from None
    if not versions:
        forms = [form for form in FILES if os.path.isdir(path / form)]
        hint = f"; choose {choices(path / form for form in forms)}" if forms else ""
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


def _read_document(path: Path) -> dict[str, Any]:
    """Return what :func:`export` wrote beside the model; empty where it did not write it."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        raise CallError(_DAMAGED.format(path)) from None
    return _checked_document(document, path)


_DAMAGED = "{}: damaged; expected JSON with format, class_names and card"


def _checked_document(document: Any, path: Path) -> dict[str, Any]:
    """Return a document that has what is read of it; one of another program's file is empty."""
    if document == {}:
        return {}
    try:
        if document["format"] > DOCUMENT_VERSION:
            raise CallError(
                f"{path}: format {document['format']}, of a newer kerascw; this one reads "
                f"{DOCUMENT_VERSION}"
            )
        names, card = document["class_names"], document["card"]
        if not all(isinstance(name, str) for name in names) or not isinstance(card, dict):
            raise TypeError
    except (KeyError, TypeError):
        raise CallError(_DAMAGED.format(path)) from None
    return dict(document)


def _names(document: Mapping[str, Any], classes: int | None, where: Path) -> tuple[str, ...] | None:
    names = document.get("class_names")
    if names is None:
        return None
    if classes not in (None, len(names)):
        raise CallError(f"{where}: {len(names)} class names for {classes} classes")
    return tuple(names)


def _picture_shape(inputs: Mapping[str, Any], tf: Any) -> tuple[int, int, int] | None:
    if list(inputs) != ["images"]:
        return None
    spec = inputs["images"]
    if spec.dtype != tf.uint8 or spec.shape.rank != 4 or None in spec.shape[1:]:
        return None
    height, width, channels = spec.shape[1:]
    return height, width, channels


def _specs(specs: Mapping[str, Any]) -> str:
    """Return ``name dtype [shape]`` of each tensor, as an error shows them."""
    shown = []
    for name, spec in specs.items():
        sizes = "?" if spec.shape.rank is None else [size or "n" for size in spec.shape]
        shown.append(f"{name} {spec.dtype.name} [{', '.join(map(str, sizes))}]")
    return ", ".join(shown) or "nothing"


def versions_in(folder: Path) -> dict[int, Path]:
    """Return what has an integer for a name, as serving systems number versions."""
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isascii() and path.name.isdecimal()
    }


def described(array: np.ndarray) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"


def expected(shape: tuple[int, ...]) -> str:
    return f"uint8 [n, {', '.join(map(str, shape))}]"
