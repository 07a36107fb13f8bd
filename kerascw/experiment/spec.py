"""What an experiment is: frozen, validated values with one canonical JSON form.

Every number that changes a result is a field here. Derive a changed experiment with
:func:`kerascw.experiment.settings.override` or ``model_copy``; nothing is ever mutated. This module
must not import TensorFlow: the command line reads it to answer ``--help``.
"""

import hashlib
import json
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from kerascw.errors import counted
from kerascw.experiment.arithmetic import fast_precision
from kerascw.experiment.own_file import find_function, sha256_of

RECIPE_VERSION = 3
"""Raised whenever the same experiment would train differently, so also when a default changes; part
of every run's key."""

Activation = Literal["relu", "tanh", "sigmoid", "elu", "gelu", "linear"]
Initializer = Literal["glorot_uniform", "he_uniform", "he_normal", "torch", "normal_0.01"]
"""Of kernels; ``normal_0.01`` has mean 0 and standard deviation 0.01. Biases begin at 0, with
``torch`` as PyTorch has them."""

Output = Literal["softmax", "sigmoid"]
"""Of the output layer, which decides the loss: cross-entropy over the classes, or the mean over the
classes of each one's binary cross-entropy (one against the rest)."""

MAIN_HEAD = "probabilities"
"""The name of the output layer that a classifier is judged by."""

Shape = tuple[int, int, int]
"""Of an image: height, width, channels."""


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_tuple_too(cls, values: Any) -> Any:
        """Take ``model.kernels=3`` for ``(3,)``: one value where a tuple is meant."""
        if not isinstance(values, dict):
            return values
        single = {name for name, v in values.items() if isinstance(v, int | float | str)}
        for name in single.intersection(cls.model_fields):
            own = cls.model_fields[name].annotation
            options = [own] if get_origin(own) is tuple else get_args(own)
            kinds = {get_origin(option) or option for option in options}
            if tuple in kinds and kinds <= {tuple, NoneType}:
                values = values | {name: (values[name],)}
        return values


# --- data -----------------------------------------------------------------------------------


class Holdout(Spec):
    """Which examples of the training set are held out for validation.

    ``first`` and ``last`` are in the order of the source; ``stratified`` draws so that every class
    keeps its share, ``random`` whatever the class, both from ``seed``. Two draw what a published
    program drew: ``sklearn`` is scikit-learn's ``train_test_split(test_size=count,
    random_state=seed)``, ``numpy`` the last ``count`` of NumPy's ``choice(n, n, replace=False)``
    after ``random.seed(seed)``. ``own`` is the validation set that the dataset comes with, and
    ``fold`` one of as many stratified ``folds``, drawn from ``seed``; neither takes a count.
    """

    how: Literal["first", "last", "stratified", "random", "sklearn", "numpy", "own", "fold"] = (
        "first"
    )
    count: int = Field(default=1, gt=0)
    seed: int = Field(default=0, ge=0)
    folds: int | None = Field(default=None, ge=2)
    fold: int = Field(default=0, ge=0)  #: which of them, from 0

    @model_validator(mode="after")
    def _folds_are_of_fold(self) -> Self:
        if self.how != "fold":
            for name in ("folds", "fold"):
                if getattr(self, name):
                    raise ValueError(f"{name}: only how fold takes it, but how is {self.how}")
        elif self.folds is None:
            raise ValueError("folds: none, but how is fold; say how many, 2 or more")
        elif self.fold >= self.folds:
            raise ValueError(f"fold: {self.fold}; choose from 0 to {self.folds - 1}")
        elif self.count != 1:
            raise ValueError(f"count: {self.count}, but how is fold, which takes none; set 1")
        return self


class Folder(Spec):
    """Images of one's own as a dataset; see :func:`kerascw.data.load.load_data`."""

    path: str  #: absolute, of a folder, a .csv or an .npz file; or tfds:NAME[/CONFIG]
    #: pixels of height and width, and whether grey or in colour, that every image is brought to
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    colour: bool = True
    #: of images without a test folder, the stratified part that is tested on, drawn from seed
    test_share: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    bad_files: Literal["fail", "skip"] = "fail"
    #: how images of another shape are brought to it; see kerascw.data.image_files.read_pictures
    fit: Literal["pad", "crop", "stretch"] = "pad"


