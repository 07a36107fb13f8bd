"""Figures of runs, the variant that validation chooses, and kept rows that can be run again."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerascw.data import Part, Splits, load_data
from kerascw.lab.claims import claims_of
from kerascw.lab.plan import StudyResult, planned
from kerascw.lab.published import Published
from kerascw.lab.repeats import scored_of, values_of
from kerascw.lab.verdict import bounds_of, figure_of, verdict
from kerascw.report.features import Activity, activity
from kerascw.report.results import entry_of, markdown
from kerascw.runs.store import Run, Store
from kerascw.studies import recall, study_named
from kerascw.studies.bag import _extremes


@pytest.fixture
def result(kept_digits: Path) -> StudyResult:
    return recall("digits", Store(kept_digits))


def made(run: Run, accuracy: float, **changed: object) -> SimpleNamespace:
    """A run with another validation accuracy."""
    metrics = {**run.metrics, "validation": {"accuracy": accuracy, "loss": 1.0}, **changed}
    return SimpleNamespace(
        name=f"{run.name}-{accuracy}", experiment=run.experiment, metrics=metrics,
        history=run.history, folder=run.folder, untrained=None,
    )  # fmt: skip


def test_a_run_that_diverged_late_has_no_figures(result: StudyResult) -> None:
    first, second = result.runs["mlp"]
    late = made(first, 0.9, status="diverged")
    for figure in ("test.accuracy", "epoch_1.train_loss", "lowest.train_loss"):
        assert figure_of(first, figure) is not None
        assert figure_of(late, figure) is None
    assert values_of([late, second], "test.error") == [second.metrics["test"]["error"]]
    assert list(scored_of([late, second])) == [1]


def test_validation_chooses_by_the_mean_and_not_by_the_luckiest_seed(result: StudyResult) -> None:
    runs = {
        "even": [made(run, 0.9) for run in result.runs["mlp"]],
        "lucky": [
            made(run, at) for run, at in zip(result.runs["convnet"], (0.95, 0.8), strict=True)
        ],
    }
    chosen = replace(result, runs=runs)
    assert chosen.chosen == "even"
    assert chosen.run is runs["even"][0]
    runs["lucky"][1] = made(result.runs["convnet"][1], 0.8, status="diverged")
    assert chosen.chosen == "lucky"
    assert chosen.run is runs["lucky"][0]


def test_agreement_is_a_share_and_neither_good_nor_bad() -> None:
    name = "test.agreement_of_auxiliary_heads"
    assert bounds_of(name) == (0, 1)
    said = [
        verdict([x, x + 0.01, x - 0.01], Published(0.5, "a report"), name).word for x in (0.9, 0.1)
    ]
    assert said == ["higher", "lower"]


def test_an_interval_that_is_cut_off_is_written_out(result: StudyResult) -> None:
    entry = entry_of(result)
    entry["rows"] = [
        {**entry["rows"][0], "figure": "test.accuracy", "values": values, "mean": 0.0}
        for values in ([0.99, 0.95, 1.0], [0.92, 0.93, 0.94])
    ]
    lines = markdown({"digits": entry}).splitlines()
    assert "| 0.9800 (0.9143 to 1.0000) |" in lines[2]
    assert "| 0.9300 ± 0.0248 |" in lines[3]


def test_rows_that_cannot_be_run_again_say_why_and_lose_no_other(result: StudyResult) -> None:
    entry = entry_of(result)
    fingerprint = load_data("digits").fingerprint
    row = {**entry["rows"][0], "figure": "test.error", "values": [0.1, 0.2, 0.3]}
    entry |= {
        "budget": "full", "changed": {}, "data": {"fingerprint": fingerprint},
        "rows": [{**row, "variant": name} for name in ("mlp, retrained", "mlp", "convnet")],
        "runs": {"mlp": [{"threads": 1}] * 3, "convnet": [{}] * 4},
    }  # fmt: skip
    claims, reasons = claims_of({"digits-full": entry}, study_named, None)
    assert [claim.name for claim in claims] == ["digits-full, mlp, test error"]
    assert (
        claims[0].experiment == planned(study_named("digits"), budget="full").experiments["mlp"][0]
    )
    assert reasons == {
        "digits-full, mlp, retrained": "trained in a second round, or no variant any more",
        "digits-full, convnet": "a run diverged, or a value is a mean over seeds",
    }


def test_a_class_without_test_images_has_no_activity(result: StudyResult) -> None:
    run = result.runs["convnet"][0]
    digits = load_data("digits")
    without = Part(digits.test.images, digits.test.labels).take(digits.test.labels != 3)
    whole, some = (
        activity(run, Splits(digits.train, None, test, digits.entry.class_names))
        for test in (digits.test, without)
    )
    for layer, own in enumerate(some.per_channel):
        assert np.isnan(own[3]).all()
        np.testing.assert_array_equal(
            np.delete(own, 3, 0), np.delete(whole.per_channel[layer], 3, 0)
        )
        assert not np.isnan(some.selectivity(layer)).any()
    means = Activity([np.array([1.0, np.nan, 3.0])], [np.zeros((3, 1))])
    assert _extremes([means], "abc") == ["conv 1: strongest c (1), weakest a (1)"]
