"""Tables, figures and pages of a search, from results made by hand."""

import csv
import hashlib
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from kerascw.commands.main import main
from kerascw.evaluation.hyperparameters import Axis, axes_of, value_text
from kerascw.evaluation.importance import Importance, Share, importance
from kerascw.runs.store import MANIFEST, write_json
from tuning import figures
from tuning.records import (
    FINALISTS,
    SEARCH,
    Finalist,
    SearchResult,
    SearchSpec,
    TrialRecord,
    read_search,
    write_record,
)
from tuning.report import importance_of, show_search, write_search
from tuning.text import answers, cautions, counts

HYPERPARAMETERS: tuple[dict[str, Any], ...] = (
    {
        "name": "learning_rate", "kind": "Float", "conditions": [], "min_value": 1e-4,
        "max_value": 1e-1, "step": None, "sampling": "log", "default": None,
    },
    {
        "name": "optimizer", "kind": "Choice", "conditions": [], "values": ["adam", "sgd"],
        "default": None,
    },
    {
        "name": "momentum", "kind": "Float",
        "conditions": [{"name": "optimizer", "values": ["sgd"]}], "min_value": 0.0,
        "max_value": 0.95, "step": None, "sampling": "linear", "default": None,
    },
    {
        "name": "layers", "kind": "Int", "conditions": [], "min_value": 2, "max_value": 5,
        "step": 1, "sampling": "linear", "default": None,
    },
    {"name": "batch_norm", "kind": "Boolean", "conditions": [], "default": False},
    {"name": "version", "kind": "Fixed", "conditions": [], "value": 1},
)  # fmt: skip


def spec(**changes: Any) -> SearchSpec:
    return replace(
        SearchSpec(
            space="bag-variants",
            question="Which rate is best, <b>really</b>?",
            objective="validation_accuracy",
            direction="max",
            oracle="random",
            seed=0,
            budget="quick",
            budget_epochs=3,
            sample=False,
            base={"data": {"name": "fashion_mnist", "fraction": 0.1}},
            hyperparameters=HYPERPARAMETERS,
            source_sha256="ab" * 32,
            trials=7,
            finalists=2,
            command="python -m kerascw tune bag-variants",
        ),
        **changes,
    )


def trial(number: int, score: float | None = None, **fields: Any) -> TrialRecord:
    return TrialRecord(
        **{
            "trial_id": f"{number - 1:04}",
            "number": number,
            "hyperparameters": {
                "learning_rate": 1e-4 * 10 ** (number / 3), "optimizer": "adam", "layers": 2,
                "batch_norm": number % 2 == 0, "version": 1,
            },
            "status": "failed" if score is None else "completed",
            "score": score,
            "run": f"run-{number}",
            "epochs": 3,
            "seconds": 1.5,
        }
        | fields
    )  # fmt: skip


SGD = {"learning_rate": 0.05, "optimizer": "sgd", "momentum": 0.9, "layers": 5, "batch_norm": True}


@pytest.fixture
def mixed(tmp_path: Path) -> SearchResult:
    """Every status; a conditional hyperparameter that most trials do not use."""
    folder = tmp_path / "runs" / "searches" / "bag-variants-random-quick-seed0"
    return SearchResult(
        folder,
        spec(),
        (
            trial(1, 0.6),
            trial(2, status="diverged", reason="loss nan in epoch 2"),
            trial(3, 0.82, hyperparameters=SGD | {"version": 1}),
            trial(4, status="failed", reason="space: model.pool_after names conv layer 5"),
            trial(5, 0.6, duplicate_of="0000"),
            trial(6, 0.1 + 0.2),
            trial(7, status="running"),
        ),
        (
            Finalist("0002", (2, 3, 4), ("fresh-a", "fresh-b", "fresh-c"), (0.80, 0.79, 0.81)),
            Finalist("0000", (2, 3, 4), ("x", "y", "z"), (0.61, 0.60, 0.65)),
        ),
    )


