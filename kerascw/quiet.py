"""Import TensorFlow without the notices that it prints past every setting."""

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; what they write to standard error shows only if that fails.

    TensorFlow 2.21 prints its oneDNN notice before the log levels of TF_CPP_MIN_LOG_LEVEL are
    read, so the file descriptor itself is held back meanwhile.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
        except BaseException:
            os.dup2(kept, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
