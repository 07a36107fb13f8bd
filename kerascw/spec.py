"""What an experiment is: frozen, validated values with one canonical JSON form.

Every number that changes a result is a field here. Derive a changed experiment with
:func:`override` or ``model_copy``; nothing is ever mutated. This module must not import
TensorFlow: the command line reads it to answer ``--help``.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kerascw.errors import CallError

RECIPE_VERSION = 1
"""Raised whenever the same experiment would train differently; part of every run's key."""

Activation = Literal["relu", "tanh", "sigmoid", "elu", "gelu", "linear"]
Initializer = Literal["glorot_uniform", "he_uniform", "he_normal", "torch"]


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
    draws them so that every class keeps its share, from ``seed``.
    """

    how: Literal["first", "last", "stratified"] = "first"
    count: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)


class DataSpec(Spec):
    """Which examples are trained on, held out and tested."""

    name: str
    sample: bool = False  # the bundled sample instead of the whole dataset
    classes: tuple[int, ...] | None = None  # keep these only, relabelled 0, 1, ... in this order
    holdout: Holdout | None = None  # None: train on the whole training set, no validation
    fraction: float = Field(default=1.0, gt=0, le=1)  # of the training part, stratified, nested
    fraction_seed: int = Field(default=0, ge=0)
    # unit: [0, 1]; raw: 0..255 as they are; standard: training mean 0, standard deviation 1
    scaling: Literal["unit", "raw", "standard"] = "unit"

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


OptimizerSpec = Annotated[SGD | RMSprop | Adam | AdamW, Field(discriminator="kind")]


class Constant(Spec):
    kind: Literal["constant"] = "constant"


class OneCycle(Spec):
    """Linear warm-up to the optimiser's rate, then a cosine to zero (after Smith, 2018).

    The rate is set for every step; ``warmup`` is the share of all steps that rise.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(default=0.25, gt=0, lt=1)


ScheduleSpec = Annotated[Constant | OneCycle, Field(discriminator="kind")]


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
        return self

    def canonical_json(self) -> str:
        """Return the one text that stands for this experiment: all fields, keys sorted."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def key(self, fingerprint: str) -> str:
        """Return the 16 hexadecimal digits that name this experiment on this data.

        ``fingerprint`` is the data's (:attr:`kerascw.data.Dataset.fingerprint`).
        """
        text = f"{RECIPE_VERSION}\n{fingerprint}\n{self.canonical_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def one_line(error: ValidationError, prefix: str = "") -> str:
    """Return pydantic's complaint as one line: field, what is wrong, value received."""
    first = error.errors()[0]
    # pydantic puts the discriminator's value into the path; the user never wrote it
    path = ".".join(str(part) for part in first["loc"] if part not in _KINDS)
    message = first["msg"].removeprefix("Value error, ")
    received = "" if first["type"] == "missing" else f" (received {first['input']!r:.80})"
    if first["type"] == "extra_forbidden":
        message, received = "no such field", ""
    if isinstance(first["input"], BaseModel | dict) or not path:
        received = ""
    return f"{prefix}{path}: {message}{received}" if path else f"{prefix}{message}"


_KINDS = {
    *("convnet", "mlp", "sgd", "rmsprop", "adam", "adamw", "constant", "one_cycle"),
    *("flip", "shift"),
}


def _field_names(value: Any) -> str:
    return ", ".join(sorted(value))


def override(experiment: Experiment, settings: dict[str, Any]) -> Experiment:
    """Return the experiment with fields changed, each named by its dotted path.

    Values may be text as it comes from a command line: JSON where it parses, else a string. A
    changed ``kind`` starts that part afresh with its other fields' defaults, keeping those that
    both kinds have.

    Raises
    ------
    CallError
        A path that names no field, or a value of the wrong type or range.

    >>> from kerascw.studies import fashion
    >>> override(fashion.recipe(), {"training.epochs": "3"}).training.epochs
    3
    """
    tree = experiment.model_dump(mode="json")
    for path, raw in settings.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            if not isinstance(node, dict) or parent not in node:
                known = _field_names(node) if isinstance(node, dict) else "none"
                raise CallError(f"{path}: no such field; at {parent!r} the fields are {known}")
            node = node[parent]
        if not isinstance(node, dict) or name not in node:
            known = _field_names(node) if isinstance(node, dict) else "none"
            raise CallError(f"{path}: no such field; there the fields are {known}")
        value = _parse(raw)
        if name == "kind":
            tree = _with_kind(tree, parents, value)
        else:
            node[name] = value
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise CallError(one_line(error)) from None


def _parse(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        if raw in ("none", "None"):
            return None
        if "," in raw:  # 32,64,64 is easier to type than [32,64,64]
            return [_parse(part.strip()) for part in raw.split(",")]
        return raw


def _with_kind(tree: dict[str, Any], parents: list[str], kind: Any) -> dict[str, Any]:
    """Return the tree with a part of another kind, its shared fields kept."""
    classes: dict[str, list[type[Spec]]] = {
        "model": [ConvNet, DenseNet],
        "training.optimizer": [SGD, RMSprop, Adam, AdamW],
        "training.schedule": [Constant, OneCycle],
    }
    where = ".".join(parents)
    for spec in classes.get(where, []):
        if spec.model_fields["kind"].default == kind:
            node = tree
            for parent in parents[:-1]:
                node = node[parent]
            old = node[parents[-1]]
            node[parents[-1]] = {
                name: old.get(name, None if field.is_required() else field.default)
                for name, field in spec.model_fields.items()
            } | {"kind": kind}
            return tree
    known = [spec.model_fields["kind"].default for spec in classes.get(where, [])]
    raise CallError(f"{where}.kind: {kind!r} is none of {', '.join(known)}")
