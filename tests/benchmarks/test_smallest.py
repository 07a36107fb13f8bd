"""Every benchmark runs, at its smallest size, and says and writes what it measured."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PYTORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, which it compares with, is not installed: pip install 'kerascw[bench]'",
)
Run = Callable[..., str]
"""Runs a script with words, in the folder of a test, and returns what it printed."""


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    """In this process, which has TensorFlow already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent))  # of the processes that it starts

    def with_words(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / f"{name}.py"), *words])
        loaded(name).main()
        return capsys.readouterr().out

    return with_words


SMALLEST: dict[str, tuple[str, ...]] = {
    "augmentation": ("--images", "64", "--rounds", "1"),
    "bag_search": (),
    "bench": ("--table-only", "--results", "results"),
    "growth": ("--sizes", "200", "--jobs", "1", "--runs", "1", "--sample", "--results", "results"),
    "inference": (
        *("--rounds", "1", "--many", "20", "--single", "2", "--only", "kerascw,Keras"),
        *("--results", "results"),
    ),
    "memory": ("--runs", "1", "--output", "memory.png"),
    "power_law": (),
    "search_memory": ("--trials", "1", "--output", "memory.png"),
    "svhn_memory": ("--scale", "0.001"),
    "sweep": (),
    "throughput": ("--rounds", "1", "--seconds", "0.01", "--only", "digits"),
    "time_to_accuracy": ("--tasks", "digits", "--seeds", "1", "--epochs", "1"),
}
