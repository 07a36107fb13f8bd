"""Searches: what is asked and told, what a trial may come to, kills, and how they go on."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

import tuning
from kerascw.commands.main import main
from kerascw.commands.tune import SearchProgress
from kerascw.console import console
from kerascw.errors import CallError, KerascwError
from kerascw.experiment.spec import DataSpec, Experiment
from kerascw.runs.many import run_many
from kerascw.runs.processes import Died
from kerascw.runs.run import history_so_far
from kerascw.runs.store import Store
from tuning import search as searching
from tuning.plan import planned_search
from tuning.records import SearchResult, TrialRecord, read_search, searches_folder
from tuning.search import run_search
from tuning.space import ORACLES, Oracle, SpaceError, load_space, named_spaces

BASE = """
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from tuning.space import Budget

QUESTION = "Which rate and width suit digits?"
OBJECTIVE = "validation_loss"
BUDGETS = {"quick": Budget(trials=3)}

def base():
    return Experiment.model_validate({
        "data": {"name": "digits", "holdout": {"how": "stratified", "count": 200}},
        "model": {"kind": "mlp", "dense": [8]},
        "training": {"epochs": 3, "keep": "validation_loss", "batch_size": 128},
    })
"""

DIGITS = f"""{BASE}
def space(hp, base):
    rate = hp.Float("rate", 1e-3, 0.1, sampling="log")
    width = hp.Choice("width", [4, 8])
    return override(base, {{"training.optimizer.learning_rate": rate, "model.dense": [width]}})
"""

COUNTS: dict[Oracle, int] = {"random": 4, "grid": 4, "bayesian": 7, "hyperband": 6}
"""Trials of each search. The Bayesian one has five random points; Hyperband of at most three epochs
has a rung of three trials, of which one is promoted, and two that are trained all along."""

PATIENCE = 300  # seconds: on a busy machine TensorFlow's import alone has taken a hundred


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spaces") / "digits.py"
    path.write_text(DIGITS)
    return str(path)


@pytest.fixture
def trainers() -> Any:
    """Those of the session, which train in one thread."""
    return searching.open_trainers(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all searches here: what more than one of them tries is trained once."""
    return Store(tmp_path_factory.mktemp("searches") / "runs")


class Told(SearchProgress):
    """What a search told, in lines and in lists."""

    def __init__(self) -> None:
        self.said = StringIO()
        super().__init__(console(self.said))
        self.ended_here: list[str] = []
        self.recalled: list[str] = []

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        super().ended(record, recalled)
        (self.recalled if recalled else self.ended_here).append(record.trial_id)


def search(
    space: str, store: Store, trainers: Any, watcher: Any = None, **options: Any
) -> SearchResult:
    """Search with one finalist; return what its folder has."""
    if options.get("oracle") == "hyperband":
        options.setdefault("trials", None)
    plan = planned_search(space, **{"finalists": 1} | options)
    run_search(plan, store, jobs=2, trainers=trainers, watcher=watcher)
    return read_search(searches_folder(store.folder) / plan.label)


@pytest.fixture(scope="module")
def searched(digits: str, store: Store) -> Callable[[Oracle], SearchResult]:
    """Return an oracle's search that nothing interrupted."""
    kept: dict[str, SearchResult] = {}

    def of(oracle: Oracle) -> SearchResult:
        if oracle not in kept:
            trials = None if oracle == "hyperband" else COUNTS[oracle]
            trainers = searching.open_trainers(1)
            kept[oracle] = search(digits, store, trainers, oracle=oracle, trials=trials)
        return kept[oracle]

    return of


@pytest.fixture
def other_digits(tmp_path: Path) -> str:
    """The same space in another file, whose searches have folders of their own."""
    path = tmp_path / "digits.py"
    path.write_text(f"{DIGITS}# {tmp_path.name}\n")
    return str(path)


def space_file(folder: Path, body: str) -> str:
    path = folder / "my.py"
    path.write_text(f"{BASE}\ndef space(hp, base):\n    {body}\n")
    return str(path)


