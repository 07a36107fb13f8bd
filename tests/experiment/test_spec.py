import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import kerascw
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    RECIPE_VERSION,
    AugmentationSpec,
    Backbone,
    ConvNet,
    Custom,
    DataSpec,
    DenseNet,
    Dropout,
    Experiment,
    Flip,
    Folder,
    OptimizerSpec,
    ScheduleSpec,
    Spec,
    TrainingSpec,
    WarmStart,
)
from kerascw.studies import all_studies, fashion


def kinds_of(union: Any) -> tuple[Any, ...]:
    return get_args(get_args(union)[0])


def every_spec(base: type[Spec] = Spec) -> Iterator[type[Spec]]:
    """Yield the specs that an experiment is made of."""
    for kind in base.__subclasses__():
        if kind.__module__ == Spec.__module__:
            yield kind
        yield from every_spec(kind)


def one_of_each() -> list[Experiment]:
    """Experiments that together have every spec, with other values than the defaults.

    (One that differs from its default in any field would be in the key by its kind alone.)
    """
    data = {"name": "folder", "folder": {"path": "/x", "height": 16, "width": 16}}
    small = {"kind": "convnet", "filters": [4, 4], "dense": [4, 4]}
    adam = {"kind": "adam", "learning_rate": 0.5, "epsilon": 0.5}
    training: dict[str, Any] = {"epochs": 1, "batch_size": 8, "optimizer": adam}
    made = [
        {"data": data | {"holdout": {"how": "first", "count": 9}}, "model": small,
         "training": training | {"keep": "validation_loss"}, "seeds": {"order": 1, "split": True}},
        {"data": data | {"holdout": {"how": "fold", "folds": 3}, "exclude": {"train": [1]}},
         "model": small | {"auxiliary": [1], "batch_norm": True,
                           "dropout": [{"after": "conv", "rate": 0.5}]},
         "training": training | {"auxiliary_weights": [0.5]}},
        {"data": {"name": "mnist", "scaling": "standard"},
         "model": {"kind": "mlp", "output": "sigmoid"},
         "training": training | {"keep": "last"}},
        {"data": data | {"also": [{"classes": [1], "parts": ["test"]}]},
         "model": {"kind": "autoencoder", "filters": [4]}, "training": training | {"keep": "last"}},
        {"data": data, "model": {"kind": "backbone", "weights": "/w.h5", "weights_sha256": "0"},
         "training": training | {"keep": "last"}},
        {"data": data, "model": {"kind": "custom", "builder": "mine:make", "file": "/mine.py",
                                 "source": "0"}, "training": training | {"keep": "last"}},
    ]  # fmt: skip
    plain = [Experiment.model_validate(each) for each in made]
    start = WarmStart(source=plain[2], layers=("dense_1",))
    plain.append(plain[2].model_copy(update={"start": start}))
    for part, union in (("optimizer", OptimizerSpec), ("schedule", ScheduleSpec)):
        plain += [override(plain[0], {f"training.{part}": kind()}) for kind in kinds_of(union)]
    return plain + [
        override(plain[0], {"training.augmentation": [kind()]})
        for kind in kinds_of(AugmentationSpec)
    ]


Change = Callable[[dict[str, Any]], Experiment]


def fields_of(spec: Spec, change: Change) -> Iterator[tuple[type[Spec], str, Any, Change]]:
    """Yield each field of a spec and of those in it, with what changes fields of that spec."""
    for name, value in spec:
        yield type(spec), name, value, change
        several = isinstance(value, tuple)
        for inner in value if several else (value,):
            if isinstance(inner, Spec):
                yield from fields_of(inner, partial(_within, change, inner, name, several))


def _within(
    change: Change, inner: Spec, name: str, several: bool, fields: dict[str, Any]
) -> Experiment:
    if several:
        return change({name: [override(inner, fields)]})
    return change({f"{name}.{own}": value for own, value in fields.items()})


def others(kind: type[Spec], name: str, value: Any) -> Iterator[Any]:
    """Yield values that a field may have instead, most of which it may not."""
    yield from re.findall(r"'(\w+)'", str(kind.model_fields[name].annotation))
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2, (value + 1) / 2)
    yield from ([2], [0.25], [0, 2], ["test", "train"], {"x": 1}, "other", 2, 0.25)


FILES = {
    (Folder, "path"), (Folder, "bad_files"), (Custom, "builder"), (Custom, "file"),
    (Backbone, "weights"),
}  # fmt: skip
"""Where the key is of what is found there."""


