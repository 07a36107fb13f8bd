import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.commands.terminal import StudyProgress, show_run, show_study
from kerascw.console import console
from kerascw.data import Dataset, Part, Splits, split
from kerascw.data.pipeline import training_batches
from kerascw.errors import CallError, Interrupted
from kerascw.evaluation.metrics import (
    as_pixels,
    first_of_each_class,
    reconstruction_errors,
    reconstruction_report,
)
from kerascw.experiment.settings import override
from kerascw.experiment.spec import (
    Also,
    Autoencoder,
    ConvNet,
    DataSpec,
    Experiment,
    Flip,
    Holdout,
    Shift,
    TrainingSpec,
)
from kerascw.export.run import export_run
from kerascw.lab.derive import on_other_data, retrained_on_everything
from kerascw.lab.plan import Plan, StudyResult, planned
from kerascw.lab.run import run_study
from kerascw.lab.study import Quick, Study
from kerascw.lab.table import rows_of
from kerascw.models import build_model, check_model
from kerascw.report import figures
from kerascw.report.run import draw_run
from kerascw.report.study import write_study
from kerascw.runs.many import run_many
from kerascw.runs.run import KEPT_A_CLASS, run_experiment
from kerascw.runs.store import Run, Store
from kerascw.runs.verify import verify

FASHION_1, FASHION_2 = (0, 1, 4, 5, 8), (2, 3, 6, 7, 9)
CLASSES_1 = ["T-shirt/top", "Trouser", "Coat", "Sandal", "Bag"]


def experiment(**changes: Any) -> Experiment:
    """A small one that uses all there is: other classes' pictures, augmentation, Adam."""
    made = Experiment(
        data=DataSpec(
            name="fashion_mnist",
            sample=True,
            classes=FASHION_1,
            holdout=Holdout(how="last", count=1000),
            fraction=0.1,
            also=(Also(classes=(2, 3), parts=("test",)),),
        ),
        model=Autoencoder(filters=(3, 4), initializer="torch"),
        training=TrainingSpec(
            epochs=3, batch_size=32, augmentation=(Flip(),), keep="validation_loss"
        ),
    )
    return override(made, {name.replace("__", "."): value for name, value in changes.items()})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run(sample: Dataset, store: Store) -> Run:
    """The experiment, trained and drawn."""
    made = run_experiment(experiment(), sample, store)
    draw_run(made, split(sample, made.experiment.data))
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


# --- model ----------------------------------------------------------------------------------


def test_the_sides_go_down_and_come_back() -> None:
    model = build_model(Autoencoder(filters=(10, 20)), (28, 28, 1))
    sides = [layer.output.shape[1] for layer in model.layers if "relu" not in layer.name]
    assert sides == [28, 24, 12, 8, 4, 8, 12, 24, 28]
    # conv 5x5: 1 to 10 to 20, and back
    assert model.count_params() == (25 + 1) * 10 + (250 + 1) * 20 + (500 + 1) * 10 + (250 + 1)
    assert model.output_shape == (None, 28, 28, 1)
    assert [layer.name for layer in model.layers if layer.weights] == [
        "conv_1", "conv_2", "deconv_1", "deconv_2",
    ]  # fmt: skip
    assert model.layers[-1].name == "deconv_2_relu"


def test_kernels_are_mirrored_and_colour_comes_back() -> None:
    model = build_model(Autoencoder(filters=(4, 6), kernels=(3, 4)), (32, 32, 3))
    kernels = {layer.name: layer.kernel.shape for layer in model.layers if layer.weights}
    assert kernels == {
        "conv_1": (3, 3, 3, 4), "conv_2": (4, 4, 4, 6),
        "deconv_1": (4, 4, 4, 6), "deconv_2": (3, 3, 3, 4),  # height, width, out, in
    }  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert model(images).shape == (2, 32, 32, 3)


def test_the_encoder_is_a_convnets() -> None:
    """Weights of layers of the same name fit, and give the same maps."""
    encoder = build_model(Autoencoder(filters=(3, 4)), seed=1)
    convnet = build_model(ConvNet(filters=(3, 4), kernels=(5,), pool_after=(1, 2)), seed=2)
    for name in ("conv_1", "conv_2"):
        convnet.get_layer(name).set_weights(encoder.get_layer(name).get_weights())
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    ours, theirs = (_up_to(model, "conv_2_relu", images).numpy() for model in (encoder, convnet))
    np.testing.assert_array_equal(ours, theirs)


