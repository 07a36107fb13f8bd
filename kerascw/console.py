"""The one way to a terminal, for tables and lines."""

import shlex
from pathlib import Path
from typing import IO

from rich.console import Console


def console(file: IO[str] | None = None) -> Console:
    """Make a console that prints names as they are, and breaks no line in a pipe.

    ``file`` is standard output if not given.
    """
    made = Console(file=file, soft_wrap=True, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # rich would take 80 columns
        made.width = 100_000
    return made


def next_step(terminal: Console, *words: str | Path, runs: Path | None = None) -> None:
    """Print what to do next: a command, with the folder of runs if it is not the default.

    Not for commands that print CSV or JSON: their output goes into other programs.
    """
    terminal.print(f"next: {command_text(*words, runs=runs)}")


def command_text(*words: str | Path, runs: Path | None = None) -> str:
    """Write a command as a shell takes it.

    >>> command_text("report", "--all", runs=Path("my runs"))
    "python -m kerascw report --all --runs 'my runs'"
    """
    option = [] if runs is None or runs == Path("runs") else ["--runs", runs]
    return shlex.join(["python", "-m", "kerascw", *map(str, [*words, *option])])
