"""Models with auxiliary heads: each has its own loss, metrics, columns and outputs."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from pydantic import ValidationError

from kerascw.commands.main import main
from kerascw.data import Dataset, split
from kerascw.errors import CallError, Interrupted
from kerascw.evaluation.metrics import loss_and_accuracy
from kerascw.experiment.settings import override
from kerascw.experiment.spec import MAIN_HEAD, SGD, AdamW, ConvNet, Experiment, WarmStart
from kerascw.export.run import export_run
from kerascw.lab.plan import planned
from kerascw.lab.run import run_study
from kerascw.lab.verdict import figure_of
from kerascw.models import build_model
from kerascw.report.heads import heads_side_by_side
from kerascw.report.run import draw_run
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.studies import lenet, study_named
from kerascw.training.fit import fit, scaling_of
from kerascw.training.keeper import column_prefix
from kerascw.training.predictor import Predictor

HEADS = ("aux1", "aux2", MAIN_HEAD)


def small(**changes: object) -> Experiment:
    """LeNet's baseline on a tenth of the bundled sample, as its images are."""
    sample = {
        "data.sample": True, "data.holdout.count": 1000, "data.fraction": 0.1,
        "training.augmentation": [],
    }  # fmt: skip
    return override(
        lenet.experiment("baseline"),
        {**sample, "training.epochs": 2, **{k.replace("__", "."): v for k, v in changes.items()}},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def together(store: Store, sample: Dataset) -> Run:
    experiment = small(training__auxiliary_weights=(0.3, 0.5), training__epochs=3)
    return run_experiment(experiment, sample, store)


# --- the model ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "trained", "moving"),
    [
        ("baseline", 77_486, 0),
        ("variant_1", 77_486, 0),
        ("variant_2", 333_970, 0),
        ("variant_3", 480_586, 0),
        # two gradients a unit are batch norm's, and two moving statistics that Keras counts too
        ("variant_4", 481_458, 2 * (32 + 64 + 200 + 140)),
    ],
)
def test_parameter_counts_of_the_variants(variant: str, trained: int, moving: int) -> None:
    model = build_model(lenet.experiment(variant).model)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == trained
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == moving
    assert model.count_params() == trained + moving