def _up_to(model: Any, name: str, images: np.ndarray) -> Any:
    values: Any = tf.constant(images)
    for layer in model.layers:
        values = layer(values)
        if layer.name == name:
            return values
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ({"filters": (4, 4, 4)}, (28, 28, 1),
         "model.kernels: conv layer 3 (5x5, padding valid) leaves no pixel of 4x4"),
        ({"filters": (4, 4), "kernels": (5, 12)}, (28, 28, 1),
         "model.kernels: the 2x2 pooling after conv layer 2 leaves no pixel of 1x1"),
        ({"filters": (4,), "kernels": (4,)}, (28, 28, 1),
         "model.kernels: an image of 28x28 comes back as 27x27: after conv layer 1 it is 25x25, "
         "and pooling drops an odd side's last pixels; choose kernels that leave even sides "
         "before every pooling"),
        ({"filters": (4, 4), "kernels": (1,)}, (28, 30, 1),
         "model.kernels: an image of 28x30 comes back as 28x28: after conv layer 2 it is 14x15"),
    ],
)  # fmt: skip
def test_what_does_not_come_back_is_refused(
    fields: dict, shape: tuple[int, int, int], message: str
) -> None:
    for refuse in (check_model, build_model):
        with pytest.raises(CallError) as error:
            refuse(Autoencoder(**fields), shape)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kernels", [(5, 3), (3, 3), (2, 5)])
def test_the_check_accepts_what_keras_brings_back(kernels: tuple[int, int]) -> None:
    accepted = 0
    for size in range(8, 22):
        spec, shape = Autoencoder(filters=(1, 1), kernels=kernels), (size, size, 1)
        try:
            check_model(spec, shape)
        except CallError:
            continue
        accepted += 1
        assert build_model(spec, shape).output_shape == (None, *shape)
    assert accepted >= 2


def test_gelu_stands_before_the_pooling() -> None:
    for activation, before in (("gelu", True), ("tanh", False)):
        model = build_model(Autoencoder(filters=(2,), activation=activation))
        names = [layer.name for layer in model.layers]
        assert (names.index(f"conv_1_{activation}") < names.index("pool_1")) == before


# --- data -----------------------------------------------------------------------------------


def test_fashion_2_whole_and_the_training_part_of_fashion_1(sample: Dataset) -> None:
    """All of Fashion-MNIST-2 is trained on; what validates is Fashion-MNIST-1's."""
    everything = Also(classes=FASHION_2, parts=("train", "validation", "test"))
    holdout = Holdout(how="last", count=1000)
    spec = DataSpec(name="fashion_mnist", classes=FASHION_1, holdout=holdout)
    alone = split(sample, spec)
    splits = split(sample, spec.model_copy(update={"also": (everything,)}))
    first = Counter(int(np.isin(labels, FASHION_1)) for labels in sample.train.labels[:5000])
    last = Counter(int(np.isin(labels, FASHION_1)) for labels in sample.train.labels[5000:])
    assert len(alone.train) == first[1]
    assert splits.also == first[0] + last[0] + 500 == 3000 + 500
    assert len(splits.train) == first[1] + 3500
    assert splits.validation is not None
    assert len(splits.validation) == last[1]
    assert len(splits.test) == 500
    assert splits.class_names == tuple(CLASSES_1)
    # its own classes' first, as without the others; then the others, part by part
    np.testing.assert_array_equal(splits.train.images[: first[1]], alone.train.images)
    np.testing.assert_array_equal(splits.train_labels, alone.train.labels)
    of_2 = [np.isin(part.labels, FASHION_2) for part in (sample.train, sample.test)]
    train, held = of_2[0].copy(), of_2[0].copy()
    train[5000:], held[:5000] = False, False
    expected = [sample.train.images[train], sample.train.images[held], sample.test.images[of_2[1]]]
    np.testing.assert_array_equal(splits.train.images[first[1] :], np.concatenate(expected))
    assert not splits.train.labels[first[1] :].any()
    assert splits.train.labels.dtype == np.int32
    for name in ("validation", "test"):
        part, without = getattr(splits, name), getattr(alone, name)
        np.testing.assert_array_equal(part.images, without.images)


