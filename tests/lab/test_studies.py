"""Every study of the catalogue; a new one is tested by being listed there."""

import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import CATALOG, Dataset, load_data, split
from kerascw.data.idx import FILES, write_idx
from kerascw.data.sources import NotFoundError
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import retrained_on_everything
from kerascw.lab.plan import StudyResult, planned
from kerascw.lab.published import report
from kerascw.lab.run import run_study
from kerascw.lab.study import Study
from kerascw.lab.table import csv_text, rows_of
from kerascw.models import build_model, check_model
from kerascw.report.study import write_study
from kerascw.runs.run import run_experiment, run_name
from kerascw.runs.store import Run, Store
from kerascw.studies import all_studies, convnet_lab, image_techniques, recall, study_named

STUDIES = list(all_studies().values())
COLUMNS = {
    "variant", "parameters", "figure", "seeds", "mean", "deviation", "low_95", "high_95", "values",
    "published_reported", "published_corrected", "verdict", "verdict_reason", "difference",
    "difference_low_95", "difference_high_95", "difference_shown", "diverged",
}  # fmt: skip


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


WILD = {"training.optimizer.kind": "sgd", "training.optimizer.learning_rate": 1e30,
        "training.batch_size": 8, "data.scaling": "raw", "model.activation": "linear"}  # fmt: skip
"""Diverges. With ReLU a rate as absurd may as well end in dead units and a finite loss."""

TITLES = tuple(
    report(name)["title"].partition(" (")[0]
    for name in (
        *("convolutional_bag", "convnet_lab", "image_techniques", "digits_svhn"),
        "lenet_variants",
    )
)

each = pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)


# --- what a study is ------------------------------------------------------------------------


@each
def test_every_variant_can_be_built_for_its_data(study: Study) -> None:
    assert study.question.endswith("?")
    assert set(study.expected) == {"quick", "full"}
    for experiment in study.variants().values():
        entry = CATALOG[experiment.data.name]
        classes = len(experiment.data.classes or entry.class_names)
        check_model(experiment.model, entry.shape)
        model = build_model(experiment.model, entry.shape, classes)
        gives = entry.shape if experiment.reconstructs else (classes,)
        assert {output.shape for output in model.outputs} == {(None, *gives)}  # of every head
        assert Experiment.model_validate_json(experiment.canonical_json()) == experiment


@each
def test_the_quick_budget_is_the_same_study_and_less_of_it(study: Study) -> None:
    full, quick = study.experiments("full"), study.experiments("quick")
    assert full == study.variants()
    if study.quick_variants is not None:

        def cost(experiments: dict[str, Experiment]) -> float:
            return sum(e.training.epochs * e.data.fraction for e in experiments.values())

        assert cost(quick) < 0.2 * cost(full)
        models = {e.model for e in full.values()}
        assert {e.model for e in quick.values()} == models
        return
    assert list(quick) == list(full)
    for name in full:
        whole, part = full[name], quick[name]
        assert part.training.epochs <= study.quick.epochs
        cost = part.training.epochs * part.data.fraction
        assert cost < whole.training.epochs * whole.data.fraction
        same = {"data.fraction": 1.0, "training.epochs": 1}
        assert override(part, same) == override(whole, same)
    assert study.seeds("quick") <= study.seeds("full") or study.full_seeds == 1


@each
def test_published_figures_belong_to_variants_and_columns(study: Study) -> None:
    """What a second round is called shows only when it ran: see the studies' own runs."""
    second = {convnet_lab._FINAL, "random, 100%", "transferred, 100%", "variant_4, retrained",
              image_techniques.GOING_ON}  # fmt: skip
    known = set(study.variants()) | second
    for variant, figures in study.published().items():
        assert variant in known
        for name, published in figures.items():
            assert name in study.figures
            assert round(published.reported, published.digits) == published.reported
            assert published.where.startswith(TITLES)
            assert (published.corrected is None) == (not published.why)
    assert study.baseline is None or study.baseline_of or study.baseline in study.variants()


def test_the_bag_accuracies_are_divided_by_what_a_perfect_model_prints() -> None:
    ceiling = report("convolutional_bag")["ceiling"]
    assert ceiling == {"train": 0.9955, "validation": 0.98145, "test": 0.97656}
    corrected = 0
    for name in ("bag-cnn", "bag-variants", "bag-features"):
        for figures in study_named(name).published().values():
            for figure, published in figures.items():
                part, kind = figure.replace("last_epoch.train_", "train.").split(".")
                if kind == "loss":
                    assert published.best_reading == published.reported
                    continue
                expected = min(1.0, published.reported / ceiling[part])
                assert published.best_reading == published.corrected == pytest.approx(expected)
                corrected += 1
    assert corrected == 3 + 21 * 3 + 2
    test = study_named("bag-cnn").published()["bag-cnn"]["test.accuracy"]
    assert (test.reported, round(test.best_reading, 4)) == (0.9662, 0.9894)


