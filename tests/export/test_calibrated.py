"""Calibrated probabilities and prediction sets, of a run and of its export."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.data.load import splits_for
from kerascw.evaluation.metrics import calibration_error
from kerascw.export.load import EXTRA_FILE, LoadedModel, load_model
from kerascw.report.calibration import trust_of
from kerascw.runs.store import Run, Store


@pytest.fixture(scope="module")
def exported_digits(kept_digits: Path) -> LoadedModel:
    (folder,) = (path for path in (kept_digits.parent / "models").iterdir() if path.is_dir())
    return load_model(folder)


@pytest.fixture(scope="module")
def run(kept_digits: Path, exported_digits: LoadedModel) -> Run:
    return Store(kept_digits).find(exported_digits.card["run"])


def predicted(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def test_an_export_scales_as_its_run_does(run: Run, exported_digits: LoadedModel) -> None:
    test = splits_for(run.experiment.data).test
    plain = exported_digits.predict(test.images)
    scaled = exported_digits.predict(test.images, calibrated=True)
    trust = trust_of(run)
    assert trust.after is not None
    np.testing.assert_allclose(plain.probabilities, trust.before, atol=1e-5)
    np.testing.assert_allclose(scaled.probabilities, trust.after, atol=1e-4)
    assert scaled.labels == plain.labels
    assert plain.sets is None
    before, after = trust.errors
    assert after == pytest.approx(calibration_error(scaled.probabilities, test.labels), abs=5e-3)
    assert before == pytest.approx(run.metrics["test"]["calibration_error"])


def test_sets_cover_the_test_set_and_grow(run: Run, exported_digits: LoadedModel) -> None:
    test = splits_for(run.experiment.data).test
    sizes = []
    for coverage in (0.8, 0.9, 0.95):
        sets = exported_digits.predict(test.images, calibrated=True, coverage=coverage).sets
        assert sets is not None
        held = sets[np.arange(len(test)), test.labels].mean()
        assert held > coverage - 0.06  # validation and test set are some hundred images each
        sizes.append(sets.mean())
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_command_shows_the_set(exported_digits: LoadedModel, run: Run, tmp_path: Path) -> None:
    images = splits_for(run.experiment.data).test.images[:40]
    np.save(tmp_path / "some.npy", images)
    words = (exported_digits.path, tmp_path / "some.npy", "--format", "json")
    done = predicted(*words, "--coverage", "95%", "--calibrated")
    assert done.exit_code == 0, done.output
    expected = exported_digits.predict(images, calibrated=True, coverage=0.95)
    assert expected.sets is not None
    for answer, own, p in zip(
        json.loads(done.stdout), expected.sets, expected.probabilities, strict=True
    ):
        guesses = answer["predictions"]
        assert {guess["class_id"] for guess in guesses} == set(np.flatnonzero(own))
        assert guesses[0]["probability"] == pytest.approx(float(p.max()), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--coverage", "2"], "--coverage '2': write a percentage up to 100%, or a number"),
        (["--coverage", "0.9995"], "validation images allow 0."),
        (["--coverage", "0.9", "--evaluate"], "--coverage: not with --evaluate"),
    ],
)
def test_a_wrong_coverage_is_one_line(
    exported_digits: LoadedModel, words: list[str], said: str
) -> None:
    done = predicted(exported_digits.path, "none.png", *words)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize("words", [["--calibrated"], ["--coverage", "0.9"]])
def test_an_export_of_an_earlier_version_says_so(
    exported_digits: LoadedModel, tmp_path: Path, words: list[str]
) -> None:
    older = tmp_path / "digits" / "1"
    shutil.copytree(exported_digits.path, older)
    document = older / EXTRA_FILE
    kept = json.loads(document.read_text())
    del kept["card"]["calibration"]
    document.write_text(json.dumps(kept))
    done = predicted(older, "none.png", *words)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "no calibration data: it was trained without a validation set, or exported by" in line


def test_the_runs_page_has_it(run: Run) -> None:
    done = CliRunner().invoke(main, ["report", run.name, "--runs", str(run.folder.parent)])
    assert done.exit_code == 0, done.output
    before, after = trust_of(run).errors
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert f"expected calibration error {before:.4f}, after temperature scaling {after:.4f}" in page
    rows = (run.folder / "tables" / "prediction_sets.csv").read_text().splitlines()
    assert rows[0].startswith("coverage asked for,on the test set,95 % CI")
    assert [row.split(",")[0] for row in rows[1:]][:2] == ["0.9", "0.95"]
