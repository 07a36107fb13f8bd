"""Tables, figures and pages of a search, from results made by hand."""

import csv
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
from kerascw.runs.store import MANIFEST
from tuning import figures as search_figures
from tuning import search_parallel
from tuning.records import (
    FINALISTS,
    SEARCH,
    Finalist,
    SearchResult,
    SearchSpec,
    TrialRecord,
    read_search,
    write_atomically,
    write_record,
)
from tuning.report import (
    csv_text,
    importance_of,
    json_text,
    show_search,
    space_axes,
    write_search,
)
from tuning.search_tables import published_table
from tuning.text import answers, cautions, counts, rows_of

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
            executions=2,
            budget="quick",
            budget_epochs=3,
            sample=False,
            base={"data": {"name": "fashion_mnist", "fraction": 0.1}},
            hyperparameters=HYPERPARAMETERS,
            source_sha256="ab" * 32,
            trials=7,
            finalists=2,
            command="python -m kerascw tune bag-variants --executions 2",
        ),
        **changes,
    )


def trial(number: int, *values: float | None, **fields: Any) -> TrialRecord:
    whole = [value for value in values if value is not None]
    completed = bool(values) and len(whole) == len(values)
    return TrialRecord(
        **{
            "trial_id": f"{number - 1:04}",
            "number": number,
            "hyperparameters": {
                "learning_rate": 1e-4 * 10 ** (number / 3), "optimizer": "adam", "layers": 2,
                "batch_norm": number % 2 == 0, "version": 1,
            },
            "status": "completed" if completed else "failed",
            "score": math.fsum(whole) / len(whole) if completed else None,
            "values": values,
            "seeds": tuple(range(len(values))),
            "runs": tuple(f"run-{number}-{seed}" for seed in range(len(values))),
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
            trial(1, 0.5, 0.7),
            trial(2, 0.1, None, status="diverged", score=None, reason="loss nan in epoch 2"),
            trial(3, 0.8, 0.84, hyperparameters=SGD | {"version": 1}),
            trial(4, status="failed", reason="space: model.pool_after names conv layer 5"),
            trial(5, 0.5, 0.7, duplicate_of="0000"),
            trial(6, 0.1 + 0.2, 0.3),
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
    (folder / MANIFEST).write_text("{}")


# --- hyperparameters as axes ----------------------------------------------------------------


def test_axes_have_the_ranges_and_scales_of_the_space(mixed: SearchResult) -> None:
    axes = {axis.name: axis for axis in space_axes(mixed)}
    assert list(axes) == ["learning_rate", "optimizer", "momentum", "layers", "batch_norm"]
    assert axes["learning_rate"] == Axis("learning_rate", 1e-4, 1e-1, "log", default=1e-4)
    assert axes["optimizer"].choices == ("adam", "sgd")
    assert axes["momentum"].condition == "where optimizer is sgd"
    assert axes["batch_norm"] == Axis("batch_norm", choices=(False, True), default=False)
    assert (axes["layers"].low, axes["layers"].high) == (2, 5)


@pytest.mark.parametrize(
    ("axis", "value", "position"),
    [
        (Axis("x", 0, 10), 2.5, 0.25),
        (Axis("x", 1e-4, 1e-1, "log"), 1e-3, 1 / 3),
        (Axis("x", 1, 100, "reverse_log"), 91, 0.5),
        (Axis("x", 3, 3), 3, 0.5),
        (Axis("x", choices=("a", "b", "c")), "c", 5 / 6),
        (Axis("x", choices=(False, True)), True, 0.75),
    ],
)
def test_positions(axis: Axis, value: Any, position: float) -> None:
    assert axis.position(value) == pytest.approx(position)


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


def test_what_the_space_does_not_describe_has_the_range_that_was_seen() -> None:
    seen = [{"a": 3, "b": "x", "c": True, "tuner/epochs": 2}, {"a": 0.5, "b": "y", "d": 1}]
    axes = axes_of((), seen)
    assert [(a.name, a.low, a.high, a.choices) for a in axes] == [
        ("a", 0.5, 3, ()),
        ("b", 0.0, 1.0, ("x", "y")),
        ("c", 0.0, 1.0, (False, True)),
        ("d", 1, 1, ()),
    ]


def test_values_outside_of_what_is_described_have_a_place() -> None:
    (wide,) = axes_of([HYPERPARAMETERS[3]], [{"layers": 7}])
    assert (wide.low, wide.high) == (2, 7)
    (more,) = axes_of([HYPERPARAMETERS[1]], [{"optimizer": "lion"}])
    assert more.choices == ("adam", "sgd", "lion")
    one_name_twice = [
        HYPERPARAMETERS[2],
        HYPERPARAMETERS[2] | {"max_value": 0.99, "conditions": [{"name": "o", "values": ["x"]}]},
    ]
    (both,) = axes_of(one_name_twice, [])
    assert (both.low, both.high, both.condition) == (0.0, 0.99, "in some trials")


def test_values_as_text() -> None:
    assert [value_text(v) for v in (0.1, 1e-5, 128, False, "sgd")] == [
        "0.1", "1e-05", "128", "no", "sgd",
    ]  # fmt: skip


# --- numbers --------------------------------------------------------------------------------


def test_best_so_far(mixed: SearchResult) -> None:
    assert search_figures.best_so_far(mixed) == [0.6, 0.6, *[0.8200000000000001] * 5]
    lower = replace(mixed, spec=spec(objective="validation_loss", direction="min"))
    assert search_figures.best_so_far(lower) == [0.6] * 5 + [0.30000000000000004] * 2
    late = replace(mixed, records=mixed.records[1:])
    assert search_figures.best_so_far(late)[0] is None


def test_trials_are_sorted_by_score_and_those_without_follow(mixed: SearchResult) -> None:
    rows = rows_of(mixed)
    assert [(row.rank, row.trial.trial_id) for row in rows] == [
        (1, "0002"), (2, "0000"), (3, "0004"), (4, "0005"),
        (None, "0001"), (None, "0003"), (None, "0006"),
    ]  # fmt: skip
    first = rows[0].spread
    assert first is not None
    assert first.deviation == pytest.approx(0.04 / math.sqrt(2))
    assert rows[-1].spread is None
    assert counts(mixed) == "4 completed, 1 diverged, 1 failed, 1 running"


def test_answers_give_winner_luck_and_test_with_their_intervals(mixed: SearchResult) -> None:
    for name, accuracy in zip(("fresh-a", "fresh-b", "fresh-c"), (0.77, 0.78, 0.79), strict=True):
        keep_run(mixed, name, accuracy)
    best, luck, test = (answer.answer for answer in answers(mixed))
    # the half-width is t(0.975, 2) s / sqrt(3), with s = 0.01
    assert "Its validation accuracy is 0.8000 ± 0.0248, mean over 3 fresh seeds" in best
    assert "trial 0002: learning_rate 0.05, optimizer sgd, momentum 0.9" in best
    # differences 0.19, 0.19, 0.16
    assert "trial 0000, by +0.1800 (+0.1370 to +0.2230, paired by seed)." in best
    assert luck == (
        "It scored 0.8200 there (mean over 2 seeds), 0.0200 better than the mean over 3 fresh "
        "seeds; it was number 1 of 4 trials."
    )
    assert test.startswith(
        "accuracy 0.7800 ± 0.0248, loss 0.2200 ± 0.0248, mean over 3 fresh seeds"
    )


def test_a_loss_below_the_fresh_mean_is_luck_too(mixed: SearchResult) -> None:
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
    assert "Its validation loss is 0.3400, one fresh seed" in best
    assert "by -0.0100 (one seed)" in best
    assert luck == (
        "It scored 0.6000 there (mean over 2 seeds), 0.2600 worse than the mean over 1 fresh seed; "
        "it was number 2 of 4 trials. Number 1, trial 0005, scored 0.3000, 0.0500 better than the "
        "mean over 1 fresh seed, 0.3500."
    )


def test_a_difference_whose_interval_holds_zero_is_marked(mixed: SearchResult) -> None:
    close = replace(mixed.finalists[1], values=(0.79, 0.80, 0.79))
    result = replace(mixed, finalists=(mixed.finalists[0], close))
    assert "paired by seed, not shown to be better)" in answers(result)[0].answer


def test_without_finalists_the_best_is_said_to_flatter(mixed: SearchResult) -> None:
    result = replace(mixed, finalists=())
    (answer,) = answers(result)
    assert answer.answer.startswith("So far those of trial 0002")
    assert any("flatters" in caution for caution in cautions(result))


def test_cautions(mixed: SearchResult) -> None:
    assert cautions(mixed) == [
        "Quick budget (at most 3 epochs, 10% of the training part): what is best here need not be "
        "best with all epochs and pictures.",
        "1 trial not finished: the same command goes on with them.",
    ]
    full = replace(mixed, spec=spec(budget="full", sample=True), records=mixed.records[:1])
    assert cautions(full) == [
        "On the bundled sample, not the dataset: no figure compares with others'."
    ]
    lost = (replace(mixed.finalists[0], values=(0.8, None, 0.8)), mixed.finalists[1])
    luck = answers(replace(mixed, finalists=lost))[1].answer
    assert luck.endswith("Number 1, trial 0002, scored 0.8200 and diverged over fresh seeds.")
    diverged = tuple(replace(finalist, values=(None,) * 3) for finalist in mixed.finalists)
    assert "there is no winner" in cautions(replace(mixed, finalists=diverged))[-1]


# --- files ----------------------------------------------------------------------------------


def test_csv_has_every_trial_in_full(mixed: SearchResult) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(mixed))))
    assert [row["trial_id"] for row in rows] == [
        "0002", "0000", "0004", "0005", "0001", "0003", "0006",
    ]  # fmt: skip
    best, last_scored, diverged = rows[0], rows[3], rows[4]
    assert best["score"] == "0.8200000000000001"
    assert best["values"] == "0.8 0.84"
    assert float(best["low_95"]) == pytest.approx(0.82 - 12.7062 * 0.02, abs=1e-5)
    assert (best["hp.momentum"], rows[1]["hp.momentum"]) == ("0.9", "")
    assert (best["hp.batch_norm"], best["hp.layers"]) == ("True", "5")
    assert last_scored["values"] == "0.30000000000000004 0.3"
    assert rows[2]["duplicate_of"] == "0000"
    assert (diverged["rank"], diverged["score"], diverged["values"]) == ("", "", "0.1 nan")
    assert diverged["reason"] == "loss nan in epoch 2"
    assert rows[5]["reason"] == "space: model.pool_after names conv layer 5"
    assert (rows[6]["status"], rows[6]["runs"]) == ("running", "")
    assert best["runs"] == "run-3-0 run-3-1"


