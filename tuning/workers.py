"""A chief and its workers, in KerasTuner's own way: the chief's oracle answers over gRPC."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascw.errors import CallError, KerascwError
from kerascw.quiet import import_tensorflow
from kerascw.runs.many import open_trainers
from kerascw.runs.processes import TRIES, end_with, interrupts_held_back
from kerascw.runs.store import Store

if TYPE_CHECKING:
    from tuning.search import Plan
    from tuning.tuner import SpaceTuner

ID, IP, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"

PATIENCE = 120
"""Seconds without a sign of life after which a worker is held to be lost; a shared folder may show
it a minute late."""

FAREWELL = 10
"""Seconds that a worker may take to end."""

TICK = 0.2
"""Seconds between two looks at the workers."""


def role() -> str | None:
    """Return ``chief`` or ``worker`` if KerasTuner's variables say so, None without them.

    Raises
    ------
    CallError
        Only some of the three are set.
    """
    there = [name for name in (ID, IP, PORT) if name in os.environ]
    if not there:
        return None
    missing = [name for name in (ID, IP, PORT) if name not in os.environ]
    if missing:
        raise CallError(f"{missing[0]} is not set, and {there[0]} is; set all three, or none")
    return "chief" if "chief" in os.environ[ID] else "worker"


def is_chief() -> bool:
    """Tell whether KerasTuner's variables make this process the chief."""
    return role() == "chief"


def address() -> tuple[str, int]:
    """Return where the chief listens: as the variables say, else at a free port of this machine."""
    if role() is None:
        return "127.0.0.1", 0
    return os.environ[IP], int(os.environ[PORT])


def serve(tuner: "SpaceTuner", where: tuple[str, int], crew: "Crew") -> None:
    """Answer workers, here and elsewhere, until the search is over.

    KerasTuner's own server waits for a lost worker for ever, and for every worker up to 20 s more.
    """
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    oracle, (ip, port) = tuner.memory, where
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)]
    )
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(f"{ip}:{port}")
    except RuntimeError:
        port = 0
    if port == 0:
        raise KerascwError(f"the chief cannot listen at {ip}:{where[1]}: is another one there?")
    server.start()
    signs = Signs(tuner.folder)
    try:
        crew.start(ip, port)
        while oracle.waits or not servicer.stop_triggered:
            time.sleep(TICK)
            crew.attend(oracle)
            for tuner_id in signs.lost([*oracle.tuner_ids]):
                oracle.give_back(tuner_id)
        crew.dismiss()
    finally:
        server.stop(grace=None)


class Signs:
    """The signs of life of workers, whatever their machines' clocks say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "workers"
        self._seen: dict[str, tuple[int, float]] = {}  # a file's time; when that was seen first

    def lost(self, tuner_ids: list[str]) -> list[str]:
        """Return those that gave no sign for so long."""
        now, lost = time.monotonic(), []
        for tuner_id in tuner_ids:
            path = self._folder / tuner_id
            stamp = path.stat().st_mtime_ns if path.exists() else 0
            if self._seen.get(tuner_id, (None, 0))[0] != stamp:
                self._seen[tuner_id] = (stamp, now)
            elif now - self._seen[tuner_id][1] > PATIENCE:
                lost.append(tuner_id)
                del self._seen[tuner_id]
        return lost


class Crew:
    """The workers of this machine: started, replaced when they die, ended with the search."""

    def __init__(self, count: int, arguments: dict[str, Any], store: Store, threads: int) -> None:
        self._ids = [f"tuner{i}" for i in range(count)]
        self._call = (arguments, str(store.folder.resolve()), threads)
        self._where = ("", 0)
        self._processes: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        self._deaths = Counter[str]()

    def start(self, ip: str, port: int) -> None:
        """Start all of them."""
        self._where = (ip, port)
        for tuner_id in self._ids:
            self._start(tuner_id)

    def _start(self, tuner_id: str) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=False)
        process = context.Process(
            target=_work_here, args=(tuner_id, self._where, os.getpid(), there, *self._call)
        )
        with interrupts_held_back():
            process.start()
        there.close()
        self._processes[tuner_id], self._said[tuner_id] = process, here

    def attend(self, oracle: Any) -> None:
        """Replace those that were killed; their trials they go on with.

        Raises
        ------
        KerascwError
            A worker ended with an error of its own, or was killed again and again.
        """
        for tuner_id, process in list(self._processes.items()):
            if process.is_alive():
                continue
            process.join()
            del self._processes[tuner_id]
            if process.exitcode == 0:
                continue
            pipe = self._said[tuner_id]
            if process.exitcode > 0:
                said = f"exit code {process.exitcode}"
                if pipe.poll():
                    said = pipe.recv()
                raise KerascwError(f"worker {tuner_id}: {said}")
            trial = oracle.ongoing_trials.get(tuner_id)
            what = "no trial" if trial is None else f"trial {trial.trial_id}"
            self._deaths[what] += 1
            if self._deaths[what] == TRIES:
                said = f"a worker died {TRIES} times in {what}: most likely memory ran out"
                if trial is None:
                    raise KerascwError(f"{said}; fewer --workers need less")
                oracle.fail(trial.trial_id, f"a worker died {TRIES} times in it")
            self._start(tuner_id)

    def dismiss(self) -> None:
        """Wait for them to end: there is nothing left to do."""
        for process in self._processes.values():
            process.join(FAREWELL)

    def close(self) -> None:
        """End them, and what they started."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(FAREWELL)
            process.kill()
            process.join()


def _work_here(
    tuner_id: str,
    where: tuple[str, int],
    parent: int,
    pipe: Any,
    arguments: dict[str, Any],
    runs: str,
    threads: int,
) -> None:
    """Be a worker of this machine, in a process of its own."""
    import warnings

    end_with(parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that it ends what it started
    warnings.simplefilter("ignore", UserWarning)  # of the data: the command has said it
    # loky's process that keeps track of semaphores complains of those of one that was killed
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    os.environ |= {ID: tuner_id, IP: where[0], PORT: str(where[1])}
    from tuning.search import planned_search

    try:
        work(planned_search(**arguments), Store(runs), threads, arguments.get("data_dir"))
    except KerascwError as error:
        pipe.send(str(error))
        raise SystemExit(1) from None


def work(
    plan: "Plan",
    store: Store,
    threads: int,
    data_dir: str | Path | None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Be the worker that KerasTuner's variables make of this process, until the search is over.

    Raises
    ------
    KerascwError
        The chief is gone.
    """
    import_tensorflow()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it logs a chief that has ended
    import grpc

    from tuning.tuner import SpaceTuner, signs_of_life

    tuner_id, folder = os.environ[ID], plan.folder(store)
    if say is not None:
        say(f"worker {tuner_id} of the chief at {os.environ[IP]}:{os.environ[PORT]}")
    with closing(open_trainers(1, threads)) as trainers, signs_of_life(folder, tuner_id):
        tuner = SpaceTuner(plan, store, trainers, data_dir=data_dir)
        try:
            tuner.search()
        except grpc.RpcError as error:
            raise KerascwError(
                f"the chief at {os.environ[IP]}:{os.environ[PORT]} is gone ({error.code().name})"
            ) from None
