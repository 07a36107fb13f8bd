"""Every benchmark runs, at its smallest size, and says and writes what it measured."""

import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PYTORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, which it compares with, is not installed: pip install 'kerascw[bench]'",
)
SMALLEST = {
    "coverage": "--studies 2 --seeds 3",
    "epoch_overhead": "--images 200 --epochs 2 --results .",
    "growth": "--jobs 1 --runs 1 --sample --results .",
    "scale": "--runs 120 --experiments 2 --results .",
    "inference": "--rounds 1 --many 20 --single 2 --only kerascw --results .",
    "serving": "--seconds 0.05 --requests 40 --in-flight 2 --sizes 1,2 --only LiteRT --results .",
    "throughput": "--rounds 1 --seconds 0.01 --only digits",
}
"""The words of each."""

SAID = {
    "coverage": ("seeds and images", "0.010"),
    "epoch_overhead": ("200 images, as it is", "autotune on", "goal: under 3%"),
    "growth": ("| 1 | ", "seconds for 1 runs", "1 short runs"),
    "scale": ("120 runs", "show", "Dask, 2 workers"),
    "inference": ("10,000 images", "single images", "kerascw"),
    "serving": ("batched", "one by one", "0 lost, 0 answered wrongly"),
    "throughput": ("kerascw", "Keras", "PyTorch"),
}
"""What each prints beside its figures."""

WRITTEN = {
    "epoch_overhead": {"epoch_overhead.json"},
    "growth": {"growth.json"},
    "inference": {"inference.json"},
    "scale": {"scale.json"},
    "serving": {"serving.json"},
}
Run = Callable[..., str]
"""Runs a script with words, in the folder of a test, and returns what it printed."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """In this process, which has TensorFlow already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent))  # of the processes that it starts

    def with_words(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / f"{name}.py"), *words])
        importlib.import_module(name).main()
        return capfd.readouterr().out

    return with_words


def test_every_script_is_run() -> None:
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - {"harness"}
    # bench below, time_to_accuracy in its own file
    assert scripts == {*SMALLEST, "bench", "time_to_accuracy"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[PYTORCH] if name == "throughput" else []) for name in SMALLEST],
)
def test_it_runs_at_its_smallest_size(run: Run, name: str) -> None:
    said = run(name, *SMALLEST[name].split())
    assert any(character.isdigit() for character in said)
    for word in SAID[name]:
        assert word in said
    for file in Path().glob("*.json"):
        assert json.loads(file.read_text())
    assert {path.name for path in Path().iterdir()} == WRITTEN.get(name, set())


def test_bench_makes_its_table_of_the_figures_that_are_kept(run: Run) -> None:
    for path in (BENCHMARKS / "results").glob("*.json"):
        shutil.copy(path, path.name)
    said = run("bench", "--table-only", "--results", ".")
    kept = Path("bench.md").read_text()
    assert said == f"{kept}\n"
    found = {
        name: json.loads(Path(f"{name}.json").read_text())
        for name in ("throughput", "inference", "growth")
    }
    for name, one in found["throughput"]["architectures"].items():
        assert (
            f"| {name} | {one['batch_size']} | {one['rates']['kerascw']['median']:,.0f} (" in kept
        )
    assert f"| {found['growth']['jobs']['2']['seconds']:.1f} |" in kept
    ratio = f"{found['growth']['sweep']['ratio']:.2f}"
    assert f"60 short runs, --jobs 2: {ratio} of the rate of one long run." in kept
    for one in found.values():
        assert f"\n{one['measured']}.\n" in kept
    for table in kept.split("\n\n"):
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1, table