def test_the_variants_are_those_of_the_report() -> None:
    variants = lenet.variants()
    assert list(variants) == list(study_named("lenet-variants").published())[:5]
    assert variants["baseline"].training.schedule.kind == "constant"
    assert {e.training.schedule.kind for n, e in variants.items() if n != "baseline"} == {"halving"}
    batch_norms = [
        layer.name
        for layer in build_model(variants["variant_4"].model).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert batch_norms == ["conv_1_norm", "conv_2_norm", "dense_1_norm", "dense_2_norm"]


def test_heads_stand_where_the_spec_says() -> None:
    model = build_model(lenet.experiment("baseline").model)
    assert tuple(model.output) == HEADS
    assert model.get_layer("aux1_flatten").output.shape == (None, 14 * 14 * 6)
    assert model.get_layer("aux2_flatten").output.shape == (None, 5 * 5 * 16)
    assert model.get_layer("flatten").output.shape == (None, 5 * 5 * 16)
    assert all(output.shape == (None, 10) for output in model.output.values())
    bound = np.sqrt(6 / (5 * 5 * 1))  # He's uniform, of 25 inputs
    kernel = np.abs(model.get_layer("conv_1").get_weights()[0])
    assert 0.9 * bound < kernel.max() <= bound
    only_last = build_model(ConvNet(filters=(4, 4), auxiliary=(2,)), (8, 8, 1), 3)
    assert list(only_last.output) == ["aux2", MAIN_HEAD]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.auxiliary": "3"}, "auxiliary names conv layer 3; there are 2"),
        ({"model.auxiliary": "1,1"}, "auxiliary names a conv layer twice"),
        ({"model.padding": '["same", "same", "same"]'}, "padding has 3 entries for 2 conv layers"),
        (
            {"training.auxiliary_weights": "0.1,0.2,0.3"},
            "training.auxiliary_weights has 3 entries for 2 auxiliary heads",
        ),
        ({"training.auxiliary_weights": "-1"}, "training.auxiliary_weights"),
        (
            {"model.auxiliary": "[]", "training.auxiliary_weights": "0.3"},
            "training.auxiliary_weights has 1 entries for 0 auxiliary heads",
        ),
    ],
)
def test_heads_and_weights_that_do_not_fit_get_a_line(changes: dict, message: str) -> None:
    with pytest.raises(CallError) as error:
        override(lenet.experiment("baseline"), changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_one_padding_is_no_tuple_and_one_weight_is() -> None:
    assert ConvNet(filters=(4, 4), padding="same").padding == "same"
    assert small(training__auxiliary_weights=0.5).training.auxiliary_weights == (0.5,)
    with pytest.raises(ValidationError, match="padding"):
        ConvNet(filters=(4, 4), padding="sane")


# --- training -------------------------------------------------------------------------------


def test_every_metric_sees_its_own_head(sample: Dataset, tmp_path: Path) -> None:
    """Weights that hardly move: what the history says of a head is what that head says."""
    experiment = small(
        training__optimizer=SGD(learning_rate=1e-12).model_dump(),
        training__auxiliary_weights=(0.25, 0.5),
        training__label_smoothing=0.1,
        training__epochs=1,
        data__standard_of="training",
        data__scaling="unit",  # so that no probability is so small that ours is clipped
    )
    splits = split(sample, experiment.data)
    fitted = fit(experiment, splits, tmp_path / "checkpoint.npz")
    predict = Predictor(fitted.model)
    (row,) = fitted.history
    losses = set()
    for part_name, part in (("train", splits.train), ("validation", splits.validation)):
        assert part is not None
        given = predict.every_head(part.images)
        assert set(given) == set(HEADS)
        for head in HEADS:
            loss, accuracy = loss_and_accuracy(given[head], part.labels)
            prefix = f"{column_prefix(head)}{part_name}"
            assert row[f"{prefix}_loss"] == pytest.approx(loss, rel=1e-4)
            assert row[f"{prefix}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
            losses.add(round(loss, 2))
    assert len(losses) >= 5  # the heads do differ, or the test would show nothing
    assert list(row)[:4] == ["epoch", "learning_rate", "train_loss", "train_accuracy"]


def test_a_step_follows_the_weighted_sum_of_the_losses(sample: Dataset, tmp_path: Path) -> None:
    experiment = small(
        training__optimizer=SGD(learning_rate=0.1).model_dump(),
        training__auxiliary_weights=(0.3, 2.0),
        training__epochs=1,
        training__batch_size=1000,
    )
    splits = split(sample, experiment.data)
    labels = tf.one_hot(splits.train.labels, 10)
    scaling = scaling_of(experiment.data, splits)
    model = build_model(experiment.model, scaling=scaling, seed=experiment.seed)
    with tf.GradientTape() as tape:
        outputs = model(splits.train.images, training=True)
        total = sum(
            weight * tf.reduce_mean(keras.losses.categorical_crossentropy(labels, outputs[head]))
            for head, weight in ((MAIN_HEAD, 1.0), ("aux1", 0.3), ("aux2", 2.0))
        )
    for variable, gradient in zip(
        model.trainable_variables,
        tape.gradient(total, [v.value for v in model.trainable_variables]),
        strict=True,
    ):
        variable.assign_sub(0.1 * gradient)
    fitted = fit(experiment, splits, tmp_path / "checkpoint.npz")
    for mine, theirs in zip(fitted.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-6)


def test_a_weight_of_zero_leaves_a_head_as_it_was(sample: Dataset, tmp_path: Path) -> None:
    experiment = small(
        training__optimizer=AdamW(weight_decay=0.1).model_dump(),
        training__auxiliary_weights=(0.0, 0.3),
        training__l2=1e-3,
    )
    splits = split(sample, experiment.data)
    fresh = build_model(experiment.model, seed=experiment.seed)
    fitted = fit(experiment, splits, tmp_path / "checkpoint.npz").model

    def moved(name: str) -> bool:
        pairs = zip(
            fitted.get_layer(name).get_weights(), fresh.get_layer(name).get_weights(), strict=True
        )
        return any((mine != theirs).any() for mine, theirs in pairs)

    assert not moved("aux1")
    assert all(moved(name) for name in ("aux2", "conv_1", MAIN_HEAD))


def test_a_frozen_head_stays_frozen_with_a_weight_of_its_loss(
    sample: Dataset, tmp_path: Path
) -> None:
    experiment = small(training__auxiliary_weights=(0.3, 0.5), training__epochs=1)
    start = WarmStart(source=experiment, layers=("aux1", "conv_1"), frozen=True)
    experiment, source = experiment.model_copy(update={"start": start}), small().model
    given = build_model(source, seed=9)
    splits = split(sample, experiment.data)
    fitted = fit(experiment, splits, tmp_path / "checkpoint.npz", source=given).model
    for name in (*HEADS, "conv_1"):
        same = [
            np.array_equal(mine, theirs)
            for mine, theirs in zip(
                fitted.get_layer(name).get_weights(),
                given.get_layer(name).get_weights(),
                strict=True,
            )
        ]
        assert all(same) == (name in start.layers), name


def test_a_stopped_run_of_several_heads_goes_on_bit_for_bit(
    together: Run, sample: Dataset, tmp_path: Path, stop_after: Any, assert_same_run: Any
) -> None:
    store = Store(tmp_path)
    with pytest.raises(Interrupted):
        run_experiment(together.experiment, sample, store, stop_after(1))
    assert_same_run(together, run_experiment(together.experiment, sample, store))


# --- what is kept of it ---------------------------------------------------------------------


def test_metrics_and_predictions_have_every_head(together: Run, sample: Dataset) -> None:
    test = split(sample, together.experiment.data).test
    with np.load(together.folder / "predictions.npz") as kept:
        given = {head: kept[f"test_{head}_probabilities"] for head in ("aux1", "aux2")}
        main = kept["test_probabilities"]
    live = Predictor(together.model()).every_head(test.images)
    for head, probabilities in (*given.items(), (MAIN_HEAD, main)):
        np.testing.assert_allclose(probabilities, live[head], atol=1e-6)
    classes = {head: probabilities.argmax(axis=1) for head, probabilities in given.items()}
    for head, own in classes.items():
        assert figure_of(together, f"{head}.test.accuracy") == (own == test.labels).mean()
        assert figure_of(together, f"{head}.test.agreement") == (own == main.argmax(axis=1)).mean()
    both = classes["aux1"] == classes["aux2"]
    assert figure_of(together, "test.agreement_of_auxiliary_heads") == both.mean()
    every = both & (classes["aux1"] == main.argmax(axis=1))
    assert figure_of(together, "test.agreement_of_all_heads") == every.mean()
    assert figure_of(together, "aux3.test.accuracy") is None
    assert figure_of(together, "epoch_2.aux1_train_loss") == together.history[1]["aux1_train_loss"]


def test_the_saved_model_names_every_head(together: Run, sample: Dataset, tmp_path: Path) -> None:
    folder = export_run(together, tmp_path / "lenet")
    images = split(sample, together.experiment.data).test.images[:20]
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"](
        images=tf.constant(images)
    )
    assert set(answer) == {
        "probabilities", "class_id", "label", "aux1_probabilities", "aux2_probabilities",
    }  # fmt: skip
    live = together.model()(images, training=False)
    for head in HEADS:
        name = head if head == MAIN_HEAD else f"{head}_probabilities"
        np.testing.assert_allclose(answer[name], live[head], atol=1e-6)


def test_page_and_terminal_show_every_head(together: Run, sample: Dataset, store: Store) -> None:
    page = draw_run(together, split(sample, together.experiment.data)).read_text()
    assert "<h2>Auxiliary heads</h2>" in page
    words = re.sub("<[^>]*>", " ", page.partition("<h2>Auxiliary heads</h2>")[2]).split()
    assert words[words.index("aux2") + 1] == "0.5"
    shown = CliRunner().invoke(main, ["show", together.name, "--runs", str(store.folder)])
    assert shown.exit_code == 0
    lines = [line for line in shown.output.splitlines() if line.startswith("aux1 ")]
    accuracy = f"{100 * together.metrics['heads']['aux1']['test']['accuracy']:.2f} %"
    assert any(accuracy in line for line in lines)  # the other is its layer's


def test_the_heads_side_by_side_say_what_each_predicts(together: Run) -> None:
    chart = heads_side_by_side(together)
    assert len(chart.panels) == 3
    with np.load(together.folder / "predictions.npz") as kept:
        labels, main = kept["test_labels"], kept["test_probabilities"].argmax(axis=1)
    names = together.metrics["class_names"]
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(10)]
    said = ", ".join(f"{names[labels[at]]} as {names[main[at]]}" for at in first)
    assert chart.numbers.endswith(f"main head: {said}")


