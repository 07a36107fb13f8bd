"""Searches that are killed, and searches with a chief and workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psutil
import pytest

from kerascw.console import console
from kerascw.errors import CallError
from kerascw.runs.many import open_trainers
from kerascw.runs.store import Store
from tuning.progress import SearchProgress
from tuning.records import TrialRecord, read_search
from tuning.search import planned_search, run_search
from tuning.space import Oracle
from tuning.workers import role

PATIENCE = 300  # seconds: on a busy machine TensorFlow's import alone has taken a hundred

DIGITS = """
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment

OBJECTIVE = "validation_loss"

def base():
    return Experiment.model_validate({
        "data": {"name": "digits", "holdout": {"how": "stratified", "count": 200}},
        "model": {"kind": "mlp", "dense": [8]},
        "training": {"epochs": 3, "keep": "validation_loss", "batch_size": 8},
    })

def space(hp, base):
    rate = hp.Float("rate", 1e-3, 0.1, sampling="log")
    width = hp.Choice("width", [4, 8])
    return override(base, {"training.optimizer.learning_rate": rate, "model.dense": [width]})
"""

TRIALS: dict[Oracle, int | None] = {"hyperband": None, "random": 3, "grid": 3, "bayesian": 6}
"""Of each search. Hyperband is first: others draw the same values, and train them to the end."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spaces") / "digits.py"
    path.write_text(DIGITS)
    return str(path)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


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


