"""How runs, studies and models show themselves in a notebook, and the tour of examples/."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

import kerascw
from kerascw.lab.plan import StudyResult
from kerascw.runs.store import Store
from kerascw.studies import recall

ROOT = Path(__file__).parents[2]
PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"')


@pytest.fixture(scope="module")
def digits(kept_digits: Path) -> StudyResult:
    return recall("digits", Store(kept_digits))


def pictures(html: str) -> dict[str, bytes]:
    return {alt: base64.b64decode(png) for png, alt in PICTURE.findall(html)}


def test_a_study_shows_its_runs_and_figures(digits: StudyResult) -> None:
    html = digits._repr_html_()
    assert digits.study.question in html
    for run in digits.every_run:
        assert run.summary.text in html
    drawn = pictures(html)
    assert list(drawn) == ["comparison", "loss"]
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())
    assert "<script" not in html


def test_a_run_shows_its_figures(digits: StudyResult) -> None:
    run = digits.run
    html = run._repr_html_()
    assert f"{run.metrics['test']['accuracy']:.4f}" in html
    assert list(pictures(html)) == ["curves", "confusion"]
    assert "<script" not in html


def test_without_a_report_there_is_a_plain_table(digits: StudyResult, tmp_path: Path) -> None:
    shutil.copytree(digits.run.folder.parent, tmp_path / "runs")
    for figures in list((tmp_path / "runs").rglob("figures")):
        shutil.rmtree(figures)
    kept = recall(digits.plan.label, Store(tmp_path / "runs"))
    for html in (kept._repr_html_(), kept.run._repr_html_()):
        assert kept.run.summary.text in html
        assert html.count("<table>") == 1
        assert not pictures(html)


def test_a_model_shows_what_it_takes_and_gives(exported: Path) -> None:
    html = kerascw.load_model(exported)._repr_html_()
    assert "uint8 [n, 28, 28, 1]" in html
    assert "Ankle boot" in html


def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell after cell in IPython, which is what a notebook's kernel runs them with."""
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    cells = json.loads((ROOT / "examples" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)  # they are not kept
    monkeypatch.chdir(tmp_path)

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """Leave it out."""

    shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.enable_matplotlib("inline")
    outputs, printed = [], ""
    for cell in cells:
        if cell["cell_type"] == "code":
            with shell.display_trap, capture_output() as said:
                shell.run_cell("".join(cell["source"])).raise_error()
            outputs += [output.data for output in said.outputs]
            printed += said.stdout
    Shell.clear_instance()
    drawn = [data["text/html"] for data in outputs if "text/html" in data]
    assert len(drawn) == 3  # a run, a study, a model
    assert sum(len(pictures(html)) for html in drawn) == 4
    assert any("image/png" in data for data in outputs)
    assert "sample (6000, 28, 28, 1) uint8" in printed
