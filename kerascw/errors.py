"""The errors that end a command with one line instead of a traceback."""


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


def printable(text: str) -> str:
    """Escape what would not print: line ends, control characters, odd bytes.

    For names and texts from files, which could otherwise move the cursor or colour a terminal.

    >>> printable("two lines" + chr(10) + ".png") == "two lines" + chr(92) + "n.png"
    True
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
