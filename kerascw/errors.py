"""The errors that end a command with one line instead of a traceback."""

import sys


class KerascwError(Exception):
    """A failed job: the call was right, the work could not be done (exit code 1)."""

    exit_code = 1


class CallError(KerascwError):
    """A wrong call: names the field, the value received and the choices (exit code 2)."""

    exit_code = 2


class DataError(KerascwError):
    """Data that is missing or damaged: names the file, what was expected and what to do."""


class Interrupted(KerascwError):
    """Training stopped by the user; what was trained is kept (exit code 130, as shells have it)."""

    exit_code = 130


def choices(names: object) -> str:
    """Return the choices of an error message: ``a, b or c``.

    >>> choices(["a", "b", "c"])
    'a, b or c'
    """
    *most, last = [str(name) for name in names]  # type: ignore[attr-defined]
    return f"{', '.join(most)} or {last}" if most else last


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