def test_a_fraction_is_of_the_own_classes_only(sample: Dataset) -> None:
    splits = split(sample, experiment().data)
    assert (len(splits.train_labels), splits.also) == (249, 200)
    whole = split(sample, override(experiment(), {"data.fraction": 1, "data.also": []}).data)
    assert len(splits.train_labels) == pytest.approx(len(whole.train) / 10, abs=3)
    assert (whole.also, len(whole.train)) == (0, len(whole.train_labels))


def test_rows_in_place_of_copies_give_the_same_pictures(
    sample: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = split(sample, experiment().data)
    monkeypatch.setattr("kerascw.data.dataset.LARGE", 0)
    np.testing.assert_array_equal(
        split(sample, experiment().data).train.images, copied.train.images
    )


@pytest.mark.parametrize(
    ("changes", "also", "message"),
    [
        ({}, [{"classes": [2, 8], "parts": ["train"]}],
         "data.also: class 8 (Bag) is one of the experiment's own; name others, and its own in "
         "data.classes"),
        ({"data.classes": None}, [{"classes": [2], "parts": ["test"]}],
         "data.also: class 2 (Pullover) is one of the experiment's own; name others, and its own "
         "in data.classes"),
        ({}, [{"classes": [2, 10], "parts": ["train"]}],
         "data.also: 10 is no class; choose from 0 to 9"),
        ({"data.holdout": None, "training.keep": "last"},
         [{"classes": [2], "parts": ["train", "validation"]}],
         "data.also: no validation set, for data.holdout is none; hold some out or leave "
         "validation out of the parts"),
        ({}, [{"classes": [2, 3], "parts": ["test"]}, {"classes": [3], "parts": ["test"]}],
         "data.also: the test images of class 3 are named twice"),
    ],
)  # fmt: skip
def test_other_classes_that_cannot_be_had(
    changes: dict[str, Any], also: list, message: str, sample: Dataset, tmp_path: Path
) -> None:
    wrong = override(experiment(), changes | {"data.also": also})
    for refuse in (
        lambda: split(sample, wrong.data),
        lambda: run_many([wrong], Store(tmp_path)),  # before anything is trained
    ):
        with pytest.raises(CallError) as error:
            refuse()
        assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_trained_on_everything_takes_the_others_validation_part_along() -> None:
    also = (
        Also(classes=(2,), parts=("train", "validation", "test")),
        Also(classes=(3,), parts=("validation",)),
    )
    made = experiment(data__also=[part.model_dump(mode="json") for part in also])

    finished: Any = SimpleNamespace(experiment=made, metrics={"kept_epoch": 2})
    again = retrained_on_everything(finished)
    assert [part.parts for part in again.data.also] == [("train", "test"), ("train",)]
    assert again.data.holdout is None


def test_on_another_dataset_there_are_no_other_classes(sample: Dataset) -> None:
    moved = on_other_data(experiment(), DataSpec(name="mnist"), sample)
    assert (moved.data.classes, moved.data.also) == (None, ())


@pytest.mark.parametrize("augmentation", [(), (Flip(), Shift())])
def test_pictures_as_they_are_seen_are_the_targets(augmentation: tuple, sample: Dataset) -> None:
    batches = training_batches(
        Part(sample.train.images[:100], sample.train.labels[:100]),
        classes=None, batch_size=30, seed=3, epochs=range(1, 2), augmentation=augmentation,
    )  # fmt: skip
    seen = 0
    for images, targets in batches:
        assert (images.dtype, targets.dtype) == (tf.uint8, tf.float32)
        np.testing.assert_allclose(targets.numpy(), images.numpy() / 255, atol=1e-7)
        seen += len(images)
    assert seen == 100


# --- figures --------------------------------------------------------------------------------


def test_the_error_is_the_mean_square_over_a_pictures_pixels() -> None:
    images = np.array([[0, 255], [51, 102], [255, 255]], np.uint8).reshape(3, 1, 2, 1)
    answers = np.array([[0.5, 0.5], [0.2, 0.0], [1.0, 3.0]], np.float32).reshape(3, 1, 2, 1)
    asked = []

    def predict(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        at = sum(asked[:-1])
        return answers[at : at + len(batch)]

    errors = reconstruction_errors(predict, images, batch_size=2)
    assert asked == [2, 1]
    # (0.5² + 0.5²) / 2, (0² + 0.4²) / 2, (0² + 2²) / 2
    np.testing.assert_allclose(errors, [0.25, 0.08, 2.0], atol=1e-7)
    report = reconstruction_report(errors, np.array([1, 0, 1]), ("a", "b", "c"))
    assert report["examples"] == 3
    assert report["loss"] == pytest.approx(2.33 / 3)
    assert [tuple(row.values()) for row in report["per_class"]] == [
        ("a", pytest.approx(0.08), 1), ("b", pytest.approx(1.125), 2), ("c", None, 0),
    ]  # fmt: skip


def test_reconstructions_as_pixels() -> None:
    values = np.array([-0.3, 0, 0.5, 1, 7], np.float32)
    np.testing.assert_array_equal(as_pixels(values), np.array([0, 0, 128, 255, 255], np.uint8))


# --- training -------------------------------------------------------------------------------


def test_an_autoencoders_figures_are_losses(run: Run, sample: Dataset) -> None:
    assert list(run.history[0]) == ["epoch", "learning_rate", "train_loss", "validation_loss"]
    losses = [row["validation_loss"] for row in run.history]
    assert losses[-1] < losses[0]
    metrics = run.metrics
    assert (metrics["status"], metrics["scored_on_test"]) == ("finished", 1)
    assert metrics["kept_epoch"] == losses.index(min(losses)) + 1
    assert metrics["validation"]["loss"] == pytest.approx(min(losses), abs=1e-12)
    assert {part: set(metrics[part]) for part in ("train", "validation", "test")} == {
        "train": {"examples", "loss"},
        "validation": {"examples", "loss"},
        "test": {"examples", "loss", "per_class"},
    }
    assert metrics["train"]["examples"] == 449
    assert "accuracy" not in (run.folder / "metrics.json").read_text()


def test_the_classes_errors_add_up_to_the_whole(run: Run) -> None:
    test = run.metrics["test"]
    assert [row["class"] for row in test["per_class"]] == CLASSES_1
    assert sum(row["examples"] for row in test["per_class"]) == test["examples"] == 500
    whole = sum(row["loss"] * row["examples"] for row in test["per_class"])
    assert whole == pytest.approx(500 * test["loss"], rel=1e-12)


def test_the_kept_errors_and_pictures_are_the_models(run: Run, sample: Dataset) -> None:
    test = split(sample, run.experiment.data).test
    answers = np.asarray(run.model()(test.images))
    by_hand = ((answers - np.asarray(test.images) / 255) ** 2).mean(axis=(1, 2, 3))
    with np.load(run.folder / "predictions.npz") as kept:
        assert set(kept.files) == {
            "test_errors", "test_labels", "test_reconstructed", "test_reconstructions",
        }  # fmt: skip
        assert (kept["test_errors"].dtype, kept["test_errors"].shape) == (np.float32, (500,))
        np.testing.assert_allclose(kept["test_errors"], by_hand, rtol=1e-4)
        assert run.metrics["test"]["loss"] == pytest.approx(by_hand.mean(), rel=1e-5)
        np.testing.assert_array_equal(kept["test_labels"], test.labels)
        shown, pictures = kept["test_reconstructed"], kept["test_reconstructions"]
    np.testing.assert_array_equal(shown, first_of_each_class(test.labels, KEPT_A_CLASS))
    assert Counter(test.labels[shown].tolist()) == dict.fromkeys(range(5), KEPT_A_CLASS)
    assert pictures.dtype == np.uint8
    expected = np.clip(answers[shown], 0, 1) * 255
    np.testing.assert_allclose(pictures, expected, atol=0.51)  # rounded


def test_the_reported_training_loss_is_of_examples_not_batches(
    sample: Dataset, store: Store
) -> None:
    """With a rate of almost nothing the epoch's figure is that of the initial weights."""
    still = experiment(
        training__optimizer__learning_rate=1e-12, training__epochs=1, training__augmentation=[],
        training__batch_size=60,  # 449 pictures: 7 whole batches and one of 29
    )  # fmt: skip
    done = run_experiment(still, sample, store)
    loss = done.metrics["train"]["loss"]
    assert done.history[0]["train_loss"] == pytest.approx(loss, rel=1e-5)


def test_interrupted_and_resumed_is_the_same_bit_for_bit(
    run: Run, sample: Dataset, tmp_path: Path, stop_after: Any, assert_same_run: Any
) -> None:
    stopped = Store(tmp_path)
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 3"):
        run_experiment(experiment(), sample, stopped, stop_after(1))
    assert stopped.all() == []
    assert_same_run(run_experiment(experiment(), sample, stopped), run)


def test_a_diverged_autoencoder_is_a_result(sample: Dataset, store: Store) -> None:
    wild = experiment(
        training__optimizer__kind="sgd", training__optimizer__learning_rate=1e30,
        model__activation="linear", data__scaling="raw",
    )  # fmt: skip
    done = run_experiment(wild, sample, store)
    assert done.metrics["reason"] == "a figure of epoch 1 is not finite"
    assert (done.metrics["status"], done.metrics["scored_on_test"]) == ("diverged", 0)
    assert "test" not in done.metrics
    page = draw_run(done, split(sample, wild.data)).read_text()
    assert "Training diverged" in page
    assert "Reconstructions" not in page
    assert verify(done, sample, store).outcome == "identical"


def test_a_test_set_that_was_trained_on_is_not_scored(sample: Dataset, store: Store) -> None:
    everything = override(
        experiment(),
        {"data.test_in_training": True, "data.holdout": None, "data.also": [],
         "training.keep": "last", "training.epochs": 1},
    )  # fmt: skip
    done = run_experiment(everything, sample, store)
    assert done.metrics["scored_on_test"] == 0
    assert [name for name in ("train", "validation", "test") if name in done.metrics] == ["train"]
    with np.load(done.folder / "predictions.npz") as kept:
        assert kept.files == []
    assert "Reconstructions" not in draw_run(done, split(sample, everything.data)).read_text()


# --- views ----------------------------------------------------------------------------------


def test_the_report_shows_pictures_and_no_accuracy(run: Run) -> None:
    drawn = {path.stem for path in (run.folder / "figures").glob("*.png")}
    assert drawn == {"curves", "reconstructions", "errors_per_class"}
    page = (run.folder / "report.html").read_text()
    assert page.count('class="scroll still"') == 1
    text = re.sub(
        r"(?s)<pre\b.*?</pre>|base64,[^\"]*|<style>.*?</style>|<script\b.*?</script>", "", page
    )
    for word in ("accuracy", "confus", "alibration", "nats"):
        assert word not in text.lower(), word
    test = run.metrics["test"]
    assert f"{test['loss']:.5f}" in text
    for row in test["per_class"]:
        words = re.sub("<[^>]*>", " ", text.partition("Error of each class")[2]).split()
        name = row["class"].split()[-1]  # of "Ankle boot"
        at = words.index(name, words.index("images"))
        assert words[at + 1 : at + 3] == [f"{row['loss']:.5f}", "100"]
    assert "Mean squared error per pixel against epochs" in text


def test_the_grid_has_each_original_above_its_reconstruction() -> None:
    """An image is all of one shade; the figure is read back."""
    labels = np.array([0, 2, 0])
    originals = np.zeros((3, 4, 4, 1), np.uint8) + np.array([10, 20, 30])[:, None, None, None]
    reconstructed = originals + 100
    figure = figures.reconstructions(
        originals.astype(np.uint8), reconstructed.astype(np.uint8), labels, ("a", "b", "c")
    )
    (axes,) = figure.axes
    # rows: a, a again, c, c again; the class that has no image is left out
    places = {}
    for image in axes.images:
        left, _, bottom, _ = image.get_extent()
        places.setdefault(round(bottom, 3), []).append((left, int(image.get_array()[0, 0, 0])))
    rows = [[shade for _, shade in sorted(places[bottom])] for bottom in sorted(places)]
    assert rows == [[10, 30], [110, 130], [20], [120]]
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert texts == ["a", "reconstructed", "c", "reconstructed"]


def test_the_samples_table_counts_its_own_classes(run: Run, sample: Dataset) -> None:
    splits: Splits = split(sample, run.experiment.data)
    with (run.folder / "tables" / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = np.bincount(splits.train_labels).tolist()
    assert [int(row["training"]) for row in rows] == [*counts, sum(counts)]
    assert (
        "Images of each class (and 200 of other classes)"
        in (run.folder / "report.html").read_text()
    )


def test_what_the_terminal_says(
    run: Run, sample: Dataset, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = console()
    show_run(run, terminal)
    shown = capsys.readouterr().out
    test = run.metrics["test"]
    assert "accuracy" not in shown
    assert re.search(rf"test +500 +{test['loss']:.5f}\n", shown)
    assert re.search(rf"Trouser +{test['per_class'][1]['loss']:.5f} +100\n", shown)

    listed = call("show", "--runs", str(store.folder)).stdout
    assert re.search(rf"test loss +{test['loss']:.5f} ", listed)

    progress = StudyProgress(terminal)
    progress.planned(2, 0, 1)
    progress.finished(run)
    progress.started(run.experiment, 449, 0)
    progress.epoch(run.history[0])
    said = capsys.readouterr().out
    assert f"3 epochs, test loss {test['loss']:.5f}, " in said
    row = run.history[0]
    losses = f"train loss {row['train_loss']:.5f}   validation loss {row['validation_loss']:.5f}"
    assert f"epoch 1/3   {losses}   " in said


# --- studies --------------------------------------------------------------------------------

CLASSIFIER = override(
    experiment(data__also=[]),
    {"model.kind": "convnet", "model.pool_after": [1, 2], "training.keep": "last"},
)
SLOW = override(experiment(), {"training.optimizer.learning_rate": 1e-5})


def study_of(**variants: Experiment) -> Study:
    return Study(
        name="small",
        question="Does it work?",
        dataset="fashion_mnist",
        variants=lambda: dict(variants),
        expected={"quick": "1 s", "full": "1 s"},
        quick=Quick(epochs=3, seeds=1),
        figures=("validation.accuracy", "test.accuracy", "test.loss"),
        baseline="classifier" if "classifier" in variants else None,
    )


@pytest.fixture(scope="module")
def mixed(run: Run, sample: Dataset, store: Store) -> StudyResult:
    """An autoencoder that hardly learns, one that does, and a classifier."""
    runs = {
        "slow": [run_experiment(SLOW, sample, store)],
        "autoencoder": [run],
        "classifier": [run_experiment(CLASSIFIER, sample, store)],
    }
    experiments = {name: [r.experiment for r in several] for name, several in runs.items()}
    return StudyResult(Plan(study_of(**{n: e[0] for n, e in experiments.items()}), "full",
                            experiments), runs)  # fmt: skip


def without(result: StudyResult, variant: str) -> StudyResult:
    experiments = {n: e for n, e in result.plan.experiments.items() if n != variant}
    study = study_of(**{name: several[0] for name, several in experiments.items()})
    runs = {name: several for name, several in result.runs.items() if name != variant}
    return StudyResult(Plan(study, "full", experiments), runs)


def test_the_classifier_is_chosen_else_the_lowest_loss(mixed: StudyResult, run: Run) -> None:
    assert mixed.run.experiment.model.kind == "convnet"
    assert without(mixed, "classifier").run.name == run.name


def test_a_study_with_autoencoders_keeps_them_apart(
    mixed: StudyResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = write_study(mixed, tmp_path, None).read_text()
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {"comparison", "loss", "accuracy", "reconstruction_loss"}
    assert re.findall(r'data-name="(\w+)"(?=[^>]*>\s*<div class="panels)', page) == [
        "comparison", "loss", "accuracy", "reconstruction_loss",
    ]  # fmt: skip
    cells = {row.variant: {cell.name: cell for cell in row.cells} for row in rows_of(mixed)}
    assert cells["autoencoder"]["test.accuracy"].values == ()
    assert cells["autoencoder"]["test.loss"].values != ()
    assert cells["autoencoder"]["test.loss"].difference is None  # of another kind of loss
    show_study(mixed, console())
    assert "autoencoder" in capsys.readouterr().out


def test_a_study_of_autoencoders_alone(mixed: StudyResult, tmp_path: Path) -> None:
    page = write_study(without(mixed, "classifier"), tmp_path, None).read_text()
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {"comparison", "reconstruction_loss"}
    assert 'aria-label="test loss of every variant' in page
    assert 'aria-label="mean squared error per pixel of every autoencoder' in page
    assert 'aria-label="accuracy' not in page


def test_compare_draws_autoencoders_apart(mixed: StudyResult, store: Store, tmp_path: Path) -> None:
    names = [run.name for run in mixed.every_run]
    said = call("compare", *names, "--runs", str(store.folder), "--output", str(tmp_path))
    assert said.exit_code == 0, said.output
    drawn = {path.name for path in tmp_path.iterdir()}
    expected = ("loss", "accuracy", "reconstruction_loss")
    assert drawn == {f"{name}.{suffix}" for name in expected for suffix in ("png", "svg")}
    alone = tmp_path / "alone"
    said = call("compare", names[1], "--runs", str(store.folder), "--output", str(alone))
    assert said.exit_code == 0, said.output
    assert [path.name for path in alone.glob("*.png")] == ["reconstruction_loss.png"]


def test_a_study_runs_an_autoencoder_and_once_more_on_everything(
    sample: Dataset, tmp_path: Path
) -> None:
    short = override(
        experiment(),
        {"training.epochs": 1, "data.sample": False, "data.holdout.count": 10_000,
         "data.also": [{"classes": [2], "parts": ["validation"]}]},
    )  # fmt: skip
    plan = planned(study_of(only=short), budget="full", seeds=1, sample=True)
    result = run_study(plan, Store(tmp_path), final=True)
    first, final = result.runs["only"][0], result.runs["only, all training data"][0]
    assert result.run.name == first.name
    assert result.product.name == final.name
    assert "validation" not in final.metrics
    assert list(final.history[0]) == ["epoch", "learning_rate", "train_loss"]
    # all 600 of class 2 are in the training part now, no more only the held-out ones
    assert final.metrics["train"]["examples"] == 5 * 60 + 600


# --- export and verify ----------------------------------------------------------------------


def test_an_autoencoder_is_not_exported(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="an autoencoder gives images, not classes"):
        export_run(run, tmp_path / "autoencoder")
    assert not list(tmp_path.iterdir())


def test_the_flagship_as_an_autoencoder_from_the_command_line(tmp_path: Path) -> None:
    said = call(
        "run", "fashion", "--sample", "--epochs", "1", "--fraction", "0.02",
        *("--set", "model.kind=autoencoder", "--set", "model.filters=2,2"),
        *("--set", "model.kernels=5", "--set", "training.keep=validation_loss"),
        *("--set", "training.label_smoothing=0", "--runs", str(tmp_path / "runs")),
        *("--models", str(tmp_path / "saved_models")),
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "no SavedModel: an autoencoder gives images, not classes\n" in said.stdout
    assert "accuracy" not in said.stdout
    assert not (tmp_path / "saved_models").exists()
    (kept,) = Store(tmp_path / "runs").all()
    assert kept.name.startswith("fashion_mnist-autoencoder-")
    assert "Reconstructions" in (kept.folder / "report.html").read_text()


def test_verify_compares_losses(run: Run, sample: Dataset, tmp_path: Path) -> None:
    kept = copy_of(run, tmp_path / run.name)
    # a history that is not the same: the test loss decides
    history = kept.folder / "history.csv"
    history.write_text(history.read_text().replace("0.001", "0.002"))
    said = verify(kept, sample, Store(tmp_path))
    loss = run.metrics["test"]["loss"]
    assert said.outcome == "within seed noise"
    low, high = (float(text) for text in re.findall(r"[0-9.]{7}", said.reason)[-2:])
    assert low < loss < high < 1.1 * loss
    assert said.reason.startswith(
        f"test loss {loss:.5f} then, {loss:.5f} now; the kept run's t-interval over the test "
        "images (fewer than 2 other seeds are kept): "
    )

    # among other seeds, a loss that none of them has
    for seed, factor in ((1, 0.99), (2, 1.01)):
        copy_of(run, tmp_path / f"other-{seed}", seed, loss * factor)
    lower = copy_of(kept, tmp_path / "lower", 0, loss / 2)
    said = verify(lower, sample, Store(tmp_path))
    assert said.outcome == "different"
    assert f"test loss {loss / 2:.5f} then, {loss:.5f} now; " in said.reason
    assert "95 % prediction interval from 3 other seeds" in said.reason


def copy_of(run: Run, folder: Path, seed: int = 0, loss: float | None = None) -> Run:
    shutil.copytree(run.folder, folder)
    metrics, made = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "experiment")
    )
    made["experiment"]["seed"] = seed
    metrics["test"]["loss"] = loss or metrics["test"]["loss"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "experiment.json").write_text(json.dumps(made))
    return Run(folder)