def test_the_parameter_counts_are_those_printed() -> None:
    facts = report("convnet_lab")
    printed = {f"test {row[0]}": row[5] for part in ("mnist", "fashion")
               for row in facts[part]["rows"]}  # fmt: skip
    variants = convnet_lab.mnist_variants() | convnet_lab.fashion_variants()
    final = variants.pop("final as printed")
    assert (final.model, final.training.epochs) == (variants["test 7"].model, 15)
    assert {
        name: build_model(experiment.model).count_params() for name, experiment in variants.items()
    } == printed


def test_the_convnet_that_cannot_be_fitted_is_refused_by_its_layer() -> None:
    (name, reason), *others = study_named("mnist-variants").refused().items()
    assert (name, others) == ("test 3", [])
    assert reason.startswith("model.head: none, so the last layer, conv 1, gives maps of 13x13x32")
    assert "cannot be fitted to labels" in reason


def test_the_rows_of_the_bag() -> None:
    variants = study_named("bag-variants").variants()
    assert [name.split()[0] for name in variants] == [str(number) for number in range(1, 22)]
    assert study_named("bag-variants").published().keys() == variants.keys()
    five = build_model(variants["10 Layer2"].model, classes=5)
    assert [layer.output.shape[1:] for layer in five.layers if layer.name.startswith("pool")] == [
        (16, 16, 10), (10, 10, 50), (7, 7, 40), (5, 5, 30), (4, 4, 20),
    ]  # fmt: skip
    assert five.get_layer("flatten").output.shape == (None, 4 * 4 * 20)


def test_two_rows_of_the_bag_are_one_experiment(sample: Dataset) -> None:
    """Rows 5 and 8 differ in what is printed for them and in nothing that was set."""
    variants = study_named("bag-variants").variants()
    names = {name: run_name(experiment, sample) for name, experiment in variants.items()}
    assert names["5 Epoch2"] == names["8 LR3"]
    assert len(set(names.values())) == 20


def test_the_five_classes_have_the_published_counts() -> None:
    try:
        dataset = load_data("fashion_mnist")
    except NotFoundError as error:
        pytest.skip(f"the real data is not here: {error}")
    spec = study_named("bag-cnn").variants()["bag-cnn"].data
    splits = split(dataset, spec)
    assert splits.class_names == ("T-shirt/top", "Trouser", "Coat", "Sandal", "Bag")
    assert splits.validation is not None
    assert report("convolutional_bag")["counts_1"] == {
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
    }
    assert (len(splits.train), len(splits.validation)) == (24_975, 5_025)
    np.testing.assert_array_equal(
        splits.validation.images[-1], dataset.train.images[np.isin(dataset.train.labels,
                                                                   spec.classes or ())][-1]
    )  # fmt: skip


@each
def test_a_plan_says_what_keeps_it_from_comparison(study: Study) -> None:
    assert planned(study, budget="full").cautions == []
    (quick,) = planned(study, budget="quick").cautions
    assert quick.startswith(f"quick budget: at most {study.quick.epochs} epochs")
    (changed,) = planned(study, budget="full", settings={"training.batch_size": 99}).cautions
    assert changed == "changed: training.batch_size=99"


def test_the_sample_is_a_caution_and_holds_out_the_same_share() -> None:
    plan = planned(study_named("bag-cnn"), budget="full", sample=True, seeds=1)
    assert plan.cautions == ["on the bundled sample, not the dataset"]
    holdout = plan.experiments["bag-cnn"][0].data.holdout
    assert holdout is not None
    assert holdout.count == 1000  # of 6,000, as 10,000 are of 60,000


def test_a_plan_has_every_variant_over_the_seeds() -> None:
    plan = planned(study_named("bag-variants"), budget="quick", seeds=3, seed=5)
    assert {tuple(e.seed for e in several) for several in plan.experiments.values()} == {(5, 6, 7)}
    with pytest.raises(CallError, match="seeds: 0; choose from 1 to"):
        planned(study_named("bag-cnn"), seeds=0)
    with pytest.raises(CallError, match="no such field"):
        planned(study_named("mnist-convnet"), settings={"model.depth": 3})


