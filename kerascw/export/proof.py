"""Prove an export: another process loads it, and its answers are those of the live model.

Importing this loads no TensorFlow; the process that opens ONNX or LiteRT never does.
"""

import io
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import KerascwError
from kerascw.export.formats import PACKAGES
from kerascw.export.runtimes import FILES, SIGNATURE, Format, open_model, output_name
from kerascw.models import by_head

TOLERANCE = 1e-5
"""How far a probability may be from the live model's. A convnet of 32, 64 and 64 filters on
Fashion-MNIST came back from a SavedModel with no difference at all; other batch sizes moved its
probabilities by 5e-7, which is float32 rounding, and pixels scaled by 1/256 in place of 1/255 by
3e-3. One model of each kind that the studies have came back from ONNX Runtime and LiteRT with at
most 7e-7, a LeNet."""

_SINGLY = 16
"""How many images are also given one at a time, to a format that takes any number of images."""


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
    asked by each of its signatures, other formats for all images together and for each alone.

    Raises
    ------
    KerascwError
        The files cannot be used, or answer differently.
    """
    live = {
        output_name(head): np.asarray(values, np.float32)
        for head, values in by_head(model(images, training=False)).items()
    }
    np.save(path.parent / "images.npy", images)
    package = str(Path(__file__).parents[2])  # the process must find this very package
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kerascw.export.proof", form, path, path.parent],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KerascwError(f"{folder}: export refused, another process cannot use it: {last:.200}")
    top = np.sort(live["probabilities"], axis=-1)
    # two classes closer than this may change places within the tolerance: they are not compared
    clear = np.array([len(row) == 1 or row[-1] - row[-2] > 2 * TOLERANCE for row in top])
    result: dict[str, Any] = {
        "pictures": len(images),
        "near_ties": int((~clear).sum()),
        "tolerance": TOLERANCE,
        "versions": _software(form),
    }
    for way in (SIGNATURE, "encoded") if form == "saved_model" else ("together", "singly"):
        with np.load(path.parent / f"{way}.npz") as answers:
            result[way] = _compare(
                answers, live, class_names, clear, f"{folder}: export refused, {way}"
            )
    return result


def _compare(
    answers: Mapping[str, np.ndarray],
    live: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    clear: np.ndarray,
    refused: str,
) -> dict[str, Any]:
    """Measure how far each output is from the live model's, and refuse what is too far."""
    class_id = live["probabilities"].argmax(axis=-1)
    n = len(answers["class_id"])  # singly, the first few
    apart = {name: float(np.abs(answers[name] - own[:n]).max()) for name, own in live.items()}
    differing = {
        name: int((answers[name] != own[:n])[clear[:n]].sum())
        for name, own in (("class_id", class_id), ("label", np.asarray(class_names)[class_id]))
    }
    for name, count in differing.items():
        if count:
            raise KerascwError(
                f"{refused} gives another {name} than the live model for {count} images "
                f"(probabilities differ by up to {apart['probabilities']:.2g})"
            )
    for name, difference in apart.items():
        if not difference <= TOLERANCE:  # also where it is not a number
            raise KerascwError(
                f"{refused}'s {name} differ from the live model's by up to {difference:.2g}, at "
                f"most {TOLERANCE:g} is allowed"
            )
    return {
        **{name: {"max_abs_difference": difference} for name, difference in apart.items()},
        **{name: {"differing": count} for name, count in differing.items()},
    }


def _software(form: Format) -> dict[str, str | None]:
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
        **{name: version_of(name) for name in PACKAGES[form].values()},
    }


# --- the other process ----------------------------------------------------------------------


def _replay(form: Format, model: Path, folder: Path) -> None:
    """Write what the export answers to ``images.npy``."""
    images = np.load(folder / "images.npy")
    if form == "saved_model":
        _replay_saved_model(model, images, folder)
        return
    opened = open_model(model / FILES[form], form)
    if form != "keras":
        assert not {"tensorflow", "keras"} & set(sys.modules), "opened by its own runtime alone"
    names = np.asarray(opened.document["class_names"])
    singly = [opened.outputs(image[None]) for image in images[:_SINGLY]]
    for way, outputs in (
        ("singly", {name: np.concatenate([one[name] for one in singly]) for name in singly[0]}),
        ("together", opened.outputs(images)),
    ):
        class_id = outputs["probabilities"].argmax(axis=-1)
        answers: dict[str, Any] = {**outputs, "class_id": class_id, "label": names[class_id]}
        np.savez(folder / f"{way}.npz", **answers)


def _replay_saved_model(model: Path, images: np.ndarray, folder: Path) -> None:
    import tensorflow as tf
    from PIL import Image

    files = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(stream, "PNG")
        files.append(stream.getvalue())
    signatures = tf.saved_model.load(str(model)).signatures
    for name, inputs in (
        (SIGNATURE, {"images": tf.constant(images)}),
        ("encoded", {"pictures": tf.constant(files)}),
    ):
        outputs = {key: value.numpy() for key, value in signatures[name](**inputs).items()}
        outputs["label"] = np.asarray([label.decode() for label in outputs["label"]])
        np.savez(folder / f"{name}.npz", **outputs)


if __name__ == "__main__":
    form, model, folder = sys.argv[1:]
    _replay(form, Path(model), Path(folder))  # type: ignore[arg-type]
