"""What a convnet's layers respond to: feature maps, and figures in place of judging them by eye."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.data import Splits
from kerascw.data.load import splits_for
from kerascw.errors import CallError
from kerascw.experiment.spec import ConvNet, Experiment
from kerascw.lab.pictures import FeatureMaps, splits_of
from kerascw.lab.study import Answer, Study
from kerascw.report.figure_files import file_name
from kerascw.report.figures import Tile, grid
from kerascw.runs.store import Run

CHANNELS = 6
"""How many channels of each layer are drawn, if none are asked for."""

LEAST_ACCURACY = 0.6
"""On the test set, before anything is concluded from what a network has learned."""


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
        there = len(splits_for(experiment.data, options.data_dir).train)
        if options.image >= there:
            raise CallError(f"pictures.image: {options.image}; choose from 0 to {there - 1}")


def feature_maps(run: Run, images: np.ndarray) -> list[np.ndarray]:
    """Return every conv layer's output after batch norm and activation, before pooling.

    ``images`` are uint8 ``[n, height, width, channels]``; each layer has a float32 array
    ``[n, height, width, filters]``, with negative values if it has no activation.
    """
    model = run.model()  # imports TensorFlow without its notices
    import keras

    activation = getattr(run.experiment.model, "activation", "relu")
    layers = {layer.name: layer for layer in model.layers}
    outputs = []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        output = layer.output
        # the model pools before these (the same values, cheaper), so they are applied here
        for following in (f"{layer.name}_norm", f"{layer.name}_{activation}"):
            if following in layers:
                output = layers[following](output)
        outputs.append(output)
    inner = keras.Model(model.inputs[0], outputs)
    batches = [inner(images[at : at + 500], training=False) for at in range(0, len(images), 500)]
    return [np.concatenate([batch[k] for batch in batches]) for k in range(len(outputs))]


def feature_pictures(run: Run, options: FeatureMaps | None) -> dict[str, tuple[Any, str]]:
    """Draw the feature maps of an image of each class, or of the one that is asked for."""
    options = options or FeatureMaps()
    splits = splits_of(run, options)
    chosen = np.unique(splits.train.labels, return_index=True)[1].tolist()
    return _maps_of(run, splits, chosen if options.image is None else [options.image], options)


def _maps_of(
    run: Run, splits: Splits, positions: Sequence[int], options: FeatureMaps
) -> dict[str, tuple[Any, str]]:
    """Draw the feature maps of training images."""
    maps = feature_maps(run, splits.train.images[np.array(positions)])
    layers = _chosen_layers(options, len(maps))
    drawn: dict[str, tuple[Any, str]] = {}
    for at, position in enumerate(positions):
        name = splits.class_names[splits.train.labels[position]]
        rows = [[Tile(splits.train.images[position])] + [
            Tile(own := maps[layer - 1][at, ..., channel], f"{channel}: {_reach(own)}")
            for channel in _channels(options, maps[layer - 1].shape[-1])
        ] for layer in layers]  # fmt: skip
        drawn[file_name(f"feature maps, {name}")] = (
            grid(rows, [f"conv {layer}" for layer in layers], side=1.3),
            f"{name}, training image {position}: a row for each conv layer after its activation, a "
            "column for each channel, with its number and the range of its values; each map has a "
            "colour scale of its own, from 0 to its largest value, or, where there are negative "
            "values, orange below zero, white at zero and purple above",
        )
    return drawn


def _reach(values: np.ndarray) -> str:
    """Return the ends of a map's values; of one without negative values, the largest."""
    low, high = float(values.min()), float(values.max())
    return f"{high:.3g}" if low >= 0 else f"{low:.2g} to {high:.2g}"


