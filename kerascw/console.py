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


def next_step(terminal: Console, words: str, runs: Path | None = None) -> None:
    """Print what to do next: a command, with the folder of runs if it is not the default.

    Not for commands that print CSV or JSON: their output goes into other programs.
    """
    terminal.print(f"next: python -m kerascw {words}{runs_words(runs)}")


def runs_words(runs: Path | None) -> str:
    """Return the option that names a folder of runs, empty for the default folder.

    >>> runs_words(Path("runs")), runs_words(Path("my runs"))
    ('', " --runs 'my runs'")
    """
    return "" if runs is None or runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