class Also(Spec):
    """Further images to train an autoencoder on, whatever they show: other classes' parts.

    ``validation`` is what the experiment's own holdout takes of these classes.
    """

    classes: tuple[int, ...] = Field(min_length=1)
    parts: tuple[Literal["train", "validation", "test"], ...] = Field(min_length=1)


class Exclude(Spec):
    """Images that are left out: sorted positions, from 0, in the dataset's own splits.

    What is held out is chosen before, so that it stays the same without them.
    """

    train: tuple[Annotated[int, Field(ge=0)], ...] = ()  #: of training and what is held out of it
    validation: tuple[Annotated[int, Field(ge=0)], ...] = ()  #: of a validation set of its own
    test: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @field_validator("train", "validation", "test")
    @classmethod
    def _one_order(cls, positions: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(positions)))

    def __str__(self) -> str:
        """Say how many there are, with digits of which they are."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:6]
        return f"{self.counts} ({digest})"

    @property
    def counts(self) -> str:
        """Say how many images of each split there are."""
        named = {"training": self.train, "validation": self.validation, "test": self.test}
        counts = (counted(len(own), f"{name} image") for name, own in named.items() if own)
        return " and ".join(counts)


class DataSpec(Spec):
    """Which examples are trained on, held out and tested."""

    name: str
    folder: Folder | None = None  #: what name "folder" stands for
    sample: bool = False  #: the bundled sample instead of the whole dataset
    classes: tuple[int, ...] | None = None  #: keep these only
    #: number the kept classes 0, 1, ... in their order; else labels stay the dataset's own, and the
    #: model has an output for each of the dataset's classes
    relabel: bool = True
    holdout: Holdout | None = None  #: None: train on the whole training set, no validation
    #: of the training set; smaller ones are nested
    fraction: float = Field(default=1.0, gt=0, le=1)
    fraction_seed: int = Field(default=0, ge=0)
    #: which images the fraction has: a stratified draw from fraction_seed, or the first ones
    subset: Literal["stratified", "first"] = "stratified"
    also: tuple[Also, ...] = ()  #: added to the training part, after the fraction
    #: unit: [0, 1]; raw: 0..255 as they are; standard: mean 0, standard deviation 1
    scaling: Literal["unit", "raw", "standard"] = "unit"
    #: which images standard takes mean and standard deviation of
    standard_of: Literal["training", "training_and_validation"] = "training"
    exclude: Exclude | None = None  #: images to leave out, such as copies of test images
    #: train on the test set too, after the training images: to repeat a published program that did.
    #: Such a run has no test figures
    test_in_training: bool = False

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if (self.name == "folder") != (self.folder is not None):
            raise ValueError("name folder and the field folder need each other")
        if self.test_in_training and (self.holdout is not None or self.also):
            raise ValueError("test_in_training goes with holdout none and no also")
        if self.standard_of != "training" and self.scaling != "standard":
            raise ValueError(f"standard_of: {self.standard_of}, but scaling is {self.scaling}")
        return self

    @field_validator("classes")
    @classmethod
    def _two_classes(cls, classes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if classes is not None and (len(set(classes)) != len(classes) or len(classes) < 2):
            raise ValueError("needs two or more different classes")
        return classes


# --- model ----------------------------------------------------------------------------------


def _one_or_each(name: str, entries: int, layers: int) -> None:
    if entries not in (1, layers):
        raise ValueError(f"{name} has {entries} entries for {layers} conv layers")


Width = Annotated[int, Field(gt=0, le=100_000)]
"""How many filters or units a layer has."""


class Dropout(Spec):
    """Dropout after one kind of place; ``layers`` counts conv or hidden dense layers from 1.

    ``spatial`` drops whole channels (Tompson et al., 2015) and stands only before flattening.
    """

    after: Literal["conv", "pool", "flatten", "dense"]
    rate: float = Field(ge=0, lt=1)
    kind: Literal["unit", "spatial"] = "unit"
    layers: tuple[int, ...] | None = None  #: None: after every such layer

    @model_validator(mode="after")
    def _spatial_needs_maps(self) -> Self:
        if self.kind == "spatial" and self.after in ("flatten", "dense"):
            raise ValueError(f"kind spatial needs feature maps; after {self.after} there are none")
        return self


Padding = Literal["valid", "same"] | Annotated[int, Field(ge=0)]


class ConvNet(Spec):
    """A Sequential convnet: conv layers, each with optional pooling, then a dense head.

    The output layer (softmax over the classes of the data) is added by the builder; ``dense``
    lists the hidden layers before it. ``pool_after`` names the conv layers, from 1, that a max
    pooling follows; empty means no pooling anywhere.

    ``auxiliary`` names the conv layers, from 1, after whose pooling and activation a further head
    stands: flattening and an output layer, ``aux1`` after the first (after Szegedy et al., 2015).
    """

    kind: Literal["convnet"] = "convnet"
    filters: tuple[Width, ...] = Field(min_length=1)
    kernels: tuple[Annotated[int, Field(gt=0)], ...] = (3,)  #: one for all, or one a layer
    padding: Padding | tuple[Padding, ...] = "valid"  #: one for all, or one a layer
    pool_after: tuple[int, ...] = ()
    pool_size: int = Field(default=2, ge=2)
    activation: Activation = "relu"
    batch_norm: bool = False  #: after every conv layer, before its activation
    dense_batch_norm: bool = False  #: after every hidden dense layer, before its activation
    bias_before_norm: bool = False  #: keep the biases that a batch norm's own offset makes needless
    batch_norm_momentum: float = Field(default=0.99, gt=0, lt=1)  #: of the moving statistics
    batch_norm_epsilon: float = Field(default=1e-3, gt=0)  #: added to the variance
    #: after the pooling and not before it, where there are a quarter of the values to normalise
    norm_after_pool: bool = False
    dropout: tuple[Dropout, ...] = ()
    head: Literal["flatten", "average"] | None = "flatten"  #: average: global average pooling
    dense: tuple[Width, ...] = ()
    dense_activation: Activation | None = None  #: None: as after the conv layers
    output: Output = "softmax"
    initializer: Initializer = "glorot_uniform"
    #: whitening: as training begins, the first conv layer's filters become those that decorrelate
    #: patches of the training images and give them variance 1, each with its negative; what
    #: filters are left stay random (after Jordan, 2024, arXiv 2404.00498, who keeps them fixed)
    first_filters: Literal["random", "whitening"] = "random"
    #: identity: as training begins, each further conv layer hands its input's channels on, by as
    #: many filters as there are channels; those left stay random (Jordan, 2024)
    later_filters: Literal["random", "identity"] = "random"
    auxiliary: tuple[int, ...] = ()
    #: probabilities are the mean of those for the image and for its mirror image, in the fitted
    #: model and wherever it is scored, not in training
    mirror_average: bool = False

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        if self.norm_after_pool and not self.batch_norm:
            raise ValueError("norm_after_pool needs batch_norm")
        layers = len(self.filters)
        _one_or_each("kernels", len(self.kernels), layers)
        if isinstance(self.padding, tuple) and len(self.padding) != layers:
            raise ValueError(f"padding has {len(self.padding)} entries for {layers} conv layers")
        for name in ("pool_after", "auxiliary"):
            for number in getattr(self, name):
                if not 1 <= number <= layers:
                    raise ValueError(f"{name} names conv layer {number}; there are {layers}")
        if len(set(self.auxiliary)) != len(self.auxiliary):
            raise ValueError("auxiliary names a conv layer twice")
        for dropout in self.dropout:
            there = {"conv": range(1, layers + 1), "pool": self.pool_after, "flatten": (1,)}
            known = there.get(dropout.after, range(1, len(self.dense) + 1))
            for number in dropout.layers or ():
                if number not in known:
                    raise ValueError(f"dropout after {dropout.after} {number}: no such layer")
        return self

    def kernel_of(self, layer: int) -> int:
        """Return the kernel size of conv layer ``layer``, counted from 0."""
        return self.kernels[layer] if len(self.kernels) > 1 else self.kernels[0]

    def padding_of(self, layer: int) -> Padding:
        """Return the padding of conv layer ``layer``, counted from 0."""
        return self.padding[layer] if isinstance(self.padding, tuple) else self.padding


class DenseNet(Spec):
    """A multilayer perceptron on the flattened image; the output layer is added."""

    kind: Literal["mlp"] = "mlp"
    dense: tuple[Width, ...] = ()
    activation: Activation = "relu"
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)  #: after every hidden layer
    output: Output = "softmax"
    initializer: Initializer = "glorot_uniform"


class Autoencoder(Spec):
    """A convolutional autoencoder: images in, images in [0, 1] out.

    Each conv layer (valid padding) and its activation are followed by a 2x2 max pooling; the
    decoder mirrors them, with 2x2 upsampling before each transposed convolution.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    filters: tuple[Width, ...] = Field(min_length=1)
    kernels: tuple[Annotated[int, Field(gt=0)], ...] = (5,)  #: one for all, or one a conv layer
    activation: Activation = "relu"  #: of every layer, the last one included
    initializer: Initializer = "glorot_uniform"

    @model_validator(mode="after")
    def _a_kernel_a_layer(self) -> Self:
        _one_or_each("kernels", len(self.kernels), len(self.filters))
        return self

    @property
    def encoder(self) -> ConvNet:
        """The convnet, up to its last pooling, that the first half is."""
        return ConvNet(
            filters=self.filters,
            kernels=self.kernels,
            pool_after=tuple(range(1, len(self.filters) + 1)),
            activation=self.activation,
            initializer=self.initializer,
        )


