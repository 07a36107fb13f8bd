"""Load an exported model and predict with it. Importing this loads no TensorFlow."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError
from kerascw.quiet import import_tensorflow

__all__ = ["LoadedModel", "Predictions", "load_model"]

FORMAT = 1
"""Of the file beside the model; raised when a reader of the old one would go wrong."""

EXTRA_FILE = Path("assets.extra", "kerascw.json")  # SavedModel's folder for what is not graph

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of n pictures, in their order."""

    probabilities: np.ndarray  # float32 [n, k]
    class_ids: np.ndarray  # int64 [n], the most probable class
    labels: tuple[str, ...]  # n names; the number of the class where the model has no names


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A SavedModel, ready to predict."""

    path: Path  # of the version
    class_names: tuple[str, ...] | None  # None where it was not written by export()
    input_shape: tuple[int, int, int]  # height, width, channels
    card: dict[str, Any]  # empty where it was not written by export()
    _loaded: Any = field(repr=False)

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
        import tensorflow as tf

        stack = self._stack(np.asarray(images))
        classify = self._loaded.signatures["serving_default"]
        parts = [
            classify(images=tf.constant(stack[start : start + _BATCH]))["probabilities"]
            for start in range(0, max(len(stack), 1), _BATCH)
        ]
        probabilities = np.concatenate([part.numpy() for part in parts])
        class_ids = probabilities.argmax(axis=-1)
        names = self.class_names or range(probabilities.shape[1])
        return Predictions(probabilities, class_ids, tuple(str(names[i]) for i in class_ids))

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
    """Load a SavedModel: the folder of one version, or of all, of which the highest is taken.

    Any SavedModel will do whose ``serving_default`` takes ``images`` uint8 ``[n, h, w, c]`` and
    gives ``probabilities`` float32 ``[n, k]``.

    Raises
    ------
    CallError
        No such folder, no SavedModel in it, a damaged one, or one with another signature.
    """
    version = _find(Path(path))  # before TensorFlow, which takes seconds to import
    extra = _read_extra(version)
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
    names = extra.get("class_names")
    if names is not None and probabilities.shape[1] not in (None, len(names)):
        raise CallError(
            f"{version / EXTRA_FILE}: {len(names)} class names for {probabilities.shape[1]} classes"
        )
    return LoadedModel(
        path=version,
        class_names=None if names is None else tuple(names),
        input_shape=shape,
        card=extra.get("card", {}),
        _loaded=loaded,
    )


def _find(path: Path) -> Path:
    """Return the folder that holds saved_model.pb: ``path``, or its highest version."""
    if not os.path.isdir(path):  # unlike Path.is_dir, this raises nothing
        there = "a file" if os.path.exists(path) else "no such folder"
        raise CallError(f"{path}: {there}; expected the folder of an exported model")
    if os.path.isfile(path / "saved_model.pb"):
        return path
    try:
        versions = versions_in(path)
    except OSError as error:
        raise CallError(f"{path}: {error.strerror}") from None
    if not versions:
        raise CallError(f"{path}: no SavedModel there, neither saved_model.pb nor a version folder")
    highest = versions[max(versions)]
    if not os.path.isfile(highest / "saved_model.pb"):
        raise CallError(f"{highest}: no SavedModel there, saved_model.pb is missing")
    return highest


def _read_extra(version: Path) -> dict[str, Any]:
    """Return what :func:`export` wrote beside the model; empty where it did not write it."""
    path = version / EXTRA_FILE
    if not path.is_file():
        return {}
    try:
        extra = json.loads(path.read_text())
        if extra["format"] > FORMAT:
            raise CallError(
                f"{path}: format {extra['format']}, of a newer kerascw; this one reads {FORMAT}"
            )
        names, card = extra["class_names"], extra["card"]
        if not all(isinstance(name, str) for name in names) or not isinstance(card, dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise CallError(
            f"{path}: damaged; expected JSON with format, class_names and card"
        ) from None
    return dict(extra)


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
