"""Load an exported model of any format, or a run's, and predict with it.

Importing this loads no TensorFlow, nor does loading an ONNX or LiteRT model.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascw.errors import CallError, DataError, choices
from kerascw.evaluation.calibration import Calibration, prediction_sets, tempered
from kerascw.export.runtimes import (
    FILES,
    TITLES,
    Format,
    Outputs,
    damaged,
    keras_outputs,
    open_model,
)

if TYPE_CHECKING:
    from kerascw.data.image_files import Fit

DOCUMENT = "kerascw.json"
"""The facts about a model, beside it."""

DOCUMENT_VERSION = 1
"""Of that file; raised when a reader of the old one would go wrong."""

EXTRA_FILE = Path("assets.extra", DOCUMENT)  # SavedModel's folder for what is not graph

_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's answers for n images, in their order."""

    probabilities: np.ndarray  # float32 [n, k]
    class_ids: np.ndarray  # int64 [n], the most probable class
    labels: tuple[str, ...]  # n names
    sets: np.ndarray | None = None  # bool [n, k], the classes in each prediction set, if asked for


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """An exported model, or a run's, ready to predict."""

    path: Path  # of the version's folder
    title: str  # its name and version, for people
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]  # height, width, channels
    form: Format
    card: Mapping[str, Any] = field(repr=False)  # as kerascw.export.card.card_of makes it
    outputs: Outputs = field(repr=False)

    @property
    def light_on_dark(self) -> bool:
        """Whether it learned light things on black; False where the card does not say."""
        return self.card.get("light_on_dark") is True

    @property
    def fit(self) -> "Fit":
        """How images of another shape are fitted for it; ``pad`` where the card does not say."""
        fit = self.card.get("fit")
        return fit if fit in ("crop", "stretch") else "pad"

    @property
    def calibration(self) -> Calibration:
        """What its validation set says of its probabilities.

        Raises CallError: its card does not have it.
        """
        found = Calibration.of_card(self.card.get("calibration"))
        if found is None:
            raise CallError(
                f"{self.title}: no calibration data: it was trained without a validation set, or "
                "exported by an older kerascw; export a run that has a validation set"
            )
        return found

    def live(self) -> Any:
        """Load its Keras model, to look into it. Needs TensorFlow.

        Raises CallError: an export of another format, which gives answers and nothing else.
        """
        if self.form != "keras":
            raise CallError(
                f"{self.title}: only a Keras model can be looked into; name a kept run, or the "
                "result of: python -m kerascw export RUN --format keras"
            )
        if (self.path / DOCUMENT).is_file():
            import keras  # predicting has imported it

            return keras.saving.load_model(self.path / FILES["keras"], compile=False)
        from kerascw.runs.store import Run

        return Run(self.path).model()

    def temperature(self) -> float:
        """Return the temperature that calibrates its probabilities; raises CallError."""
        temperature = self.calibration.temperature
        if temperature is None:
            raise CallError(f"{self.title}: its outputs are no softmax, which has a temperature")
        return temperature

    def predict(
        self, images: np.ndarray, *, calibrated: bool = False, coverage: float | None = None
    ) -> Predictions:
        """Classify images, 1,000 at a time.

        Parameters
        ----------
        images : uint8 ``[n, h, w, c]`` or one image ``[h, w, c]``; ``c`` may be left out where it
            is 1.
        calibrated : whether probabilities are scaled by the temperature that was fitted on the
            validation set; the classes stay the same.
        coverage : share of images whose class is in their prediction set, such as 0.95; the sets
            are the same whether probabilities are calibrated or not.

        Raises CallError: another dtype or shape, no calibration data, or too few validation images
        for the coverage; DataError: a damaged model.
        """
        threshold = None if coverage is None else self.calibration.threshold(coverage)
        temperature = self.temperature() if calibrated else 1.0
        images, shape = np.asarray(images), self.input_shape
        stack = images
        if shape[2] == 1 and images.ndim in (2, 3) and images.shape != shape:
            stack = stack[..., None]
        if stack.ndim == 3:
            stack = stack[None]
        if images.dtype != np.uint8 or stack.ndim != 4 or stack.shape[1:] != shape:
            raise CallError(
                f"images: {images.dtype} {list(images.shape)}; expected {expected(shape)}"
            )
        starts = range(0, max(len(stack), 1), _BATCH)
        answers = [self.outputs(stack[at : at + _BATCH])["probabilities"] for at in starts]
        probabilities: np.ndarray = np.concatenate(answers)
        if (classes := probabilities.shape[-1]) != len(self.class_names):
            raise DataError(
                f"{self.path}: {len(self.class_names)} class names for {classes} classes"
            )
        class_ids = probabilities.argmax(axis=-1)
        labels = tuple(self.class_names[number] for number in class_ids)
        sets = None if threshold is None else prediction_sets(probabilities, threshold)
        if calibrated:
            probabilities = tempered(probabilities, temperature)
        return Predictions(probabilities, class_ids, labels, sets)

    def _repr_html_(self) -> str:
        from kerascw.runs.summary import fragment

        rows = [
            ("takes", f"images: {expected(self.input_shape)}"),
            ("classes", ", ".join(self.class_names)),
        ]
        if test := self.card.get("test"):
            rows.append(("test accuracy", f"{test['accuracy']:.2%}"))
        return fragment(self.title, rows)


