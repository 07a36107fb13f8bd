"""What a convnet's layers respond to: feature maps, and figures in place of judging them by eye."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascw.data import Splits, split
from kerascw.data.load import dataset_for
from kerascw.errors import CallError
from kerascw.experiment.spec import ConvNet, Experiment
from kerascw.lab.pictures import FeatureMaps, splits_of
from kerascw.lab.study import Answer, Study
from kerascw.runs.store import Run

CHANNELS = 6


def check_features(options: FeatureMaps, study: Study, experiment: Experiment) -> None:
    """Raise a :class:`CallError` where a layer, channel or image does not exist."""
    if not isinstance(experiment.model, ConvNet):
        raise CallError(
            f"model.kind: {experiment.model.kind} has no feature maps; study {study.name} "
            "draws those of a convnet"
        )
    for layer in _chosen_layers(options, len(experiment.model.filters)):
        _channels(options, experiment.model.filters[layer - 1])
    if options.image is not None:
        data = experiment.data
        _check_image(options.image, len(split(dataset_for(data, options.data_dir), data).train))


def feature_maps(run: Run, images: np.ndarray) -> list[np.ndarray]:
    """Return every conv layer's output after its ReLU, before pooling.

    Parameters
    ----------
    images : uint8 ``[n, height, width, channels]``.

    Returns
    -------
    One float32 array ``[n, height, width, filters]`` a conv layer.
    """
    import keras

    model = run.model()
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    inner = keras.Model(model.inputs[0], [layer.output for layer in convolutions])
    # the model pools before its ReLU (the same values, cheaper), so the ReLU is applied here
    batches = [inner(images[at : at + 500], training=False) for at in range(0, len(images), 500)]
    return [
        np.concatenate([np.maximum(batch[number], 0) for batch in batches])
        for number in range(len(convolutions))
    ]


def feature_pictures(run: Run, options: FeatureMaps | None) -> dict[str, tuple[Any, str]]:
    """Return the figures of part 3: maps for a picture of each class, and their statistics.

    Raises
    ------
    CallError
        A layer, channel or image that does not exist.
    """
    options = options or FeatureMaps()
    splits = splits_of(run, options)
    names, labels = splits.class_names, splits.train.labels
    if options.image is None:
        chosen = [int(np.flatnonzero(labels == label)[0]) for label in range(len(names))]
    else:
        _check_image(options.image, len(labels))
        chosen = [options.image]
    maps = feature_maps(run, splits.train.images[chosen])
    layers = _chosen_layers(options, len(maps))
    pictures: dict[str, tuple[Any, str]] = {}
    for at, position in enumerate(chosen):
        name = names[labels[position]]
        rows = [
            (layer, maps[layer - 1][at], _channels(options, maps[layer - 1].shape[-1]))
            for layer in layers
        ]
        key = f"feature maps, {name}".replace("/", " or ")
        pictures[key] = (
            _grid(splits.train.images[position], rows),
            f"{name}, training picture {position}: a row a conv layer after its ReLU, a column a "
            "channel; the brightest value of each map is written above it",
        )
    pictures["activity"] = (
        _activity(activity(run, splits), names),
        "mean activation and share of active units on the test set, by layer and class",
    )
    return pictures


def example_maps(runs: Sequence[Run], options: FeatureMaps | None) -> dict[str, Any]:
    """Return the feature maps of one picture, the first to train on if none is asked for."""
    options = options or FeatureMaps()
    trained = [run for run in runs if run.metrics["kept_epoch"]]
    if not trained:
        return {}
    chosen = options.model_copy(update={"image": options.image or 0})
    drawn = feature_pictures(trained[0], chosen)
    return {name: picture for name, picture in drawn.items() if name != "activity"}


def _chosen_layers(options: FeatureMaps, there: int) -> list[int]:
    if options.layer is None:
        return list(range(1, there + 1))
    if not 1 <= options.layer <= there:
        raise CallError(f"pictures.layer: {options.layer}; choose from 1 to {there}")
    return [options.layer]


def _check_image(image: int, there: int) -> None:
    if not 0 <= image < there:
        raise CallError(f"pictures.image: {image}; choose from 0 to {there - 1}")


def _channels(options: FeatureMaps, there: int) -> tuple[int, ...]:
    if options.channels is None:
        return tuple(range(min(CHANNELS, there)))
    wrong = [channel for channel in options.channels if not 0 <= channel < there]
    if wrong:
        raise CallError(f"pictures.channels: {wrong[0]}; choose from 0 to {there - 1}")
    return options.channels


def _grid(picture: np.ndarray, rows: list[tuple[int, np.ndarray, tuple[int, ...]]]) -> Figure:
    columns = 1 + max(len(channels) for *_, channels in rows)
    figure = Figure(figsize=(1.35 * columns, 1.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for line, (layer, maps, channels) in zip(grid, rows, strict=True):
        line[0].imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray")
        line[0].set_title(f"conv {layer}", fontsize=8)
        for axes, channel in zip(line[1:], channels, strict=False):
            axes.imshow(maps[..., channel], cmap="viridis", vmin=0)
            axes.set_title(f"{channel}: {maps[..., channel].max():.3g}", fontsize=8)
    return figure


@dataclass(frozen=True)
class Activity:
    """Of every layer, over the test set: ``[classes]`` and ``[classes, filters]`` arrays."""

    mean: list[np.ndarray]
    active: list[np.ndarray]  # share of units above zero
    per_channel: list[np.ndarray]  # mean activation of each channel

    def selectivity(self, layer: int) -> np.ndarray:
        """Return each channel's class selectivity, 0 (none) to 1 (one class alone).

        ``(largest - rest) / (largest + rest)`` of the class means, ``rest`` being the mean of the
        others (Morcos et al., "On the importance of single directions for generalization", 2018).
        """
        means = np.sort(self.per_channel[layer], axis=0)
        largest, rest = means[-1], means[:-1].mean(axis=0)
        return (largest - rest) / np.maximum(largest + rest, 1e-12)


def activity(run: Run, splits: Splits) -> Activity:
    """Measure the layers' activity over the test set, class by class."""
    by_class = [
        feature_maps(run, splits.test.images[splits.test.labels == label])
        for label in range(len(splits.class_names))
    ]
    layers = range(len(by_class[0]))
    return Activity(
        [np.array([maps[k].mean() for maps in by_class]) for k in layers],
        [np.array([(maps[k] > 0).mean() for maps in by_class]) for k in layers],
        [np.array([maps[k].mean(axis=(0, 1, 2)) for maps in by_class]) for k in layers],
    )


