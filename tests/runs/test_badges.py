import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.report.results import add_results
from kerascw.runs import verify
from kerascw.runs.store import Store, find_fault
from kerascw.runs.verify import Verification, badge_of, keep_verification
from kerascw.studies import recall


def call(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def runs(kept_digits: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_digits, tmp_path / "runs"))


def test_a_badge_says_where_a_run_came_out_again(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Store(runs).all()[0]
    assert badge_of(run) == "self-reported"
    same, other = (Verification(text, "why", ()) for text in ("within seed noise", "different"))
    assert keep_verification(run, same) == badge_of(run) == "verified here"
    assert keep_verification(run, other) == badge_of(run) == "did not come out again"
    monkeypatch.setattr(verify, "processor", lambda: "another one")
    assert keep_verification(run, same) == badge_of(run) == "verified elsewhere"
    assert find_fault(run.folder) is None
    assert "s; verified elsewhere\n" in call("show", run.name, "--runs", str(runs)).stdout
    call("report", run.name, "--runs", str(runs))
    assert "· verified elsewhere" in (run.folder / "report.html").read_text()
    (run.folder / "verification.json").write_text('{"badge": "<best>"}')
    assert badge_of(run) == "self-reported"


def test_the_table_keeps_badges_and_its_rows_run_again(runs: Path, tmp_path: Path) -> None:
    store, file = Store(runs), tmp_path / "results.json"
    result = recall("digits", store)
    for run in result.runs["mlp"]:
        keep_verification(run, Verification("identical", "", ()))
    keep_verification(result.runs["convnet"][0], Verification("identical", "", ()))
    add_results([result], file)
    kept = json.loads(file.read_text())
    ((label, entry),) = kept["studies"].items()
    badges = {row["variant"]: row["badge"] for row in entry["rows"]}
    assert badges == {"mlp": "verified here", "convnet": "self-reported"}
    said = call("verify", "--results", "--file", str(file))
    assert said.exit_code == 2
    assert f"not run: {label} (no test figure of three seeds or more)" in said.stdout
    rows = [r for r in entry["rows"] if (r["variant"], r["figure"]) == ("mlp", "test.error")]
    entry["rows"] = rows
    rows[0]["values"].append(sum(rows[0]["values"]) / 2)
    entry["runs"]["mlp"].append(entry["runs"]["mlp"][0])
    file.write_text(json.dumps(kept))
    said = call("verify", "--results", "--sample", "5", "--file", str(file))
    assert said.exit_code == 0, said.output
    assert f"{label}, mlp, test error: " in said.stdout
    assert "1 of 1 row (1 can be run here) came out again" in said.stdout
    rows[0]["values"] = [rows[0]["values"][0] + 0.5] * 3
    file.write_text(json.dumps(kept))
    said = call("verify", "--results", "--file", str(file))
    assert said.exit_code == 1
    assert said.stderr == "kerascw: 1 row did not come out again\n"


def test_verify_takes_a_run_or_results() -> None:
    for words in ([], ["x", "--results"], ["x", "--sample", "2"]):
        said = call("verify", *words)
        assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
