"""What an experiment is: frozen, validated values with one canonical JSON form.

Every number that changes a result is a field here. Derive a changed experiment with
:func:`kerascw.settings.override` or ``model_copy``; nothing is ever mutated. This module
must not import TensorFlow: the command line reads it to answer ``--help``.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

RECIPE_VERSION = 2
"""Raised whenever the same experiment would train differently, so also when a default changes; part
of every run's key."""

Activation = Literal["relu", "tanh", "sigmoid", "elu", "gelu", "linear"]
Initializer = Literal["glorot_uniform", "he_uniform", "he_normal", "torch"]
Output = Literal["softmax", "sigmoid"]
"""Of the output layer, which decides the loss: cross-entropy over the classes, or the mean over the
classes of each one's binary cross-entropy (one against the rest)."""


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_tuple_too(cls, values: Any) -> Any:
        """Take ``model.kernels=3`` for ``(3,)``: one value where a tuple is meant."""
        if not isinstance(values, dict):
            return values
        return {
            name: (value,)
            if isinstance(value, int | float | str) and _takes_tuple(cls, name)
            else value
            for name, value in values.items()
        }


def _takes_tuple(spec: type[BaseModel], name: str) -> bool:
    field = spec.model_fields.get(name)
    if field is None:
        return False
    return tuple in {get_origin(part) for part in (field.annotation, *get_args(field.annotation))}


# --- data -----------------------------------------------------------------------------------


class Holdout(Spec):
    """Which part of the training set is held out for validation.

    ``first`` and ``last`` take that many examples in the order of the source; ``stratified``
    draws them so that every class keeps its share, ``random`` whatever their class, both from
    ``seed``. ``own`` is the validation part that the dataset comes with, and needs no count.
    """

    how: Literal["first", "last", "stratified", "random", "own"] = "first"
    count: int = Field(default=1, gt=0)
    seed: int = Field(default=0, ge=0)


class Folder(Spec):
    """A folder of pictures as a dataset; see :mod:`kerascw.data.folder`."""

    path: str  # absolute
    # pixels of height and width, and whether grey or in colour, that every picture is brought to
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    colour: bool = True
    # of pictures without a test folder, the stratified part that is tested on, drawn from seed
    test_share: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    bad_files: Literal["fail", "skip"] = "fail"


class DataSpec(Spec):
    """Which examples are trained on, held out and tested."""

    name: str
    folder: Folder | None = None  # what name "folder" stands for
    sample: bool = False  # the bundled sample instead of the whole dataset
    classes: tuple[int, ...] | None = None  # keep these only, relabelled 0, 1, ... in this order
    holdout: Holdout | None = None  # None: train on the whole training set, no validation
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the training part, stratified, nested
    fraction_seed: int = Field(default=0, ge=0)
    # unit: [0, 1]; raw: 0..255 as they are; standard: training mean 0, standard deviation 1
    scaling: Literal["unit", "raw", "standard"] = "unit"

    @model_validator(mode="after")
    def _folder_has_its_name(self) -> Self:
        if (self.name == "folder") != (self.folder is not None):
            raise ValueError("name folder and the field folder need each other")
        return self

    @field_validator("classes")
    @classmethod
    def _two_classes(cls, classes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if classes is not None and (len(set(classes)) != len(classes) or len(classes) < 2):
            raise ValueError("needs two or more different classes")
        return classes


# --- model ----------------------------------------------------------------------------------


class Dropout(Spec):
    """Dropout after one kind of place; ``layers`` counts conv or hidden dense layers from 1.

    ``spatial`` drops whole channels (Tompson et al., 2015) and stands only before flattening.
    """

    after: Literal["conv", "pool", "flatten", "dense"]
    rate: float = Field(ge=0, lt=1)
    kind: Literal["unit", "spatial"] = "unit"
    layers: tuple[int, ...] | None = None  # None: after every such layer

    @model_validator(mode="after")
    def _spatial_needs_maps(self) -> Self:
        if self.kind == "spatial" and self.after in ("flatten", "dense"):
            raise ValueError(f"kind spatial needs feature maps; after {self.after} there are none")
        return self


class ConvNet(Spec):
    """A Sequential convnet: conv layers, each with optional pooling, then a dense head.

    The output layer (softmax over the classes of the data) is added by the builder; ``dense``
    lists the hidden layers before it. ``pool_after`` names the conv layers, from 1, that a max
    pooling follows; empty means no pooling anywhere.
    """

    kind: Literal["convnet"] = "convnet"
    filters: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    kernels: tuple[Annotated[int, Field(gt=0)], ...] = (3,)  # one for all, or one a layer
    padding: Literal["valid", "same"] | Annotated[int, Field(ge=0)] = "valid"
    pool_after: tuple[int, ...] = ()
    pool_size: int = Field(default=2, ge=2)
    activation: Activation = "relu"
    batch_norm: bool = False  # after every conv layer, before its activation
    batch_norm_momentum: float = Field(default=0.99, gt=0, lt=1)  # of the moving statistics
    dropout: tuple[Dropout, ...] = ()
    head: Literal["flatten", "average"] | None = "flatten"  # average: global average pooling
    dense: tuple[Annotated[int, Field(gt=0)], ...] = ()
    dense_activation: Activation | None = None  # None: as after the conv layers
    output: Output = "softmax"
    initializer: Initializer = "glorot_uniform"

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        layers = len(self.filters)
        if len(self.kernels) not in (1, layers):
            raise ValueError(f"kernels has {len(self.kernels)} entries for {layers} conv layers")
        for number in self.pool_after:
            if not 1 <= number <= layers:
                raise ValueError(f"pool_after names conv layer {number}; there are {layers}")
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


class DenseNet(Spec):
    """A multilayer perceptron on the flattened picture; the output layer is added."""

    kind: Literal["mlp"] = "mlp"
    dense: tuple[Annotated[int, Field(gt=0)], ...] = ()
    activation: Activation = "relu"
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)  # after every hidden layer
    output: Output = "softmax"
    initializer: Initializer = "glorot_uniform"