def channel_pictures(runs: Sequence[Run], options: FeatureMaps | None) -> dict[str, Any]:
    """Draw one training image as its colour channels, and its feature maps where there are weights.

    It is the first training image if none is asked for.
    """
    options = options or FeatureMaps()
    splits, position = splits_of(runs[0], options), options.image or 0
    image, label = np.asarray(splits.train.images[position]), splits.train.labels[position]
    tiles = [Tile(image, "image")] + [
        Tile(np.where(np.arange(3) == at, image, 0).astype(np.uint8), name)
        for at, name in enumerate(("red", "green", "blue"))
    ]
    says = f"training image {position} as its red, green and blue channels; its label is "
    drawn: dict[str, Any] = {
        "channels": (grid([tiles], side=1.8), says + splits.class_names[label])
    }
    trained = [run for run in runs if run.metrics["kept_epoch"]]
    return drawn | (_maps_of(trained[0], splits, [position], options) if trained else {})


def _chosen_layers(options: FeatureMaps, there: int) -> list[int]:
    if options.layer is None:
        return list(range(1, there + 1))
    if options.layer > there:
        raise CallError(f"pictures.layer: {options.layer}; choose from 1 to {there}")
    return [options.layer]


def _channels(options: FeatureMaps, there: int) -> tuple[int, ...]:
    if options.channels is None:
        return tuple(range(min(CHANNELS, there)))
    for channel in options.channels:
        if channel >= there:
            raise CallError(f"pictures.channels: {channel}; choose from 0 to {there - 1}")
    return options.channels


@dataclass(frozen=True)
class Activity:
    """Of every layer, over the test set: by class, and by class and channel.

    NaN of a class without a test image.
    """

    mean: list[np.ndarray]  # [classes]
    per_channel: list[np.ndarray]  # [classes, filters], of values above zero

    def selectivity(self, layer: int) -> np.ndarray:
        """Return each channel's class selectivity, 0 (none) to 1 (one class alone).

        ``(largest - rest) / (largest + rest)`` of the class means, ``rest`` being the mean of the
        others (Morcos et al., "On the importance of single directions for generalization", 2018).
        """
        own = self.per_channel[layer]
        means = np.sort(own[~np.isnan(own).any(axis=1)], axis=0)
        largest, rest = means[-1], means[:-1].mean(axis=0)
        return (largest - rest) / np.maximum(largest + rest, 1e-12)


def activity(run: Run, splits: Splits) -> Activity:
    """Measure the layers' activity over the test set, class by class."""
    test, classes = splits.test, len(splits.class_names)
    measured, there = Activity([], []), np.unique(test.labels)
    by_class = [feature_maps(run, test.images[test.labels == label]) for label in there]
    for maps in zip(*by_class, strict=True):
        mean = np.full(classes, np.nan, np.float32)
        per_channel = np.full((classes, maps[0].shape[-1]), np.nan, np.float32)
        mean[there] = [own.mean() for own in maps]
        per_channel[there] = [np.maximum(own, 0).mean(axis=(0, 1, 2)) for own in maps]
        measured.mean.append(mean)
        measured.per_channel.append(per_channel)
    return measured


def selectivity_answers(runs: Sequence[Run]) -> list[Answer]:
    """Say which channels of each layer are the most class-selective, for the first seed."""
    run, question = runs[0], "Which channels are the most class-selective?"
    accuracy = run.metrics["test"]["accuracy"]
    if accuracy < LEAST_ACCURACY:
        said = (
            f"None are named: the network classifies only {accuracy:.0%} of the test images "
            f"correctly, and channels are judged from {LEAST_ACCURACY:.0%} on."
        )
        return [Answer(question, said)]
    splits = splits_of(run, FeatureMaps())
    measured, of_layers = activity(run, splits), []
    for layer, per_channel in enumerate(measured.per_channel):
        index = measured.selectivity(layer)
        best = np.argsort(-index)[:3]
        channels = ", ".join(
            f"{at} ({splits.class_names[np.nanargmax(per_channel[:, at])]}, {index[at]:.2f})"
            for at in best
        )
        of_layers.append(f"conv {layer + 1}: {channels}; median {np.median(index):.2f}")
    return [
        Answer(
            question,
            f"{'. '.join(of_layers)}. (Selectivity index on the test set, from 0, none, to 1, one "
            f"class alone; seed {run.experiment.seed}, test accuracy {accuracy:.1%}.)",
        )
    ]
