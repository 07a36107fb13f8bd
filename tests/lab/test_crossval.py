"""Cross-validation: the folds, the runs over them, and what is said of their figures."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pydantic import ValidationError
from sklearn.model_selection import StratifiedKFold

import kerascw
from kerascw.commands.main import main
from kerascw.data import Dataset, Splits, load_data, split
from kerascw.data.rows import Rows
from kerascw.errors import CallError
from kerascw.evaluation.statistics import prediction_reach
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DataSpec, Experiment, Holdout, WarmStart
from kerascw.lab.derive import cross_validated, on_other_data, repeated, with_fold
from kerascw.lab.plan import FINAL, StudyResult, planned
from kerascw.lab.published import Published, report
from kerascw.lab.repeats import counted, paired_values, repeats_of, values_of
from kerascw.lab.table import TOO_NARROW, rows_of
from kerascw.lab.verdict import verdict
from kerascw.runs.store import Store
from kerascw.studies import fashion, lenet, lenet_crossval, recall, study_named


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def folds_of(dataset: Dataset, spec: DataSpec, folds: int, seed: int = 0) -> list[Splits]:
    every = (Holdout(how="fold", folds=folds, fold=fold, seed=seed) for fold in range(folds))
    return [split(dataset, spec.model_copy(update={"holdout": holdout})) for holdout in every]


def held_out(splits: Splits) -> np.ndarray:
    assert splits.validation is not None
    return np.asarray(splits.validation.images)


# --- the folds ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_folds_are_scikit_learn_s_own(sample: Dataset, seed: int) -> None:
    ours = folds_of(sample, DataSpec(name="fashion_mnist"), 5, seed)
    labels = sample.train.labels
    theirs = StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels)
    for splits, (train, validation) in zip(ours, theirs, strict=True):
        assert splits.validation is not None
        np.testing.assert_array_equal(splits.validation.images, sample.train.images[validation])
        np.testing.assert_array_equal(splits.validation.labels, labels[validation])
        np.testing.assert_array_equal(splits.train.images, sample.train.images[train])
        np.testing.assert_array_equal(splits.train.labels, labels[train])
        np.testing.assert_array_equal(splits.test.images, sample.test.images)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_are_disjoint_cover_all_and_keep_every_class_s_share(folds: int) -> None:
    data = load_data("digits")
    # a picture that is there twice could be in two folds: each is known by its position
    n = len(data.train)
    numbers = np.arange(n, dtype=np.uint8 if n < 256 else np.uint16)
    images = numbers.view(np.uint8).reshape(n, 1, -1, 1)
    data = replace(data, train=replace(data.train, images=images))
    parts = [
        held_out(splits).reshape(-1).view(numbers.dtype)
        for splits in folds_of(data, DataSpec(name="digits"), folds)
    ]
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    for splits, part in zip(folds_of(data, DataSpec(name="digits"), folds), parts, strict=True):
        trained = np.asarray(splits.train.images).reshape(-1).view(numbers.dtype)
        assert not set(trained.tolist()) & set(part.tolist())
        assert len(trained) + len(part) == n
        share = np.bincount(data.train.labels) / folds
        assert (np.abs(np.bincount(data.train.labels[part]) - share) < 1).all()


def test_selected_classes_have_the_folds_of_the_whole(sample: Dataset) -> None:
    """Whatever the classes, a picture is in the same fold."""
    whole = DataSpec(name="fashion_mnist")
    some = whole.model_copy(update={"classes": (8, 1)})
    for all_classes, two in zip(folds_of(sample, whole, 4), folds_of(sample, some, 4), strict=True):
        assert all_classes.validation is not None
        assert two.validation is not None
        chosen = all_classes.validation.take(np.isin(all_classes.validation.labels, (8, 1)))
        np.testing.assert_array_equal(two.validation.images, chosen.images)
        np.testing.assert_array_equal(two.validation.labels, (chosen.labels == 1).astype(int))
        assert np.bincount(two.validation.labels).tolist() == [150, 150]


def test_a_fraction_is_of_what_is_trained_on(sample: Dataset) -> None:
    whole = DataSpec(name="fashion_mnist")
    part = whole.model_copy(update={"fraction": 0.25})
    for all_of_it, quarter in zip(
        folds_of(sample, whole, 3), folds_of(sample, part, 3), strict=True
    ):
        np.testing.assert_array_equal(held_out(all_of_it), held_out(quarter))
        assert (len(all_of_it.train), len(quarter.train)) == (4000, 1000)
        assert np.bincount(quarter.train.labels).tolist() == [100] * 10


def test_folds_of_what_is_too_large_to_copy(
    sample: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DataSpec(name="fashion_mnist", holdout=Holdout(how="fold", folds=5, fold=3))
    copied = split(sample, spec)
    monkeypatch.setattr("kerascw.data.dataset.LARGE", 0)
    rows = split(sample, spec)
    assert isinstance(rows.train.images, Rows)
    for one, other in ((copied.train, rows.train), (copied.validation, rows.validation)):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.images, np.asarray(other.images))
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_class_with_fewer_pictures_than_folds(sample: Dataset) -> None:
    few = sample.train.take(np.r_[np.arange(300), np.flatnonzero(sample.train.labels == 5)])
    kept = np.r_[np.flatnonzero(few.labels != 8), np.flatnonzero(few.labels == 8)[:4]]
    data = replace(sample, train=few.take(kept))
    spec = DataSpec(name="fashion_mnist", holdout=Holdout(how="fold", folds=5))
    with pytest.raises(CallError) as error:
        split(data, spec)
    assert str(error.value) == (
        "data.holdout.folds: 5, but class 8 (Bag) has only 4 training images; choose from 2 to 4"
    )
    # of a class that the experiment does not use it does not matter
    assert split(data, spec.model_copy(update={"classes": (1, 5)})).validation is not None
    none = replace(sample, train=few.take(np.flatnonzero(few.labels == 5)[:1]))
    with pytest.raises(CallError, match=r"class 5 \(Sandal\) has only 1 training image$"):
        split(none, spec)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"how": "fold"}, "folds: none, but how is fold; say how many, 2 or more"),
        ({"how": "fold", "folds": 5, "fold": 5}, "fold: 5; choose from 0 to 4"),
        ({"how": "fold", "folds": 5, "count": 9}, "count: 9, but how is fold, which takes none"),
        ({"how": "first", "folds": 5}, "folds: only how fold takes it, but how is first"),
        ({"how": "random", "fold": 1}, "fold: only how fold takes it, but how is random"),
        ({"how": "fold", "folds": 1}, "Input should be greater than or equal to 2"),
        ({"how": "fold", "folds": 5, "fold": -1}, "Input should be greater than or equal to 0"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Holdout.model_validate(fields)
    assert said in str(error.value)


def test_folds_leave_other_keys_alone_and_have_their_own() -> None:
    base = fashion.recipe()
    assert "fold" not in base.canonical_json()
    five = repeated(cross_validated(base, 5), [0])
    assert [experiment.fold for experiment in five] == [0, 1, 2, 3, 4]
    assert '"holdout":{"folds":5,"how":"fold"}' in five[0].canonical_json()
    every = [base, *five, *repeated(cross_validated(base, 4), [0])]
    assert len({experiment.key("data") for experiment in every}) == 10
    for experiment in five:
        assert Experiment.model_validate_json(experiment.canonical_json()) == experiment


# --- the plan -------------------------------------------------------------------------------


def test_every_variant_over_folds_and_seeds() -> None:
    plan = planned(study_named("digits"), folds=3, seeds=2, seed=4)
    assert plan.changed == {"folds": 3}
    assert plan.cautions == ["changed: folds=3"]
    for several in plan.experiments.values():
        assert [(e.seed, e.fold, e.folds) for e in several] == [
            (seed, fold, 3) for seed in (4, 5) for fold in range(3)
        ]
    assert {len(s) for s in planned(study_named("digits"), folds=3).experiments.values()} == {3}
    labels = {planned(study_named("digits"), folds=folds).label for folds in (None, 3, 4)}
    assert len(labels) == 3


def test_a_study_that_holds_nothing_out_is_cross_validated_too() -> None:
    plan = planned(study_named("mnist-convnet"), folds=4)
    for several in plan.experiments.values():
        assert [(e.fold, e.training.keep) for e in several] == [(f, "last") for f in range(4)]


def test_what_draws_the_folds_can_be_set() -> None:
    plan = planned(study_named("digits"), folds=3, settings={"data.holdout.seed": 9})
    assert {e.data.holdout for e in plan.experiments["mlp"]} == {
        Holdout(how="fold", folds=3, fold=fold, seed=9) for fold in range(3)
    }
    for path, value in (("data.holdout.count", 9), ("data.holdout", "none")):
        with pytest.raises(CallError, match=f"^{path}: --folds says what is held out; "):
            planned(study_named("digits"), folds=3, settings={path: value})
    with pytest.raises(CallError, match=r"^data\.holdout\.fold: a study trains every fold"):
        planned(study_named("lenet-crossval"), settings={"data.holdout.fold": 2})


def test_folds_on_other_data_and_on_the_sample() -> None:
    plan = planned(study_named("fashion"), folds=3, sample=True)
    assert [e.fold for e in plan.experiments["fashion"]] == [0, 1, 2]
    assert plan.experiments["fashion"][0].data.sample
    base = cross_validated(fashion.recipe(), 6)
    digits = load_data("digits")
    moved = on_other_data(base, DataSpec(name="digits"), digits)
    assert (moved.data.name, moved.data.holdout) == ("digits", base.data.holdout)
    own = replace(digits, validation=digits.test)
    assert on_other_data(base, DataSpec(name="digits"), own).data.holdout == base.data.holdout


def test_studies_that_cannot_be_cross_validated() -> None:
    for name in ("bag-pretraining", "bag-transfer"):
        with pytest.raises(CallError) as error:
            planned(study_named(name), folds=3)
        assert str(error.value) == (
            f"--folds: not for study {name}: its learning curves are paired by seed"
        )
    start = WarmStart(source=fashion.recipe(), layers=("conv_1",))
    warm = fashion.recipe().model_copy(update={"start": start})
    with pytest.raises(CallError, match="the variant starts from the weights of another exper"):
        repeated(cross_validated(warm, 3), [0])


def test_lenet_crossval_is_the_published_protocol_and_shares_its_fixed_split() -> None:
    study = study_named("lenet-crossval")
    plan = planned(study, budget="full")
    fixed, folds = plan.experiments.values()
    assert fixed == [lenet.variants()["variant_4"]]
    assert [e.fold for e in folds] == list(range(report("lenet_variants")["folds"]))
    for experiment in folds:
        same = {"data": fixed[0].data}
        assert experiment.model_copy(update=same) == fixed[0]
    means = study.published()[lenet_crossval.FOLDS]
    assert {figure: (p.reported, p.mean_of) for figure, p in means.items()} == {
        "kept_epoch.train_accuracy": (0.954, 5),
        "kept_epoch.train_loss": (0.127, 5),
        "validation.accuracy": (0.923, 5),
        "validation.loss": (0.228, 5),
    }
    # in a study that cross-validates, --folds is for the variants that do
    fixed, folds = planned(study, budget="full", folds=3).experiments.values()
    assert fixed == [lenet.variants()["variant_4"]]
    assert [(e.fold, e.folds) for e in folds] == [(0, 3), (1, 3), (2, 3)]


# --- the runs -------------------------------------------------------------------------------

WORDS = ("--budget", "quick", "--epochs", "3", "--set", "model.kind=mlp")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two dense models of digits over three folds and two seeds, then each on all 1,350 pictures.

    One of them is what is left of the convnet without its convolutions.
    """
    folder = tmp_path_factory.mktemp("crossval")
    kerascw.run(
        "digits",
        budget="quick",
        folds=3,
        seeds=2,
        epochs=3,
        final=True,
        settings={"model.kind": "mlp"},
        runs=folder,
        models=None,
    )
    return Store(folder)


