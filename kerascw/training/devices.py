"""The devices that training takes. Importing this loads no TensorFlow.

A GPU is taken where there is one. Several are taken side by side only where that is asked for: each
then has a share of every batch, and sums of gradients are split among them, which changes the last
digits. So this is a matter of the environment, as threads are, and environment.json records it.
"""

import os
from contextlib import suppress
from typing import Any

VARIABLE = "KERASCW_DEVICES"
"""The environment variable: ``one`` or ``all``. Processes that train inherit it."""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def take(devices: str) -> None:
    """Have this process, and those that it starts, train on ``one`` device or on ``all``."""
    os.environ[VARIABLE] = devices


def strategy() -> Any:
    """Return TensorFlow's strategy for all GPUs (or all logical CPUs); None for one device."""
    import tensorflow as tf

    if os.environ.get(VARIABLE) != "all":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        return None
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def has_gpu() -> bool:
    """Return whether TensorFlow sees a GPU, and have it take memory only as it needs it.

    Otherwise the first of several processes (``--jobs``) would take all of it.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with suppress(RuntimeError):  # TensorFlow has begun
            tf.config.experimental.set_memory_growth(gpu, True)
    return bool(gpus)
