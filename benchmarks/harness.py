"""What the benchmarks share: contenders timed in turn, medians, memory, options, result files.

A figure is the median over the rounds of one session, with its lowest and highest round. What is
compared is timed in turn (A B A B ...), so that other work on the machine meets all contenders.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kerascw.runs.environment import processor
from kerascw.runs.store import write_json
from kerascw.training.devices import cores

RESULTS = Path(__file__).parent / "results"
"""Where result files go by default; ``make bench`` makes the README's tables of them."""


def options(doc: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Make a parser with the first line of ``doc``, ``--results``, ``--data-dir``, ``--rounds``.

    A benchmark without rounds leaves ``rounds`` out, and has no such option then.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of result files")
    parser.add_argument("--data-dir", type=Path, help="folder with the datasets' files")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def machine() -> str:
    """Name the processor and count its cores, as the first line of every benchmark."""
    return f"{processor()}, {cores()} cores"


def save(folder: Path, name: str, found: Mapping[str, Any]) -> None:
    """Write a benchmark's figures to ``folder/name.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", found)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a Markdown table.

    >>> print(markdown(("jobs", "seconds"), [(1, "2.0")]), end="")
    | jobs | seconds |
    | --- | --- |
    | 1 | 2.0 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


# --- time -----------------------------------------------------------------------------------


def seconds_of(work: Callable[[], object]) -> float:
    """Time one call, in seconds by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(
    contenders: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Call all contenders in turn, ``rounds`` times; list the figure that each returned.

    The first ``warm_up`` rounds, in which graphs are traced and caches filled, are not listed.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warm_up + rounds):
        for name, contender in contenders.items():
            figure = contender()
            if number >= warm_up:
                figures[name].append(figure)
    return figures


def spread(values: Sequence[float]) -> dict[str, float]:
    """Summarise rounds by their median and extremes.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0}
    """
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def gemm_peak(size: int = 2048) -> float:
    """Measure one float32 matrix product of ``size`` squared, in floating-point operations/s."""
    one = np.ones((size, size), np.float32)
    np.matmul(one, one)
    return 2 * size**3 / seconds_of(lambda: np.matmul(one, one))


# --- processes that are timed in turn -------------------------------------------------------


class Contender:
    """A process of its own that does something whenever it is told to, and is idle meanwhile.

    Settings of threads belong to the process, so two contenders cannot share one. The script is
    started with ``--contender`` and ``words``, builds what it needs and calls :func:`serve`.
    """

    def __init__(self, script: str, *words: str) -> None:
        command = [sys.executable, script, "--contender", *words]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return float(line)

    def seconds(self, task: str = "") -> float:
        """Have a task done once, and return the seconds that took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def contenders(script: str, words: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Contender]]:
    """Start a contender for each name with its words; end them all afterwards."""
    started: dict[str, Contender] = {}
    try:
        for name, own in words.items():
            started[name] = Contender(script, *own)
        yield started
    finally:
        for contender in started.values():
            contender.close()


def answers() -> TextIO:
    """Open what a contender answers on; whatever else it prints goes to standard error."""
    to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return to


def serve(work: Callable[[], object] | Mapping[str, Callable[[], object]], to: TextIO) -> None:
    """Be a contender: do each task once to warm up, then one a line, answering with the seconds.

    ``work`` is the only task, or all tasks by their names.
    """
    tasks = work if isinstance(work, Mapping) else {"": work}
    for task in tasks.values():
        task()
    print(0.0, file=to, flush=True)
    for line in sys.stdin:
        print(seconds_of(tasks[line.strip()]), file=to, flush=True)


# --- memory ---------------------------------------------------------------------------------


class Memory:
    """Resident memory in MB, noted along the way: of this process, and of those that train."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.workers: list[dict[int, float]] = []  # by process number

    def note(self) -> None:
        """Note what all of them have now."""
        import psutil

        me = psutil.Process()
        self.own.append(me.memory_info().rss / 1e6)
        self.workers.append(
            {
                child.pid: child.memory_info().rss / 1e6
                for child in me.children()
                if any("popen_loky" in word for word in child.cmdline())
            }
        )

    def print(self, what: str) -> None:
        """Print the first note and every fifth; ``what`` is counted, such as ``run``."""
        print(f"{what:>5}   main MB   training (process: MB)")
        for number, (workers, own) in enumerate(zip(self.workers, self.own, strict=True), start=1):
            if number == 1 or number % 5 == 0:
                shown = ", ".join(f"{pid}: {size:.0f}" for pid, size in workers.items())
                print(f"{number:>5}   {own:>7.0f}   {shown}")
        print(f"main process: {self.own[0]:.0f} MB after the first {what}, {self.own[-1]:.0f} MB "
              "after the last")  # fmt: skip
        third = max(1, len(self.workers) // 3)
        first, last = (
            max((size for workers in share for size in workers.values()), default=0.0)
            for share in (self.workers[:third], self.workers[-third:])
        )
        print(f"largest worker: {first:.0f} MB in the first third, {last:.0f} MB in the last")

    def draw(self, path: Path, xlabel: str) -> None:
        """Draw a line for every process into ``path``."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        numbers = range(1, len(self.own) + 1)
        axes.plot(numbers, self.own, color="#1b1b1b", label="main process")
        for pid in dict.fromkeys(pid for workers in self.workers for pid in workers):
            seen = [(n, w[pid]) for n, w in zip(numbers, self.workers, strict=True) if pid in w]
            axes.plot(*zip(*seen, strict=True), marker=".", label=f"process {pid}: trains")
        axes.set(xlabel=xlabel, ylabel="resident memory (MB)")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        print(f"figure: {path}")