class Custom(Spec):
    """A Keras model of one's own: what a function ``(input_shape, classes)`` returns.

    ``builder`` names it: ``my_study:make``, ``models/mine.py:make`` or ``package.module:make``. The
    text of its file, by its SHA-256, is part of the key; files that it imports are not.
    :mod:`kerascw.models.custom` says what the model takes and gives.
    """

    kind: Literal["custom"] = "custom"
    builder: str
    arguments: dict[str, JsonValue] = Field(default={})  #: further ones, by name
    logits: bool = False  #: it gives what probabilities are computed from, not probabilities
    output: Output = "softmax"
    #: found when the spec is made: the file of the builder, which is no part of the key, and the
    #: SHA-256 of its text
    file: str = ""
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _has_its_source(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("builder"), str):
            return values
        if values.get("source"):
            module, stem = values["builder"].rpartition(":")[0], Path(values.get("file", "")).stem
            if stem in (Path(module).stem, module.rpartition(".")[2], "__init__"):
                return values  # kept with the spec; the file itself may be gone
        file, _ = find_function(values["builder"], "model.builder")
        return values | {"file": str(file), "source": sha256_of(file)}

    def __hash__(self) -> int:  # arguments are a dictionary, which has none
        return hash((self.builder, self.source))


class Backbone(Spec):
    """A network of ``keras.applications`` with weights of its own, and a new output layer.

    Images are resized to ``side`` within the model, grey ones repeated in three channels. Batch
    norm stays as it is, in training too: its statistics are of many more images than these.
    """

    kind: Literal["backbone"] = "backbone"
    network: Literal[
        "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_b0"
    ] = "mobilenet_v3_small"
    #: imagenet: from Keras' cache, or downloaded there; random; or a file for load_weights, of the
    #: network without its top
    weights: str = "imagenet"
    weights_sha256: str = ""  #: of that file, found when the spec is made
    frozen: bool = True  #: only the output layer is trained
    side: int = Field(default=96, ge=32, le=600)  #: pixels
    dropout: float = Field(default=0.2, ge=0, lt=1)  #: before the output layer
    output: Output = "softmax"

    @model_validator(mode="before")
    @classmethod
    def _has_its_weights(cls, values: Any) -> Any:
        weights = values.get("weights", "imagenet") if isinstance(values, dict) else None
        if weights in ("imagenet", "random"):
            return values | {"weights_sha256": ""}
        if not isinstance(weights, str) or values.get("weights_sha256"):
            return values  # kept with the spec; the file itself may be gone
        file = Path(weights).resolve()
        return values | {"weights": str(file), "weights_sha256": sha256_of(file)}