ModelSpec = Annotated[ConvNet | DenseNet, Field(discriminator="kind")]


# --- training -------------------------------------------------------------------------------

Rate = Annotated[float, Field(gt=0)]


class SGD(Spec):
    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.01
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False


class RMSprop(Spec):
    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Rate = 1e-3
    momentum: float = Field(default=0.0, ge=0, lt=1)


class Adam(Spec):
    kind: Literal["adam"] = "adam"
    learning_rate: Rate = 1e-3


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), on kernels only."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 1e-3
    weight_decay: float = Field(default=0.01, ge=0)


class Adamax(Spec):
    """Adam with the infinity norm (Kingma and Ba, 2015, section 7)."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: Rate = 1e-3


OptimizerSpec = Annotated[SGD | RMSprop | Adam | AdamW | Adamax, Field(discriminator="kind")]

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
    """After every ``every`` epochs the rate times ``1 / (1 + decay * epoch)``, epoch from 0."""

    kind: Literal["inverse_time"] = "inverse_time"
    every: Epochs = 1
    decay: float = Field(default=0.1, ge=0)


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
    lowest: float = Field(default=0.0, ge=0)  # rate


class OneCycle(Spec):
    """Linear warm-up to the optimiser's rate, then a cosine to zero (after Smith, 2018).

    The rate is set for every step; ``warmup`` is the share of all steps that rise.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(default=0.25, gt=0, lt=1)


ScheduleSpec = Annotated[
    Constant | Step | Halving | InverseTime | Cosine | OneCycle | WarmUp | Plateau,
    Field(discriminator="kind"),
]


class Flip(Spec):
    """Mirror left and right with this probability."""

    kind: Literal["flip"] = "flip"
    probability: float = Field(default=0.5, ge=0, le=1)


class Shift(Spec):
    """Move by a whole number of pixels in each direction, uniform; the gap is black."""

    kind: Literal["shift"] = "shift"
    pixels: int = Field(default=2, ge=1)


AugmentationSpec = Annotated[Flip | Shift, Field(discriminator="kind")]


class TrainingSpec(Spec):
    """How the model is fitted."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(default=64, gt=0)
    optimizer: OptimizerSpec = Adam()
    schedule: ScheduleSpec = Constant()
    # lambda times the sum of squares of all trainable parameters, biases included: it goes
    # into the gradients and not into any loss that is reported
    l2: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augmentation: tuple[AugmentationSpec, ...] = ()
    # whose weights are kept: the epoch with the best of this figure, or the last epoch
    keep: Literal["validation_accuracy", "validation_loss", "last"] = "validation_accuracy"
    patience: int | None = Field(default=None, gt=0)  # epochs without a better kept figure


# --- experiment -----------------------------------------------------------------------------


class Experiment(Spec):
    data: DataSpec
    model: ModelSpec
    training: TrainingSpec
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _selection_needs_validation(self) -> Self:
        if self.data.holdout is None:
            if self.training.keep != "last":
                raise ValueError("training.keep must be last where data.holdout is none")
            if self.training.patience is not None:
                raise ValueError("training.patience needs data.holdout: there is no validation")
            if isinstance(self.training.schedule, Plateau):
                raise ValueError("training.schedule plateau needs data.holdout: no validation")
        if self.model.output == "sigmoid" and self.training.label_smoothing:
            raise ValueError("training.label_smoothing needs model.output softmax")
        return self

    def canonical_json(self) -> str:
        """Return the one text that stands for this experiment: keys sorted, defaults left out.

        So a field that is added later, with the default that was the rule before, leaves the
        keys of kept runs as they are.
        """
        return json.dumps(_stated(self), sort_keys=True, separators=(",", ":"))

    def key(self, fingerprint: str) -> str:
        """Return the 16 hexadecimal digits that name this experiment on this data.

        ``fingerprint`` is the data's (:attr:`kerascw.data.Dataset.fingerprint`).
        """
        experiment = self
        if self.data.folder is not None:  # where it lies is not what it is: that the data says
            nowhere = self.data.folder.model_copy(update={"path": "", "bad_files": "fail"})
            data = self.data.model_copy(update={"folder": nowhere})
            experiment = self.model_copy(update={"data": data})
        text = f"{RECIPE_VERSION}\n{fingerprint}\n{experiment.canonical_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stated(value: Any) -> Any:
    """Return what differs from the defaults, as JSON has it; the kind always."""
    if isinstance(value, tuple):
        return [_stated(item) for item in value]
    if not isinstance(value, Spec):
        return value
    fields = type(value).model_fields
    stated = {name: getattr(value, name) for name in fields}
    return {
        name: _stated(item)
        for name, item in stated.items()
        if name == "kind" or fields[name].is_required() or item != fields[name].default
    }
