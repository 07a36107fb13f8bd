"""What the benchmarks share: contenders timed in turn, medians, options, result files.

A figure is the median over the rounds of one session, with its lowest and highest round. What is
compared is timed in turn (A B A B ...), so that other work on the machine meets all contenders.
"""

import argparse
import datetime
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.runs.environment import commit, processor
from kerascw.runs.store import write_json
from kerascw.training.devices import cores

RESULTS = Path(__file__).parent / "results"

Tasks = Mapping[str, Callable[[], object]]
"""What a contender can be told to do, by name."""


def options(doc: str | None) -> argparse.ArgumentParser:
    """Make a parser with ``--results`` and ``--data-dir``, described by the doc's first line."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of result files")
    parser.add_argument("--data-dir", type=Path, help="folder with the datasets' files")
    return parser


def numbers(text: str) -> tuple[int, ...]:
    """Read an option's numbers, separated by commas."""
    return tuple(int(word) for word in text.split(","))


def machine() -> str:
    return f"{processor()}, {cores()} cores"


def save(folder: Path, name: str, found: Mapping[str, Any]) -> None:
    """Write a benchmark's figures to ``folder/name.json``, with day, machine and commit."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = f"{datetime.date.today().isoformat()}, {machine()}, commit {commit()}"
    write_json(folder / f"{name}.json", {"measured": measured} | dict(found))


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


@contextmanager
def contenders(
    build: Callable[..., Tasks], given: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, Callable[[str], float]]]:
    """Start a process for each name; give what has it do a task and returns the seconds.

    Settings of threads belong to a process, so two contenders cannot share one. Each calls
    ``build`` with what is given for its name, and does every task of it once to warm up.
    """
    with ExitStack() as stack:
        pools = {}
        for name, own in given.items():
            pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (build, own))
            pools[name] = stack.enter_context(pool)
            pool.submit(int).result()  # it has begun
        yield {
            name: lambda task, pool=pool: pool.submit(_do, task).result()  # type: ignore[misc]
            for name, pool in pools.items()
        }


_TASKS: dict[str, Callable[[], object]] = {}
"""Those of this process, where it is a contender."""


def _begin(build: Callable[..., Tasks], given: Sequence[Any]) -> None:
    _TASKS.update(build(*given))
    for task in _TASKS.values():
        task()


def _do(task: str) -> float:
    return seconds_of(_TASKS[task])