def keep_run(result: SearchResult, name: str, accuracy: float) -> None:
    """Keep a run with nothing but its test figures."""
    folder = result.folder.parent.parent / name
    folder.mkdir(parents=True)
    metrics = {"test": {"accuracy": accuracy, "loss": 1 - accuracy, "accuracy_interval_95": [0, 1]}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for other in ("environment.json", "experiment.json", "history.csv", "model.keras"):
        (folder / other).write_text("{}")
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps(sums))


# --- hyperparameters as axes ----------------------------------------------------------------


def test_axes_have_the_ranges_and_scales_of_the_space(mixed: SearchResult) -> None:
    axes = {axis.name: axis for axis in axes_of(mixed.spec.hyperparameters)}
    assert list(axes) == ["learning_rate", "optimizer", "momentum", "layers", "batch_norm"]
    assert axes["learning_rate"] == Axis("learning_rate", 1e-4, 1e-1, "log", default=1e-4)
    assert axes["optimizer"].choices == ("adam", "sgd")
    assert axes["momentum"].condition == "where optimizer is sgd"
    assert axes["batch_norm"] == Axis("batch_norm", choices=(False, True), default=False)
    assert (axes["layers"].low, axes["layers"].high) == (2, 5)


def test_positions_are_kerastuners() -> None:
    """Where it draws a continuous value from: reverse_log is the one that is easily got wrong."""
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for sampling in ("linear", "log", "reverse_log"):
        hp.Float(sampling, 1.0, 100.0, sampling=sampling)
    for known in hp.space:
        axis = Axis(known.name, 1.0, 100.0, known.sampling)
        for share in (0.1, 0.5, 0.9):
            assert axis.position(known.prob_to_value(share)) == pytest.approx(share)
    assert Axis("one value", 3, 3).position(3) == 0.5
    assert Axis("switch", choices=(False, True)).position(True) == 0.75


def test_one_name_under_two_conditions_is_one_axis() -> None:
    one_name_twice = [
        HYPERPARAMETERS[2],
        HYPERPARAMETERS[2] | {"max_value": 0.99, "conditions": [{"name": "o", "values": ["x"]}]},
    ]
    (both,) = axes_of(one_name_twice)
    assert (both.low, both.high, both.condition) == (0.0, 0.99, "in some trials")


# --- words ----------------------------------------------------------------------------------


def test_answers_give_winner_luck_and_test_with_their_intervals(mixed: SearchResult) -> None:
    for name, accuracy in zip(("fresh-a", "fresh-b", "fresh-c"), (0.77, 0.78, 0.79), strict=True):
        keep_run(mixed, name, accuracy)
    best, luck, test = (answer.answer for answer in answers(mixed))
    # the half-width is t(0.975, 2) s / sqrt(3), with s = 0.01
    assert "Its validation accuracy is 0.8000 ± 0.0248, mean over 3 fresh seeds" in best
    assert "trial 0002: learning_rate 0.05, optimizer sgd, momentum 0.9" in best
    # differences 0.19, 0.19, 0.16
    assert "trial 0000, by +0.1800 (+0.1370 to +0.2230), paired by seed, with the 95 % CI." in best
    assert luck == (
        "It scored 0.8200 in the search, 0.0200 better than its mean over 3 fresh seeds; it was "
        "number 1 of 4 trials."
    )
    assert test.startswith("accuracy 0.7800 ± 0.0248, loss 0.2200 ± 0.0248, mean over 3 fresh")
    close = replace(mixed.finalists[1], values=(0.79, 0.80, 0.79))
    result = replace(mixed, finalists=(mixed.finalists[0], close))
    assert "not significant), paired by seed" in answers(result)[0].answer


def test_of_a_loss_less_is_better(mixed: SearchResult) -> None:
    loss = replace(
        mixed,
        spec=spec(objective="validation_loss", direction="min"),
        finalists=(
            Finalist("0005", (2,), ("x",), (0.35,)),
            Finalist("0000", (2,), ("y",), (0.34,)),
        ),
    )
    best, luck = (answer.answer for answer in answers(loss))
    assert "trial 0000" in best
    assert "by -0.0100 (one seed)" in best
    assert luck.startswith("It scored 0.6000 in the search, 0.2600 worse than its mean over 1 ")
    assert figures.best_so_far(loss) == [(1, 0.6), (3, 0.6), (5, 0.6), (6, 0.30000000000000004)]


