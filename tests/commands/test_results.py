"""The table of results, measured beside published: from kept runs to a file, from it to a page."""

import json
import shutil
from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner, Result

import kerascw
import kerascw.errors
from kerascw.commands.main import main
from kerascw.evaluation.statistics import FEWEST
from kerascw.lab.plan import planned
from kerascw.report.results import BEGIN, END, markdown, read_results, replaced
from kerascw.runs.store import Store
from kerascw.studies import study_named

ROOT = Path(__file__).parents[2]


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


@pytest.fixture(scope="module")
def runs(kept_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits over two seeds, three epochs each, of which all runs are kept."""
    folder = Path(shutil.copytree(kept_digits, tmp_path_factory.mktemp("copy") / "runs"))
    kerascw.run("digits", budget="full", epochs=3, seeds=2, runs=folder, models=None)
    assert len(Store(folder).all()) == 4
    return folder


def test_the_guide_has_the_table_of_the_kept_results() -> None:
    table = markdown(read_results(ROOT / "docs" / "results.json"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"{BEGIN}\n{table}{END}" in page
    assert call("results", "--file", str(ROOT / "docs" / "results.json")).output == table


def test_the_readme_has_the_figures_of_the_test_set() -> None:
    table = markdown(read_results(ROOT / "docs" / "results.json"), test_only=True)
    assert 6 < len(table.splitlines()) < 40
    assert f"{BEGIN}\n{table}{END}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_counts_the_printed_settings_as_the_table_does() -> None:
    count = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8").split(" settings,")[0]
    assert f"lists the {count.split()[-1]} settings" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )


def test_kept_results_are_means_of_their_values_and_name_no_place() -> None:
    file = ROOT / "docs" / "results.json"
    rows = [row for entry in read_results(file).values() for row in entry["rows"]]
    assert len(rows) > 20
    for row in rows:
        assert row["mean"] == pytest.approx(fmean(row["values"]), abs=1e-12)
        assert (row["interval_95"] is None) == (len(row["values"]) < FEWEST)
    assert "/" not in "".join(str(e["changed"]) for e in read_results(file).values())


def test_kept_results_are_of_the_settings_of_today() -> None:
    checked = 0
    for entry in read_results(ROOT / "docs" / "results.json").values():
        changed = dict(entry["changed"])
        if "data" in changed:  # that data is not everywhere
            continue
        plan = planned(
            study_named(entry["study"]), budget=entry["budget"], sample=entry["sample"],
            recipe=changed.pop("recipe", None), folds=changed.pop("folds", None),
            only=changed.pop("only", ()),
            settings=changed,
            seeds=len({run["seed"] for own in entry["runs"].values() for run in own}),
        )  # fmt: skip
        for variant, experiments in plan.experiments.items():
            for experiment, run in zip(experiments, entry["runs"][variant], strict=True):
                if experiment.start is None:
                    key = experiment.key(entry["data"]["fingerprint"])
                    assert run["name"].endswith(f"-{key}"), (entry["study"], variant)
                    checked += 1
    assert checked > 10


def test_a_study_goes_into_the_file_and_into_a_page(runs: Path, tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    printed = call("results", "digits", "--runs", str(runs), "--file", str(file))
    assert printed.exit_code == 0, printed.output
    label, entry = next(iter(read_results(file).items()))
    assert label.startswith("digits-full-")
    assert entry["changed"] == {"training.epochs": 3}
    kept = [json.loads(f.read_text()) for f in runs.glob("digits-mlp-*/metrics.json")]
    row = next(r for r in entry["rows"] if (r["variant"], r["figure"]) == ("mlp", "test.error"))
    assert sorted(row["values"]) == sorted(run["test"]["error"] for run in kept)
    assert [run["seed"] for run in entry["runs"]["mlp"]] == [0, 1]
    assert {run["name"] for own in entry["runs"].values() for run in own} == {
        run.name for run in Store(runs).all()
    }
    assert row["published"] == "0.0984"
    assert row["verdict"] == "not comparable"
    lines = printed.output.splitlines()
    assert lines[2].startswith("| `digits` (training.epochs=3) | mlp | test error | ")
    # two seeds have no interval
    assert f" | {row['mean']:.4f} (range {min(row['values']):.4f} to " in lines[2]

    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    into = call("results", "--file", str(file), "--into", str(page))
    assert into.output == f"{page}: table of 1 kept result\n"
    assert page.read_text() == f"before\n{BEGIN}\n{printed.output}{END}\nafter\n"
    again = call("results", "digits", "--runs", str(runs), "--file", str(file))
    assert again.output == printed.output  # replaced, not added a second time


@pytest.mark.parametrize("page", ["no marks", f"{BEGIN} only", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_one_pair_of_marks_is_left_alone(page: str) -> None:
    with pytest.raises(kerascw.errors.CallError, match=r"README\.md: needs the lines"):
        replaced(page, "table", "README.md")


def test_wrong_calls_end_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    missing = call("results", "--file", str(file))
    assert (missing.exit_code, missing.output) == (
        2,
        f"kerascw: {file}: holds no results; next: python -m kerascw results STUDY\n",
    )
    file.write_text("[]")
    damaged = call("results", "--file", str(file))
    assert damaged.exit_code == 2
    assert damaged.output.startswith(f"kerascw: {file}: no file of results (")
    file.write_text('{"format": 9, "studies": {}}')
    assert "format 9; this version reads 1" in call("results", "--file", str(file)).output
    never = call("results", "digits", "--runs", str(tmp_path), "--file", str(tmp_path / "new"))
    assert never.exit_code == 2
    assert "study digits was not run yet; next: python -m kerascw run digits" in never.output
    assert not (tmp_path / "new").exists()
    unknown = call("results", "digit", "--runs", str(tmp_path))
    assert unknown.exit_code == 2
    assert unknown.output.startswith("kerascw: no study 'digit'; choose fashion, ")
    assert "(did you mean digits?)" in unknown.output


@pytest.mark.parametrize("name", ["bench", "time_to_accuracy"])
def test_the_guide_has_the_latest_benchmarks(name: str) -> None:
    table = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8")
    assert table in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