def test_json_is_strict_and_whole(mixed: SearchResult) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    tree = json.loads(json_text(mixed, importance_of(mixed)), parse_constant=refuse)
    assert tree["winner"] == "0002"
    assert tree["luck"] == mixed.luck == pytest.approx(0.02)
    assert [t["rank"] for t in tree["trials"]] == [1, 2, 3, 4, None, None, None]
    assert tree["trials"][3]["values"] == [0.1 + 0.2, 0.3]
    assert tree["trials"][4]["values"] == [0.1, None]
    assert tree["trials"][0]["hyperparameters"]["momentum"] == 0.9
    assert tree["finalists"][0]["spread"]["mean"] == pytest.approx(0.8)
    assert tree["test"] == {}
    assert "3 scored trials say nothing" in tree["importance"]["none_because"]
    one = replace(mixed, spec=spec(executions=1), records=(trial(1, 0.5),), finalists=())
    tree = json.loads(json_text(one, "none"), parse_constant=refuse)
    assert tree["trials"][0]["spread"] == {
        "n": 1, "mean": 0.5, "deviation": None, "interval": None,
    }  # fmt: skip


def test_page_has_the_table_and_escapes_what_is_not_ours(mixed: SearchResult) -> None:
    keep_run(mixed, "fresh-a", 0.77)
    page = write_search(mixed, mixed.folder, None)
    html = page.read_text()
    assert page == mixed.folder / "report.html"
    assert "Which rate is best, &lt;b&gt;really&lt;/b&gt;?" in html
    assert cells_of(html, "0002")[:4] == ["0002", "0.8200", "0.0283", "0.8000, 0.8400"]
    assert cells_of(html, "0001")[:4] == ["0001", "-", "-", "0.1000, diverged"]
    assert "diverged: loss nan in epoch 2" in html
    assert "failed: space: model.pool_after names conv layer 5" in html
    assert "same experiment as 0000" in html
    assert cells_of(html, "0002 (winner)")[1:3] == ["0.8200", "0.8000 ± 0.0248"]
    assert "accuracy 0.7700 (95 % Wilson interval 0.0000 to 1.0000), loss 0.2300" in html
    assert "python -m kerascw tune bag-variants --executions 2" in html
    figures = ["finalists", "history", "hyperparameters", "parallel_coordinates"]
    assert sorted(re.findall(r'<figure [^>]*data-name="(.*?)"', html)) == figures
    files = sorted(p.name for p in (mixed.folder / "figures").iterdir())
    assert files == [f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
    tables = sorted(p.name for p in (mixed.folder / "tables").iterdir())
    assert tables == ["finalists.csv", "finalists.tex", "trials.csv", "trials.tex"]
    assert "Momentum is used where optimizer is sgd." in html
    assert (mixed.folder / "trials.csv").read_text() == csv_text(mixed)
    assert "fresh-a" in html


@pytest.mark.parametrize(
    "records",
    [
        (),
        (trial(1, 0.5, 0.7),),
        (trial(1, reason="no"), trial(2, None, None, status="diverged", reason="nan")),
        (trial(1, 0.5, 0.5), trial(2, 0.5, 0.5)),
        tuple(trial(n, 0.0, 0.0) for n in range(1, 9)),
    ],
    ids=["none", "one", "all failed", "two equal", "all zero"],
)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_any_search_has_a_page(
    tmp_path: Path, records: tuple[TrialRecord, ...], direction: str
) -> None:
    objective = "validation_accuracy" if direction == "max" else "validation_loss"
    result = SearchResult(tmp_path, spec(direction=direction, objective=objective), records)
    html = write_search(result, tmp_path, "the command").read_text()
    assert '<pre class="command" tabindex="0">the command</pre>' in html
    if not result.ranked:
        assert f"No trial has a score: {counts(result)}." in html
        assert "parallel_coordinates" not in {p.stem for p in (tmp_path / "figures").glob("*")}
    else:
        assert "So far those of trial 0000" in html


def test_a_grid_of_many_rows_and_losses_of_all_sizes_are_drawn(tmp_path: Path) -> None:
    names = [f"{number} a long name" for number in range(21)]
    row = {"name": "row", "kind": "Choice", "conditions": [], "values": names, "default": None}
    records = tuple(
        trial(at + 1, 10.0 ** (at / 4 - 2), hyperparameters={"row": name})
        for at, name in enumerate(names)
    )
    result = SearchResult(
        tmp_path,
        spec(hyperparameters=(row,), executions=1, objective="validation_loss", direction="min"),
        records,
    )
    write_search(result, tmp_path, None)
    axes = space_axes(result)
    (panel,) = search_figures.history(result, axes).page_specs()
    assert scale_of(panel, "y")["type"] == "log"
    (panel,) = search_figures.against_each(result, axes).page_specs()
    label = next(layer["encoding"]["x"]["axis"]["labelExpr"] for layer in panel["layer"])
    assert label == f"[{', '.join(repr(name) for name in names)}][datum.value]"
    assert sorted(row["x"] for row in rows_drawn(panel)) == list(range(21))


def rows_drawn(spec: Any) -> list[dict[str, Any]]:
    """Return the rows of all views of a panel."""
    return [row for rows in spec["datasets"].values() for row in rows]


def scale_of(spec: Any, axis: str) -> dict[str, Any]:
    encodings = (layer.get("encoding", {}) for layer in spec["layer"])
    return next(e[axis]["scale"] for e in encodings if "scale" in e.get(axis, {}))


def cells_of(html: str, name: str) -> list[str]:
    """Return what a row of a page's table reads, by its first cell."""
    row = next(row for row in re.findall("(?s)<tr>(.*?)</tr>", html) if f">{name}</th>" in row)
    return re.findall("<t[hd].*?>(.*?)</t[hd]>", row)


def test_figures_show_what_they_say(mixed: SearchResult) -> None:
    axes = space_axes(mixed)
    chart = search_figures.history(mixed, axes)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in rows_drawn(chart.page_specs()[0]):
        rows.setdefault(row["line"], []).append(row)
    assert {name: {row.get("number") for row in several} for name, several in rows.items()} == {
        "trial": {1, 3, 6}, "diverged": {2}, "failed": {4}, "running": {7},
        "repeats another trial": {5}, "best so far": {1, 2, 3, 4, 5, 6, 7},
        "winner over 3 fresh seeds": {None},
    }  # fmt: skip
    assert {key.name for key in chart.series} == set(rows)
    (winner, *_) = rows["winner over 3 fresh seeds"]
    assert (winner["score"], winner["low"], winner["high"]) == (0.8, 0.775159, 0.824841)
    assert "winner over 3 fresh seeds 0.8000 (0.7752 to 0.8248)" in chart.numbers
    assert {row["score"] for row in rows["diverged"]} == {None}
    assert rows["trial"][0]["h0"] == value_text(1e-4 * 10 ** (1 / 3))
    assert rows["trial"][0]["h2"] == "not used"
    panels = {
        panel["layer"][0]["encoding"]["x"]["title"]: panel
        for panel in search_figures.against_each(mixed, axes).page_specs()
    }
    assert list(panels) == ["learning rate", "optimizer", "momentum", "layers", "batch norm"]
    assert scale_of(panels["learning rate"], "x")["type"] == "log"
    assert scale_of(panels["layers"], "x")["type"] == "linear"
    assert [(row["trial"], row["x"], row["line"]) for row in rows_drawn(panels["momentum"])] == [
        ("0002", 0.9, "best trial")
    ]


def test_parallel_coordinates_have_a_line_a_trial(mixed: SearchResult) -> None:
    (panel,) = search_parallel.parallel_coordinates(mixed, space_axes(mixed)).page_specs()
    rows = rows_drawn(panel)
    texts = {row["text"] for row in rows if "text" in row}
    assert {"not used", "no score", "sgd", "adam", "yes", "no", "0.001"} <= texts
    places = {(row["trial"], row["at"]): row["x"] for row in rows if "trial" in row}
    assert len(places) == 7 * 6
    best = [row for row in rows if row.get("line") == "best trial"]
    assert {row["trial"] for row in best} == {"0002"}
    assert (best[0]["h0"], best[0]["h2"], best[0]["value"]) == ("0.05", "0.9", "0.05")
    assert places["0002", 5.0] == 1.0  # the best, at the better end
    assert places["0001", 5.0] < 0  # no score
    assert places["0000", 2.0] < 0  # momentum is not used
    lost = {row["trial"] for row in rows if row.get("line") == "no score"}
    assert lost == {"0001", "0003", "0006"}


def test_the_published_figures_of_the_base_and_of_the_best_stand_beside_the_winners(
    tmp_path: Path,
) -> None:
    """A search in the neighbourhood of a study; an earlier version had a field less."""
    from kerascw.studies import all_studies

    variants = all_studies()["bag-variants"].variants()
    base = variants["2 Optim2"].model_dump(mode="json")
    del base["training"]["auxiliary_weights"]
    won = trial(1, 0.2, experiment=variants["3 Optim3"].model_dump(mode="json"))
    result = SearchResult(
        tmp_path / "searches" / "one",
        spec(base=base, objective="validation_loss", direction="min", executions=1),
        (won,), (Finalist("0000", (2, 3), ("a", "b"), (0.2, 0.25)),),
    )  # fmt: skip
    table = published_table(result, [])
    assert table is not None
    read = [[cell.text for cell in row[:5]] for row in table.cells]
    assert [row for row in read if row[2] == "validation loss"] == [
        ["bag-variants: 2 Optim2", "the space's base", "validation loss", "0.060",
         "0.2250 ± 0.3177"],
        ["bag-variants: 20 Intuition3", "the best published", "validation loss", "0.048",
         "0.2250 ± 0.3177"],
        ["bag-variants: 3 Optim3", "the winner's own experiment", "validation loss", "0.182",
         "0.2250 ± 0.3177"],
    ]  # fmt: skip
    html = write_search(result, result.folder, None).read_text()
    assert "Not comparable: this search has a quick budget" in html
    assert published_table(replace(result, spec=spec()), []) is None


def test_the_terminal_has_the_best_trials_and_the_answers(mixed: SearchResult) -> None:
    terminal = Console(width=200, record=True, file=io.StringIO())
    show_search(mixed, terminal)
    text = terminal.export_text()
    assert "1     0002                0.8200     0.0283           0.05        sgd" in text
    assert "7 trials: 4 completed, 1 diverged, 1 failed, 1 running" in text
    assert "How much of its score in the search was luck?" in text
    many = replace(
        mixed, records=tuple(trial(n, n / 100, n / 100) for n in range(1, 31)), finalists=()
    )
    terminal = Console(width=200, record=True, file=io.StringIO())
    show_search(many, terminal)
    text = terminal.export_text()
    assert "20 more in" in text
    assert "next: python -m kerascw tune bag-variants --executions 2" in text


def test_report_draws_a_kept_search_again(mixed: SearchResult) -> None:
    write_atomically(mixed.folder / SEARCH, asdict(mixed.spec))
    for record in mixed.records:
        write_record(mixed.folder, record)
    write_atomically(mixed.folder / FINALISTS, [asdict(finalist) for finalist in mixed.finalists])
    assert csv_text(read_search(mixed.folder)) == csv_text(mixed)
    runs = mixed.folder.parent.parent
    for name in (mixed.label, str(mixed.folder)):
        (mixed.folder / "report.html").unlink(missing_ok=True)
        said = CliRunner().invoke(main, ["report", name, "--runs", str(runs)])
        assert said.exit_code == 0, said.output
        assert "search report:" in said.output
        assert "0002 (winner)" in (mixed.folder / "report.html").read_text()


def test_views_of_a_search_need_no_tensorflow_and_no_kerastuner() -> None:
    code = (
        "import sys, tuning.report, tuning.search_parallel, tuning.records;"
        "assert not {'tensorflow', 'keras', 'keras_tuner', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- importance -----------------------------------------------------------------------------


def searched(
    trials: int, noise: float
) -> tuple[tuple[Axis, ...], list[dict[str, Any]], list[float]]:
    """Return random trials whose score is decided by the rate's logarithm."""
    random = np.random.default_rng(0)
    axes = axes_of(HYPERPARAMETERS, [])
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
    assert found.shares[0].low > 0.5
    assert {share.name for share in found.shares} == {
        "learning_rate", "optimizer", "momentum", "layers", "batch_norm",
    }  # fmt: skip
    assert all(0 <= s.low <= s.mean <= s.high <= 1 for s in found.shares)
    assert found.r_squared > 0.7
    assert found.caution is None
    assert found == importance(*searched(60, noise=0.05))


def test_importance_of_noise_says_that_it_is() -> None:
    found = importance(*searched(25, noise=1.0))
    assert isinstance(found, Importance)
    assert found.r_squared <= 0
    assert found.caution is not None
    assert found.caution.endswith("these shares are noise.")


def test_few_trials_are_told_and_fewer_give_none() -> None:
    few = Importance((Share("a", 0.5, 0.1, 0.9), Share("b", 0.1, 0, 0.3)), 12, 0.4)
    assert few.caution == (
        "12 trials are few for 2 hyperparameters: read the ranges, not the bars "
        "(R² on unseen trials 0.40)."
    )
    axes, drawn, scores = searched(6, noise=0.1)
    assert importance(axes, drawn, scores) == (
        "6 scored trials say nothing of 5 hyperparameters; 7 are the least."
    )
    axes, drawn, _ = searched(10, noise=0.1)
    assert importance(axes, drawn, [0.5] * 10) == "All scores are equal."
    assert importance((Axis("a", 1, 1),), [{"a": 1}] * 9, list(range(9))) == (
        "There is no hyperparameter that differs."
    )
    assert importance((Axis("a", 0, 1),), [{"a": 0.5}] * 9, list(range(9))) == (
        "There is one hyperparameter, a: all differences are its own or chance."
    )


def test_importance_of_many_unordered_choices_is_found_in_time() -> None:
    names = tuple("abcdefghijklmnopqrst")
    axes = (Axis("name", choices=names), Axis("noise", 0, 1))
    random = np.random.default_rng(0)
    drawn = [{"name": names[n % 20], "noise": random.uniform()} for n in range(60)]
    found = importance(axes, drawn, [names.index(values["name"]) // 7 for values in drawn])
    assert isinstance(found, Importance)
    assert found.shares[0].name == "name"
    assert found.shares[0].low > found.shares[1].high


def test_epochs_of_hyperbands_rungs_are_a_hyperparameter(tmp_path: Path) -> None:
    axes, drawn, scores = searched(24, noise=0.3)
    records = tuple(
        trial(
            at + 1, score + 5 * (at % 3), hyperparameters=values, epochs=3 ** (at % 3), rung=at % 3
        )
        for at, (values, score) in enumerate(zip(drawn, scores, strict=True))
    )
    found = importance_of(SearchResult(tmp_path, spec(executions=1), records))
    assert isinstance(found, Importance)
    assert found.shares[0].name == "epochs trained"
    assert len(found.shares) == len(axes) + 1