def load_model(path: str | Path) -> LoadedModel:
    """Load an export: the folder of one version, or of all, of which the highest is taken.

    ``models/fashion@3`` is version 3 of ``models/fashion``.
    A model that is one file (``.keras``, ``.onnx`` or ``.tflite``) may be named itself, in its
    folder. A run's folder loads the run's ``model.keras``.

    Raises CallError: no such folder, or no model in it that kerascw wrote; DataError: a damaged
    model, or damaged facts beside it; KerascwError: what opens the format is not installed.
    """
    found, form = _find(Path(path))  # before TensorFlow, which takes seconds to import
    version = found if form == "saved_model" else found.parent
    where = version / document_beside(form)
    if not where.is_file():
        if form == "keras" and (version / "manifest.json").is_file():
            return _of_run(version)
        raise CallError(f"{found}: no {DOCUMENT} beside it; expected a model that kerascw exported")
    document = read_document(where)
    # runtimes do not see every fault: of 250 flipped bits in a LiteRT file, each alone, 57 were an
    # error and 46 gave other probabilities
    if (name := changed_file(version, document)) is not None:
        raise damaged(found, form, f"{name} is not as it was exported (SHA-256 differs)")
    return LoadedModel(
        version,
        _titled(version, form),
        tuple(document["class_names"]),
        tuple(document["input_shape"]),
        form,
        document["card"],
        open_model(found, form),
    )


# --- where the model is ---------------------------------------------------------------------


def _find(path: Path) -> tuple[Path, Format]:
    """Return the SavedModel's folder or the model's file: in ``path``, or its highest version."""
    if not os.path.isdir(path):  # unlike Path.is_dir, this raises nothing
        there = os.path.exists(path)
        of, at, number = path.name.rpartition("@")
        if not there and at and number.isdecimal() and os.path.isdir(path.with_name(of)):
            versions = versions_in(path.with_name(of))
            if int(number) in versions and (found := _model_in(versions[int(number)])):
                return found
            listed = f"choose {choices(sorted(versions))}" if versions else "it has none"
            raise CallError(f"{path}: {path.with_name(of)} has no version {number}; {listed}")
        for form, name in FILES.items():
            if there and path.suffix.lower() == Path(name).suffix:
                return path, form
        raise CallError(
            f"{path}: {'a file' if there else 'no such folder'}; expected the folder of an "
            f"exported model, or its {choices(Path(name).suffix for name in FILES.values())} file"
        )
    if found := _model_in(path):
        return found
    versions = versions_in(path)
    if versions and (found := _model_in(versions[max(versions)])):
        return found
    forms = [path / form for form in FILES if os.path.isdir(path / form)]
    hint = f"; choose {choices(forms)}" if forms else ""
    parts = choices(["saved_model.pb", *FILES.values()])
    raise CallError(f"{path}: no model there, neither {parts} nor a version folder with one{hint}")