def _activity(measured: Activity, names: Sequence[str]) -> Figure:
    layers = len(measured.mean)
    figure = Figure(figsize=(9, 1.2 + 0.55 * layers), layout="constrained")
    for axes, values, title in zip(
        figure.subplots(1, 2),
        (np.array(measured.mean), np.array(measured.active)),
        ("mean activation", "share of active units"),
        strict=True,
    ):
        # rows of different scale: each is shaded by its own largest value
        largest = np.maximum(values.max(axis=1, keepdims=True), 1e-12)  # a layer may be dead
        axes.imshow(values / largest, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (layer, label), value in np.ndenumerate(values):
            dark = value > 0.6 * values[layer].max()
            axes.text(label, layer, f"{value:.3g}", ha="center", va="center", fontsize=8,
                      color="white" if dark else "black")  # fmt: skip
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(layers), [f"conv {k + 1}" for k in range(layers)])
        axes.set_title(title, fontsize=10)
    return figure


def selectivity_answers(runs: Sequence[Run]) -> list[Answer]:
    """Return the most class-selective channels of each layer of the first seed's model."""
    run = runs[0]
    splits = splits_of(run, FeatureMaps())
    measured, said = activity(run, splits), []
    for layer, per_channel in enumerate(measured.per_channel):
        index = measured.selectivity(layer)
        best = np.argsort(-index)[:3]
        channels = ", ".join(
            f"{at} ({splits.class_names[per_channel[:, at].argmax()]}, {index[at]:.2f})"
            for at in best
        )
        said.append(f"conv {layer + 1}: {channels}; median {np.median(index):.2f}")
    return [
        Answer(
            "Which channels are the most class-selective?",
            f"{'. '.join(said)}. (Selectivity index on the test set, 0 none to 1 one class alone; "
            f"seed {run.experiment.seed}.)",
        )
    ]
