"""Contenders that are measured in turn, each in a process of its own that is idle meanwhile.

Settings of threads are the process's, so two contenders cannot share one. A contender builds what
it needs, does it once to warm up, says that it is ready, and then does it once for every line that
it gets, answering with the seconds it took.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

RESULTS = Path(__file__).parent / "results"


class Contender:
    """A process that does one thing whenever it is told to."""

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

    def seconds(self) -> float:
        """Have it done once; return how long it took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def answers() -> TextIO:
    """Return where a contender answers; what else it prints goes to standard error."""
    to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return to


def serve(work: Callable[[], object], to: TextIO) -> None:
    """Be a contender."""
    work()
    print(0.0, file=to, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        work()
        print(time.perf_counter() - began, file=to, flush=True)


def spread(values: list[float]) -> dict[str, float]:
    """Return the median and the extremes."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def gemm_peak(size: int = 2048) -> float:
    """Return the rate of one single-precision matrix product, in floating-point operations/s."""
    one = np.ones((size, size), np.float32)
    np.matmul(one, one)
    began = time.perf_counter()
    np.matmul(one, one)
    return 2 * size**3 / (time.perf_counter() - began)
