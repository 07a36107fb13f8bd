"""Import TensorFlow quickly, and without the notices that it prints past every setting."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; their notices on standard error show only if that fails.

    TensorFlow 2.21 writes of oneDNN when it is imported, and of a missing GPU when it first looks
    for devices, before its logger knows any level (tensorflow/tensorflow#100442): four lines
    around each error line of ours. So the file descriptor itself is held back meanwhile, unless
    TF_CPP_MIN_LOG_LEVEL is 0. That is 3 if it is not set: what fails is raised in Python all the
    same, and at level 2 each process that trains an autoencoder complains of a shape's integers.
    """
    if "tensorflow" in sys.modules:
        return
    all_shown = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0"
    # collections take a quarter of the import's time, and find next to nothing
    with garbage_uncollected(), nullcontext() if all_shown else stderr_held_back():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def garbage_uncollected() -> Iterator[None]:
    """Switch Python's garbage collector off, where very many objects are made that all stay.

    It would look at all of them again and again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what is written to standard error, also by C++; it shows only if this fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(kept, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
