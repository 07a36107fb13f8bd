"""The layers of a model as a table: what Keras' ``summary`` prints, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def layer_table(model: keras.Model) -> list[dict[str, Any]]:
    """Return name, type, output shape without the batch, and parameters of every layer, in order.

    The shape of a layer that is used twice, as for an average over mirror images, is that of its
    first output.

    >>> from kerascw.experiment.spec import DenseNet
    >>> from kerascw.models import build_model
    >>> layer_table(build_model(DenseNet(dense=(512,))))[-1]
    {'name': 'probabilities', 'type': 'Dense', 'output': [10], 'parameters': 5130}
    """
    from keras import Sequential
    from keras.layers import InputLayer

    from kerascw.models.backbone import LAYER

    rows: list[dict[str, Any]] = []
    for layer in model.layers:
        inner = getattr(layer, "layers", [])
        nested = isinstance(layer, Sequential) or any(isinstance(one, InputLayer) for one in inner)
        if nested and layer.name != LAYER:  # which has hundreds
            rows += layer_table(layer)  # a model within the model
        elif not isinstance(layer, InputLayer):
            rows.append(
                {
                    "name": layer.name,
                    "type": type(layer).__name__,
                    "output": list(layer.output.shape[1:]),
                    "parameters": layer.count_params(),
                }
            )
    return rows
