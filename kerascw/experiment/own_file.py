"""Python files of one's own: find them, run them once, and say in which line they fail."""

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from kerascw.errors import CallError, KerascwError

_FUNCTION = re.compile(r"(?P<module>.+\.py|[A-Za-z_][\w.]*):(?P<function>[A-Za-z_]\w*)")

_loaded: dict[Path, tuple[str, ModuleType]] = {}
"""Every file that was run, by its absolute path, with the SHA-256 of its text."""

_names: set[str] = set()
"""The same files as tracebacks name them."""


class OwnFileError(CallError):
    """A Python file of one's own is missing, changed or raises: names the file and the line."""


def is_function(text: str) -> bool:
    """Return whether a text names a function of a file or module.

    >>> is_function("my_data.py:load"), is_function("package.module:load"), is_function("load")
    (True, True, False)
    """
    return _FUNCTION.fullmatch(text) is not None


def sha256_of(file: str | Path) -> str:
    """Return the SHA-256 of a file's text.

    Raises OwnFileError: the file cannot be read.
    """
    return hashlib.sha256(_read(Path(file))).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OwnFileError(f"{path}: cannot be read ({error.strerror})") from None


def find_function(text: str, field: str) -> tuple[Path, str]:
    """Find the file of ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``, without running it.

    A module is, in this order, a file that this process has run, a file in the current folder, or
    an installed module.

    Parameters
    ----------
    field : what the text was given for; it begins an error's line.

    Returns
    -------
    The absolute path of the file, and the function's name.
    """
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise OwnFileError(
            f"{field}: {text!r}; write FILE.py:FUNCTION or MODULE:FUNCTION, such as my_study:make"
        )
    module, function = match["module"], match["function"]
    if module.endswith(".py"):
        return Path(module).expanduser().absolute(), function
    for file in reversed(_loaded):
        if file.stem == module and file.is_file():
            return file, function
    if Path(f"{module}.py").is_file():
        return Path(f"{module}.py").absolute(), function
    found = _installed(module)
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise OwnFileError(f"{field}: {text!r}: no file {module}.py here, and no such module")
    return Path(found.origin), function


def _installed(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None


def load_file(path: str | Path) -> ModuleType:
    """Run a Python file as a module, once as long as its text stays the same.

    Raises OwnFileError: it cannot be read, is no Python, or raises: one line with the place in the
    file.
    """
    path = Path(path).expanduser()
    source, file = _read(path), path.absolute()
    digest = hashlib.sha256(source).hexdigest()
    if file in _loaded and _loaded[file][0] == digest:
        return _loaded[file][1]
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise OwnFileError(f"{path}{line}: no Python: {getattr(error, 'msg', error)}") from None
    module = ModuleType(_module_name(file))
    module.__file__ = str(file)
    _names.add(str(path))
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # as for a script, but after all that is installed
    # known by its name from here on: its own builders are named by it, dataclasses look there
    sys.modules[module.__name__] = module
    _loaded.pop(file, None)  # the file run last is the first to be found
    _loaded[file] = (digest, module)
    try:
        with lines_named(str(path)):
            exec(code, module.__dict__)
    except BaseException:
        del _loaded[file], sys.modules[module.__name__]
        raise
    return module


def _module_name(file: Path) -> str:
    """Return the file's own name, or a longer one where that would hide another module."""
    own = sys.modules.get(file.stem)
    if own is not None:
        free = getattr(own, "__file__", None) == str(file)
    else:
        found = _installed(file.stem)
        free = found is None or found.origin == str(file)
    if free:
        return file.stem
    return f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def module_of(file: str | Path, text: str) -> ModuleType:
    """Return the module that a function's text names, whose file was found before.

    A module of a package is imported by its name, so that it may import its neighbours.
    """
    name = text.rpartition(":")[0]
    if name.endswith(".py") or ("." not in name and Path(file).name != "__init__.py"):
        return load_file(file)
    _names.add(str(file))
    with lines_named(str(file)):
        return importlib.import_module(name)


def call_function(file: str | Path, text: str, *arguments: Any, **named: Any) -> Any:
    """Call the function that ``text`` names, of a file that was found before.

    Raises OwnFileError: there is no such function, or it raises: one line with the place in the
    file.
    """
    name = text.rpartition(":")[2]
    function = getattr(module_of(file, text), name, None)
    if not callable(function):
        raise OwnFileError(f"{file}: no function {name}")
    with lines_named(f"{file}: {name}"):
        return function(*arguments, **named)


@contextmanager
def lines_named(otherwise: str) -> Iterator[None]:
    """Turn any exception into an :class:`OwnFileError` that names the line of one's own file.

    ``otherwise`` begins the message where no line of such a file is on the way.
    """
    try:
        yield
    except OwnFileError:
        raise
    except Exception as error:
        raise OwnFileError(f"{place_of(error) or otherwise}: {reason_of(error)}") from None


def place_of(error: BaseException) -> str | None:
    """Return the last line of a file of one's own that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{f.filename}, line {f.lineno}" for f in frames if f.filename in _names]
    return places[-1] if places else None


def reason_of(error: BaseException) -> str:
    """Return an exception's type and the first line of its message; of our own, the message."""
    if isinstance(error, KerascwError):
        return str(error)
    # Pydantic's, by name: every command imports this file, and most need no Pydantic
    if hasattr(error, "errors") and type(error).__name__ == "ValidationError":
        first = error.errors()[0]
        fields = ".".join(str(part) for part in first["loc"])
        return f"{fields}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    first_line = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