def test_the_key_depends_on_every_field_and_the_data() -> None:
    every = {(kind, name) for kind in every_spec() for name in kind.model_fields if name != "kind"}
    seen = set(FILES)
    for base in one_of_each():
        for kind, name, value, change in fields_of(base, partial(override, base)):
            if isinstance(value[0] if isinstance(value, tuple) and value else value, Spec):
                seen.add((kind, name))  # each of its fields is changed
            for other in others(kind, name, value) if (kind, name) in every - seen else ():
                with suppress(CallError):
                    changed = change({name: other})
                    if changed != base:
                        assert changed.key("data") != base.key("data"), (kind, name, other)
                        seen.add((kind, name))
                        break
    assert seen == every
    assert base.key("data") != base.key("other data")


def test_a_file_named_anew_is_read_anew(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.h5").write_text(name)
        (tmp_path / name / "mine.py").write_text(f"def make(shape, classes): return {name!r}")
    last = {"training.keep": "last", "data.holdout": None}
    base = override(fashion.recipe(), last | {"training.label_smoothing": 0.0})
    backbone = base.model_copy(update={"model": Backbone(weights=str(tmp_path / "a" / "w.h5"))})
    changed = [
        override(backbone, {"model.weights": weights})
        for weights in ("random", "imagenet", str(tmp_path / "b" / "w.h5"))
    ]
    digests = [each.model.weights_sha256 for each in changed]
    assert digests == ["", "", hashlib.sha256(b"b").hexdigest()]
    assert len({each.key("data") for each in (backbone, *changed)}) == 4
    assert Backbone(weights="random", weights_sha256="0") == Backbone(weights="random")

    custom = base.model_copy(update={"model": Custom(builder=f"{tmp_path}/a/mine.py:make")})
    other = override(custom, {"model.builder": f"{tmp_path}/b/mine.py:make"})
    assert other.model.file == str(tmp_path / "b" / "mine.py")
    start = WarmStart(source=custom, layers=("x",))
    path = "start.source.model.builder"
    started = override(base.model_copy(update={"start": start}), {path: other.model.builder})
    assert started.start is not None
    assert started.start.source == other
    assert custom.key("data") != other.key("data")
    # a file that is not named anew may be gone
    (tmp_path / "b" / "mine.py").unlink()
    assert override(other, {"seed": 3}).model == other.model


def test_where_images_lie_is_no_part_of_the_key() -> None:
    keys = set()
    for path in ("/a/flowers", "/b/flowers"):
        folder = Folder(path=path, height=8, width=8)
        source = Experiment(
            data=DataSpec(name="folder", folder=folder),
            model=DenseNet(dense=(8,)),
            training=TrainingSpec(epochs=1, keep="last"),
        )
        start = WarmStart(source=source, layers=("dense_1",))
        keys.add((source.key("x"), source.model_copy(update={"start": start}).key("x")))
    assert len(keys) == 1


def test_the_package_names_what_it_loads_late_too() -> None:
    assert set(kerascw.__all__) <= set(dir(kerascw))


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
        for spec in every_spec()
    }
    digest = hashlib.sha256(json.dumps(defaults, sort_keys=True).encode()).hexdigest()[:16]
    known = {3: "09f0d86d9cdfdbac"}
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
            "training.augmentation": "flip",
            "seeds.augmentation": "5",
        },
    )
    assert changed.training.augmentation == (Flip(),)
    assert changed.seeds.augmentation == 5
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


def test_patience_needs_a_figure_of_validation() -> None:
    with pytest.raises(ValidationError, match=r"patience needs data\.holdout"):
        Experiment(
            data=DataSpec(name="mnist"),
            model=ConvNet(filters=(4,)),
            training=TrainingSpec(epochs=1, keep="last", patience=2),
        )
    held = override(fashion.recipe(), {"data.holdout.count": 5})
    with pytest.raises(CallError, match=r"patience 2 needs keep validation_accuracy or"):
        override(held, {"training.keep": "last", "training.patience": 2})


def test_what_needs_validation_or_softmax_says_so() -> None:
    base = fashion.recipe()
    with pytest.raises(CallError, match=r"label_smoothing needs model\.output softmax"):
        override(base, {"model.output": "sigmoid"})
    with pytest.raises(CallError, match=r"plateau needs data\.holdout"):
        override(
            base,
            {"data.holdout": None, "training.keep": "last", "training.schedule.kind": "plateau"},
        )