def unanswered(result: StudyResult) -> StudyResult:
    """Return it without the study's answers, which want both models."""
    study = replace(result.study, answers=lambda _: [], baseline=None)
    return replace(result, plan=replace(result.plan, study=study))


@pytest.fixture(scope="module")
def result(store: Store) -> StudyResult:
    return recall("digits", store)


def test_every_fold_was_trained_once(store: Store, result: StudyResult) -> None:
    assert len(store.all()) == 16
    for name in ("mlp", "convnet"):
        runs = result.runs[name]
        places = [(run.experiment.seed, run.experiment.fold) for run in runs]
        assert places == [(seed, fold) for seed in (0, 1) for fold in (0, 1, 2)]
        for run in runs:
            assert run.metrics["validation"]["examples"] == 450
            assert run.metrics["train"]["examples"] == 900
        assert str(repeats_of(runs)) == "3 folds, each the mean of 2 seeds"
        assert counted(6, runs) == "6 runs"
        assert counted(3, runs[:3]) == "3 folds"
        assert str(repeats_of(runs[:1] + runs[3:4])) == "1 fold, each the mean of 2 seeds"
        assert str(repeats_of(result.runs[name + FINAL])) == "2 seeds"


def test_a_fold_s_figure_is_its_mean_over_the_seeds(result: StudyResult) -> None:
    by_place = {
        name: {
            (run.experiment.fold, run.experiment.seed): run.metrics["validation"]["loss"]
            for run in result.runs[name]
        }
        for name in ("mlp", "convnet")
    }
    expected = {
        name: [fmean([losses[fold, 0], losses[fold, 1]]) for fold in range(3)]
        for name, losses in by_place.items()
    }
    for name, values in expected.items():
        assert values_of(result.runs[name], "validation.loss") == pytest.approx(values)
    pairs = paired_values(result.runs["convnet"], result.runs["mlp"], "validation.loss")
    assert pairs == [
        pytest.approx(pair) for pair in zip(expected["convnet"], expected["mlp"], strict=True)
    ]
    # without one run, its fold is paired by the seed that is left
    fewer = [run for run in result.runs["mlp"]
             if (run.experiment.fold, run.experiment.seed) != (1, 0)]  # fmt: skip
    pairs = paired_values(result.runs["convnet"], fewer, "validation.loss")
    assert pairs[1] == (by_place["convnet"][1, 1], by_place["mlp"][1, 1])
    assert pairs[0] == pytest.approx((expected["convnet"][0], expected["mlp"][0]))


