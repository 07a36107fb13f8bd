"""The errors that end a command with one line instead of a traceback, and words they share."""

import difflib
import sys
import unicodedata
from collections.abc import Iterable, Sequence


class KerascwError(Exception):
    """A failed job: the call was right, the work could not be done (exit code 1)."""

    exit_code = 1


class CallError(KerascwError):
    """A wrong call: names the field, the value received and the choices (exit code 2)."""

    exit_code = 2


class DataError(KerascwError):
    """Data that is missing or damaged: names the file, what was expected and what to do."""


class Interrupted(KerascwError):
    """Training stopped by the user; what was trained is kept (exit code 130, as in shells)."""

    exit_code = 130


def choices(names: Iterable[object], received: str | None = None) -> str:
    """Return the choices for an error message, with the closest one to what was received.

    >>> choices(["a", "b", "c"]), choices(["epochs", "seed"], "epoch")
    ('a, b or c', 'epochs or seed (did you mean epochs?)')
    """
    every = [str(name) for name in names]
    *most, last = every
    text = f"{', '.join(most)} or {last}" if most else last
    close = difflib.get_close_matches(received or "", every, n=1)
    return f"{text} (did you mean {close[0]}?)" if close else text


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun in singular or plural.

    >>> counted(1, "epoch"), counted(2000, "epoch"), counted(2, "study", "studies")
    ('1 epoch', '2,000 epochs', '2 studies')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def first_of(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of many.

    >>> first_of(["a", "b", "c", "d"]), first_of(["a", "b"])
    ('a, b, c and 1 more', 'a, b')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def option(name: str, value: object = None) -> str:
    """Name an argument as its caller writes it.

    In a command that is ``--bad-files skip``, in Python ``bad_files='skip'``; without a value
    ``--bad-files`` and ``bad_files``.
    """
    click = sys.modules.get("click")  # not imported here, for it takes longer than all of this
    if click is not None and click.get_current_context(silent=True) is not None:
        flag = f"--{name.replace('_', '-')}"
        return flag if value is None or value is True else f"{flag} {value}"
    return name if value is None else f"{name}={value!r}"


# they turn the direction of the text after them: a name could hide its own end
_TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def printable(text: str) -> str:
    r"""Escape line ends, control characters and odd bytes of a name or text from a file.

    They could move the cursor, colour a terminal, or hide the end of the name.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    return "".join(
        ascii(letter)[1:-1]
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or ord(letter) in _TURNING
        else letter
        for letter in text
    )
