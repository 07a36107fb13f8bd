import hashlib
import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    RECIPE_VERSION,
    ConvNet,
    Custom,
    DataSpec,
    DenseNet,
    Dropout,
    Experiment,
    Holdout,
    TrainingSpec,
    WarmStart,
)
from kerascw.studies import all_studies, fashion


def test_the_key_depends_on_every_field_and_the_data() -> None:
    base = fashion.recipe()
    keys = {base.key("data")}
    changes: list[dict[str, object]] = [
        {"seed": 1},
        {"data.fraction": 0.5},
        {"data.holdout.count": 4999},
        {"model.filters": [18, 48, 48, 64, 65]},
        {"training.epochs": 11},
        {"training.optimizer.learning_rate": 0.005},
        {"training.augmentation": []},
    ]
    keys |= {override(base, change).key("data") for change in changes}
    assert len(keys | {base.key("other data")}) == len(changes) + 2


def test_the_key_is_the_same_in_another_process() -> None:
    code = "from kerascw.studies import fashion; print(fashion.recipe().key('data'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == fashion.recipe().key("data")


def test_the_key_is_of_what_differs_from_the_defaults() -> None:
    """A field that is added with a neutral default must leave kept runs' keys as they are."""
    text = override(
        Experiment(
            data=DataSpec(name="mnist"),
            model=ConvNet(filters=(4,)),
            training=TrainingSpec(epochs=1, keep="last"),
        ),
        {"training.optimizer.kind": "sgd"},
    ).canonical_json()
    assert text == (
        '{"data":{"name":"mnist"},"model":{"filters":[4],"kind":"convnet"},'
        '"training":{"epochs":1,"keep":"last","optimizer":{"kind":"sgd","learning_rate":0.001}}}'
    )


def test_a_changed_default_needs_a_new_recipe_version() -> None:
    """Else a kept run would answer for an experiment that would train differently."""
    defaults = {
        spec.__name__: {
            name: repr(field.default)
            for name, field in spec.model_fields.items()
            if not field.is_required()
        }
        for spec in (ConvNet, DenseNet, DataSpec, Holdout, Dropout, TrainingSpec, Experiment)
    }
    digest = hashlib.sha256(json.dumps(defaults, sort_keys=True).encode()).hexdigest()[:16]
    known = {3: "7b16d5c68208f9c1"}
    assert known.get(RECIPE_VERSION) == digest, "raise RECIPE_VERSION, or note the added field"


def test_an_experiment_survives_json() -> None:
    for study in all_studies().values():
        for experiment in study.variants().values():
            again = Experiment.model_validate_json(experiment.canonical_json())
            assert again == experiment
            assert again.canonical_json() == experiment.canonical_json()


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        fashion.recipe().seed = 3


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.epoch", "3", "training.epoch: no such field 'epoch'; there the fields are"),
        (
            "trainin.epochs",
            "3",
            "no such field 'trainin'; there the fields are data, model, seed",
        ),
        ("training.epochs", "three", "training.epochs: Input should be a valid integer"),
        ("training.epochs", "0", "training.epochs: Input should be greater than 0 (received 0)"),
        ("training.epochs", "2.5", "training.epochs: Input should be a valid integer"),
        ("model.activation", "swish", "model.activation: Input should be 'relu', 'tanh'"),
        ("model.kernels", "3,3", "kernels has 2 entries for 5 conv layers"),
        ("model.pool_after", "9", "pool_after names conv layer 9; there are 5"),
        ("model.filters", "0", "model.filters.0: Input should be greater than 0 (received 0)"),
        (
            "training.optimizer.kind",
            "adagrad",
            "kind: 'adagrad'; choose sgd, rmsprop, adam, adamw",
        ),
        ("training.optimizer.learning_rate", "NaN", "learning_rate: Input should be a finite"),
        ("data.fraction", "1.5", "less than or equal to 1 (received 1.5)"),
        ("data.classes", "3", "needs two or more different classes"),
        ("data.name", "folder", "name folder and the field folder need each other"),
        ("data.holdout", "none", "training.keep must be last where data.holdout is none"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(path: str, value: str, message: str) -> None:
    base = override(fashion.recipe(), {"training.keep": "validation_accuracy"})
    with pytest.raises(CallError) as error:
        override(base, {path: value})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_settings_take_text_as_it_is_typed() -> None:
    changed = override(
        fashion.recipe(),
        {
            "model.filters": "16,32",
            "model.pool_after": "2",
            "model.dropout": "[]",
            "model.padding": "2",
            "training.optimizer.kind": "sgd",
            "training.optimizer.momentum": "0.9",
            "data.classes": "0,1,4",
        },
    )
    assert isinstance(changed.model, ConvNet)
    assert changed.model.filters == (16, 32)
    assert changed.model.padding == 2
    assert changed.training.optimizer.kind == "sgd"
    # what both optimisers have is kept
    rate = fashion.recipe().training.optimizer.learning_rate
    assert changed.training.optimizer.learning_rate == rate
    assert changed.data.classes == (0, 1, 4)


def test_another_kind_of_model_keeps_what_both_have() -> None:
    changed = override(fashion.recipe(), {"model.kind": "mlp", "model.dense": "30"})
    assert changed.model.kind == "mlp"
    assert changed.model.dense == (30,)


def test_a_kind_is_changed_wherever_it_stands() -> None:
    source = fashion.recipe()
    start = WarmStart(source=source, layers=("conv_1",))
    path = "start.source.training.optimizer.kind"
    changed = override(source.model_copy(update={"start": start}), {path: "sgd"})
    assert changed.start is not None
    assert changed.start.source.training.optimizer.kind == "sgd"
    own = Custom(builder="own.py:make", file="own.py", source="0", arguments={"kind": 1})
    assert override(own, {"arguments.kind": "2"}).arguments == {"kind": 2}


def test_dropout_places_must_exist() -> None:
    with pytest.raises(ValidationError, match="dropout after pool 2: no such layer"):
        ConvNet(
            filters=(4, 4), pool_after=(1,), dropout=(Dropout(after="pool", rate=0.5, layers=(2,)),)
        )
    with pytest.raises(ValidationError, match="kind spatial needs feature maps"):
        Dropout(after="dense", rate=0.5, kind="spatial")


def test_patience_needs_validation() -> None:
    with pytest.raises(ValidationError, match=r"patience needs data\.holdout"):
        Experiment(
            data=DataSpec(name="mnist"),
            model=ConvNet(filters=(4,)),
            training=TrainingSpec(epochs=1, keep="last", patience=2),
        )


def test_what_needs_validation_or_softmax_says_so() -> None:
    base = fashion.recipe()
    with pytest.raises(CallError, match=r"label_smoothing needs model\.output softmax"):
        override(base, {"model.output": "sigmoid"})
    with pytest.raises(CallError, match=r"plateau needs data\.holdout"):
        override(
            base,
            {"data.holdout": None, "training.keep": "last", "training.schedule.kind": "plateau"},
        )