def test_statistics_are_over_the_folds(result: StudyResult) -> None:
    row = next(row for row in rows_of(result) if row.variant == "convnet")
    cell = next(cell for cell in row.cells if cell.name == "validation.loss")
    values = values_of(result.runs["convnet"], "validation.loss")
    assert cell.values == tuple(values)
    assert cell.spread is not None
    assert (cell.spread.n, cell.spread.mean) == (3, pytest.approx(fmean(values)))
    assert cell.spread.deviation == pytest.approx(stdev(values))
    assert cell.difference is not None
    assert cell.difference.n == 3


def test_final_trains_on_everything_for_the_mean_of_the_folds_epochs(result: StudyResult) -> None:
    for name in ("mlp", "convnet"):
        finals = result.runs[name + FINAL]
        assert [run.experiment.seed for run in finals] == [0, 1]
        for final in finals:
            kept = [run.metrics["kept_epoch"] for run in result.runs[name]
                    if run.experiment.seed == final.experiment.seed]  # fmt: skip
            assert final.experiment.training.epochs == round(sum(kept) / 3)
            assert final.experiment.data.holdout is None
            assert final.metrics["train"]["examples"] == 1350
    accuracy = {
        name: [run.metrics["validation"]["accuracy"] for run in result.runs[name]]
        for name in ("mlp", "convnet")
    }
    assert result.chosen == max(accuracy, key=lambda name: np.mean(accuracy[name]))
    assert result.run.metrics["validation"]["accuracy"] == max(accuracy[result.chosen])
    assert result.product in result.every_run
    assert result.product.experiment.data.holdout is None
    assert result.product.experiment.seed == result.run.experiment.seed