ModelSpec = Annotated[
    ConvNet | DenseNet | Autoencoder | Custom | Backbone, Field(discriminator="kind")
]


# --- training -------------------------------------------------------------------------------

Rate = Annotated[float, Field(gt=0)]


class SGD(Spec):
    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.01
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False


class RMSprop(Spec):
    """Gradients over the root of a moving average of their squares (Tieleman and Hinton, 2012)."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Rate = 1e-3
    momentum: float = Field(default=0.0, ge=0, lt=1)
    rho: float = Field(default=0.9, ge=0, lt=1)  #: the share of the average that a step keeps
    epsilon: float = Field(default=1e-7, gt=0)
    #: Keras adds epsilon to the average, within the root, and PyTorch to the root
    epsilon_in_root: bool = True


class Adam(Spec):
    """Adam (Kingma and Ba, 2015)."""

    kind: Literal["adam"] = "adam"
    learning_rate: Rate = 1e-3
    epsilon: float = Field(default=1e-7, gt=0)


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), on kernels only."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 1e-3
    weight_decay: float = Field(default=0.01, ge=0)


class Muon(Spec):
    """Muon (Jordan, 2024) for convolution kernels, and AdamW for everything else.

    Muon's updates have the size of AdamW's (Liu et al., 2025), so that rates are of one kind.
    """

    kind: Literal["muon"] = "muon"
    learning_rate: Rate = 1e-3
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.95, ge=0, lt=1)  #: Muon's, as Nesterov's


class Adamax(Spec):
    """Adam with the infinity norm (Kingma and Ba, 2015, section 7)."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: Rate = 1e-3
    epsilon: float = Field(default=1e-7, gt=0)