def _model_in(folder: Path) -> tuple[Path, Format] | None:
    if os.path.isfile(folder / "saved_model.pb"):
        return folder, "saved_model"
    there = ((folder / name, form) for form, name in FILES.items())
    return next((found for found in there if os.path.isfile(found[0])), None)


def versions_in(folder: Path) -> dict[int, Path]:
    """Find what has an integer for a name, as serving systems number versions."""
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isascii() and path.name.isdecimal()
    }


def name_and_version(version: Path, form: Format) -> tuple[str, int | None]:
    """Return a model's name and number by its folder; None where that has no number for a name.

    >>> name_and_version(Path("models/fashion/onnx/2"), "onnx")
    ('fashion', 2)
    >>> name_and_version(Path("/model"), "saved_model")
    ('model', None)
    """
    parts = list(version.absolute().parts)  # the root first, which is a name if there is no other
    number = int(parts.pop()) if len(parts) > 2 and parts[-1].isdecimal() else None
    if len(parts) > 2 and parts[-1] == form:
        parts.pop()
    return parts[-1], number


def _titled(version: Path, form: Format) -> str:
    name, number = name_and_version(version, form)
    numbered = "" if number is None else f", version {number}"
    return f"{name}{numbered}, {TITLES[form]} ({version})"


# --- the facts about it ---------------------------------------------------------------------


def document_beside(form: Format) -> Path:
    """Return where kerascw.json is, from the folder of a version."""
    return EXTRA_FILE if form == "saved_model" else Path(DOCUMENT)


def read_document(path: Path) -> dict[str, Any]:
    """Read what :func:`kerascw.export.write.export` wrote beside a model; {} if it did not.

    Raises DataError: a damaged file, or one of a newer kerascw.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        document = None
    match document:
        case {"format": int(version)} if version > DOCUMENT_VERSION:
            raise DataError(
                f"{path}: format {version}, of a newer kerascw; this one reads {DOCUMENT_VERSION}"
            )
        case {
            "format": int(),
            "class_names": [*names],
            "input_shape": [int(height), int(width), 1 | 3],
            "card": dict(),
            "files": dict(),
        } if all(isinstance(n, str) for n in names) and 0 < height < 10_000 > width > 0:
            return dict(document)
    raise DataError(
        f"{path}: damaged; expected JSON with format, class_names, input_shape, card and files"
    )


def file_hashes(version: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a version by its place there, but for kerascw.json."""
    return {
        path.relative_to(version).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(version.rglob("*"))
        if path.is_file() and path.name != DOCUMENT
    }


def changed_file(version: Path, document: Mapping[str, Any]) -> str | None:
    """Return a file of a version that is missing or not as its document has it; None if all are."""
    hashes, files = file_hashes(version), document["files"]
    return next((name for name, digest in files.items() if hashes.get(name) != digest), None)


def _of_run(folder: Path) -> LoadedModel:
    # here and not above: a small model predicts sooner without Pydantic
    from kerascw.export.card import card_of
    from kerascw.runs.store import Run, find_fault

    if fault := find_fault(folder):
        raise DataError(f"{folder}: a damaged run: {fault}")
    run = Run(folder)
    model = run.model()
    return LoadedModel(
        folder,
        f"run {run.name} ({folder})",
        tuple(run.metrics["class_names"]),
        tuple(model.input_shape[1:]),
        "keras",
        card_of(run),
        keras_outputs(model),
    )


# --- arrays in messages ---------------------------------------------------------------------


def expected(shape: tuple[int, ...]) -> str:
    """Show the dtype and shape that images must have."""
    return f"uint8 [n, {', '.join(map(str, shape))}]"
