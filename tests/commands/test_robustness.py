"""The robustness command: counted again by hand, from the images that it says it took."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.data.load import splits_for
from kerascw.errors import CallError
from kerascw.evaluation.corruptions import SEED, Counted, corrupted
from kerascw.evaluation.metrics import wilson_interval
from kerascw.evaluation.statistics import over_seeds, paired_difference
from kerascw.experiment.spec import Experiment
from kerascw.lab.table import difference_text, spread_text
from kerascw.report.robustness import Models, Robustness, models_of
from kerascw.runs.many import run_many
from kerascw.runs.store import Run, Store

TAKEN = 80


def command(*words: object) -> Result:
    return CliRunner().invoke(main, ["robustness", *map(str, words)])


@pytest.fixture(scope="module")
def runs(kept_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, to which its pages are added."""
    return Path(shutil.copytree(kept_digits, tmp_path_factory.mktemp("copy") / "runs"))


@pytest.fixture(scope="module")
def both(runs: Path) -> tuple[Run, Run]:
    by_kind = {run.experiment.model.kind: run for run in Store(runs).all()}
    return by_kind["convnet"], by_kind["mlp"]


@pytest.fixture(scope="module")
def done(runs: Path, both: tuple[Run, Run]) -> Result:
    run, baseline = both
    return command(run.name, "--baseline", baseline.name, "--images", TAKEN, "--runs", runs)


def test_its_figures_are_the_models(done: Result, runs: Path, both: tuple[Run, Run]) -> None:
    assert done.exit_code == 0, done.output
    folder = runs / "robustness" / both[0].name
    rows = scored(folder)
    assert len(rows) == 2 * (1 + 15 * 5)
    for run in both:
        for kind, strength in (("none", 0), ("blur", 4), ("contrast", 1)):
            right = right_by_hand(run, kind, strength)
            row = rows[run.name, kind, str(strength)]
            assert float(row["accuracy"]) == pytest.approx(right / TAKEN)
            low, high = wilson_interval(right, TAKEN)
            assert float(row["95 % CI, low"]) == pytest.approx(low)
            assert float(row["95 % CI, high"]) == pytest.approx(high)
    own, other = (errors_of(rows, run.name) for run in both)
    counted = json.loads((folder / "robustness.json").read_text())["counted"]
    right = np.array([[each["right"][run.name] for run in both] for each in counted[1:]])
    np.testing.assert_allclose(1 - right.mean(axis=0) / TAKEN, [own.mean(), other.mean()])
    with (folder / "tables" / "variants.csv").open(newline="") as file:
        mine, _ = csv.DictReader(file)
    assert float(mine["mean error under corruption"]) == pytest.approx(own.mean())
    assert float(mine["difference to baseline"]) == pytest.approx(own.mean() - other.mean())
    assert f"{own.mean():.4f}" in done.stdout


