"""Resident memory of this process and of those that it has train, noted along the way."""

from pathlib import Path

import psutil
from matplotlib.figure import Figure


class Memory:
    """Notes, in MB: of this process, and of each of its workers by process number."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.workers: list[dict[int, float]] = []

    def note(self) -> None:
        """Note what all of them have now."""
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
        third = len(self.workers) // 3
        first, last = (
            max(size for workers in part for size in workers.values())
            for part in (self.workers[:third], self.workers[-third:])
        )
        print(f"largest worker: {first:.0f} MB in the first third, {last:.0f} MB in the last")

    def draw(self, path: Path, xlabel: str) -> None:
        """Draw a line for every process into ``path``."""
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