def test_a_second_time_nothing_is_trained_and_all_is_said(store: Store, tmp_path: Path) -> None:
    again = call("run", "digits", "--folds", "3", "--seeds", "2", *WORDS, "--runs",
                 str(store.folder), "--models", str(tmp_path))  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "12 runs, 12 kept already, 0 to train" in again.output
    assert "folds=3" in again.output
    said = " ".join(again.output.split())
    assert "measured over 3 folds, each the mean of 2 seeds" in said
    assert TOO_NARROW in said
    assert "The figure of a fold is its mean over the seeds." in said
    assert "over 2 seeds" not in said
    assert len(store.all()) == 16

    result = recall("digits", store)
    folder = store.study_folder(result.plan.label)
    page = " ".join((folder / "report.html").read_text().split())
    assert TOO_NARROW in page
    assert "Measured over 3 folds, each the mean of 2 seeds." in page
    assert "paired by fold" in page
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    # the epochs that the report prints figures of are not reached here
    assert {(row["folds"], row["seeds"], len(row["values"].split())) for row in table} == {
        ("3", "2", 3),
        ("0", "2", 0),
    }
    with (folder / "tables" / "folds_mlp.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["fold"] for line in lines][:3] == ["0", "1", "2"]
    assert {(line["trained on"], line["held out"]) for line in lines[:3]} == {("900", "450")}
    for line, spread in zip(
        (f"{fmean(values):.4f}" for values in
         (values_of(result.runs[name], "validation.error") for name in ("mlp", "convnet"))),
        (row.cells[2].spread for row in rows_of(result)),
        strict=True,
    ):  # fmt: skip
        assert spread is not None
        assert f"{spread.mean:.4f}" == line
        assert line in page
        assert line in said

    report_again = call("report", "digits", "--runs", str(store.folder))
    assert report_again.exit_code == 0, report_again.output
    compared = call("compare", "digits", "--runs", str(store.folder), "--output", str(tmp_path))
    assert compared.exit_code == 0, compared.output
    header, *rest = compared.stdout.splitlines()
    assert header.split()[:3] == ["run", "fold", "seed"]
    assert [line.split()[1:3] for line in rest[:3]] == [["0", "0"], ["1", "0"], ["2", "0"]]
    shown = call("show", "--runs", str(store.folder))
    assert "seed 0, fold 1" in shown.output


def test_rows_with_and_without_folds_say_which_they_are(store: Store, tmp_path: Path) -> None:
    from kerascw.lab.table import csv_text
    from kerascw.report.study import write_study

    kept = unanswered(recall("digits", store))
    final = {name: kept.runs[name][:3] for name in ("mlp",)}
    model = kept.runs["mlp"][0].experiment.model
    whole = [run for run in store.all() if run.experiment.data.holdout is None
             and run.experiment.model == model]  # fmt: skip
    mixed = replace(kept, runs=final | {"mlp" + FINAL: whole})
    page = write_study(mixed, tmp_path, None).read_text()
    assert "mlp (3 folds)" in page
    assert "mlp, all training data (2 seeds)" in page
    rows = list(csv.DictReader(csv_text(rows_of(mixed)).splitlines()))
    tested = {row["variant"]: (row["folds"], row["seeds"]) for row in rows
              if row["figure"] == "test.loss"}  # fmt: skip
    assert tested == {"mlp": ("3", "1"), "mlp" + FINAL: ("", "2")}


def test_a_published_mean_is_judged_as_a_mean() -> None:
    values = [0.910, 0.912, 0.911, 0.913, 0.909]
    one, five = prediction_reach(values), prediction_reach(values, 5)
    assert five == pytest.approx(one * np.sqrt((1 / 5 + 1 / 5) / (1 + 1 / 5)))
    between = 0.911 + (one + five) / 2
    published = Published(between, "a report", digits=6)
    assert verdict(values, published, "test.accuracy", unit="fold").reason == (
        f"within the prediction interval over 5 folds, ±{one:.4f}"
    )
    said = verdict(values, replace(published, mean_of=5), "test.accuracy", unit="fold")
    assert said.word == "worse"
    over = "over 5 folds, for a mean of 5"
    assert said.reason.endswith(f"outside the prediction interval {over}, ±{five:.4f}")
    assert verdict([0.9], published, "test.accuracy", unit="fold").reason.startswith(
        "1 fold: too few"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--folds", "1"], "--folds: 1; at least 2 are needed"),
        (
            ["digits", "--folds", "200"],
            "data.holdout.folds: 200, but class 4 (4) has only 133 training images; choose from "
            "2 to 133",
        ),
        (
            ["digits", "--folds", "3", "--set", "data.holdout=none"],
            "data.holdout: --folds says what is held out; only data.holdout.seed, which draws the "
            "folds, can be set beside it",
        ),
        (
            ["digits", "--set", "data.holdout.how=fold"],
            "data.holdout: folds: none, but how is fold; say how many, 2 or more",
        ),
        (
            ["bag-transfer", "--folds", "3", "--sample"],
            "--folds: not for study bag-transfer: its learning curves are paired by seed",
        ),
    ],
)
def test_wrong_calls_end_in_a_line(words: list[str], said: str, tmp_path: Path) -> None:
    result = call("run", *words, "--runs", str(tmp_path / "runs"))
    assert (result.exit_code, result.stderr) == (2, f"kerascw: {said}\n")
    assert not (tmp_path / "runs").exists()


