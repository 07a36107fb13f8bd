"""The one way to a terminal, for tables and lines."""

from typing import IO

from rich.console import Console


def console(file: IO[str] | None = None) -> Console:
    """Return a console that prints names as they are, and in a pipe breaks no line.

    ``file`` is standard output if not given.
    """
    made = Console(file=file, soft_wrap=True, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # rich would take 80 columns
        made.width = 100_000
    return made
