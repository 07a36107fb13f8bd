"""What the benchmarks share: contenders timed in turn, medians, options, result files.

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


def options(doc: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Make a parser with ``--results``, ``--data-dir`` and, where there are rounds, ``--rounds``.

    Its description is the first line of ``doc``.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of result files")
    parser.add_argument("--data-dir", type=Path, help="folder with the datasets' files")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def numbers(text: str) -> tuple[int, ...]:
    """Read an option's numbers, separated by commas."""
    return tuple(int(word) for word in text.split(","))


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


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call all contenders in turn, ``rounds`` times; list the figures that each returned."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            figures[name].append(contender())
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
    """A process that does a task whenever it is told to, and is idle meanwhile.

    Settings of threads belong to the process, so two contenders cannot share one. The script is
    started with ``--contender`` and ``words``, builds what it needs and calls :func:`serve`.
    """

    def __init__(self, script: str, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, "--contender", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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


def serve(tasks: Mapping[str, Callable[[], object]], to: TextIO) -> None:
    """Be a contender: do each task once to warm up, then one a line, answering with the seconds."""
    for task in tasks.values():
        task()
    print(0.0, file=to, flush=True)
    for line in sys.stdin:
        print(seconds_of(tasks[line.strip()]), file=to, flush=True)
