"""An image in colour as its red, green and blue channels."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.lab.pictures import FeatureMaps, splits_of
from kerascw.runs.store import Run


def channel_figure(image: np.ndarray, label: str) -> Figure:
    """Draw the three channels of an image, uint8 ``[height, width, 3]``, under its label."""
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    figure.suptitle(f"label: {label}", fontsize=11)
    for at, (axes, name) in enumerate(
        zip(figure.subplots(1, 3), ("red", "green", "blue"), strict=True)
    ):
        axes.axis("off")
        axes.set_title(name, fontsize=9)
        # reversed, so that bright is much of the colour
        axes.imshow(image[..., at], cmap=f"{name.title()}s_r", vmin=0, vmax=255)
    return figure


def channel_pictures(run: Run, options: FeatureMaps | None) -> dict[str, tuple[Any, str]]:
    """Draw the channels of one training image, the first if none is asked for."""
    splits = splits_of(run, options)
    position = (options.image if options else None) or 0
    label = splits.class_names[splits.train.labels[position]]
    return {
        "channels": (
            channel_figure(np.asarray(splits.train.images[position]), label),
            f"training image {position} as its red, green and blue channels; its label is {label}",
        )
    }