OptimizerSpec = Annotated[SGD | RMSprop | Adam | AdamW | Adamax | Muon, Field(discriminator="kind")]

Epochs = Annotated[int, Field(gt=0)]


class Constant(Spec):
    kind: Literal["constant"] = "constant"


class Step(Spec):
    """The rate times ``factor`` after every ``every`` epochs."""

    kind: Literal["step"] = "step"
    every: Epochs = 5
    factor: float = Field(default=0.1, gt=0, le=1)


class Halving(Spec):
    """Half the rate after every ``every`` epochs."""

    kind: Literal["halving"] = "halving"
    every: Epochs = 5


class InverseTime(Spec):
    """After every ``every`` epochs the rate times ``1 / (1 + decay * epoch)``.

    ``epoch``, counted from 0, is the epoch that begins with the new rate (``next``) or the one that
    has just ended (``last``).
    """

    kind: Literal["inverse_time"] = "inverse_time"
    every: Epochs = 1
    decay: float = Field(default=0.1, ge=0)
    epoch: Literal["next", "last"] = "next"


class Cosine(Spec):
    """From the optimiser's rate to ``floor`` times it, half a cosine (Loshchilov, Hutter, 2017).

    The rate is set for every step. ``warmup`` is the share of all steps that rise linearly.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    floor: float = Field(default=0.0, ge=0, lt=1)


class WarmUp(Spec):
    """A linear rise over the first ``warmup`` share of all steps, then the optimiser's rate."""

    kind: Literal["warm_up"] = "warm_up"
    warmup: float = Field(default=0.1, gt=0, le=1)


class Plateau(Spec):
    """The rate times ``factor`` whenever ``patience`` epochs did not lower the validation loss."""

    kind: Literal["plateau"] = "plateau"
    patience: Epochs = 5
    factor: float = Field(default=0.1, gt=0, lt=1)
    lowest: float = Field(default=0.0, ge=0)  #: rate


