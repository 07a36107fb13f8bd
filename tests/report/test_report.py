"""Pages, their tables and figures as files, and the command that draws and opens them."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerascw.experiment.spec import ConvNet
from kerascw.models import build_model
from kerascw.report import charts, figures
from kerascw.report.features import feature_maps
from kerascw.report.figure_files import render, write_figures
from kerascw.report.page import page, pretty
from kerascw.report.study import compared_figure, headline
from kerascw.report.tables import Cell, Table, csv_of, latex_of, number, percent
from kerascw.runs.store import Run, Store


@pytest.fixture(scope="module")
def runs(kept_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, in which pages are drawn again."""
    return Path(shutil.copytree(kept_digits, tmp_path_factory.mktemp("copy") / "runs"))


@pytest.fixture(scope="module")
def run(runs: Path) -> Run:
    return Store(runs).all()[0]


# --- tables ---------------------------------------------------------------------------------


def test_a_table_is_a_csv_file_of_what_was_measured() -> None:
    table = Table("t", ("variant", "accuracy", "loss"),
                  [("a & b", percent(0.91237), number(None)), ("c", percent(0.5), Cell("-"))],
                  foot=[("mean", percent(0.706185), number(None))])  # fmt: skip
    assert list(csv.reader(csv_of(table).splitlines())) == [
        ["variant", "accuracy", "loss"],
        ["a & b", "0.91237", "-"],
        ["c", "0.5", "-"],
        ["mean", "0.706185", "-"],
    ]
    assert latex_of(table).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"variant & accuracy & loss \\",
        r"\midrule",
        r"a \& b & 91.24 \% & - \\",
        r"c & 50.00 \% & - \\",
        r"\midrule",
        r"mean & 70.62 \% & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_no_cell_is_a_formula_or_a_latex_command() -> None:
    names = ("=1+1", "@SUM(A1)", "+a", "-b", "a\u2028\x1b[1m", "[x]", "*", "-0.5", "-")
    table = Table("t", ("class", "difference"), [(name, number(-0.25)) for name in names])
    rows = list(csv.reader(csv_of(table).splitlines()))[1:]
    assert [row[0] for row in rows] == [
        "'=1+1", "'@SUM(A1)", "'+a", "'-b", r"a\u2028\x1b[1m", "[x]", "*", "-0.5", "-",
    ]  # fmt: skip
    assert {row[1] for row in rows} == {"-0.25"}  # a number stays one
    body = latex_of(table).split("\\midrule\n")[1].splitlines()
    assert [line.partition(" & ")[0] for line in body[4:7]] == [
        r"a\textbackslash{}u2028\textbackslash{}x1b{[}1m", "{[}x]", "{*}",
    ]  # fmt: skip


# --- charts ---------------------------------------------------------------------------------


def loss() -> charts.Chart:
    lines = [
        charts.Line("first", [1, 2, 3], [0.9, 0.5, 0.4], [(0.8, 1.0), (0.4, 0.6), (0.3, 0.5)]),
        charts.Line("second </script>", [1, 2], [0.7, float("nan")]),
    ]
    return charts.lines(lines, y="loss (nats)", log_y=True, top=0.95)


def test_a_chart_says_its_numbers_and_can_be_switched() -> None:
    chart = loss()
    assert chart.numbers == (
        "first 0.9 at epoch 1, 0.4 at epoch 3; second </script> 0.7 at epoch 1"
    )
    (spec,) = chart.page_specs()
    assert spec["width"] == "container"
    assert {"name": "hidden", "value": []} in spec["params"]
    switched = [view for view in [spec, *spec["layer"]] if "data" in view]
    assert switched
    for view in switched:
        assert view["transform"][0] == {"filter": "indexof(hidden, datum.line) < 0"}
    (rows,) = spec["datasets"].values()
    assert [(row["line"], row["y"]) for row in rows] == [
        ("first", 0.9), ("first", 0.5), ("first", 0.4), ("second </script>", 0.7),
    ]  # fmt: skip


def test_numbers_from_a_hundred_are_written_out_along_the_axes() -> None:
    """Not as 1.3e+2."""
    epochs = list(range(1, 2002))
    line = charts.Line("one", epochs, [512 / epoch for epoch in epochs])
    drawn = render(charts.lines([line], y="loss"))[".svg"].decode()
    texts = re.findall(r">([\d,]+)</text>", drawn)
    assert {"1", "251", "1,001", "2,001", "200", "500"} <= set(texts)
    dots = [charts.Dot("one", 900, interval=(800, 1500))]
    drawn += render(charts.dots(dots, x="images"))[".svg"].decode()
    assert {"800", "1500"} <= set(re.findall(r">(\d+)</text>", drawn))
    assert not re.search(r">[\d.]+e\+", drawn)