def test_cautions(mixed: SearchResult) -> None:
    assert counts(mixed) == "4 completed, 1 diverged, 1 failed, 1 running"
    assert cautions(mixed) == [
        "Quick budget (at most 3 epochs, 10% of the training set): what is best here need not be "
        "best with all epochs and images.",
        "1 trial not finished: the same command goes on with them.",
    ]
    full = replace(
        mixed, spec=spec(budget="full", sample=True, trials=1), records=mixed.records[:1]
    )
    assert cautions(full) == [
        "On the bundled sample, not the dataset: no figure compares with others'."
    ]
    assert "optimistic" in cautions(replace(mixed, finalists=()))[-1]
    diverged = tuple(replace(finalist, values=(None,) * 3) for finalist in mixed.finalists)
    assert "there is no winner" in cautions(replace(mixed, finalists=diverged))[-1]


# --- files ----------------------------------------------------------------------------------


def test_page_has_the_tables_and_escapes_what_is_not_ours(mixed: SearchResult) -> None:
    keep_run(mixed, "fresh-a", 0.77)
    page = write_search(mixed, mixed.folder, None)
    html = page.read_text()
    assert page == mixed.folder / "report.html"
    assert "Which rate is best, &lt;b&gt;really&lt;/b&gt;?" in html
    assert cells_of(html, "0002")[:4] == ["0002", "0.8200", "0.05", "sgd"]
    assert cells_of(html, "0001")[:4] == ["0001", "-", "0.0004642", "adam"]
    assert "diverged: loss nan in epoch 2" in html
    assert "failed: space: model.pool_after names conv layer 5" in html
    assert "same experiment as 0000" in html
    assert cells_of(html, "0002 (winner)")[1:3] == ["0.8200", "0.8000 ± 0.0248"]
    assert "Momentum is used where optimizer is sgd." in html
    assert "python -m kerascw tune bag-variants" in html
    assert "fresh-a" in html
    names = ["history", "hyperparameters"]
    assert sorted(re.findall(r'<figure [^>]*data-name="(.*?)"', html)) == names
    files = sorted(p.name for p in (mixed.folder / "figures").iterdir())
    assert files == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    tables = sorted(p.name for p in (mixed.folder / "tables").iterdir())
    assert tables == ["finalists.csv", "finalists.tex", "trials.csv", "trials.tex"]
    rows = list(csv.DictReader(io.StringIO((mixed.folder / "tables" / "trials.csv").read_text())))
    assert [row["trial"] for row in rows] == [
        "0002", "0000", "0004", "0005", "0001", "0003", "0006",
    ]  # fmt: skip
    assert (rows[0]["score"], rows[0]["momentum"]) == ("0.82", "0.9")
    assert (rows[4]["score"], rows[6]["outcome"]) == ("-", "running")


@pytest.mark.parametrize(
    "records",
    [
        (),
        (trial(1, 0.6),),
        (trial(1, reason="no"), trial(2, status="diverged", reason="nan")),
        tuple(trial(n, 0.0) for n in range(1, 12)),
    ],
    ids=["none", "one", "all failed", "all zero"],
)
def test_any_search_has_a_page(tmp_path: Path, records: tuple[TrialRecord, ...]) -> None:
    result = SearchResult(tmp_path, spec(direction="min", objective="validation_loss"), records)
    html = write_search(result, tmp_path, "the command").read_text()
    assert '<pre class="command" tabindex="0">the command</pre>' in html
    if not result.ranked:
        assert f"No trial has a score: {counts(result)}." in html
        assert "history" not in {p.stem for p in (tmp_path / "figures").glob("*")}
    else:
        assert "So far those of trial 0000" in html


