"""The robustness command: counted again by hand, from the images that it says it took."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.data.load import splits_for
from kerascw.evaluation.corruptions import SEED, corrupted
from kerascw.evaluation.metrics import wilson_interval
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
    return command(run.name, "--baseline", baseline.name, "--strengths", "1,4", "--images", TAKEN,
                   "--runs", runs)  # fmt: skip


def test_its_figures_are_the_models(done: Result, runs: Path, both: tuple[Run, Run]) -> None:
    assert done.exit_code == 0, done.output
    folder = runs / "robustness" / both[0].name
    with (folder / "tables" / "robustness.csv").open(newline="") as file:
        rows = {(r["run"], r["corruption"], r["strength"]): r for r in csv.DictReader(file)}
    assert len(rows) == 2 * (1 + 15 * 2)
    test = splits_for(both[0].experiment.data).test
    test = test.take(np.sort(np.random.default_rng(SEED).permutation(len(test))[:TAKEN]))
    for run in both:
        model = run.model()
        for kind, strength in (("none", 0), ("blur", 4), ("contrast", 1)):
            images = test.images
            if strength:
                images = corrupted(images, kind, strength, light_on_dark=True)
            right = int((np.asarray(model(images)).argmax(axis=1) == test.labels).sum())
            row = rows[run.name, kind, str(strength)]
            assert float(row["accuracy"]) == pytest.approx(right / TAKEN)
            low, high = wilson_interval(right, TAKEN)
            assert float(row["95 % CI, low"]) == pytest.approx(low)
            assert float(row["95 % CI, high"]) == pytest.approx(high)
    errors = {
        run.name: np.array(
            [1 - float(row["accuracy"]) for (name, kind, _), row in rows.items()
             if name == run.name and kind != "none"]
        ).reshape(15, 2)
        for run in both
    }  # fmt: skip
    own, other = (errors[run.name] for run in both)
    numbers = json.loads((folder / "robustness.json").read_text())
    assert numbers["mean_corruption_error"] == pytest.approx(own.mean())
    relative = (own.sum(axis=1) / other.sum(axis=1)).mean()
    assert numbers["relative_mean_corruption_error"] == pytest.approx(relative)
    assert f"mean corruption error {own.mean():.4f}" in done.stdout
    assert f"relative to {both[1].name}: {relative:.3f}" in done.stdout


def test_its_page_says_what_it_used(done: Result, runs: Path, both: tuple[Run, Run]) -> None:
    folder = runs / "robustness" / both[0].name
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "The test set is used here, for a finished run" in page
    tested = both[0].metrics["test"]["examples"]
    assert f"{TAKEN} of {tested:,} test images, drawn at random" in page
    for name in ("curves", "examples"):
        assert (folder / "figures" / f"{name}.png").is_file()
    assert done.stdout.splitlines()[-1] == f"report: {folder / 'report.html'}"


def test_wrong_calls_are_one_line(runs: Path, both: tuple[Run, Run], tmp_path: Path) -> None:
    run, _ = both
    other = tmp_path / "elsewhere"
    shutil.copytree(run.folder, other)
    environment = json.loads((other / "environment.json").read_text())
    environment["data"]["fingerprint"] = "of other images"
    (other / "environment.json").write_text(json.dumps(environment))
    for words, said in (
        (("--strengths", "1,6"), "--strengths 1,6: write numbers from 1 to 5, such as 1,3,5"),
        (("--strengths", ""), "--strengths : write numbers from 1 to 5"),
        (("--images", "0"), "Invalid value for '--images'"),
        (("--baseline", "nothing"), "no run 'nothing' in"),
        (("--baseline", other), "was tested on other images than"),
    ):
        result = command(run.name, *words, "--runs", runs)
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
