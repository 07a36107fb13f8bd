"""An image in colour as its red, green and blue channels."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.lab.pictures import FeatureMaps, splits_of
from kerascw.runs.store import Run


def channel_figure(image: np.ndarray, label: str) -> Figure:
    """Return the three channels of an image, uint8 ``[height, width, 3]``, under its label."""
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    figure.suptitle(f"label: {label}", fontsize=11)
    for axes, channel, name in zip(figure.subplots(1, 3), range(3), ("Reds", "Greens", "Blues"),
                                   strict=True):  # fmt: skip
        axes.axis("off")
        axes.set_title(name.removesuffix("s").lower(), fontsize=9)
        # reversed, so that bright is much of the colour
        axes.imshow(image[..., channel], cmap=f"{name}_r", vmin=0, vmax=255)
    return figure


def channel_pictures(run: Run, options: FeatureMaps | None) -> dict[str, tuple[Any, str]]:
    """Return the channels of one training image, the first if none is asked for."""
    train, names = splits_of(run, options).train, run.metrics["class_names"]
    position = (options.image if options else None) or 0
    label = names[train.labels[position]]
    return {
        "channels": (
            channel_figure(np.asarray(train.images[position]), label),
            f"training image {position} as its red, green and blue channels; its label is {label}",
        )
    }
