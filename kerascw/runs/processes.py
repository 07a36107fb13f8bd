"""Processes of this machine that train runs, one after the other, and end with their parent."""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

from kerascw.errors import KerascwError, choices

TRIES = 2
"""How often a run is begun whose process dies; it goes on from its checkpoint."""

PREFIX = "kerascw-workers-"
"""What the names of processes' temporary folders begin with."""


class Died(KerascwError):
    """A process died each time that it trained a run."""


@dataclass(frozen=True)
class Task:
    """One run for a worker: an experiment that was checked, and where things are."""

    name: str  # of the run
    source: str | None  # name of the run that a warm start begins with
    experiment: str  # canonical JSON
    runs: str
    data_dir: str | None
    threads: int = 1
    epochs: int | None = None  # to pause after; None: train all of them


class Trainers:
    """So many processes side by side, started when they are needed, and kept until closed.

    TensorFlow keeps what it traced, so a process grows by some megabytes a run: all of them are
    replaced after ``runs_per_process`` runs each.
    """

    def __init__(
        self, train: Callable[[Task], str], jobs: int, threads: int, runs_per_process: int
    ) -> None:
        self.jobs = jobs
        self.threads = threads  # of TensorFlow in each
        self._train = train
        self._runs_per_process = runs_per_process
        self._executor: Any = None
        self._open = ExitStack()  # the executor and its temporary folder
        self._size = 0  # how many processes it has at most
        self._room = 0  # how many more runs the present processes take

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do: what is done is on disk."""
        self._room = 0
        self._open.close()

    def train(self, tasks: dict[str, Task]) -> Generator[str]:
        """Train all tasks, and yield the name of each run as it is finished, in whatever order.

        Where a process dies, what it trained is tried once more. Neither an interrupt nor the
        death of this process leaves a process behind.

        Raises Died: a process died twice as it trained the same run.
        """
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        # where psutil is installed, loky itself replaces a process that grew by 300 MB, and warns
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        left, tries = dict(tasks), Counter[str]()
        while left:
            futures: dict[Future[str], str] = {}
            whole = False
            try:
                self._have_room(len(left))
                part = list(left.values())[: self._room]
                self._room -= len(part)
                with interrupts_held_back():
                    futures = {self._executor.submit(self._train, task): task.name for task in part}
                for future in as_completed(futures):
                    name = future.result()
                    del left[name]
                    yield name
                whole = True
            except TerminatedWorkerError:
                # the death of one process ends them all; runs are begun in the order given
                finished = {n for f, n in futures.items() if f.done() and f.exception() is None}
                begun = [name for name in left if name not in finished][: self.jobs]
                tries.update(begun)
                self._say_who_died(begun, [name for name in begun if tries[name] == TRIES])
            finally:
                if not whole:
                    self.close()

    def _have_room(self, tasks: int) -> None:
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        size = min(self.jobs, tasks)
        if self._room > 0 and self._size >= size:
            return
        self.close()
        temporary = self._open.enter_context(
            tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        )
        self._executor = ProcessPoolExecutor(
            size, initializer=begin, initargs=(os.getpid(), temporary)
        )
        self._open.callback(self._executor.shutdown, kill_workers=True)
        self._size = size
        self._room = self.jobs * self._runs_per_process

    def _say_who_died(self, begun: list[str], twice: list[str]) -> None:
        if twice:
            raise Died(
                f"a process died {TRIES} times as it trained {choices(twice)}: most likely "
                f"memory ran out (--jobs {self.jobs}; fewer need less); the same command goes on "
                "from there"
            ) from None
        if begun:
            warnings.warn(
                f"a process died as it trained {choices(begun)}; it is tried once more",
                stacklevel=3,
            )


def begin(parent: int, temporary: str) -> None:
    """Begin a process that ends with its parent and leaves no files in the temporary folder.

    TensorFlow's AutoGraph writes a temporary Python file for every function that it converts, and
    deletes it when the process exits, which a killed process does not.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    # what Python ignores as a process is ended would stand half-written in the command's output
    sys.unraisablehook = lambda _: None
    # a warning is one line, as in the command
    warnings.formatwarning = lambda message, *_, **__: f"kerascw: {message}\n"

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        shutil.rmtree(temporary, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the one that started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
