"""A study on a Dask cluster: a scheduler and its workers on this machine's loopback."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.errors import KerascwError
from kerascw.experiment.spec import Experiment
from kerascw.runs import many
from kerascw.runs.many import run_many
from kerascw.runs.store import Run, Store
from kerascw.training.watcher import Watcher

PATIENCE = 240  # seconds

EXPERIMENTS = [
    Experiment.model_validate(
        {
            "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
            "model": {"kind": "mlp", "dense": [8]},
            "training": {"epochs": 40, "batch_size": 16, "keep": "last"},
            "seed": seed,
        }
    )
    for seed in range(4)
]


class Dask:
    """Processes of one cluster, and the words that each of them is to say when it is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.address = self._said("scheduler", r"Scheduler at:\s+(tcp://\S+)", "--port", "0")

    def worker(self) -> subprocess.Popen[bytes]:
        place = ("--local-directory", str(self.folder), "--nthreads", "1", "--no-nanny")
        self._said("worker", "Registered to", self.address, *place)
        return self.started[-1]

    def _said(self, kind: str, words: str, *options: str) -> str:
        log = self.folder / f"{kind}-{len(self.started)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options,
                 "--host", "127.0.0.1", "--no-dashboard"],
                stdout=file, stderr=file, cwd=self.folder,
            )  # fmt: skip
        self.started.append(process)
        end = time.monotonic() + PATIENCE
        while not (found := re.search(words, log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        return found[found.lastindex or 0]

    def stop(self) -> None:
        for process in reversed(self.started):
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    pytest.importorskip("distributed")
    (tmp_path / "dask").mkdir()
    cluster = Dask(tmp_path / "dask")
    try:
        yield cluster
    finally:
        cluster.stop()


class Notes(Watcher):
    def __init__(self) -> None:
        self.plans: list[tuple[int, int, int]] = []
        self.names: list[str] = []

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        self.plans.append((runs, kept, jobs))

    def finished(self, run: Run) -> None:
        self.names.append(run.name)


def kill_while_it_trains(worker: subprocess.Popen[bytes], runs: Path, killed: list[str]) -> None:
    """Kill the worker in the middle of a run: it has the lock, and some epochs are behind it."""
    me, end = psutil.Process(worker.pid), time.monotonic() + PATIENCE
    while time.monotonic() < end and not killed:
        for checkpoint in runs.glob(".unfinished/*/checkpoint.npz"):
            lock = runs / ".locks" / checkpoint.parent.name
            if str(lock) in {file.path for file in me.open_files()}:
                worker.kill()
                killed.append(checkpoint.parent.name)
                break
        time.sleep(0.01)


def test_a_study_survives_the_death_of_a_worker(dask: Dask, tmp_path: Path) -> None:
    first, _ = dask.worker(), dask.worker()
    runs, notes = tmp_path / "runs", Notes()
    killed: list[str] = []
    killer = threading.Thread(target=kill_while_it_trains, args=(first, runs, killed), daemon=True)
    killer.start()
    done = run_many(EXPERIMENTS, Store(runs), cluster=dask.address, watcher=notes)
    killer.join()
    assert len(killed) == 1
    assert first.poll() is not None
    assert notes.plans == [(4, 0, 2)]
    assert [run.experiment for run in done] == EXPERIMENTS
    names = sorted(run.name for run in done)
    assert sorted(run.name for run in Store(runs).all()) == names
    assert sorted(notes.names) == names  # each was finished once
    assert killed[0] in names
    for run in done:
        assert [row["epoch"] for row in run.history] == list(range(1, 41))
        assert run.environment["threads"] == 1
    assert not list(runs.glob(".unfinished/*"))
    assert not (runs / ".damaged").exists()
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/*")}
    again = run_many(EXPERIMENTS, Store(runs), cluster=dask.address)
    assert [run.name for run in again] == [run.name for run in done]
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/*")} == before


def test_a_run_whose_workers_all_die_ends_the_study_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the scheduler's own patience is three further workers
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    cluster = Dask(tmp_path)
    try:
        threading.Thread(
            target=kill_while_it_trains, args=(cluster.worker(), tmp_path / "runs", []), daemon=True
        ).start()
        with pytest.raises(KerascwError) as raised:
            run_many(EXPERIMENTS[:2], Store(tmp_path / "runs"), cluster=cluster.address)
    finally:
        cluster.stop()
    said = str(raised.value)
    assert said.startswith("every worker that trained fashion_mnist-mlp-")
    assert "died (tries: 1): most likely memory ran out" in said
    assert "\n" not in said


def test_a_scheduler_without_workers_is_one_line(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "PATIENCE", 1)
    with pytest.raises(KerascwError, match="the scheduler has no workers; start some") as raised:
        run_many(EXPERIMENTS, Store(tmp_path / "runs"), cluster=dask.address)
    assert "\n" not in str(raised.value)


def test_an_address_where_no_scheduler_answers_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed again, so that nobody listens there
    words = ("run", "bag-cnn", "--sample", "--cluster", f"127.0.0.1:{port}")
    said = CliRunner().invoke(main, [*words, "--runs", str(tmp_path)])
    assert said.exit_code == 1, said.output
    assert said.stderr.startswith(f"kerascw: --cluster 127.0.0.1:{port}: no Dask scheduler answers")
    assert said.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    for address in ("nowhere", "ftp://127.0.0.1:1"):
        with pytest.raises(KerascwError) as raised:
            run_many(EXPERIMENTS, Store(tmp_path), cluster=address)
        assert str(raised.value).startswith(f"--cluster {address}: no Dask scheduler answers (")
        assert "\n" not in str(raised.value)