# --- the studies ----------------------------------------------------------------------------


def test_a_probe_leaves_trunk_and_main_head_as_they_were(tmp_path: Path) -> None:
    changes = {"training.epochs": 2, "data.fraction": 0.05}
    base = override(small(), changes)
    variants = lenet.auxiliary_of(base)
    study = study_named("lenet-auxiliary")
    plan = planned(study, seeds=1, sample=True)
    runs = run_study(
        type(plan)(study, "quick", {name: [e] for name, e in variants.items()}, sample=True),
        Store(tmp_path),
    ).runs
    untrained, probe = runs["untrained"][0], runs["probe"][0]
    assert probe.metrics["test"]["accuracy"] == untrained.metrics["test"]["accuracy"]
    before, after = untrained.model(), probe.model()
    for name in ("conv_1", "conv_2", "dense_1", "dense_2", MAIN_HEAD):
        pairs = zip(
            before.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True
        )
        assert all((mine == theirs).all() for mine, theirs in pairs)
    for head in ("aux1", "aux2"):
        accuracies = [figure_of(run, f"{head}.test.accuracy") for run in (probe, untrained)]
        assert accuracies[0] > accuracies[1] + 0.05
    answers = " ".join(answer.answer for answer in study.answers(runs))
    agreement = figure_of(untrained, "test.agreement_of_auxiliary_heads")
    assert f"{agreement:.1%} when untrained" in answers


def test_the_best_variant_is_trained_again_on_everything(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        ["run", "lenet-variants", "--sample", "--seeds", "1", "--epochs", "1", "--fraction", "0.03",
         "--runs", str(tmp_path), "--set", "model.filters=4,8"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "studies").glob("*")
    page = (folder / "report.html").read_text()
    assert "confusion of" in page.lower()
    assert (folder / "figures" / "difference per class.png").is_file()
    assert (folder / "figures" / "learning_rate.png").is_file()
    assert "moving statistics" in result.output
    assert "What does training it on the validation images too change on the test set?" in page
