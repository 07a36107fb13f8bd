"""The one way to a terminal, for tables and lines."""

from rich.console import Console


def console() -> Console:
    """Return a console that prints names as they are, and in a pipe breaks no line."""
    made = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # rich would take 80 columns
        made = Console(width=1000, soft_wrap=True, markup=False, highlight=False, emoji=False)
    return made