def events(folder: Path) -> list[dict[str, str]]:
    """Return the whole lines of a search's journal, without those that are being written."""
    try:
        text = (folder / "journal.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def in_a_trial(folder: Path) -> bool:
    """Tell whether a trial has ended, and another has begun."""
    kinds = ["end" if "end" in event else "begin" for event in events(folder)]
    return "end" in kinds and kinds[-1] == "begin"


def untimed(records: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    return [replace(record, seconds=0, worker=None) for record in records]


SEARCHES = """
import sys
from kerascw.runs.many import open_trainers
from kerascw.runs.store import Store
from kerascw.quiet import import_tensorflow
from tuning.search import planned_search

import_tensorflow()
from tuning.tuner import SpaceTuner

with open_trainers(1) as trainers:
    for words in sys.argv[3:]:
        oracle, trials = words.split(":")
        plan = planned_search(sys.argv[1], oracle=oracle, trials=int(trials) or None, name=oracle)
        SpaceTuner(plan, Store(sys.argv[2]), trainers).search()
"""


def test_searches_killed_in_a_trial_come_to_the_same_end(digits: str, tmp_path: Path) -> None:
    """One search an oracle, each killed once, with all its processes, some way into it."""
    from tuning.tuner import SpaceTuner

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = [f"{oracle}:{trials or 0}" for oracle, trials in TRIALS.items()]
    command = [sys.executable, "-c", SEARCHES, digits, str(killed), *words]
    for oracle in [*TRIALS, None]:
        process = subprocess.Popen(command, start_new_session=True)
        try:
            if oracle is None:
                assert process.wait(PATIENCE) == 0
                break
            folder = killed / "searches" / oracle
            until(lambda: in_a_trial(folder) or process.poll() is not None, f"{oracle}")  # noqa: B023
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert in_a_trial(folder)
        finally:
            for other in living(process.pid):
                other.kill()
    with open_trainers(1) as trainers:
        for oracle, trials in TRIALS.items():
            plan = planned_search(digits, oracle=oracle, trials=trials, name=oracle)
            SpaceTuner(plan, Store(whole), trainers).search()
            reference = read_search(whole / "searches" / oracle)
            again = read_search(killed / "searches" / oracle)
            assert untimed(again.records) == untimed(reference.records)
            ids = [record.trial_id for record in again.records]
            for kind in ("begin", "end"):
                assert [event[kind] for event in events(again.folder) if kind in event] == ids
    assert sorted(run.name for run in Store(killed).all()) == sorted(
        run.name for run in Store(whole).all()
    )
    assert not (killed / ".damaged").exists()


# --- chief and workers ----------------------------------------------------------------------


class Killer(threading.Thread):
    """Kills or stops a worker of this process in its trial, once."""

    def __init__(self, folder: Path, by: signal.Signals) -> None:
        super().__init__(daemon=True)
        self._folder, self._by = folder, by
        self.killed: int | None = None
        self.start()

    def run(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ids = [event["begin"] for event in events(self._folder) if "begin" in event]
            ended = [event["end"] for event in events(self._folder) if "end" in event]
            workers = workers_of(psutil.Process())
            if len(ids) - len(ended) == 2 and len(workers) == 2 and ended:
                workers[1].send_signal(self._by)
                self.killed = workers[1].pid
                return
            time.sleep(0.02)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Return KerasTuner's workers, without what they started."""
    found = []
    for child in process.children():
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda child: child.pid)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_lost_in_a_trial_costs_no_trial(
    by: signal.Signals,
    digits: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is killed is replaced; of one that only gives no sign, another takes the trial."""
    monkeypatch.setattr("tuning.workers.PATIENCE", 15)
    plan = planned_search(digits, trials=6, finalists=1)
    store = Store(tmp_path / "runs")
    killer, said = Killer(plan.folder(store), by), StringIO()
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    result = run_search(
        plan,
        store,
        workers=2,
        watcher=SearchProgress(console(said)),
        arguments={"space": digits, "trials": 6, "finalists": 1},
    )
    assert killer.killed is not None
    left = [c for c in me.children(recursive=True) if c.pid not in before]
    assert [c.cmdline() for c in left if "resource_tracker" not in " ".join(c.cmdline())] == []
    assert [record.number for record in result.records] == [1, 2, 3, 4, 5, 6]
    assert {record.status for record in result.records} == {"completed"}
    assert {record.worker for record in result.records} <= {"tuner0", "tuner1"}
    told = events(result.folder)
    for kind in ("begin", "end"):
        ids = [event[kind] for event in told if kind in event]
        assert sorted(ids) == [record.trial_id for record in result.records]
    assert len(store.all()) == 6 + 3
    assert {run.environment["threads"] for run in store.all()} == {1}
    assert capfd.readouterr().out == ""
    lines = said.getvalue().splitlines()
    assert sum(" trial 000" in line for line in lines) == 6

    # the same seed draws the same values for one process
    alone = planned_search(digits, trials=6, name="alone")
    from tuning.tuner import SpaceTuner

    with open_trainers(1) as trainers:  # every run is kept: it trains nothing
        SpaceTuner(alone, store, trainers).search()
    kept = read_search(alone.folder(store))
    assert untimed(kept.records) == untimed(result.records)


def test_kerastuners_variables_make_a_chief_and_a_worker(digits: str, tmp_path: Path) -> None:
    """As on two machines that share a folder: the same command on each."""
    command = [
        *(sys.executable, "-m", "kerascw", "tune", digits, "--trials", "2", "--finalists", "1"),
        *("--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "saved_models")),
    ]
    variables = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    processes = {
        name: subprocess.Popen(
            command,
            env=os.environ | variables | {"KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("chief", "tuner7")
    }
    said = {name: process.communicate(timeout=PATIENCE) for name, process in processes.items()}
    assert {name: process.returncode for name, process in processes.items()} == {
        "chief": 0,
        "tuner7": 0,
    }
    assert [error for _, error in said.values()] == ["", ""]
    assert said["tuner7"][0] == (
        f"worker tuner7 of the chief at 127.0.0.1:{variables['KERASTUNER_ORACLE_PORT']}\n"
    )
    assert "search report: " in said["chief"][0]
    (folder,) = (tmp_path / "runs" / "searches").iterdir()
    result = read_search(folder)
    assert [record.worker for record in result.records] == ["tuner7", "tuner7"]
    assert result.winner is not None
    assert (tmp_path / "saved_models" / "digits" / "1" / "saved_model.pb").is_file()


def free_port() -> int:
    import socket

    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def test_half_of_kerastuners_variables_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert role() is None
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    with pytest.raises(CallError) as raised:
        role()
    assert str(raised.value) == (
        "KERASTUNER_ORACLE_PORT is not set, and KERASTUNER_TUNER_ID is; set all three, or none"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_search_with_one_line(workers: int, digits: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "kerascw", "tune", digits, "--trials", "50"),
        *("--workers", str(workers), "--runs", str(tmp_path)),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        folder = tmp_path / "searches" / "digits-random-quick-seed0"
        until(lambda: in_a_trial(folder) or process.poll() is not None, "a trial")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, said = process.communicate(timeout=PATIENCE)
        assert said == "kerascw: stopped; the same command goes on from there\n"
        assert process.returncode == 130
        until(lambda: not living(process.pid), "processes ended")
    finally:
        for other in living(process.pid):
            other.kill()
