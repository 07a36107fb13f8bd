"""Exports that all files of this folder share: each is made and proved once in a session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascw.data import Dataset
from kerascw.export import proof
from kerascw.export.write import export
from kerascw.models import build_model
from kerascw.studies import lenet

ALONE = proof.replayed_elsewhere  # as it is before the session's fixtures share a process


@pytest.fixture(autouse=True)
def _own_prover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove what a test of this folder exports as users do: in a process of its own."""
    monkeypatch.setattr(proof, "replayed_elsewhere", ALONE)


COLOURS = ("red", "grün", "blue")


@pytest.fixture(scope="session")
def live(tiny_model: Any) -> dict[str, Any]:
    """Live models by name: batch norm and dropout; auxiliary heads; three channels."""
    return {
        "tiny": tiny_model,
        "heads": build_model(lenet.experiment("variant_2").model, seed=1),
        "colour": keras.Sequential(
            [
                keras.Input((10, 6, 3), dtype="uint8"),
                keras.layers.Rescaling(1 / 25.5),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Softmax(),
            ]
        ),
    }


@pytest.fixture(scope="session")
def images(sample: Dataset) -> dict[str, np.ndarray]:
    colour = np.random.default_rng(0).integers(0, 256, (40, 10, 6, 3), np.uint8)
    return {"tiny": sample.test.images, "heads": sample.test.images, "colour": colour}


@pytest.fixture(scope="session")
def made(
    live: dict[str, Any],
    images: dict[str, np.ndarray],
    sample: Dataset,
    card: dict[str, Any],
    once: Callable[..., Path],
) -> Callable[[str, str], Path]:
    """Return the version of a model in a format, exported once."""

    def version(name: str, form: str) -> Path:
        def make(folder: Path) -> None:
            export(
                live[name],
                folder / name / form,
                class_names=COLOURS if name == "colour" else sample.entry.class_names,
                card=card,
                check_images=images[name][:20],
                form=form,
            )

        return once(f"{name} {form}", make) / name / form / "1"

    return version
