"""Classes are named by their folders: whatever their names are, a run is drawn and written."""

import csv
import re
from xml.dom import minidom

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kerascw.commands.main import main
from kerascw.errors import printable
from kerascw.report import charts
from kerascw.report.figure_files import file_name, render
from kerascw.runs.store import Run, Store

NAMES = ("=1+1", "[a] $\\frac$", "a\u2028b", "constructor", "x\x01y\x1b[31m")
SHOWN = ("=1+1", "[a] $\\frac$", r"a\u2028b", "constructor\u00a0", r"x\x01y\x1b[31m")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a folder of five classes of twenty images, by the command."""
    folder = tmp_path_factory.mktemp("names")
    for number, name in enumerate(NAMES):
        (folder / "images" / name).mkdir(parents=True)
        for at in range(20):
            image = np.random.default_rng(20 * number + at).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(image).save(folder / "images" / name / f"{at}.png")
    words = ("run", "digits", "--data", f"folder:{folder / 'images'}", "--epochs", "1", "--seeds",
             "1", "--set", "model.kind=mlp", "--runs", str(folder / "runs"))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # a model may be exported there
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    run = Store(folder / "runs").all()[0]
    drawn = CliRunner().invoke(main, ["report", run.name, "--runs", str(folder / "runs")])
    assert drawn.exit_code == 0, drawn.output
    return run


def test_every_figure_of_any_class_name_is_drawn(run: Run) -> None:
    assert set(map(printable, run.metrics["class_names"])) == set(map(printable, NAMES))
    figures = {file.name for file in (run.folder / "figures").iterdir()}
    for name in ("confusion", "predictions", "calibration", "mistakes"):
        assert {f"{name}.png", f"{name}.svg"} <= figures
        minidom.parse(str(run.folder / "figures" / f"{name}.svg"))  # it is XML
    page = (run.folder / "report.html").read_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u2029]", page)


def test_its_tables_hold_no_formula(run: Run) -> None:
    with (run.folder / "tables" / "classes.csv").open(newline="") as file:
        names = [row["class"] for row in csv.DictReader(file)]
    assert sorted(names) == sorted(("'=1+1", *SHOWN[1:3], "constructor", SHOWN[4]))
    latex = (run.folder / "tables" / "classes.tex").read_text()
    assert r"{[}a] \$\textbackslash{}frac\$" in latex


def test_charts_tell_such_classes_apart() -> None:
    chart = charts.confusion(np.array([[3, 1], [0, 4]]), ["constructor", "__proto__"])
    (spec,) = chart.page_specs()
    (rows,) = spec["datasets"].values()
    assert {row["row"] for row in rows} == {"constructor\u00a0", "__proto__\u00a0"}
    assert b"constructor" in render(chart)[".svg"]
    lines = charts.lines([charts.Line("toString", [1], [0.5])], y="loss")
    assert [key.name for key in lines.page_series()] == ["toString\u00a0"]


def test_file_names_are_safe() -> None:
    assert file_name("feature maps, a/../b\x00\u2028") == "feature maps, a or __ or b_x00_u2028"
    assert len(file_name("x" * 300)) == 80
