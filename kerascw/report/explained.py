"""Where a model saw what it answered: maps of single images, kept and drawn."""

from pathlib import Path
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.data.cache import replacing
from kerascw.errors import KerascwError
from kerascw.evaluation.explain import grad_cam, occlusion
from kerascw.export.card import card_of
from kerascw.runs.store import Run

FILE = "explanations.npz"
"""In the run's folder: its maps are computed once, and follow from the run's result."""

SHOWN = 8
"""Mistakes of a run that are explained."""

GREY = 127
"""Covers a part of an image; black does where light things on black were learned."""


def explain(
    model: Any,
    images: np.ndarray,
    classes: np.ndarray,
    *,
    layer: str | None = None,
    light_on_dark: bool = False,
) -> dict[str, np.ndarray]:
    """Return maps, float32 ``[n, height, width]``, by what they are: the methods' names.

    Arguments are those of :func:`kerascw.evaluation.explain.grad_cam`, which raises for a model
    without a convolution.
    """
    from kerascw.training.predictor import Predictor

    return {
        "Grad-CAM": grad_cam(model, images, classes, layer),
        "HiResCAM": grad_cam(model, images, classes, layer, by_place=True),
        "occlusion": occlusion(Predictor(model), images, classes, 0 if light_on_dark else GREY),
    }


def explained_mistakes(run: Run, splits: Splits) -> tuple[Any, str] | str:
    """Draw the run's most confident mistakes with the evidence for the class it took them for.

    Returns a figure with what it shows; or in one line why there is none.
    """
    from kerascw.report.figures import Tile, grid, overlaid

    if run.experiment.model.kind == "mlp":  # it need not be loaded to know that
        return "The model has no convolution, so there is no Grad-CAM of these."
    mistakes = run.metrics["test"]["most_confident_mistakes"][:SHOWN]
    images = np.asarray(splits.test.images[[mistake["position"] for mistake in mistakes]])
    try:
        maps = _kept(run.folder / FILE)
        if maps is None or any(len(own) != len(mistakes) for own in maps.values()):
            names = run.metrics["class_names"]
            classes = np.array([names.index(mistake["prediction"]) for mistake in mistakes])
            light = card_of(run)["light_on_dark"]
            maps = explain(run.model(), images, classes, light_on_dark=light)
            with replacing(run.folder / FILE) as file:
                np.savez_compressed(file, **maps)  # type: ignore[arg-type]
    except KerascwError as error:
        return f"Not explained: {error}."
    texts = [f"{mistake['prediction']}\n({mistake['truth']})" for mistake in mistakes]
    rows = [[Tile(image, text) for image, text in zip(images, texts, strict=True)]]
    for own in maps.values():
        rows.append([Tile(overlaid(*pair)) for pair in zip(images, own, strict=True)])
    says = (
        "orange: evidence for the class that was predicted, by the gradients of the last "
        "convolution's features (Grad-CAM averages them over the image, so it may light what a "
        "flattened head does not use; HiResCAM does not), and by what a patch takes from the "
        "probability (occlusion); where they disagree, believe none"
    )
    return grid(rows, ["image", *maps], side=0.9, across=1.1), says


def _kept(file: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            return dict(kept)
    except Exception:  # a damaged file raises anything; the maps are computed again
        return None


def explained_image(image: np.ndarray, title: str, maps: dict[str, np.ndarray]) -> Any:
    """Draw one image, uint8 ``[height, width, channels]``, and beside it its maps."""
    from kerascw.report.figures import Tile, grid, overlaid

    tiles = [Tile(image, title)]
    tiles += [Tile(overlaid(image, own), name) for name, own in maps.items()]
    return grid([tiles], side=2.4)
