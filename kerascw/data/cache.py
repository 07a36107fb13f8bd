"""Decoded pictures on disk, so that they are decoded once. What is there can be made anew."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

ENVIRONMENT_VARIABLE = "KERASCW_CACHE_DIR"


def cache_folder() -> Path:
    """Return the folder for it: ``KERASCW_CACHE_DIR``, or else where the platform keeps such."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    from platformdirs import user_cache_path

    return user_cache_path("kerascw", appauthor=False)


def read_cache(file: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int]] | None:
    """Return uint8 images of ``shape`` and the rows without a picture; None if not, or damaged."""
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
    scratch = None
    with suppress(OSError):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            place = file.name.partition("-")[0]
            with tempfile.NamedTemporaryFile(
                dir=file.parent, prefix=f"{place}-", suffix=".tmp", delete=False
            ) as stream:
                scratch = stream.name
                np.savez(stream, images=images, unread=np.array(sorted(bad), np.int64))
            os.replace(scratch, file)
            scratch = None
            for old in file.parent.glob(f"{place}-*"):  # also what a killed process left
                if old != file:
                    old.unlink(missing_ok=True)
        finally:
            if scratch is not None:
                os.unlink(scratch)