def test_the_same_chart_is_the_same_file(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    still = Figure(figsize=(1, 1))
    still.subplots().text(0.5, 0.5, "word", color="black")
    drawn = {"loss": (loss(), "loss of each"), "still": (still, "a picture")}
    shown = write_figures(drawn, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "loss.png", "loss.svg", "still.png", "still.svg",
    ]  # fmt: skip
    for name, (figure, _) in {"loss": (loss(), ""), "still": (still, "")}.items():
        for suffix, content in render(figure).items():
            assert (tmp_path / f"{name}{suffix}").read_bytes() == content
    assert shown["loss"].caption == "Loss of each."
    # on a page it has no paper of its own, no style for the whole page, and the page's ink
    assert "#ffffff" not in shown["still"].svg
    assert "<style" not in shown["still"].svg
    assert "currentColor" in shown["still"].svg
    assert b"#ffffff" in (tmp_path / "still.svg").read_bytes()
    assert "</script>" not in shown["loss"].specs[0]  # it would end its element
    text = page("base.html", shown)
    assert text.count("window.vegaEmbed=") == 1  # the program is there once
    assert "<script>" in text
    assert write_figures({}, tmp_path) == {}
    assert list(tmp_path.iterdir()) == []  # an earlier call's are cleared


@pytest.mark.parametrize(
    "chart",
    [
        charts.dots([charts.Dot("a", 0.9, (0.8, 1.0), (0.85, 0.95), 0.7), charts.Dot("b", None)],
                    x="accuracy"),
        charts.dots([charts.Dot("a", None, published=0.5)], x="accuracy"),
        charts.dots([charts.Dot("a", 0.1, each=(0.0, 0.2)), charts.Dot("b", float("nan"))],
                    x="error", rule=charts.Rule("x", 0.1, "all")),
        charts.confusion(np.array([[3, 1], [0, 4]]), ["a", "b"]),
        charts.Chart((charts.heat_panel(np.array([[0.5, np.nan]]), ["r"], ["a", "b"],
                                        np.array([["x", ""]]), row="layer", column="class"),),
                     numbers="x"),
        charts.lines([charts.Line("a", [1], [0.5])], y="loss",
                     rules=[charts.Rule("y", 0.4, "test")]),
    ],
)  # fmt: skip
def test_every_kind_of_chart_is_drawn(chart: charts.Chart) -> None:
    files = render(chart)
    assert files[".png"].startswith(b"\x89PNG")
    assert b"<path" in files[".svg"]
    assert b"NaN" not in files[".svg"]
    assert chart.numbers or not chart.series


def test_specifications_are_read_easily() -> None:
    assert pretty({"a": {"filters": [28, 20], "none": []}}) == (
        '{\n  "a": {\n    "filters": [28, 20],\n    "none": []\n  }\n}'
    )


# --- pages ----------------------------------------------------------------------------------


def test_a_study_begins_with_its_answer(runs: Path) -> None:
    from kerascw.lab.table import rows_of, spread_text
    from kerascw.studies import recall

    result = recall("digits", Store(runs))
    rows = rows_of(result)
    name = compared_figure(result, rows)
    assert name == "test.error"
    chosen = result.chosen
    cell = next(c for row in rows if row.variant == chosen for c in row.cells if c.name == name)
    said = headline(result, rows)
    assert said.startswith(
        f"Validation chooses {chosen}: test error {spread_text(cell.spread)} "
        "(mean over 2 seeds, too few for an interval)"
    )
    text = next(runs.glob("studies/*/report.html")).read_text()
    assert said in text
    assert text.index(result.study.question) < text.index(said) < text.index("figure-comparison")
    # written where the runs were trained, of which these are a copy
    assert re.search(rf"kerascw report {result.product.name} --open --runs /\S+/runs", text)


def test_a_run_names_the_studies_that_have_it(run: Run, runs: Path) -> None:
    text = (run.folder / "report.html").read_text()
    (folder,) = (path.name for path in (runs / "studies").iterdir())
    kind = run.experiment.model.kind
    assert f"in {folder}: {kind}" in " ".join(text.split())
    assert run.environment["command"] is None  # it was not a command that ran it
    assert f"python -m kerascw verify {run.name}" in text
    for table in ("epochs", "classes", "confused"):
        for suffix in ("csv", "tex"):
            assert (run.folder / "tables" / f"{table}.{suffix}").stat().st_size > 40


def process(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False,
        env=os.environ | environment,
    )  # fmt: skip


def test_report_opens_the_page(run: Run, runs: Path, tmp_path: Path) -> None:
    opened, viewer = tmp_path / "opened", tmp_path / "viewer"
    viewer.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    viewer.chmod(0o755)
    words = ("-m", "kerascw", "report", run.name, "--open", "--runs", str(runs))
    done = process(*words, BROWSER=f"{viewer} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert opened.read_text().strip() == (run.folder / "report.html").resolve().as_uri()


def test_a_report_needs_no_tensorflow_and_where_there_is_no_browser_one_line_says_so(
    run: Run, runs: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from kerascw.commands.main import main\n"
        "for words in (['digits'], [sys.argv[1], '--open']):\n"
        "    main(['report', *words, '--runs', sys.argv[2]], standalone_mode=False)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    empty = {"PATH": str(tmp_path), "BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = process("-c", code, run.name, str(runs), **empty)
    assert (done.returncode, done.stderr) == (
        0,
        f"kerascw: no browser to open {run.folder / 'report.html'} with; copy it to where there "
        "is one\n",
    )


# --- grids of images ------------------------------------------------------------------------


def test_maps_with_negative_values_are_drawn_signed() -> None:
    signed, positive = np.array([[-2.0, 1.0]]), np.array([[0.0, 3.0]])
    figure = figures.grid([[figures.Tile(signed, "a $b"), figures.Tile(positive)]], ["conv 1"])
    first, second = figure.axes[0].images
    assert first.get_clim() == (-2, 2)  # zero is in the middle, white
    assert first.get_cmap().name == "PuOr"
    assert second.get_clim() == (0, 3)
    words = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert words == ["conv 1", "a $b"]


def test_feature_maps_of_linear_convolutions_keep_their_signs() -> None:
    spec = ConvNet(filters=(4,), pool_after=(1,), activation="linear")
    shown = {}
    for name in ("linear", "relu"):
        model = spec.model_copy(update={"activation": name})
        built = build_model(model, (8, 8, 1), 3, seed=0)
        run = SimpleNamespace(
            model=lambda built=built: built, experiment=SimpleNamespace(model=model)
        )
        images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
        (shown[name],) = feature_maps(run, images)
    assert shown["linear"].min() < 0
    np.testing.assert_allclose(shown["relu"], np.maximum(shown["linear"], 0), atol=1e-5)