def test_a_setting_of_the_holdout_is_for_the_variants_that_hold_out() -> None:
    """Two variants of cifar-mlp train on everything, as their report did."""
    plan = planned(study_named("cifar-mlp"), settings={"data.holdout.count": 500})
    counts = {
        name: None if (holdout := several[0].data.holdout) is None else holdout.count
        for name, several in plan.experiments.items()
    }
    assert {name.endswith("as printed") for name, count in counts.items() if not count} == {True}
    assert set(counts.values()) == {None, 500}
    with pytest.raises(CallError, match=r"data\.holdout\.count: no such field"):
        planned(study_named("mnist-convnet"), settings={"data.holdout.count": 500})


# --- studies run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST's files: few pictures, of clothes (the labels' names do not matter)."""
    folder = tmp_path_factory.mktemp("mnist")
    arrays = (sample.train.images[:500, ..., 0], sample.train.labels[:500],
              sample.test.images[:200, ..., 0], sample.test.labels[:200])  # fmt: skip
    for (name, _), array in zip(FILES.values(), arrays, strict=True):
        write_idx(folder / f"{name}.gz", array.astype(np.uint8))
    return folder


def assert_self_contained(page: str) -> None:
    """Check that nothing is loaded; tests/test_browser.py sees it in a browser."""
    markup = re.sub(r"(?s)<script\b[^>]*>.*?</script>", "<script></script>", page)
    loads = r"""\s(?:src|href|srcset|data|poster)\s*=\s*["']?([^"'\s>]{0,30})"""
    sources = re.findall(loads, markup)
    assert {source.split(",")[0] for source in sources} <= {"data:image/png;base64", "#content"}
    style = page.partition("</head>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in style
    assert page.count("window.vegaEmbed=") == 1  # the program is there once
    assert len(page.encode()) < 5_000_000


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == COLUMNS
    for row in rows:
        assert None not in row
        for column in ("mean", "low_95", "published_reported", "published_corrected", "difference"):
            assert row[column] == "" or np.isfinite(float(row[column]))
        assert len(row["values"].split()) == int(row["seeds"])
    return rows


def assert_tables(folder: Path, name: str, variants: int) -> None:
    """Check that a figure's table is there for a spreadsheet and for LaTeX."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == variants
    latex = (folder / f"{name}.tex").read_text(encoding="utf-8").splitlines()
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in latex
    assert len([line for line in latex if line.endswith(r"\\")]) == 1 + variants


def folder_of(store: Path, name: str) -> Path:
    """Return the folder of a study's own files, as it was run last."""
    return Store(store).study_folder(recall(name, Store(store)).plan.label)


def assert_study(result: Result, store: Path, name: str, seeds: int = 1, epochs: int = 1) -> str:
    """Check what every study leaves behind; return its page."""
    assert result.exit_code == 0, result.output
    study, folder = study_named(name), folder_of(store, name)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    rows = table_of(folder)
    named = recall(name, Store(store)).runs
    assert [row["variant"] for row in rows] == [v for v in named for _ in study.figures]
    assert [row["figure"] for row in rows] == [f for _ in named for f in study.figures]
    assert set(study.variants()) <= set(named)
    assert set(study.published()) <= set(named)
    tested = {v for v, runs in named.items() if not runs[0].experiment.data.test_in_training}
    measured = [
        row for row in rows if row["figure"].startswith("test.") and row["variant"] in tested
    ]
    assert {row["seeds"] for row in measured} == {str(seeds)}
    for caution in ("quick budget: at most", "changed: ", f"training.epochs={epochs}"):
        assert caution in page
        assert caution in result.output
    assert {row["verdict"] for row in rows if row["published_reported"]} == {"not comparable"}
    for picture in ("comparison", "loss", "accuracy"):
        assert (folder / "figures" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (folder / "figures" / f"{picture}.svg").read_bytes()[:200]
    for figure in study.figures:
        assert_tables(folder / "tables", figure.replace(".", "_"), len(named))
    for answer in study.answers(named):
        assert answer.question in result.output
    return page


SAMPLE_CAUTION = "Not comparable with published figures: on the bundled sample, not the dataset."


def test_bag_cnn(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    words = ["--sample", "--epochs", "1", "--fraction", "0.1", "--runs", str(store)]
    result = call("run", "bag-cnn", "--seeds", "2", *words)
    page = assert_study(result, store, "bag-cnn", seeds=2)
    assert SAMPLE_CAUTION in page
    assert SAMPLE_CAUTION in result.output
    assert "0.9662, corrected 0.9894" in page
    runs = Store(store).all()
    assert {run.metrics["validation"]["examples"] for run in runs} == {
        len(
            split(load_data("fashion_mnist", sample=True), runs[0].experiment.data).validation or ()
        )
    }

    # the page is drawn again from what is kept, and says what had made it
    folder = folder_of(store, "bag-cnn")
    (folder / "report.html").unlink()
    result = call("report", "bag-cnn", "--runs", str(store))
    assert result.exit_code == 0, result.output
    assert SAMPLE_CAUTION in (folder / "report.html").read_text()

    compared = call("compare", "bag-cnn", "--runs", str(store), "--output", str(tmp_path / "c"))
    assert compared.exit_code == 0, compared.output
    lines = [line for line in compared.stdout.splitlines() if line.startswith("bag-cnn")]
    assert len(lines) == 2
    for run in runs:
        assert any(f"{run.metrics['test']['accuracy']:.4f}" in line for line in lines)
    assert len(list((tmp_path / "c").glob("*.png"))) == 2

    # a run that is gone is a line, not a traceback
    shutil.rmtree(runs[0].folder)
    gone = call("report", "bag-cnn", "--runs", str(store))
    assert gone.exit_code == 2
    assert gone.stderr == "kerascw: study bag-cnn: runs of 'bag-cnn' are gone; run it again\n"


@pytest.fixture
def few_rows() -> Study:
    """Six rows of the bag: the baseline, the two that are one, five layers, L2 and dropout.

    With one epoch for all, the baseline is the same experiment as those two.
    """
    study = study_named("bag-variants")
    rows = ("2 Optim2", "5 Epoch2", "6 LR1", "8 LR3", "10 Layer2", "20 Intuition3")
    return replace(study, variants=lambda: {name: study.variants()[name] for name in rows})


def test_bag_variants_with_one_that_diverged(few_rows: Study, tmp_path: Path) -> None:
    settings = {"training.epochs": 1, "data.fraction": 0.05}
    plan = planned(few_rows, budget="quick", seeds=1, sample=True, settings=settings)
    plan.experiments["6 LR1"][0] = override(plan.experiments["6 LR1"][0], WILD)
    result = run_study(plan, Store(tmp_path))
    assert len(Store(tmp_path).all()) == 4
    assert result.runs["5 Epoch2"][0].name == result.runs["8 LR3"][0].name
    assert result.runs["6 LR1"][0].metrics["status"] == "diverged"
    page = write_study(result, tmp_path / "page", "python -m kerascw run bag-variants")
    assert_self_contained(page.read_text())
    assert "diverged: seed 0: a figure of epoch 1 is not finite" in page.read_text()
    rows = table_of(tmp_path / "page")
    assert len(rows) == 6 * 6
    diverged = [row for row in rows if row["variant"] == "6 LR1"]
    assert {(row["mean"], row["seeds"], row["diverged"]) for row in diverged} == {
        ("", "0", "seed 0: a figure of epoch 1 is not finite")
    }
    assert {row["difference"] for row in rows if row["variant"] == "2 Optim2"} == {""}
    answer, *_ = few_rows.answers(result.runs)
    finished = {name: runs[0].metrics for name, runs in result.runs.items() if name != "6 LR1"}
    chosen = min(finished, key=lambda name: finished[name]["validation"]["loss"])
    best = min(metrics["test"]["loss"] for metrics in finished.values())
    assert f"in {int(finished[chosen]['test']['loss'] == best)} of 1 seed." in answer.answer
    assert f"Validation chose {chosen}" in answer.answer


def pictures(**fields: Any) -> list[str]:
    """Return the options that change what a study's figures show."""
    return [
        word for name, value in fields.items() for word in ("--set", f"pictures.{name}={value}")
    ]


def test_bag_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--sample", "--epochs", "1", "--fraction", "0.1", "--runs", str(tmp_path)]
    result = call("run", "bag-features", "--seeds", "2", *words)
    page = assert_study(result, tmp_path, "bag-features", seeds=2)
    figures = folder_of(tmp_path, "bag-features") / "figures"
    names = ("T-shirt or top", "Trouser", "Coat", "Sandal", "Bag")
    maps = {f"feature maps, {name}.png" for name in names}
    assert maps <= {path.name for path in figures.iterdir()}
    # of a network that has learned little, nothing is concluded
    assert "None are named: the network classifies only" in page
    monkeypatch.setattr("kerascw.report.features.LEAST_ACCURACY", 0.0)

    options = pictures(layer=2, channels="0,49", image=3)
    result = call("run", "bag-features", "--seeds", "2", *words, *options)
    page = assert_study(result, tmp_path, "bag-features", seeds=2)
    assert len([path for path in figures.iterdir() if path.name in maps]) == 1
    assert "training image 3:" in page
    assert re.search(r"conv 3: \d+ \(\S+, 0\.\d\d\)", page)

    for wrong, said in (
        (pictures(layer=4), "pictures.layer: 4; choose from 1 to 3"),
        (pictures(layer=0), "pictures.layer: Input should be greater than or equal to 1"),
        (pictures(channels="3,50"), "pictures.channels: 50; choose from 0 to "),
        (pictures(layer=2, channels=50), "pictures.channels: 50; choose from 0 to 49"),
        (pictures(channels="first"), "pictures.channels.0: Input should be a valid integer"),
        (pictures(image=-1), "pictures.image: Input should be greater than or equal to 0"),
        (pictures(image=99999), "pictures.image: 99999; choose from 0 to "),
        (
            pictures(layers=1),
            "pictures.layers: no such field 'layers'; there the fields are "
            "channels, image or layer (did you mean layer?)",
        ),
        (["--set", "training.epochs=2"], "--set training.epochs: a report takes pictures.FIELD"),
    ):
        result = call("report", "bag-features", "--runs", str(tmp_path), *wrong)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"kerascw: {said}")
        assert len(result.stderr.splitlines()) == 1
    assert "training image 3:" in (figures.parent / "report.html").read_text()  # as it was

    # of a single run too
    result = call("run", "bag-features", "--seeds", "1", *words, *pictures(layer=1, channels=7))
    assert result.exit_code == 0, result.output
    assert "study report: " in result.output
    assert (folder_of(tmp_path, "bag-features") / "figures" / "feature maps, Bag.png").is_file()


def test_options_of_pictures_are_checked_before_training(tmp_path: Path) -> None:
    words = ["run", "bag-features", "--sample", "--seeds", "1", "--runs", str(tmp_path)]
    for wrong, said in (
        (pictures(layer=4), "pictures.layer: 4; choose from 1 to 3"),
        (pictures(image=99999), "pictures.image: 99999; choose from 0 to "),
        (["--set", "model.kind=mlp"], "model.kind: mlp has no feature maps; study bag-features"),
    ):
        result = call(*words, *wrong)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"kerascw: {said}")
    assert not list(tmp_path.iterdir())
    result = call("run", "mnist-convnet", *pictures(layer=1), "--runs", str(tmp_path))
    assert result.exit_code == 2
    said = "kerascw: pictures.layer: study mnist-convnet has no pictures to set\n"
    assert result.stderr == said


def test_a_changed_study_leaves_the_other_s_folder_alone(tmp_path: Path) -> None:
    study = study_named("fashion-variants")
    labels = {
        planned(study, sample=sample, settings=settings).label
        for sample in (False, True)
        for settings in ({}, {"training.epochs": 1}, {"training.epochs": 2})
    }
    assert len(labels) == 6
    assert {"fashion-variants-quick", "fashion-variants-quick-sample"} < labels
    store = Store(tmp_path)
    with pytest.raises(CallError, match="study fashion was not run yet"):
        recall("fashion", store)
    results = {}
    for epochs in (1, 2):
        plan = planned(study_named("fashion"), budget="quick", sample=True,
                       settings={"training.epochs": epochs, "data.fraction": 0.05})  # fmt: skip
        results[plan.label] = run_study(plan, store).run.name
    for label, name in results.items():
        assert recall(label, store).run.name == name
    assert recall("fashion", store).run.name == name  # the last one


def test_feature_maps_are_what_the_model_computes(sample: Dataset, tmp_path: Path) -> None:
    """Convolution, bias and ReLU by hand, on one picture, for the first layer."""
    from kerascw.report.features import activity, feature_maps

    settings = {"training.epochs": 1, "data.fraction": 0.02}
    plan = planned(study_named("bag-features"), seeds=1, sample=True, settings=settings)
    run = run_experiment(plan.experiments["bag-features"][0], sample, Store(tmp_path))
    splits = split(sample, run.experiment.data)
    picture = splits.test.images[:1]
    first, second, third = feature_maps(run, picture)
    assert (first.shape, second.shape, third.shape) == (
        (1, 28, 28, 10), (1, 14, 14, 50), (1, 7, 7, 20),
    )  # fmt: skip
    kernel, bias = (weights.numpy() for weights in run.model().get_layer("conv_1").weights)
    padded = np.pad(picture[0, :, :, 0].astype(float), 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    by_hand = np.maximum(np.einsum("yxij,ijc->yxc", windows, kernel[:, :, 0]) + bias, 0)
    np.testing.assert_allclose(first[0], by_hand, atol=1e-2)
    measured = activity(run, splits)
    of_class = splits.test.images[splits.test.labels == 1]
    maps = feature_maps(run, of_class)
    assert measured.mean[1][1] == pytest.approx(maps[1].mean())
    for layer in range(3):
        index = measured.selectivity(layer)
        assert ((index >= 0) & (index <= 1)).all()


def test_fashion_variants_and_the_models_they_lead_to(tmp_path: Path) -> None:
    words = ["--sample", "--epochs", "1", "--fraction", "0.02", "--runs", str(tmp_path)]
    result = call("run", "fashion-variants", "--seeds", "1", *words)
    page = assert_study(result, tmp_path, "fashion-variants")
    runs = recall("fashion-variants", Store(tmp_path)).runs
    assert len(runs) == 9
    final = runs[convnet_lab._FINAL][0]
    assert final.experiment.data.holdout is None
    assert final.experiment.training.epochs == convnet_lab.best_epoch(runs, "test 7") == 1
    assert "validation" not in final.metrics
    lowest = convnet_lab.lowest_validation_loss(runs)
    (best,) = runs[f"final (best: {lowest})"]
    assert best.experiment.model == runs[str(lowest)][0].experiment.model
    losses = {name: several[0].history[0].get("validation_loss", np.inf)
              for name, several in runs.items()}  # fmt: skip
    assert lowest == min(losses, key=lambda name: losses[name])
    assert "0.9070" in page  # published for the final model


def trained(study: Study, names: list[str], sample: Dataset, store: Store, **settings: object
            ) -> StudyResult:  # fmt: skip
    """Run some variants of a study in this process, over one seed."""
    changes = {"training.epochs": 1, "data.fraction": 0.01} | settings
    plan = planned(study, budget="quick", seeds=1, sample=True, settings=changes)
    plan = replace(plan, experiments={name: plan.experiments[name] for name in names})
    runs = {
        name: [run_experiment(experiment, sample, store) for experiment in several]
        for name, several in plan.experiments.items()
    }
    return StudyResult(plan, runs)


@pytest.mark.parametrize("name", ["fashion-variants", "bag-features", "bag-variants", "bag-cnn"])
def test_a_study_of_which_everything_diverged_is_a_page_too(
    name: str, sample: Dataset, tmp_path: Path
) -> None:
    study = study_named(name)
    variants = [variant for variant in study.variants() if variant in ("test 7", "1 Optim1", name)]
    result = trained(study, variants, sample, Store(tmp_path), **WILD)
    assert {run.metrics["status"] for run in result.every_run} == {"diverged"}
    assert study.then(result.runs) == {}
    assert study.answers(result.runs) == []
    page = write_study(result, tmp_path / "page", None)
    assert "diverged: seed 0: a figure of epoch 1 is not finite" in page.read_text()
    for row in table_of(tmp_path / "page"):
        assert (row["seeds"], row["mean"]) == ("0", "")


def test_final_goes_through_a_study_with_a_second_round(sample: Dataset, tmp_path: Path) -> None:
    """What is trained on everything already is not trained on everything once more."""
    study, settings = study_named("fashion-variants"), {"training.epochs": 2, "data.fraction": 0.01}
    plan = planned(study, budget="quick", seeds=1, sample=True, settings=settings)
    plan = replace(plan, experiments={"test 7": plan.experiments["test 7"]})
    result = run_study(plan, Store(tmp_path), final=True)
    assert list(result.runs) == [
        "test 7", convnet_lab._FINAL, "final (best: test 7)", "test 7, all training data",
    ]  # fmt: skip
    assert result.product == result.runs["test 7, all training data"][0]
    assert study.answers(result.runs)
    assert len(rows_of(result)) == 4
    assert csv_text(rows_of(result)).count("\n") == 1 + 4 * len(study.figures)


def test_answers_of_the_bag_take_no_notice_of_final_runs(sample: Dataset, tmp_path: Path) -> None:
    study, store = study_named("bag-variants"), Store(tmp_path)
    result = trained(study, ["1 Optim1", "2 Optim2"], sample, store)
    again = retrained_on_everything(result.runs["1 Optim1"][0])
    finals: dict[str, list[Run]] = {
        "1 Optim1, all training data": [run_experiment(again, sample, store)]
    }
    assert study.answers(result.runs | finals) == study.answers(result.runs)


def test_final_is_refused_before_training_where_nothing_is_held_out(
    mnist: Path, tmp_path: Path
) -> None:
    result = call("run", "mnist-convnet", "--final", "--data-dir", str(mnist), "--runs",
                  str(tmp_path / "runs"))  # fmt: skip
    assert result.exit_code == 2
    assert result.stderr.startswith("kerascw: --final: data.holdout is none")
    assert not (tmp_path / "runs").exists()


def test_mnist_variants(mnist: Path, tmp_path: Path) -> None:
    words = ["--seeds", "1", "--epochs", "1", "--fraction", "0.3", "--data-dir", str(mnist),
             "--set", "data.holdout.count=100", "--runs", str(tmp_path)]  # fmt: skip
    result = call("run", "mnist-variants", *words)
    page = assert_study(result, tmp_path, "mnist-variants")
    assert "on the bundled sample" not in page
    assert "data.holdout.count=100" in page
    reason = "model.head: none, so the last layer, conv 1, gives maps of 13x13x32"
    assert reason in page
    assert f"test 3 cannot be fitted: {reason}" in result.output
    for parameters in ("93,322", "106,122", "515,146", "79,050", "2,038,922"):
        assert parameters in page
    rows = {(row["variant"], row["figure"]): row
            for row in table_of(folder_of(tmp_path, "mnist-variants"))}  # fmt: skip
    first = rows["test 1", "epoch_1.train_loss"]
    assert (first["seeds"], first["published_reported"]) == ("1", "0.1785")
    assert rows["test 1", "epoch_5.train_accuracy"]["mean"] == ""  # there was no fifth epoch
    for run in Store(tmp_path).all():
        assert run.environment["data"]["location"] == str(mnist)
        assert not run.environment["data"]["official_bytes"]


def test_mnist_convnet(mnist: Path, tmp_path: Path) -> None:
    words = ["--epochs", "1", "--data-dir", str(mnist), "--runs", str(tmp_path)]
    result = call("run", "mnist-convnet", "--seeds", "2", *words)
    page = assert_study(result, tmp_path, "mnist-convnet", seeds=2)
    for published in ("0.9914", "0.978"):
        assert published in page
    assert "(one seed)" not in page
    rows = table_of(folder_of(tmp_path, "mnist-convnet"))
    differences = {row["variant"]: row["difference"] for row in rows}
    assert differences["dense only"] == ""
    assert np.isfinite(float(differences["convnet (test 1)"]))


def test_digits_from_scikit_learn_alone(kept_digits: Path, tmp_path: Path) -> None:
    """Trained and exported already: only its page is drawn."""
    shutil.copytree(kept_digits.parent, tmp_path, dirs_exist_ok=True)
    runs = tmp_path / "runs"
    result = call("run", "digits", "--budget", "quick", "--seeds", "2", "--epochs", "3",
                  "--runs", str(runs), "--models", str(tmp_path / "models"))  # fmt: skip
    page = assert_study(result, runs, "digits", seeds=2, epochs=3)
    errors = {
        name: [run.metrics["test"]["error"] for run in several]
        for name, several in recall("digits", Store(runs)).runs.items()
    }
    gained = np.subtract(errors["convnet"], errors["mlp"]).mean()
    assert f"paired by seed, is {gained:+.4f} (2 seeds, no interval)" in page.replace("&#43;", "+")
    rows = table_of(folder_of(runs, "digits"))
    tenth = [row for row in rows if row["figure"] == "epoch_10.validation_error"]
    assert [row["published_reported"] for row in tenth] == ["0.1171", "0.0343"]
    assert [row["mean"] for row in tenth] == ["", ""]  # there was no tenth epoch
    for question in (1, 2, 3, 4):
        assert f"Question {question}: " in page
    pictures = {path.stem for path in (folder_of(runs, "digits") / "figures").iterdir()}
    assert {"mlp, loss and error", "convnet, loss and error"} <= pictures
    (model,) = (tmp_path / "models").glob("digits-quick-*")
    assert (model / "1" / "saved_model.pb").is_file()


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10's binary files and SVHN's MATLAB files: 300 pictures, of a colour for each class."""
    from scipy.io import savemat

    folder = tmp_path_factory.mktemp("colours")
    labels = np.arange(300) % 10
    images = np.random.default_rng(0).integers(0, 40, (300, 32, 32, 3), np.uint8)
    images += (labels * 21).astype(np.uint8)[:, None, None, None]
    rows = np.column_stack([labels, images.transpose(0, 3, 1, 2).reshape(300, -1)])
    for number, part in enumerate(np.split(rows.astype(np.uint8), 6), start=1):
        name = f"data_batch_{number}.bin" if number < 6 else "test_batch.bin"
        (folder / name).write_bytes(part.tobytes())
    for at, part in enumerate(("train", "extra", "test")):
        here = slice(100 * at, 100 * at + 100)
        digits = np.where(labels[here] == 0, 10, labels[here]).astype(np.uint8)
        pictures = images[here].transpose(1, 2, 3, 0)
        savemat(folder / f"{part}_32x32.mat", {"X": pictures, "y": digits[:, None]})
    return folder


def test_some_variants_of_a_study(tmp_path: Path) -> None:
    """The answers and the second round, which need the others, are left out."""
    runs, models = tmp_path / "runs", str(tmp_path / "models")
    few = call("run", "digits", "--budget", "quick", "--seeds", "1", "--only", "mlp",
               "--only", "mlp", "--models", models, "--runs", str(runs))  # fmt: skip
    assert few.exit_code == 0, few.output
    (folder,) = (runs / "studies").iterdir()
    assert folder.name.startswith("digits-quick-")
    again = recall(folder.name, Store(runs))
    assert list(again.runs) == ["mlp"]
    assert again.study.answers(again.runs) == []
    assert again.study.deviations[0] == "only 1 of the study's 2 variants"
    assert not any(caution.startswith("changed") for caution in again.plan.cautions)
    assert planned(again.study, budget="quick", seeds=1).experiments["mlp"] == [
        again.run.experiment
    ]
    drawn = call("report", folder.name, "--runs", str(runs))
    assert drawn.exit_code == 0, drawn.output
    table = call("results", folder.name, "--runs", str(runs), "--file", str(tmp_path / "r.json"))
    assert table.output.splitlines()[2].startswith("| `digits` (quick budget) | mlp | ")
    wrong = call("run", "digits", "--only", "mpl", "--runs", str(runs))
    assert wrong.exit_code == 2
    assert "--only: 'mpl' is no variant of digits; choose mlp" in wrong.output


def test_cifar_in_the_official_layout(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_techniques, "HELD_OUT", 50)
    words = ["--data-dir", str(colours), "--epochs", "1", "--seeds", "1", "--runs", str(tmp_path)]
    for name in ("cifar-mlp", "cifar-cnn"):
        result = call("run", name, *words)
        page = assert_study(result, tmp_path, name)
        assert "Image Based Deep Learning Techniques" in page
    runs = recall("cifar-mlp", Store(tmp_path)).runs
    assert {run.experiment.training.batch_size for r in runs.values() for run in r} == {1, 64}
    assert {
        row["difference"] == ""
        for row in table_of(folder_of(tmp_path, "cifar-mlp"))
        if row["figure"].endswith("loss") and "softmax" not in row["variant"]
    } == {True}  # another loss than the baseline's
    (printed,) = runs["tuned, as printed"]
    assert "test" not in printed.metrics  # it was trained on
    (on,) = recall("cifar-cnn", Store(tmp_path)).runs[image_techniques.GOING_ON]
    (untuned,) = recall("cifar-cnn", Store(tmp_path)).runs["untuned"]
    assert on.source == untuned.name


def test_svhn_with_and_without_extra_pictures(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in colours.iterdir()}
    for name in ("svhn", "svhn_extra"):  # whose files must be the published ones
        monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], md5=md5))
    words = ["--data-dir", str(colours), "--epochs", "4", "--set", "data.fraction=1",
             "--set", "data.holdout.count=10", "--batch-size", "16", "--learning-rate", "0.005",
             "--budget", "quick", "--runs", str(tmp_path)]  # fmt: skip
    counts = []
    for name in ("svhn", "svhn-extra"):
        result = call("run", name, *words, "--models", str(tmp_path / "s"))
        assert result.exit_code == 0, result.output
        (run,) = recall(name, Store(tmp_path)).every_run
        counts.append(run.metrics["train"]["examples"])
        assert "Is the test error below the required 0.1?" in result.output
        maps = list((folder_of(tmp_path, name) / "figures").glob("feature maps, *.png"))
        assert len(maps) == 1
    assert counts == [90, 190]
    picture = tmp_path / "nine.png"
    Image.fromarray(np.full((64, 64, 3), 9 * 21 + 20, np.uint8)).save(picture)
    (model,) = (tmp_path / "s").glob("svhn-quick-*")
    answer = call("predict", str(model), str(picture), "--format", "json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)[0]["predictions"][0]["label"] in set("0123456789")


def test_a_study_remembers_the_data_it_was_given(
    sample: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The answers of bag-features look at the test set again, without being told where it is."""
    clothes = tmp_path / "clothes"
    clothes.mkdir()
    arrays = (sample.train.images[:900, ..., 0], sample.train.labels[:900],
              sample.test.images[:300, ..., 0], sample.test.labels[:300])  # fmt: skip
    for (name, _), array in zip(FILES.values(), arrays, strict=True):
        write_idx(clothes / name, array.astype(np.uint8))
    study, store = study_named("bag-features"), Store(tmp_path / "runs")
    settings = {"training.epochs": 1, "data.holdout.count": 300}
    plan = planned(study, budget="quick", seeds=1, settings=settings)
    result = run_study(plan, store, data_dir=clothes)
    assert all("conv 1: " in answer.answer for answer in study.answers(result.runs)[:2])
    examples = result.run.metrics["test"]["examples"]
    assert examples == int(np.isin(sample.test.labels[:300], (0, 1, 4, 5, 8)).sum())
