"""Files that can be made anew, kept where the platform keeps such files."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

ENVIRONMENT_VARIABLE = "KERASCW_CACHE_DIR"


def cache_folder() -> Path:
    """Return the folder for it: ``KERASCW_CACHE_DIR``, or the platform's own."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
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


def read_cache(file: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int]] | None:
    """Read uint8 images of ``shape`` and the rows without an image; None if not, or damaged."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            images, unread = archive["images"], archive["unread"]
    except Exception:  # a damaged file raises anything; it is made anew
        return None
    if images.shape != shape or images.dtype != np.uint8 or unread.dtype != np.int64:
        return None
    if unread.ndim != 1 or not ((unread >= 0) & (unread < len(images))).all():
        return None
    return images, unread.tolist()


def write_cache(file: Path, images: np.ndarray, bad: Iterable[int]) -> None:
    """Keep the arrays in place of what is kept of the same folder; not if that cannot be."""
    with suppress(OSError):
        with replacing(file) as stream:
            np.savez(stream, images=images, unread=np.array(sorted(bad), np.int64))
        for old in file.parent.glob(f"{file.name.partition('-')[0]}-*"):
            if old != file:  # also what a killed process left
                old.unlink(missing_ok=True)
