import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerascw.lab.checklist import checklist, in_words
from kerascw.report.study import write_study
from kerascw.runs import environment
from kerascw.runs.store import Store
from kerascw.studies import recall


def test_a_study_s_checklist_is_that_of_its_runs(kept_digits: Path, tmp_path: Path) -> None:
    result = recall("digits", Store(kept_digits))
    page = write_study(result, tmp_path, None)
    kept = json.loads((tmp_path / "checklist.json").read_text())
    assert kept == json.loads(json.dumps(checklist(result)))
    ((data),) = kept["data"]
    assert data["title"] == "digits (scikit-learn)"
    ((images),) = data["images"]
    assert images["test"] == 447
    assert sum(images.values()) == 1797
    assert (kept["runs"], kept["seeds"], kept["diverged"]) == (4, [0, 1], [])
    assert set(kept["parameters"]) == {"mlp", "convnet"}
    total = sum(run.environment["training_seconds"] for run in result.every_run)
    assert kept["training_seconds"] == pytest.approx(total, abs=0.1)
    text = page.read_text()
    assert "Checklist (checklist.json)" in text
    for point, sentence in in_words(kept):
        assert f'<th scope="row">{point}</th>' in text
        assert sentence.split(",")[0] in text


def test_every_size_of_a_dataset_is_told_and_shared_runs_count_once(kept_digits: Path) -> None:
    result = recall("digits", Store(kept_digits))
    whole = SimpleNamespace(**{
        name: getattr(result.runs["mlp"][0], name) for name in ("environment", "experiment")
    }, name="whole", metrics={"status": "finished", "train": {"examples": 1797}})  # fmt: skip
    runs = {**result.runs, "again": result.runs["mlp"], "whole": [whole]}
    kept = checklist(replace(result, runs=runs))
    assert kept["runs"] == 5
    (data,) = kept["data"]
    assert data["images"][1:] == [{"train": 1797}]


def test_energy_is_the_difference_of_counters_that_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "POWERCAP", tmp_path)
    assert environment.joules_since(environment.energy_counters()) is None
    for zone, value in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 9_000_000)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{value}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("9999999\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of a package, which has it already
    before = environment.energy_counters()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("3500000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("500000\n")
    assert environment.joules_since(before) == pytest.approx(2.5 + 1.5)
