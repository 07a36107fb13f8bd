"""CSV that a spreadsheet reads as it is meant: texts from files, such as a class's name, too."""

import csv
import io
from collections.abc import Iterable

from kerascw.errors import printable


def sheet(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV; None is an empty cell, and no text can be taken for a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [unformulated(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return out.getvalue()


def unformulated(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    A quote before it says that it is text; numbers and a lone dash stay as they are.

    >>> unformulated("=1+1"), unformulated("@x"), unformulated("-0.5"), unformulated("-")
    ("'=1+1", "'@x", '-0.5', '-')
    """
    text = printable(text)
    if text == "-" or not text.startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
