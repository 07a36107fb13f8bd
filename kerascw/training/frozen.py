"""Features of a frozen backbone, computed once: training then sees its output layer alone."""

from dataclasses import replace

import keras

from kerascw.data import Part, Splits
from kerascw.experiment.spec import Backbone, Experiment
from kerascw.models.backbone import LAYER
from kerascw.training.predictor import Predictor


def is_fixed(experiment: Experiment) -> bool:
    """Return whether an image has the same features in all epochs of training."""
    training, model = experiment.training, experiment.model
    return (
        isinstance(model, Backbone)
        and model.frozen
        and not training.augmentation
        and training.precision == "float32"
    )


class Frozen:
    """A model whose backbone is frozen, and the layers after it as a model of their own.

    Features are float32 ``[n, units]``.
    """

    def __init__(self, model: keras.Model, seed: int) -> None:
        self._model, self._seed = model, seed
        after = [layer.name for layer in model.layers].index(LAYER) + 1
        self._after = model.layers[after:]
        (images,) = model.inputs
        frozen = keras.Sequential(
            [keras.Input(images.shape[1:], dtype=images.dtype), *model.layers[:after]]
        )
        self._units = frozen.output_shape[-1]
        self._features = Predictor(frozen)

    def splits(self, splits: Splits) -> Splits:
        """Return the splits of training with features in place of images."""
        validation = splits.validation
        return replace(
            splits,
            train=self._of(splits.train),
            validation=None if validation is None else self._of(validation),
        )

    def build(self) -> keras.Model:
        """Build the layers after the backbone with the weights that they have in the model."""
        keras.utils.set_random_seed(self._seed)
        fresh = [type(layer).from_config(layer.get_config()) for layer in self._after]
        head = keras.Sequential([keras.Input((self._units,)), *fresh])
        head.set_weights([weight for layer in self._after for weight in layer.get_weights()])
        return head

    def whole(self, head: keras.Model) -> keras.Model:
        """Return the model with the weights of its trained head."""
        for layer, trained in zip(self._after, head.layers, strict=True):
            layer.set_weights(trained.get_weights())
        return self._model

    def _of(self, part: Part) -> Part:
        return Part(self._features(part.images), part.labels)
