"""Prove an export: another process loads it, and its answers are those of the live model.

Importing this loads no TensorFlow; the process that opens ONNX or LiteRT never does.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import KerascwError
from kerascw.export.runtimes import FILES, SIGNATURE, Format, keras_outputs, open_model
from kerascw.runs.environment import version_of

TOLERANCE = 1e-5
"""How far a probability may be from the live model's. Other batch sizes move those of a convnet by
5e-7, which is float32 rounding; pixels scaled by 1/256 in place of 1/255 by 3e-3. One model of each
kind that the studies have came back from ONNX Runtime and LiteRT with at most 7e-7."""


def prove(
    model: Any,
    path: Path,
    form: Format,
    class_names: Sequence[str],
    images: np.ndarray,
    folder: Path,
) -> dict[str, Any]:
    """Compare the files in ``path`` with the live model, in another process.

    That process writes its answers beside ``path``; ``folder`` is what errors name. A SavedModel is
    asked by each of its signatures.

    Raises KerascwError: the files cannot be used, or answer differently.
    """
    live = keras_outputs(model)(images)
    np.save(path.parent / "images.npy", images)
    if fault := replayed_elsewhere(form, path):
        raise KerascwError(f"{folder}: export refused, another process cannot use it: {fault:.200}")
    packages = ("tensorflow", "keras", "numpy", "kerascw", *RUNTIMES.get(form, ()))
    result: dict[str, Any] = {
        "pictures": len(images),
        "tolerance": TOLERANCE,
        "versions": {"python": platform.python_version()} | {p: version_of(p) for p in packages},
    }
    for way in (SIGNATURE, "encoded") if form == "saved_model" else ("images",):
        with np.load(path.parent / f"{way}.npz") as answers:
            apart = {name: float(np.abs(answers[name] - own).max()) for name, own in live.items()}
            for name, difference in apart.items():
                if not difference <= TOLERANCE:  # also where it is not a number
                    raise KerascwError(
                        f"{folder}: export refused, its {name} ({way}) differ from the live "
                        f"model's by up to {difference:.2g}, at most {TOLERANCE:g} is allowed"
                    )
            if form == "saved_model":
                best = answers["probabilities"].argmax(axis=-1)
                named = answers["label"] == np.asarray(class_names)[best]
                if not (named & (answers["class_id"] == best)).all():
                    raise KerascwError(
                        f"{folder}: export refused, {way} names other classes than the most "
                        "probable ones"
                    )
            result[way] = {name: {"max_abs_difference": value} for name, value in apart.items()}
    return result


def replayed_elsewhere(form: Format, path: Path) -> str | None:
    """Let another process answer ``images.npy`` beside ``path``; return its fault, if any."""
    package = str(Path(__file__).parents[2])  # the process must find this very package
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kerascw.export.proof", form, path, path.parent],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        errors="replace",
    )
    return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else None


RUNTIMES: dict[Format, tuple[str, ...]] = {
    "onnx": ("tf2onnx", "onnxruntime", "onnx"),
    "litert": ("ai-edge-litert",),
}
"""The packages that write and prove a format, beside TensorFlow."""


# --- the other process ----------------------------------------------------------------------


def replay(form: Format, model: Path, folder: Path) -> None:
    """Write what the export answers to ``images.npy``."""
    images = np.load(folder / "images.npy")
    if form != "saved_model":
        outputs = open_model(model / FILES[form], form)(images)
        np.savez(folder / "images.npz", **outputs)  # type: ignore[arg-type]
        if form != "keras":
            assert not {"tensorflow", "keras"} & set(sys.modules), "opened by its runtime alone"
        return

    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    for name, inputs in (
        (SIGNATURE, {"images": tf.constant(images)}),
        ("encoded", {"pictures": tf.stack([tf.io.encode_png(image) for image in images])}),
    ):
        answers = {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}
        answers["label"] = np.asarray([label.decode() for label in answers["label"]])
        np.savez(folder / f"{name}.npz", **answers)


if __name__ == "__main__":
    form, model, folder = sys.argv[1:]
    replay(form, Path(model), Path(folder))  # type: ignore[arg-type]
