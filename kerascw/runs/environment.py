"""What a run was trained with, for environment.json."""

import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kerascw.data import Dataset
from kerascw.experiment.arithmetic import cpuinfo
from kerascw.quiet import import_tensorflow
from kerascw.training.devices import cores, strategy

_PACKAGES = ("kerascw", "keras", "numpy", "scikit-learn", "scipy")


def describe(dataset: Dataset) -> dict[str, Any]:
    """Collect versions, devices, commit, and where the data came from."""
    import tensorflow as tf

    from kerascw.training.shards import thread_count

    return {
        "command": command_line(),
        "python": platform.python_version(),
        # TensorFlow is asked itself, because its builds have several names
        "packages": {"tensorflow": tf.__version__} | {name: version_of(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        # sums are split by threads: another number gives other last digits
        "threads": thread_count(),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "replicas": 1 if (several := strategy()) is None else several.num_replicas_in_sync,
        "commit": commit(),
        "data": {
            "name": dataset.entry.name,
            "title": dataset.title,
            "source": dataset.source,
            "location": dataset.location,
            "official_bytes": dataset.is_official,
            "fingerprint": dataset.fingerprint,
            "sha256": dataset.sha256,
        },
    }


def set_threads(threads: int) -> bool:
    """Give TensorFlow this many threads; return False if it has begun with another number.

    Each thread runs one operation, because a training step is taken in that many shards
    (:mod:`kerascw.training.shards`). A batch of 64 has at most eight shards, so from nine threads
    on an operation has more than one.
    """
    import_tensorflow()
    import tensorflow as tf

    threading = tf.config.threading
    wanted = -(-threads // 8), threads
    with suppress(RuntimeError):  # it has begun
        threading.set_intra_op_parallelism_threads(wanted[0])
        threading.set_inter_op_parallelism_threads(wanted[1])
    return wanted == (
        threading.get_intra_op_parallelism_threads(),
        threading.get_inter_op_parallelism_threads(),
    )


def have_threads() -> None:
    """Give TensorFlow a thread a core, unless a number was set before."""
    import tensorflow as tf

    if not tf.config.threading.get_inter_op_parallelism_threads():
        set_threads(cores())


@cache  # it is the code of this process, whatever is committed meanwhile
def commit() -> str | None:
    """Return the commit of the checkout, with ``+changes`` if files differ; None if installed."""
    package = Path(__file__).parent.parent
    if not (package.parent / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(package), *words]
        said = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=10)
        return said.strip()

    try:
        head = git("rev-parse", "HEAD")
        return f"{head}+changes" if git("status", "--porcelain", "--", ".") else head
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> str | None:
    """Return the command line that is running, or None if this is used as a library."""
    program = Path(sys.argv[0])
    ours = program.name == "kerascw" or program.parts[-2:] == ("kerascw", "__main__.py")
    if ours and len(sys.argv) > 1:
        return shlex.join(["python", "-m", "kerascw", *sys.argv[1:]])
    return None


@cache
def version_of(package: str) -> str | None:
    """Return the version of an installed package; None of one that is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


POWERCAP = Path("/sys/class/powercap")


def energy_counters() -> dict[Path, tuple[int, int]]:
    """Return each processor's energy counter and its end, in microjoules, by Intel's RAPL.

    It counts all of the machine's work; {} where it cannot be read (often root alone may).
    """
    try:
        return {
            zone: (int(Path(zone, "energy_uj").read_text()),
                   int(Path(zone, "max_energy_range_uj").read_text()))
            for zone in POWERCAP.glob("intel-rapl:?")
        }  # fmt: skip
    except (OSError, ValueError):
        return {}


def joules_since(before: dict[Path, tuple[int, int]]) -> float | None:
    """Return the energy drawn since :func:`energy_counters` was ``before``; None if not known."""
    after = energy_counters()
    if not after or after.keys() != before.keys():
        return None
    # a counter that reached its end began again at 0
    return sum((now - before[zone][0]) % (end + 1) for zone, (now, end) in after.items()) / 1e6


def processor() -> str:
    """Return the processor's name as the system reports it."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine()