def scored(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (folder / "tables" / "robustness.csv").open(newline="") as file:
        return {(r["variant"], r["corruption"], r["strength"]): r for r in csv.DictReader(file)}


def errors_of(rows: dict[tuple[str, str, str], dict[str, str]], variant: str) -> np.ndarray:
    errors = [1 - float(row["accuracy"]) for (name, kind, _), row in rows.items()
              if name == variant and kind != "none"]  # fmt: skip
    return np.array(errors).reshape(15, -1)


def right_by_hand(run: Run, kind: str, strength: int) -> int:
    test = splits_for(run.experiment.data).test
    test = test.take(np.sort(np.random.default_rng(SEED).permutation(len(test))[:TAKEN]))
    images = test.images
    if strength:
        images = corrupted(images, kind, strength, light_on_dark=True)
    return int((np.asarray(run.model()(images)).argmax(axis=1) == test.labels).sum())


@pytest.fixture(scope="module")
def study(runs: Path) -> kerascw.run:
    """Digits over three seeds, two of which are kept."""
    return kerascw.run("digits", epochs=3, seeds=3, runs=runs, models=None)


def test_a_study_is_scored_over_its_seeds(study: kerascw.run, runs: Path) -> None:
    done = command(study.plan.label, "--images", TAKEN, "--runs", runs)
    assert done.exit_code == 0, done.output
    folder = runs / "robustness" / study.plan.label
    rows = scored(folder)
    for variant, own in study.runs.items():
        spread = over_seeds([right_by_hand(run, "rotation", 4) / TAKEN for run in own], (0, 1))
        row = rows[variant, "rotation", "4"]
        assert row["seeds"] == "3"
        assert float(row["accuracy"]) == pytest.approx(spread.mean)
        ends = float(row["95 % CI, low"]), float(row["95 % CI, high"])
        assert ends == pytest.approx(spread.interval)
    counted = json.loads((folder / "robustness.json").read_text())["counted"][1:]
    mlp, convnet = (
        [np.mean([1 - each["right"][run.name] / TAKEN for each in counted]) for run in own]
        for own in study.runs.values()
    )
    assert [*study.runs] == ["mlp", "convnet"]
    assert np.mean(mlp) == pytest.approx(errors_of(rows, "mlp").mean())
    assert len({*mlp, *convnet}) > 2  # each seed's own weights
    assert difference_text(paired_difference(convnet, mlp)) in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "95 % CIs over the seeds" in page
    assert spread_text(over_seeds(mlp, (0, 1))) in page


def test_a_study_says_what_it_cannot_score(study: kerascw.run) -> None:
    """An autoencoder and a variant without test figures are left out; of folds there is nothing."""
    mlp, convnet = study.runs["mlp"], study.runs["convnet"]

    def untested(run: Run) -> Run:
        other = Run(run.folder)
        other.__dict__["metrics"] = {k: v for k, v in run.metrics.items() if k != "test"}
        return other

    def of(variants: dict[str, list[Run]]) -> Models:
        return models_of("study digits", variants, study.study.base_of)

    models = of({"mlp": [untested(mlp[0]), *mlp[1:]], "convnet": [*map(untested, convnet)]})
    assert models.variants == {"mlp": mlp[1:]}
    assert models.bases == {}
    assert models.left_out["convnet"].startswith("no test figures: it diverged")
    with pytest.raises(CallError, match=r"^study digits: mlp cannot be scored: no test figures"):
        of({"mlp": [untested(mlp[0])]})

    folds = [Run(run.folder) for run in mlp[:2]]
    for at, run in enumerate(folds):
        data = run.experiment.data
        held = data.holdout.model_copy(update={"how": "fold", "fold": at, "folds": 2})
        data = data.model_copy(update={"holdout": held})
        run.__dict__["experiment"] = run.experiment.model_copy(update={"data": data})
    with pytest.raises(CallError, match="its runs are folds"):
        of({"mlp": folds})

    other = Run(convnet[0].folder)
    data = {**other.environment["data"], "fingerprint": "of other images"}
    other.__dict__["environment"] = {**other.environment, "data": data}
    with pytest.raises(CallError, match="convnet was tested on other images than"):
        of({"mlp": mlp, "convnet": [other]})


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figures_of_few_seeds(study: kerascw.run, seeds: int) -> None:
    """One seed has Wilson's interval over the images; two have none."""
    counted = Counted("blur", 1, 100, {run.name: 90 for run in study.every_run})
    models = Models("run x", {"mlp": study.runs["mlp"][:seeds]}, {})
    spread = Robustness(models, (counted,)).accuracy("mlp", counted)
    assert spread.mean == 0.9
    assert spread.interval == (wilson_interval(90, 100) if seeds == 1 else None)


def test_a_published_set_is_scored_as_it_is(tmp_path: Path, small: Experiment) -> None:
    """A file in the layout of Fashion-MNIST-C, which this test writes."""
    training = small.training.model_copy(update={"epochs": 1})
    experiment = small.model_copy(update={"training": training})
    store = Store(tmp_path / "runs")
    (run,) = run_many([experiment], store)
    test = splits_for(experiment.data).test.take(np.arange(0, 1000, 20))
    images = corrupted(test.images, "blur", 2, light_on_dark=True)
    folder = tmp_path / "published"
    folder.mkdir()
    np.save(folder / "fmnist-c-test.npy", images[..., 0])
    np.save(folder / "fmnist-c-test-labels.npy", test.labels.astype(np.uint8))
    words = (run.name, "--images", "50", "--runs", store.folder, "--published")
    done = command(*words, folder)
    assert done.exit_code == 0, done.output
    right = int((np.asarray(run.model()(images)).argmax(axis=1) == test.labels).sum())
    low, high = wilson_interval(right, 50)
    (line,) = [line for line in done.stdout.splitlines() if " mixed " in line]
    assert line.split()[-3:] == [f"{right / 50:.4f}", f"{low:.4f}", f"{high:.4f}"]
    page = (store.folder / "robustness" / run.name / "report.html").read_text(encoding="utf-8")
    assert "<h2>Fashion-MNIST-C</h2>" in page

    (folder / "fmnist-c-test.npy").rename(folder / "labels.npy")
    refused = command(*words, folder)
    assert refused.exit_code == 1
    assert len(refused.stderr.splitlines()) == 1


def test_a_model_of_other_images_is_told_what_it_takes(
    runs: Path, both: tuple[Run, Run], tmp_path: Path
) -> None:
    np.save(tmp_path / "fmnist-c-test.npy", np.zeros((4, 28, 28), np.uint8))
    np.save(tmp_path / "fmnist-c-test-labels.npy", np.arange(4))
    refused = command(both[0].name, "--published", tmp_path, "--runs", runs)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert "has images of 28 x 28 x 1 and the classes of Fashion-MNIST" in line
    assert "takes images of 8 x 8 x 1 and 10 classes (0, 1, 2, ...)" in line


def test_its_page_says_what_it_used(done: Result, runs: Path, both: tuple[Run, Run]) -> None:
    folder = runs / "robustness" / both[0].name
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "The test set is used here, for finished runs" in page
    tested = both[0].metrics["test"]["examples"]
    assert f"{TAKEN} of {tested:,} test images, drawn at random" in page
    for name in ("curves", "examples"):
        assert (folder / "figures" / f"{name}.png").is_file()
    assert done.stdout.splitlines()[-1] == f"report: {folder / 'report.html'}"


def test_wrong_calls_are_one_line(runs: Path, both: tuple[Run, Run], tmp_path: Path) -> None:
    run, second = both
    other = tmp_path / "elsewhere"
    shutil.copytree(run.folder, other)
    environment = json.loads((other / "environment.json").read_text())
    environment["data"]["fingerprint"] = "of other images"
    (other / "environment.json").write_text(json.dumps(environment))
    for words, said in (
        (("--images", "0"), "Invalid value for '--images'"),
        (("--baseline", "nothing"), "no run 'nothing' in"),
        (("--baseline", other), "was tested on other images than"),
        (("--published", tmp_path), "holds none of MNIST-C (a folder for each corruption with"),
        (("--published", tmp_path / "gone"), "is no folder with MNIST-C"),
        (("digits", "--baseline", second.name), "digits is a study, with its own"),
    ):
        named = () if "digits" in words else (run.name,)
        result = command(*named, *words, "--runs", runs)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert said in line


def test_images_that_have_changed_since_are_refused(both: tuple[Run, Run], tmp_path: Path) -> None:
    run = both[0]
    copy = tmp_path / run.name
    shutil.copytree(run.folder, copy)
    environment = json.loads((copy / "environment.json").read_text())
    environment["data"]["fingerprint"] = "of other images"
    (copy / "environment.json").write_text(json.dumps(environment))
    refused = command(run.name, "--runs", tmp_path)
    assert refused.exit_code == 1, refused.output
    (line,) = refused.output.strip().splitlines()
    assert line.endswith(f"its images have changed since run {run.name}")
    assert not (tmp_path / "robustness").exists()