# --- studies --------------------------------------------------------------------------------


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    """Two classes in train, val and test."""
    root = tmp_path / "clothes"
    for part, count in (("train", 12), ("val", 4), ("test", 4)):
        for number, name in enumerate(("dark", "light")):
            (root / part / name).mkdir(parents=True)
            for at in range(count):
                noise = np.random.default_rng([number, at, count]).integers(0, 90, (8, 8), np.uint8)
                Image.fromarray(noise + 150 * number).save(root / part / name / f"{at}.png")
    return root


def test_a_folder_s_own_validation_part_is_not_used(
    clothes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERASCW_CACHE_DIR", str(tmp_path / "cache"))
    words = ["digits", "--data", f"folder:{clothes}", "--folds", "3", "--epochs", "1",
             "--set", "model.kind=mlp"]  # fmt: skip
    result = call("run", *words, "--runs", str(tmp_path / "runs"), "--models",
                  str(tmp_path / "s"))  # fmt: skip
    assert result.exit_code == 0, result.output
    note = "The dataset's own validation set is not used: the folds are of its training images."
    assert note in " ".join(result.output.split())
    kept = recall("digits", Store(tmp_path / "runs"))
    for run in kept.every_run:
        assert (run.metrics["train"]["examples"], run.metrics["validation"]["examples"]) == (16, 8)
        assert run.metrics["test"]["examples"] == 8
    page = (Store(tmp_path / "runs").study_folder(kept.plan.label) / "report.html").read_text()
    assert note in page.replace("&#39;", "'")
    result = call("run", *words[:4], "13", *words[5:], "--runs", str(tmp_path / "runs"))
    assert (result.exit_code, result.stderr) == (
        2,
        "kerascw: data.holdout.folds: 13, but class 0 (dark) has only 12 training images; choose "
        "from 2 to 12\n",
    )


def test_lenet_crossval(tmp_path: Path) -> None:
    words = ["--sample", "--epochs", "1", "--fraction", "0.05", "--runs", str(tmp_path)]
    result = call("run", "lenet-crossval", *words, "--set", "model.filters=2,4")
    assert result.exit_code == 0, result.output
    runs = recall("lenet-crossval", Store(tmp_path)).runs
    assert [len(several) for several in runs.values()] == [1, 5]
    fixed, folds = runs[lenet_crossval.FIXED], runs[lenet_crossval.FOLDS]
    accuracies = [run.metrics["validation"]["accuracy"] for run in folds]
    spread, one_more = lenet_crossval.crossval_answers(runs)
    assert (
        f"from {min(accuracies):.4f} to {max(accuracies):.4f}, standard deviation "
        f"{stdev(accuracies):.4f}. One model scored on 1,200 images"
    ) in spread.answer
    mean, alone = fmean(accuracies), fixed[0].metrics["validation"]["accuracy"]
    reach = prediction_reach(accuracies)
    assert (
        f"Accuracy: {mean:.4f} over the folds, {alone:.4f} on the fixed split, {mean - alone:+.4f}."
    ) in one_more.answer
    unlike = "the fixed split is unlike the folds"
    shown = unlike if abs(mean - alone) > reach else "no difference is shown"
    assert f"within {reach:.4f} of the mean (95 %), so {shown}." in one_more.answer
    assert "not the split's alone" not in one_more.answer  # both train on four fifths
    said = " ".join(result.output.split())
    for expected in (spread.answer, one_more.answer, TOO_NARROW, "0.923"):
        assert expected in said
    page = (Store(tmp_path).study_folder(recall("lenet-crossval", Store(tmp_path)).plan.label)
            / "report.html").read_text()  # fmt: skip
    assert "cross-validation (5 folds)" in page
    assert "fixed split (1 seed)" in page
    assert "cross-validation (means over 5 folds)" in page
    # half a fold fewer to compare: what is unequal is said
    shutil.rmtree(folds[0].folder)
    with pytest.raises(CallError, match="runs of 'cross-validation' are gone"):
        recall("lenet-crossval", Store(tmp_path))


def test_answers_where_the_fixed_split_is_of_another_size() -> None:
    digits = load_data("digits")
    settings = {"model.padding": "same", "model.kernels": 3, "data.fraction": 1.0}
    plan = planned(
        study_named("lenet-crossval"), data=DataSpec(name="digits"), folds=3, settings=settings
    )
    runs: Any = {
        name: [
            SimpleNamespace(
                experiment=SimpleNamespace(fold=experiment.fold, seed=experiment.seed),
                metrics={
                    "status": "finished",
                    "train": {"examples": len(split(digits, experiment.data).train)},
                    "validation": {"accuracy": 0.9 + at / 100, "loss": 0.3, "examples": 450},
                },
            )
            for at, experiment in enumerate(several)
        ]
        for name, several in plan.experiments.items()
    }
    assert [run.experiment.fold for run in runs[lenet_crossval.FOLDS]] == [0, 1, 2]
    _, one_more = lenet_crossval.crossval_answers(runs)
    assert one_more.answer.endswith(
        "The fixed split trains on 1,215 images and a fold on 900, so that the difference is "
        "not the split's alone."
    )


def test_a_fold_that_diverged_is_named(tmp_path: Path) -> None:
    from kerascw.report.study import write_study
    from kerascw.runs.run import run_experiment

    study, digits = study_named("digits"), load_data("digits")
    plan = planned(study, folds=3, settings={"training.epochs": 1})
    wild = {
        "training.optimizer.kind": "sgd",
        "training.optimizer.learning_rate": 1e30,
        "training.batch_size": 8,
        "data.scaling": "raw",
        "model.activation": "linear",
    }
    experiments = plan.experiments["mlp"]
    experiments[1] = override(experiments[1], wild)
    assert experiments[1] == with_fold(experiments[1], 1)
    runs = [run_experiment(e, digits, Store(tmp_path)) for e in experiments]
    result = unanswered(StudyResult(plan, {"mlp": runs}))
    (row,) = rows_of(result)
    assert row.diverged == ("fold 1, seed 0: a figure of epoch 1 is not finite",)
    assert [len(cell.values) for cell in row.cells if cell.name == "test.loss"] == [2]
    page = write_study(result, tmp_path / "page", None).read_text()
    assert "diverged: fold 1, seed 0: a figure of epoch 1 is not finite" in page
    assert "(of 2)" in page
