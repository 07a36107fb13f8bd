"""Files that can be made anew, kept where the platform keeps such files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return the folder for it: ``KERASCW_CACHE_DIR``, or the platform's own."""
    named = os.environ.get("KERASCW_CACHE_DIR")
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    return user_cache_path("kerascw", appauthor=False)


@contextmanager
def replacing(file: Path) -> Iterator[Any]:
    """Write a file that gets its name only once it is whole; raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{file.name.partition('-')[0]}-"
    with tempfile.NamedTemporaryFile(
        dir=file.parent, prefix=prefix, suffix=".tmp", delete=False
    ) as stream:
        try:
            yield stream
            stream.flush()
            os.replace(stream.name, file)
        except BaseException:
            os.unlink(stream.name)
            raise
