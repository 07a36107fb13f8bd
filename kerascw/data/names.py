"""Names of files and classes that are safe to print, to draw and to write into a file."""

import unicodedata

# they turn the direction of the text after them: a name could hide its own end
_TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def is_text(name: str) -> bool:
    """Return whether a name is Unicode, without bytes that Python put surrogates in for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    r"""Return a name in one line: line breaks and control characters become their escapes.

    >>> shown("two\nlines")
    'two\\nlines'
    """
    return "".join(
        ascii(letter)[1:-1]
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or ord(letter) in _TURNING
        else letter
        for letter in name
    )