def cells_of(html: str, name: str) -> list[str]:
    """Return what a row of a page's table reads, by its first cell."""
    row = next(row for row in re.findall("(?s)<tr>(.*?)</tr>", html) if f">{name}</th>" in row)
    return re.findall("<t[hd].*?>(.*?)</t[hd]>", row)


def rows_drawn(spec: Any) -> list[dict[str, Any]]:
    """Return the rows of all views of a panel."""
    return [row for rows in spec["datasets"].values() for row in rows]


def test_the_history_shows_every_trial_the_best_so_far_and_the_winner(mixed: SearchResult) -> None:
    chart = figures.history(mixed, axes_of(mixed.spec.hyperparameters))
    (panel,) = chart.page_specs()
    drawn: dict[str, set[Any]] = {}
    for row in rows_drawn(panel):
        drawn.setdefault(row["line"], set()).add(row.get("number"))
    assert drawn == {
        "trial": {1, 6}, "best trial": {3}, "no score": {2, 4, 7}, "repeats another trial": {5},
        "best so far": {1, 3, 5, 6}, "winner over 3 fresh seeds": {None},
    }  # fmt: skip
    assert {key.name for key in chart.series} == set(drawn)
    (first,) = [row for row in rows_drawn(panel) if row.get("trial") == "0000"]
    assert (first["h0"], first["h2"]) == (value_text(1e-4 * 10 ** (1 / 3)), "not used")
    wide = replace(mixed, records=tuple(trial(n, 10.0**-n) for n in range(1, 5)))
    (panel,) = figures.history(wide, ()).page_specs()
    assert panel["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"


def test_each_hyperparameter_has_a_panel_of_the_trials_that_use_it(mixed: SearchResult) -> None:
    chart = figures.hyperparameters(mixed, axes_of(mixed.spec.hyperparameters))
    panels = chart.page_specs()
    assert len(panels) == 5
    trials = [{row["trial"] for row in rows_drawn(panel)} for panel in panels]
    assert trials[0] == {"0000", "0002", "0004", "0005"}  # with a score
    assert trials[2] == {"0002"}  # momentum
    scale = panels[0]["encoding"]["x"]["scale"]
    assert (scale["type"], scale["nice"]) == ("log", False)  # no empty decades on either side
    (legend,) = {  # a stroke is not drawn for a filled point
        panel["encoding"]["color"]["legend"]["symbolType"] for panel in chart.file_spec()["concat"]
    }
    assert legend == "circle"
    assert panels[1]["encoding"]["x"]["sort"] == ["adam", "sgd"]
    assert [key.name for key in chart.series] == ["best trial", "trial", "repeats another trial"]


def test_the_terminal_has_the_best_trials_and_the_answers(mixed: SearchResult) -> None:
    terminal = Console(width=250, record=True, file=io.StringIO())
    many = tuple(trial(n, n / 100) for n in range(1, 31))
    show_search(replace(mixed, records=many, finalists=()), terminal)
    text = terminal.export_text()
    assert re.search(r"^0029 +0\.3000 ", text, re.M)
    assert "30 trials: 30 completed; 20 more in" in text
    assert "So far those of trial 0029" in text
    assert "next: python -m kerascw tune bag-variants" in text


def test_report_draws_a_kept_search_again(mixed: SearchResult) -> None:
    mixed.folder.mkdir(parents=True)
    write_json(mixed.folder / SEARCH, asdict(mixed.spec))
    for record in mixed.records:
        write_record(mixed.folder, record)
    write_json(mixed.folder / FINALISTS, [asdict(finalist) for finalist in mixed.finalists])
    assert read_search(mixed.folder) == mixed
    runs = mixed.folder.parent.parent
    done = CliRunner().invoke(main, ["report", mixed.label, "--runs", str(runs)])
    assert done.exit_code == 0, done.output
    assert "0002 (winner)" in (mixed.folder / "report.html").read_text()
    shown = CliRunner().invoke(main, ["show", mixed.label[:5], "--runs", str(runs)])
    assert shown.exit_code == 0, shown.output
    assert "0002" in shown.output
    (mixed.folder / SEARCH).write_text('{"space": 5}')
    done = CliRunner().invoke(main, ["report", mixed.label, "--runs", str(runs)])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "search.json: damaged (" in done.stderr


def test_views_of_a_search_need_no_tensorflow_and_no_kerastuner() -> None:
    code = (
        "import sys, tuning.report, tuning.figures, tuning.search, kerascw.commands.tune;"
        "assert not {'tensorflow', 'keras', 'keras_tuner', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- importance -----------------------------------------------------------------------------


def searched(
    trials: int, noise: float
) -> tuple[tuple[Axis, ...], list[dict[str, Any]], list[float]]:
    """Return random trials, the score of which is decided by the rate's logarithm."""
    random = np.random.default_rng(0)
    axes = axes_of(HYPERPARAMETERS)
    drawn, scores = [], []
    for _ in range(trials):
        values = {
            "learning_rate": 10 ** random.uniform(-4, -1),
            "optimizer": ["adam", "sgd"][random.integers(2)],
            "layers": int(random.integers(2, 6)),
            "batch_norm": bool(random.integers(2)),
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = random.uniform(0, 0.95)
        drawn.append(values)
        peak = -abs(math.log10(values["learning_rate"]) + 3.5)
        scores.append((1 - noise) * peak + noise * random.normal())
    return axes, drawn, scores


def test_importance_finds_what_decides_near_the_low_end_of_a_log_range() -> None:
    found = importance(*searched(60, noise=0.05))
    assert isinstance(found, Importance)
    assert found.shares[0].name == "learning_rate"
    assert found.shares[0].low > found.shares[1].high
    assert {share.name for share in found.shares} == {
        "learning_rate", "optimizer", "momentum", "layers", "batch_norm",
    }  # fmt: skip
    assert all(s.low <= s.mean <= s.high for s in found.shares)
    assert found.r_squared > 0.7
    assert found.caution is None
    assert found == importance(*searched(60, noise=0.05))


def test_importance_of_noise_says_that_it_is() -> None:
    found = importance(*searched(25, noise=1.0))
    assert isinstance(found, Importance)
    assert found.r_squared <= 0
    assert found.caution is not None
    assert found.caution.endswith("these figures are noise.")


def test_few_trials_are_told_and_fewer_give_none() -> None:
    few = Importance((Share("a", 0.5, 0.1, 0.9), Share("b", 0.1, 0, 0.3)), 12, 0.4)
    assert few.caution == (
        "12 trials are few for 2 hyperparameters: read the ranges, not the means "
        "(R² on unseen trials 0.40)."
    )
    axes, drawn, scores = searched(6, noise=0.1)
    assert importance(axes, drawn, scores) == (
        "6 trials with a score are too few to rank 5 hyperparameters; at least 10 are needed."
    )
    axes, drawn, _ = searched(10, noise=0.1)
    assert importance(axes, drawn, [0.5] * 10) == "All scores are equal."
    assert importance((Axis("a", 1, 1),), [{"a": 1}] * 12, list(range(12))) == (
        "No hyperparameter differs between trials."
    )
    assert importance((Axis("a", 0, 1),), [{"a": 0.5}] * 12, list(range(12))) == (
        "a is the only hyperparameter: it or chance makes all differences."
    )


def test_epochs_of_hyperbands_rungs_are_a_hyperparameter(tmp_path: Path) -> None:
    axes, drawn, scores = searched(24, noise=0.3)
    records = tuple(
        trial(
            at + 1, score + 5 * (at % 3), hyperparameters=values, epochs=3 ** (at % 3), rung=at % 3
        )
        for at, (values, score) in enumerate(zip(drawn, scores, strict=True))
    )
    found = importance_of(SearchResult(tmp_path, spec(), records))
    assert isinstance(found, Importance)
    assert found.shares[0].name == "epochs trained"
    assert len(found.shares) == len(axes) + 1