class OneCycle(Spec):
    """Linear warm-up to the optimiser's rate, then a cosine to zero (after Smith, 2018).

    The rate is set for every step; ``warmup`` is the share of all steps that rise.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(default=0.25, gt=0, lt=1)


ByStep = Cosine | OneCycle | WarmUp
"""Schedules whose rate changes with every step, not with the epochs."""

ScheduleSpec = Annotated[
    Constant | Step | Halving | InverseTime | ByStep | Plateau, Field(discriminator="kind")
]


Probability = Annotated[float, Field(ge=0, le=1)]
"""That an image is changed, drawn for each image of a batch by itself."""


class Flip(Spec):
    """Mirror left and right with this probability."""

    kind: Literal["flip"] = "flip"
    probability: Probability = 0.5


class Shift(Spec):
    """Move by a whole number of pixels in each direction, uniform; the gap is black."""

    kind: Literal["shift"] = "shift"
    pixels: int = Field(default=2, ge=1)


class Brightness(Spec):
    """Multiply all pixels by a factor uniform in ``1 - amount`` to ``1 + amount``."""

    kind: Literal["brightness"] = "brightness"
    amount: float = Field(default=0.2, gt=0, le=1)


class Contrast(Spec):
    """Multiply the distance from the image's mean grey, by a factor drawn as brightness'."""

    kind: Literal["contrast"] = "contrast"
    amount: float = Field(default=0.2, gt=0, le=1)


class Autocontrast(Spec):
    """Stretch each channel so that its darkest pixel is 0 and its brightest 255."""

    kind: Literal["autocontrast"] = "autocontrast"
    probability: Probability = 0.2


class Solarize(Spec):
    """Invert the pixels at or above the threshold."""

    kind: Literal["solarize"] = "solarize"
    probability: Probability = 0.2
    threshold: int = Field(default=15, ge=0, le=255)


class Rotate(Spec):
    """Turn about the middle by an angle uniform within ``degrees`` either way; gaps are black."""

    kind: Literal["rotate"] = "rotate"
    degrees: float = Field(default=10.0, gt=0, le=180)


class Zoom(Spec):
    """Scale about the middle by a factor uniform in ``low`` to ``high``; gaps are black.

    A factor above 1 enlarges what is seen and cuts its margins off.
    """

    kind: Literal["zoom"] = "zoom"
    # less is refused: zoom:0.1 is mostly meant as 0.9 to 1.1
    low: float = Field(default=0.9, ge=0.5, le=10)
    high: float = Field(default=1.1, ge=0.5, le=10)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Erase(Spec):
    """Random erasing (Zhong et al., 2020): a box of the image becomes noise, or black.

    The box's share of the image is uniform in ``smallest`` to ``largest``; the logarithm of its
    height over its width is uniform, the ratio between ``aspect`` and its inverse. A side that
    would be longer than the image is cut to it, where the paper draws again.
    """

    kind: Literal["erase"] = "erase"
    probability: Probability = 0.5
    smallest: float = Field(default=0.02, gt=0, le=1)
    largest: float = Field(default=0.4, gt=0, le=1)
    aspect: float = Field(default=0.3, gt=0, le=1)
    fill: Literal["noise", "black"] = "noise"  #: noise: every pixel uniform in 0 to 255

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} is above largest {self.largest}")
        return self


class Mixup(Spec):
    """Blend an image and its label with another of the batch (Zhang et al., 2018).

    The weight is drawn from Beta(``alpha``, ``alpha``), for each image its own.
    """

    kind: Literal["mixup"] = "mixup"
    alpha: float = Field(default=0.2, ge=0.01, le=100)
    probability: Probability = 1.0


class CutMix(Spec):
    """Paste a box of another image of the batch, and its share of the label (Yun et al., 2019).

    The share that stays is drawn from Beta(``alpha``, ``alpha``), for each image its own; the
    label goes by the pixels that did.
    """

    kind: Literal["cutmix"] = "cutmix"
    alpha: float = Field(default=1.0, ge=0.01, le=100)
    probability: Probability = 0.5


_OfOneImage = Flip | Brightness | Contrast | Autocontrast | Solarize | Shift | Rotate | Zoom | Erase
AugmentationSpec = Annotated[_OfOneImage | Mixup | CutMix, Field(discriminator="kind")]


class TrainingSpec(Spec):
    """How the model is fitted."""

    epochs: int = Field(gt=0, le=1_000_000)
    batch_size: int = Field(default=64, gt=0, le=1_000_000)
    optimizer: OptimizerSpec = Adam()
    schedule: ScheduleSpec = Constant()
    #: lambda times the sum of squares of all trainable parameters, biases included: it goes
    #: into the gradients and not into any loss that is reported
    l2: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    #: what is minimised of ten sigmoids' binary cross-entropies: their mean, or their sum, whose
    #: gradient is ten times that. The loss that is reported is the mean either way
    loss_over_outputs: Literal["mean", "sum"] = "mean"
    #: a new order of the training images for every epoch; false: the order of the dataset, always
    #: (of a folder of images that is class by class)
    shuffle: bool = True
    #: score the validation set with the initial weights too, as epoch 0
    evaluate_first: bool = False
    #: of each auxiliary head's loss, one for all or one a head; the main head's is 1, and 0 leaves
    #: a head as it was initialised
    auxiliary_weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(0.0,), min_length=1
    )
    #: of the training images, in this order; training loss and accuracy are of what comes out,
    #: under mixup and cutmix of mixed labels: an answer is right that names the larger share
    augmentation: tuple[AugmentationSpec, ...] = ()
    #: what is scored and kept is the exponential moving average of the weights, of which this is
    #: the share that a step keeps; batch norm's moving statistics are averaged with them. 0: no
    #: average
    weight_average: float = Field(default=0.0, ge=0, lt=1)
    #: step t keeps no more than t / (t + this), so that the initial weights are soon forgotten
    weight_average_warmup: float = Field(default=10.0, ge=0)
    #: mixed: layers compute in 16 bits, weights and output layer keep 32; scored and exported as
    #: float32 either way. auto is resolved as the spec is made, so that no experiment has it:
    #: mixed_bfloat16 where the processor has instructions for it, float32 elsewhere
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "auto"] = "float32"
    #: whose weights are kept: the epoch with the best of this figure, or the last epoch
    keep: Literal["validation_accuracy", "validation_loss", "last"] = "validation_accuracy"
    patience: int | None = Field(default=None, gt=0)  #: epochs without a better kept figure

    @field_validator("precision")
    @classmethod
    def _one_arithmetic(cls, precision: str) -> str:
        return fast_precision() if precision == "auto" else precision

    @model_validator(mode="after")
    def _a_batch_to_mix(self) -> Self:
        mixes = next((a.kind for a in self.augmentation if isinstance(a, Mixup | CutMix)), None)
        if mixes and self.batch_size == 1:
            raise ValueError(f"batch_size: 1 leaves augmentation {mixes} nothing to mix with")
        return self


# --- experiment -----------------------------------------------------------------------------


Takes = Literal["everything", "kernels"]


class WarmStart(Spec):
    """Which layers begin with another experiment's weights, and whether they keep these.

    All other layers are initialised anew. The source is an experiment by value: the engine trains
    it first where it is not kept yet, and this experiment's key covers all of it.
    """

    source: "Experiment"
    layers: tuple[str, ...] = Field(min_length=1)  #: names, the same in both models
    frozen: bool = False  #: they are not trained
    #: which weights of these layers are taken over; kernels: biases are initialised anew
    takes: Takes = "everything"

    @model_validator(mode="after")
    def _frozen_layers_are_whole(self) -> Self:
        if self.frozen and self.takes == "kernels":
            raise ValueError("frozen: true would keep random biases with takes kernels")
        return self


SeedNumber = Annotated[int, Field(ge=0, lt=2**31)]


class Seeds(Spec):
    """Seeds of their own for single sources of randomness; one that is none has the experiment's.

    They tell apart where the noise of a result comes from (``python -m kerascw variance``).
    """

    weights: SeedNumber | None = None  #: initial weights
    dropout: SeedNumber | None = None  #: which units are dropped
    order: SeedNumber | None = None  #: the order of the training images
    augmentation: SeedNumber | None = None  #: what augmentation draws
    #: each seed of a study draws a validation set of its own, in place of data.holdout.seed
    split: bool = False


class Experiment(Spec):
    """One training run: which images, which model, how it is trained, from which seed."""

    data: DataSpec  #: images and splits
    model: ModelSpec  #: layers
    training: TrainingSpec  #: optimiser, schedule, augmentation
    seed: SeedNumber = 0  #: of all randomness
    seeds: Seeds = Seeds()  #: of single sources of it
    start: WarmStart | None = None  #: initial weights from another experiment

    def seed_of(self, source: Literal["weights", "dropout", "order", "augmentation"]) -> int:
        """Return the seed of one source of randomness."""
        own: int | None = getattr(self.seeds, source)
        return self.seed if own is None else own

    @property
    def reconstructs(self) -> bool:
        """Whether the model gives images, not classes."""
        return isinstance(self.model, Autoencoder)

    @property
    def output(self) -> Output | None:
        """What the output layer is; None of an autoencoder."""
        return None if isinstance(self.model, Autoencoder) else self.model.output

    @property
    def folds(self) -> int | None:
        """Of how many folds it holds one out; None where it holds out no fold."""
        holdout = self.data.holdout
        return None if holdout is None else holdout.folds

    @property
    def fold(self) -> int | None:
        """Which fold it holds out, from 0; None where it holds out no fold."""
        holdout = self.data.holdout
        return holdout.fold if holdout is not None and holdout.how == "fold" else None

    @property
    def auxiliary_weights(self) -> dict[str, float]:
        """The weight of each auxiliary head's loss; empty where the model has one head."""
        heads = [f"aux{number}" for number in sorted(self._auxiliary)]
        weights = self.training.auxiliary_weights
        return dict(zip(heads, weights * len(heads) if len(weights) == 1 else weights, strict=True))

    @property
    def _auxiliary(self) -> tuple[int, ...]:
        return self.model.auxiliary if isinstance(self.model, ConvNet) else ()

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        training, unheld = self.training, self.data.holdout is None
        heads, weights = len(self._auxiliary), training.auxiliary_weights
        no_validation = "needs data.holdout: there is no validation set"
        rules = {
            "keep must be last where data.holdout is none": unheld and training.keep != "last",
            f"patience {no_validation}": unheld and training.patience is not None,
            f"patience {training.patience} needs keep validation_accuracy or validation_loss, not "
            "last": training.keep == "last" and training.patience is not None,
            f"schedule plateau {no_validation}": unheld and isinstance(training.schedule, Plateau),
            f"evaluate_first {no_validation}": unheld and training.evaluate_first,
            "keep: an autoencoder has no accuracy; validation_loss": self.reconstructs
            and training.keep == "validation_accuracy",
            "label_smoothing: an autoencoder has no labels": self.reconstructs
            and training.label_smoothing,
            "label_smoothing needs model.output softmax": self.output == "sigmoid"
            and training.label_smoothing,
            "loss_over_outputs: sum needs model.output sigmoid": self.output != "sigmoid"
            and training.loss_over_outputs == "sum",
            f"auxiliary_weights has {len(weights)} entries for {heads} auxiliary heads": (
                len(weights) not in (1, heads) or (not heads and any(weights))
            ),
        }
        for rule, broken in rules.items():
            if broken:
                raise ValueError(f"training.{rule}")
        if self.data.also and not self.reconstructs:
            raise ValueError("data.also: images of other classes are for an autoencoder only")
        return self

    def canonical_json(self) -> str:
        """Return the one text that stands for this experiment: keys sorted, defaults left out.

        So a field that is added later, with the default that was the rule before, leaves the
        keys of kept runs as they are.
        """
        return json.dumps(_stated(self), sort_keys=True, separators=(",", ":"))

    @property
    def recipe_version(self) -> int:
        """RECIPE_VERSION, or a later one where only such experiments train differently since then.

        4: bfloat16 in shards; 5: rates of steps from a table, with other last digits; 6: whitening
        of images larger than 32 x 32, measured on fewer of them.
        """
        model, folder = self.model, self.data.folder
        whitens = isinstance(model, ConvNet) and model.first_filters == "whitening"
        if whitens and folder is not None and folder.height * folder.width > 32 * 32:
            return 6
        if isinstance(self.training.schedule, ByStep):
            return 5
        return 4 if self.training.precision == "mixed_bfloat16" else RECIPE_VERSION

    def key(self, fingerprint: str) -> str:
        """Return the 16 hexadecimal digits that name this experiment on this data.

        ``fingerprint`` is the data's (:attr:`kerascw.data.Dataset.fingerprint`).
        """
        experiment = _without_files(self)
        text = f"{experiment.recipe_version}\n{fingerprint}\n{experiment.canonical_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_files(experiment: Experiment) -> Experiment:
    """Forget where images and files of a model lie: what is in them is in the key."""
    changes: dict[str, Any] = {}
    if experiment.data.folder is not None:
        nowhere = experiment.data.folder.model_copy(update={"path": "", "bad_files": "fail"})
        changes["data"] = experiment.data.model_copy(update={"folder": nowhere})
    if isinstance(experiment.model, Custom):
        module, _, function = experiment.model.builder.rpartition(":")
        name = Path(module).stem if module.endswith(".py") else module
        here = {"file": "", "builder": f"{name}:{function}"}
        changes["model"] = experiment.model.model_copy(update=here)
    elif isinstance(experiment.model, Backbone) and experiment.model.weights_sha256:
        changes["model"] = experiment.model.model_copy(update={"weights": ""})
    if experiment.start is not None:
        source = _without_files(experiment.start.source)
        if source is not experiment.start.source:
            changes["start"] = experiment.start.model_copy(update={"source": source})
    return experiment.model_copy(update=changes) if changes else experiment


def _stated(value: Any) -> Any:
    """Return what differs from the defaults, as JSON has it; the kind always."""
    if isinstance(value, tuple):
        return [_stated(item) for item in value]
    if not isinstance(value, Spec):
        return value
    fields = type(value).model_fields
    return {
        name: _stated(item)
        for name, item in value
        if name == "kind" or fields[name].is_required() or item != fields[name].default
    }


WarmStart.model_rebuild()
