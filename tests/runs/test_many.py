import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil
import pytest

from kerascw.errors import CallError, KerascwError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.runs import many
from kerascw.runs.many import run_many
from kerascw.runs.processes import PREFIX
from kerascw.runs.store import Run, Store
from kerascw.training.watcher import Watcher

pytestmark = pytest.mark.usefixtures("own_workers")

PATIENCE = 240  # seconds: on a busy machine TensorFlow's import alone has taken a hundred


def tiny(seed: int, epochs: int = 1) -> Experiment:
    """Return an experiment on 60 images; an epoch takes some hundredths of a second."""
    return Experiment.model_validate(
        {
            "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.01},
            "model": {"kind": "mlp", "dense": [8]},
            "training": {"epochs": epochs, "batch_size": 16, "keep": "last"},
            "seed": seed,
        }
    )


Same = Callable[[Run, Run], None]

LONG = [tiny(seed, epochs=60) for seed in range(4)]
"""Runs that last long enough to be killed in their middle."""


class Notes(Watcher):
    """What a study told, and the processes that were there whenever a run was finished."""

    def __init__(self) -> None:
        self.plans: list[tuple[int, int, int]] = []
        self.names: list[str] = []
        self.workers: list[dict[int, int]] = []  # process: bytes of memory

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        self.plans.append((runs, kept, jobs))

    def finished(self, run: Run) -> None:
        self.names.append(run.name)
        self.workers.append(
            {child.pid: child.memory_info().rss for child in workers_of(psutil.Process())}
        )


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Return loky's worker processes, without the one that keeps track of semaphores."""
    found = []
    for child in process.children(recursive=True):
        try:
            if any("popen_loky" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


def in_the_middle(folder: Path) -> bool:
    """Tell whether a run is whole and another has its first epochs behind it."""
    return bool(Store(folder).all() and list(folder.glob(".unfinished/*/checkpoint.npz")))


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file of whole runs: what is written again has others.

    Without TensorBoard's events, which a run that goes on writes anew
    (tests/commands/test_tensorboard.py).
    """
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.glob("[!.]*/**/*")
        if path.is_file() and path.relative_to(folder).parts[0] != "tensorboard"
    }


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Run], Notes]:
    """The long runs, not interrupted, asked for in an order of their own, one of them twice."""
    store, notes = Store(tmp_path_factory.mktemp("kept")), Notes()
    return store, run_many([LONG[3], *LONG], store, jobs=2, watcher=notes), notes


@pytest.fixture(scope="module")
def whole(kept: tuple[Store, list[Run], Notes]) -> list[Run]:
    """The long runs in their order."""
    return kept[1][1:]


def test_runs_come_back_in_the_order_asked_each_trained_once(
    kept: tuple[Store, list[Run], Notes],
) -> None:
    store, runs, notes = kept
    assert [run.experiment for run in runs] == [LONG[3], *LONG]
    assert notes.plans == [(4, 0, 2)]
    assert sorted(notes.names) == sorted(run.name for run in store.all())
    assert len(store.all()) == 4
    assert len(notes.workers[0]) == 2
    assert not workers_of(psutil.Process())
    assert {run.environment["threads"] for run in runs} == {1}


def test_processes_divide_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "cores", lambda: 8)
    assert [many.threads_each(jobs) for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]


def test_the_same_study_again_trains_and_writes_nothing(
    kept: tuple[Store, list[Run], Notes],
) -> None:
    store, runs, _ = kept
    before, notes = files_of(store.folder), Notes()
    again = run_many(LONG, store, jobs=2, watcher=notes)
    assert {run.name for run in again} == {run.name for run in runs}
    assert notes.plans == [(4, 4, 2)]
    assert notes.names == []
    assert files_of(store.folder) == before


def test_two_studies_share_the_runs_they_have_in_common(
    kept: tuple[Store, list[Run], Notes],
) -> None:
    """The one run that is missing has as many threads as its kin, though it is alone."""
    store, runs, _ = kept
    before, notes = files_of(store.folder), Notes()
    shared, new = run_many([LONG[3], tiny(7)], store, jobs=2, watcher=notes)
    assert shared.name == runs[0].name
    assert notes.plans == [(2, 1, 2)]
    assert new.environment["threads"] == shared.environment["threads"]
    after = files_of(store.folder)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {new.name}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"data.holdout": {"count": 6000}}, "data.holdout.count: 6,000 of 6,000"),
        ({"data.classes": [0, 77]}, "data.classes: 77 is no class"),
        ({"data.name": "mnist"}, "no sample of MNIST is bundled"),
    ],
)
def test_one_wrong_experiment_is_told_before_any_is_trained(
    bad: dict[str, object], said: str, tmp_path: Path
) -> None:
    experiments = [tiny(0), tiny(1), override(tiny(2), bad)]
    with pytest.raises(CallError, match=said):
        run_many(experiments, Store(tmp_path / "runs"), jobs=2)
    assert not (tmp_path / "runs").exists()


def left_behind(temporary: Path) -> list[Path]:
    """Return what workers left in the temporary folder."""
    return [p for pattern in (f"{PREFIX}*", "__autograph*") for p in temporary.rglob(pattern)]


def test_memory_stays_flat_and_workers_print_nothing_and_leave_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process trains so many runs and no more."""
    monkeypatch.setattr(many, "RUNS_PER_PROCESS", 6)  # TensorFlow warns at the fifth
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    seen: list[list[Path]] = []

    class Look(Notes):
        def finished(self, run: Run) -> None:
            super().finished(run)
            seen.append(left_behind(temporary))

    notes, before = Look(), psutil.Process().memory_info().rss
    run_many([tiny(seed) for seed in range(7)], Store(tmp_path / "runs"), jobs=1, watcher=notes)
    assert psutil.Process().memory_info().rss - before < 100e6
    assert all(len(workers) == 1 for workers in notes.workers)
    processes, memory = zip(*(next(iter(w.items())) for w in notes.workers), strict=True)
    assert len(set(processes[:6])) == 1
    assert processes[6] != processes[0]
    assert max(memory) < memory[0] + 150e6
    for there in seen:
        assert len([path for path in there if path.parent == temporary]) == 1
    assert not left_behind(temporary)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


# --- killed ---------------------------------------------------------------------------------

STUDY = """
import json, sys
from kerascw.experiment.spec import Experiment
from kerascw.runs import many
from kerascw.runs.store import Store

many.cores = lambda: 1  # as many threads as its kin has here
experiments = [Experiment.model_validate(tree) for tree in json.loads(sys.argv[2])]
many.run_many(experiments, Store(sys.argv[1]), jobs=2)
"""

IDLE = """
import os, pathlib, time
from kerascw.runs.processes import Task, Trainers

def stay(task):
    pathlib.Path(os.environ["TMPDIR"], "__autograph_" + task.name).touch()
    time.sleep(600)

with Trainers(stay, jobs=2, threads=1, runs_per_process=9) as trainers:
    list(trainers.train({name: Task(name, None, "", "", None) for name in "ab"}))
"""


@contextmanager
def started(code: str, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a session of its own, which is ended in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end_session(process)


def session(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> list[psutil.Process]:
    """Return what lives of the process's session."""
    living = []
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                living.append(other)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return living


def end_session(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    for other in session(process):
        other.kill()
    process.wait()


def test_a_killed_study_goes_on_to_the_same_end(
    whole: list[Run], tmp_path: Path, assert_same_run: Same
) -> None:
    trees = f"[{','.join(experiment.canonical_json() for experiment in LONG)}]"
    with started(STUDY, str(tmp_path), trees) as study:
        until(lambda: in_the_middle(tmp_path) or study.poll() is not None, "runs begun")
        assert study.poll() is None
        os.killpg(study.pid, signal.SIGKILL)
    before, notes = files_of(tmp_path), Notes()
    done = len(Store(tmp_path).all())
    assert 0 < done < len(LONG)
    again = run_many(LONG, Store(tmp_path), jobs=1, watcher=notes)
    assert notes.plans == [(4, done, 1)]
    for one, other in zip(again, whole, strict=True):
        assert_same_run(one, other)
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not list(tmp_path.glob(".unfinished/*"))
    assert not (tmp_path / ".damaged").exists()


def test_no_worker_outlives_its_parent_nor_do_its_temporary_files(tmp_path: Path) -> None:
    with started(IDLE, TMPDIR=str(tmp_path)) as parent:
        until(lambda: len(list(tmp_path.rglob("__autograph*"))) == 2, "workers begun")
        assert len(workers_of(psutil.Process(parent.pid))) == 2
        parent.kill()
        parent.wait()
        until(lambda: not session(parent), "workers ended")
        assert not left_behind(tmp_path)


class Killer(threading.Thread):
    """Kills a worker of this process as soon as ``ready``, so many times, while it is entered."""

    def __init__(self, times: int, ready: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.killed: set[int] = set()
        self._times, self._ready, self._over = times, ready, threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while len(self.killed) < self._times and not self._over.wait(0.02):
            for worker in workers_of(psutil.Process())[:1]:
                if worker.pid not in self.killed and self._ready():
                    worker.kill()
                    self.killed.add(worker.pid)


def test_a_worker_that_is_killed_is_replaced(
    whole: list[Run], tmp_path: Path, assert_same_run: Same
) -> None:
    notes = Notes()
    with (
        Killer(1, lambda: in_the_middle(tmp_path)) as killer,
        pytest.warns(UserWarning, match="a process died as it trained fashion_mnist-mlp-"),
    ):
        runs = run_many(LONG, Store(tmp_path), jobs=2, watcher=notes)
    assert len(killer.killed) == 1
    assert sorted(notes.names) == sorted(run.name for run in runs)
    for one, other in zip(runs, whole, strict=True):
        assert_same_run(one, other)
    assert len(Store(tmp_path).all()) == len(LONG)
    assert not list(tmp_path.glob(".unfinished/*"))


def test_a_run_whose_worker_dies_twice_ends_the_study_with_one_line(tmp_path: Path) -> None:
    with (
        Killer(2, lambda: True),
        pytest.warns(UserWarning, match="it is tried once more"),
        pytest.raises(KerascwError) as raised,
    ):
        run_many(LONG[:2], Store(tmp_path), jobs=1)
    said = str(raised.value)
    assert said.startswith("a process died 2 times as it trained fashion_mnist-mlp-")
    assert "most likely memory ran out (--jobs 1; fewer need less)" in said
    assert "\n" not in said
    assert not workers_of(psutil.Process())


def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "kerascw", "run", "bag-cnn", "--sample", "--jobs", "2"),
        *("--seeds", "4", "--epochs", "60", "--fraction", "0.05", "--runs", str(tmp_path)),
        *("--set", "model.kind=mlp", "--batch-size", "16"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until(lambda: in_the_middle(tmp_path) or process.poll() is not None, "runs begun")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert said == "kerascw: stopped; the same command goes on from there\n", said
        until(lambda: not session(process), "workers ended")
    finally:
        end_session(process)
    done = len(Store(tmp_path).all())
    assert 0 < done < 4
    again = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"4 runs, {done} kept already, {4 - done} to train, 2 at a time" in again.stdout
    runs = Store(tmp_path).all()
    assert sorted(run.experiment.seed for run in runs) == [0, 1, 2, 3]
    assert {run.environment["command"] for run in runs} == {" ".join(["python", *command[1:]])}

    # interrupted, resumed, in a worker with half the cores: in a process of its own, with all of
    # them at hand, verify gives it as many threads as it had
    words = [*command[:3], "verify", runs[0].name, "--runs", str(tmp_path)]
    verified = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert verified.stderr == ""
    assert "identical: history and weights are the same, bit for bit" in verified.stdout
    assert verified.returncode == 0