# --- spaces and calls -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef space(hp, base:\n    return base\n", "my.py, line 2: no Python: "),
        ("def spaces(hp, base): return base\n", "my.py: no function space(hp, base)"),
        ("import nothing_of_this_name\n", "my.py, line 1: ModuleNotFoundError: "),
        (f"{BASE}\nOBJECTIVE = 'test_accuracy'\ndef space(hp, base): return base\n",
         "my.py: OBJECTIVE is 'test_accuracy'; choose validation_accuracy or validation_loss"),
        (f"{BASE}\nBUDGETS = {{'quick': Budget(trials=0)}}\ndef space(hp, base): return base\n",
         "my.py: 0 trials; a number from 1, or None for all"),
        (f"{BASE}\nBUDGETS = {{'quick': 3}}\ndef space(hp, base): return base\n",
         "my.py: BUDGETS is no dict of tuning.space.Budget"),
        (f"{BASE}\ndef space(hp, base):\n    return {{'rate': 1}}\n",
         "my.py: space returned dict, not an Experiment"),
        (f"{BASE}\ndef space(hp, base):\n    return base / hp.Int('n', 1, 3)\n",
         "my.py, line 18: space: TypeError: unsupported operand"),
        (f"{BASE}\ndef space(hp, base):\n    return override(base, {{'model.depth': 1}})\n",
         "my.py: space: model.depth: no such field"),
        (f"{BASE}\ndef space(hp, base):\n    return override(base, "
         "{'data.holdout': None, 'training.keep': 'last'})\n",
         "my.py: data.holdout is none, so there is no validation_loss"),
    ],
)  # fmt: skip
def test_a_bad_space_file_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(text)
    result = CliRunner().invoke(main, ["tune", str(path), "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"kerascw: {tmp_path}/{said}")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/searches/*/search.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no space 'nothing'; choose bag-transfer, "),
        (["missing.py"], "missing.py: cannot be read (No such file or directory)"),
        ([], "tune: which space? see tune --list, or name a file that ends in .py"),
        (["DIGITS", "--set", "model.width=3"], "model.width: no such field"),
        (["DIGITS", "--sample", "--data", "digits"], "--sample: only the space's own dataset"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    words: list[str], said: str, digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [digits if word == "DIGITS" else word for word in words]
    result = CliRunner().invoke(main, ["tune", *words, "--runs", str(tmp_path / "runs")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"kerascw: {said}")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    result = CliRunner().invoke(main, ["tune", digits, "--runs", str(tmp_path / "runs")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_spaces_are_listed() -> None:
    result = CliRunner().invoke(main, ["tune", "--list"])
    assert result.exit_code == 0
    for name in named_spaces():
        assert f" {name} " in result.stdout
    with pytest.raises(SpaceError, match="or a file that ends in"):
        load_space("digits")


def test_an_export_is_named_by_what_departs_from_the_space(digits: str) -> None:
    def name(space: str, **options: Any) -> str:
        return planned_search(space, **options).export_name

    assert name(digits, budget="full") == "digits"
    assert name(digits) == "digits-quick"
    assert name("fashion", sample=True) == "fashion-quick-sample"
    assert name("fashion", sample=True, budget="full") == "fashion-sample"
    assert name("fashion", data=DataSpec(name="digits"), budget="full") == "fashion-digits"
    changed = name(digits, budget="full", settings={"training.batch_size": 64})
    assert re.fullmatch("digits-[0-9a-f]{6}", changed)


# --- asked and told -------------------------------------------------------------------------


def test_of_kerastuner_only_public_methods_are_called(tmp_path: Path, digits: str) -> None:
    """Every method of its oracles that we call, and no attribute that begins with _ but ours."""
    from tuning.oracles import Asker

    assert version("keras-tuner").startswith("1.4."), "pinned: walk the oracles again"
    for path in Path(tuning.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
                assert isinstance(node.value, ast.Name), f"{path}:{node.lineno}"
                assert node.value.id == "self", f"{path}:{node.lineno}"
    for oracle in ORACLES:
        plan = planned_search(digits, oracle=oracle, trials=9)
        asker = Asker(plan, tmp_path / oracle)
        assert [hp["name"] for hp in asker.described] == ["rate", "width"]
        seen = []
        for _ in range(9):
            trial = asker.ask()
            if trial is None:
                break
            plan.experiment(trial.hyperparameters)
            asker.begun(trial)
            asker.tell(trial, None if len(seen) == 1 else 1.0 + len(seen))
            seen.append(dict(trial.hyperparameters.values))
        assert len(seen) == 9
        assert all(values not in seen[:at] for at, values in enumerate(seen))


@pytest.mark.parametrize("oracle", ORACLES)
def test_trials_are_numbered_scored_and_kept(
    oracle: Oracle, searched: Callable[[Oracle], SearchResult], store: Store
) -> None:
    result = searched(oracle)
    assert [record.number for record in result.records] == list(range(1, COUNTS[oracle] + 1))
    for record in result.records:
        assert record.status == "completed"
        history = history_so_far(record.run, store)[: record.epochs]
        assert len(history) == record.epochs
        assert record.score == min(row["validation_loss"] for row in history)
    assert result.best is not None
    assert result.best.score == min(record.score or 9 for record in result.records)
    summary = json.loads((result.folder / "summary.json").read_text())
    assert result.winner is not None
    assert (summary["kind"], summary["name"]) == ("search", result.label)
    assert summary["value"] == pytest.approx(result.winner.mean, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_trials(
    seed: int,
    other_digits: str,
    store: Store,
    trainers: Any,
    searched: Callable[[Oracle], SearchResult],
) -> None:
    """Seed 0 too, which KerasTuner takes for none."""
    again = search(other_digits, store, trainers, oracle="random", trials=4, seed=seed)
    assert (again.records == searched("random").records) == (seed == 0)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_search_that_is_killed_at_any_write_comes_to_the_same_end(
    oracle: Oracle,
    other_digits: str,
    store: Store,
    trainers: Any,
    searched: Callable[[Oracle], SearchResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends before or after the n-th thing that it writes, in sittings of growing length."""
    whole, left = searched(oracle), 0

    def mortal(write: Callable[..., Any]) -> Callable[..., Any]:
        def writes(*arguments: Any) -> None:
            nonlocal left
            for act in (lambda: None, lambda: write(*arguments)):
                left -= 1
                if left == 0:
                    raise Killed
                act()

        return writes

    monkeypatch.setattr(searching.records, "write_record", mortal(searching.records.write_record))
    monkeypatch.setattr(searching, "write_json", mortal(searching.write_json))
    trials = None if oracle == "hyperband" else COUNTS[oracle]
    sittings = 0
    for left in (1, 2, 4, 7, 12, 17, 10_000):  # noqa: B007
        sittings += 1
        try:
            again = search(other_digits, store, trainers, oracle=oracle, trials=trials)
        except Killed:
            continue
        break
    assert sittings > 4
    assert again.records == whole.records
    assert again.finalists == whole.finalists
    assert not (again.folder / searching.ORACLE).exists()


def test_more_trials_go_on_from_a_finished_search(
    other_digits: str, store: Store, trainers: Any, searched: Callable[[Oracle], SearchResult]
) -> None:
    search(other_digits, store, trainers, trials=2)
    told = Told()
    more = search(other_digits, store, trainers, told, trials=COUNTS["random"])
    assert (told.recalled, told.ended_here) == (["0000", "0001"], ["0002", "0003"])
    assert more.records == searched("random").records
    assert re.search(r"^\[4/4\] trial 000[23]: \d\.\d{4}, ", told.said.getvalue(), re.M)
    surer = search(other_digits, store, trainers, told, trials=COUNTS["random"], seeds=4)
    assert told.ended_here == ["0002", "0003"]
    (before,), (after,) = more.finalists, surer.finalists
    assert (len(before.seeds), len(after.seeds)) == (3, 4)
    assert (after.seeds[:3], after.values[:3]) == (before.seeds, before.values)


def test_the_batch_is_the_searchs_and_no_matter_of_jobs(
    digits: str, store: Store, trainers: Any, searched: Callable[[Oracle], SearchResult]
) -> None:
    """Two asked at a time: the random start is the same, and what follows is recorded."""
    options: dict[str, Any] = {"oracle": "bayesian", "batch": 2}
    first = search(digits, store, trainers, trials=6, **options)
    assert first.records[:5] == searched("bayesian").records[:5]
    again = search(digits, store, trainers, trials=7, **options)
    assert (again.spec.batch, again.label) == (2, first.label)
    assert again.records[:6] == first.records


def test_a_promoted_trial_goes_on_to_the_result_of_a_longer_run(
    digits: str, trainers: Any, tmp_path: Path
) -> None:
    kept = Store(tmp_path / "kept")  # where no other search has trained them to their end
    result = search(digits, kept, trainers, oracle="hyperband")
    (promoted,) = [record for record in result.records if record.promoted_from]
    first = result.record(str(promoted.promoted_from))
    assert (first.epochs, first.rung, promoted.epochs, promoted.rung) == (1, 0, 3, 1)
    assert promoted.run == first.run
    assert (promoted.bracket, promoted.experiment) == (first.bracket, first.experiment)
    assert promoted.duplicate_of is None
    rung = [r for r in result.records if r.bracket == first.bracket and r.rung == 0]
    assert first.score == min(record.score or 9 for record in rung)
    assert [kept.get(r.run) is None for r in rung] == [r is not first for r in rung]
    experiment = Experiment.model_validate(promoted.experiment)
    (whole,) = run_many([experiment], Store(tmp_path / "whole"), trainers=trainers)
    run = kept.get(promoted.run)
    assert run is not None
    assert (run.history, run.metrics) == (whole.history, whole.metrics)
    for mine, theirs in zip(run.model().get_weights(), whole.model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_loops_and_conditions_of_kerastuner(trainers: Any, store: Store, tmp_path: Path) -> None:
    """Hyperparameters that only some trials have, found while the search goes on."""
    space = space_file(
        tmp_path,
        "widths = [hp.Int(f'units_{i}', 2, 9) for i in range(hp.Int('layers', 1, 3))]\n"
        "    kind = hp.Choice('optimizer', ['adam', 'sgd'])\n"
        "    changes = {'training.optimizer.kind': kind, 'model.dense': widths}\n"
        "    with hp.conditional_scope('optimizer', ['sgd']):\n"
        "        if kind == 'sgd':\n"
        "            changes['training.optimizer.momentum'] = hp.Float('momentum', 0, 0.9)\n"
        "    return override(base, changes)",
    )
    whole = search(space, store, trainers, trials=6)
    for record in whole.records:
        values = record.hyperparameters
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        widths = [values[f"units_{i}"] for i in range(values["layers"])]
        assert record.experiment["model"]["dense"] == widths


# --- what a trial may come to ---------------------------------------------------------------


def test_a_duplicate_takes_the_kept_result(trainers: Any, tmp_path: Path) -> None:
    space = space_file(tmp_path, "hp.Choice('unused', ['a', 'b', 'c']); return base")
    store = Store(tmp_path / "runs")
    result = search(space, store, trainers, oracle="grid")
    assert [record.duplicate_of for record in result.records] == [None, "0000", "0000"]
    assert len(store.all()) == 1 + 3
    assert len({record.score for record in result.records}) == 1
    assert len({record.run for record in result.records}) == 1


@pytest.mark.parametrize("oracle", ["bayesian", "hyperband"])
def test_diverged_and_failed_trials_are_results_with_a_reason(
    oracle: Oracle, trainers: Any, store: Store, tmp_path: Path
) -> None:
    """They do not stop the oracle, nor poison its model or the best."""
    space = space_file(
        tmp_path,
        "rate = hp.Choice('rate', [0.01, 1e30])\n"
        "    width = hp.Choice('width', [4, 5, 6, 7])\n"
        "    if width == 5: raise ValueError('no five')\n"
        "    return override(base, {'training.optimizer.kind': 'sgd', "
        "'training.optimizer.learning_rate': rate, 'model.dense': [width]})",
    )
    trials = 7 if oracle == "bayesian" else None
    result = search(space, store, trainers, oracle=oracle, trials=trials)
    assert len(result.records) >= 6
    reasons = {"diverged": r"a figure of epoch \d is not finite", "failed": ".*ValueError: no five"}
    for record in result.records:
        expected = "diverged" if record.hyperparameters["rate"] == 1e30 else "completed"
        bad = record.hyperparameters["width"] == 5
        assert record.status == ("failed" if bad else expected)
        assert (record.score is None) == (record.status != "completed")
        if record.status != "completed":
            assert re.fullmatch(reasons[record.status], record.reason or "")
    assert len({record.status for record in result.records}) > 1


def test_a_trial_whose_process_dies_is_a_failed_row_and_stays_one(
    other_digits: str, trainers: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(experiments: Any, *arguments: Any, **options: Any) -> Any:
        if any(e.model.dense == (8,) and e.seed == 0 for e in experiments):
            raise Died("a process died 2 times as it trained it")
        return run_many(experiments, *arguments, **options)

    monkeypatch.setattr(searching, "run_many", train)
    result = search(other_digits, store, trainers, trials=4, oracle="grid")
    assert [record.status for record in result.records] == [
        "completed" if record.hyperparameters["width"] == 4 else "failed"
        for record in result.records
    ]
    assert len({record.status for record in result.records}) == 2
    monkeypatch.setattr(searching, "run_many", run_many)
    again = search(other_digits, store, trainers, trials=4, oracle="grid")
    assert again.records == result.records


def test_failures_for_one_cause_end_the_search(trainers: Any, store: Store, tmp_path: Path) -> None:
    space = space_file(
        tmp_path,
        "n = hp.Int('n', 5, 30)\n    if n == 5: return base\n"
        "    return override(base, {'model.kind': 'convnet', 'model.filters': [n] * n})",
    )
    with pytest.raises(KerascwError) as raised:
        search(space, store, trainers, trials=20, batch=6)
    assert re.fullmatch(
        "search my-random-quick-seed0-[0-9a-f]{6} ended: 5 trials in a row failed, all for one "
        "cause: "
        r"model.kernels: conv layer \d \(3x3, padding valid\) leaves no pixel of \dx\d",
        str(raised.value),
    )
    label = planned_search(space, trials=20, batch=6).label
    records = read_search(searches_folder(store.folder) / label).records
    assert len(records) < 20
    assert [record.status for record in records[-5:]] == ["failed"] * 5


# --- the same search, or another ------------------------------------------------------------


def test_another_search_has_another_folder(digits: str, other_digits: str) -> None:
    """Whatever decides its trials; how many there are may grow."""

    def label(space: str = digits, **options: Any) -> str:
        return planned_search(space, **options).label

    assert label() == label(trials=30, finalists=2, seeds=5) == label(batch=16)
    changed: list[dict[str, Any]] = [
        {"seed": 1}, {"oracle": "grid"}, {"batch": 2}, {"budget": "full"}, {"space": other_digits},
        {"settings": {"training.batch_size": 64}},
    ]  # fmt: skip
    labels = {label(**options) for options in changed} | {label()}
    assert len(labels) == len(changed) + 1


# --- processes ------------------------------------------------------------------------------


def living(session: int) -> list[psutil.Process]:
    """Return what lives of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


def test_a_search_killed_while_it_trains_comes_to_the_same_table(
    digits: str,
    tmp_path: Path,
    searched: Callable[[Oracle], SearchResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hyperband: killed with all its processes in its first rung, interrupted after a trial."""
    runs = tmp_path / "runs"
    words = [
        *("tune", digits, "--oracle", "hyperband", "--finalists", "1"),
        *("--jobs", str(os.cpu_count()), "--runs", str(runs), "--models", str(tmp_path / "models")),
    ]  # with a thread each, as whole searches have here
    process = subprocess.Popen([sys.executable, "-m", "kerascw", *words], start_new_session=True)
    try:
        until(lambda: list(runs.glob(".unfinished/*/checkpoint.npz")) or process.poll(), "begun")
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        for other in living(process.pid):
            other.kill()
    folder = runs / "searches" / planned_search(digits, oracle="hyperband").label

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SearchProgress, "ended", interrupt)
        stopped = CliRunner().invoke(main, words)
    assert (stopped.exit_code, stopped.stderr) == (
        130, "kerascw: stopped; the same command goes on from there\n",
    )  # fmt: skip
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    whole, again = searched("hyperband"), read_search(folder)
    # how long it took is not the same
    assert [replace(record, seconds=None) for record in again.records] == [
        replace(record, seconds=None) for record in whole.records
    ]
    assert again.finalists == whole.finalists
    assert not (runs / ".damaged").exists()
    assert (tmp_path / "models" / "digits-quick" / "1" / "saved_model.pb").is_file()
    assert (folder / "report.html").is_file()


def test_any_kerastuner_tuner_takes_a_space(tmp_path: Path) -> None:
    """In the way that its users know, on the bundled sample."""
    import keras_tuner

    model = tuning.hypermodel("fashion", sample=True, settings={"model.filters": [4, 4, 4, 4, 4]})
    tuner = keras_tuner.RandomSearch(
        model, objective="val_accuracy", max_trials=2, seed=1, directory=tmp_path
    )
    tuner.search(epochs=1, verbose=0)
    trials = tuner.oracle.get_best_trials(2)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    assert trials[0].score >= trials[1].score > 0.05
    (best,) = tuner.get_best_hyperparameters(1)
    assert model.experiment(best).training.batch_size == best["batch_size"]
    initial = model.build(best).get_layer("conv_2").kernel.numpy()
    np.testing.assert_array_equal(initial[1, 1], np.eye(4))  # identity filters, as the recipe has
    (kept,) = tuner.get_best_models(1)
    images = np.zeros((2, 28, 28, 1), np.uint8)
    assert kept.predict(images, verbose=0).shape == (2, 10)
    with pytest.raises(CallError, match="takes no data"):
        model.fit(best, kept, images)


def test_a_cluster_trains_a_search(
    digits: str, tmp_path: Path, searched: Callable[[Oracle], SearchResult]
) -> None:
    """Its rungs, its whole trials and its finalists, on the workers of a Dask scheduler."""
    from distributed import LocalCluster

    plan = planned_search(digits, oracle="hyperband", finalists=1)
    store = Store(tmp_path / "runs")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        result = run_search(plan, store, cluster=cluster.scheduler_address)
    whole = searched("hyperband")
    assert [replace(r, seconds=0) for r in result.records] == [
        replace(r, seconds=0) for r in whole.records
    ]
