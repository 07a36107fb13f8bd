"""The quiet import, with modules in TensorFlow's and Keras' place that write as theirs do."""

import gc
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kerascw.quiet import garbage_uncollected

NOTICE = "oneDNN custom operations are on."


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder with a tensorflow that writes past Python, and a keras that does nothing."""
    (tmp_path / "tensorflow.py").write_text(
        f"""
import os, types
os.write(2, b"{NOTICE}\\n")
config = types.SimpleNamespace(list_physical_devices=list)
"""
    )
    (tmp_path / "keras.py").touch()
    return tmp_path


def imported(stand_ins: Path, level: str | None) -> subprocess.CompletedProcess[str]:
    code = """
import os, sys
from kerascw.quiet import import_tensorflow
import_tensorflow()
os.write(2, b"shown\\n")
print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
"""
    paths = os.pathsep.join([str(stand_ins), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("level", "after", "notices"), [(None, "3", []), ("1", "1", []), ("0", "0", [NOTICE])]
)
def test_notices_show_at_level_0_only(
    stand_ins: Path, level: str | None, after: str, notices: list[str]
) -> None:
    done = imported(stand_ins, level)
    assert done.stdout.strip() == after
    assert done.stderr.splitlines() == [*notices, "shown"]


def test_a_failed_import_shows_what_was_held_back(stand_ins: Path) -> None:
    with (stand_ins / "tensorflow.py").open("a") as file:
        file.write("raise ImportError('no such symbol')\n")
    done = imported(stand_ins, None)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == NOTICE
    assert lines[-1] == "ImportError: no such symbol"


def test_the_garbage_collector_is_on_again_also_after_an_error():
    assert gc.isenabled()
    with suppress(KeyError), garbage_uncollected():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
