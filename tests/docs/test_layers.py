"""The layers contract of pyproject.toml: it is kept, and a breach inside a function breaks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter")
ROOT = Path(__file__).parents[2]
BREACH = "\n\ndef breach() -> None:\n    from kerascw.report import index  # noqa: F401\n"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_imports_look_down_and_a_breach_is_found(tmp_path: Path) -> None:
    for name in ("kerascw", "tuning"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kept = lint(tmp_path)
    assert kept.returncode == 0, kept.stdout
    module = tmp_path / "kerascw" / "runs" / "store.py"
    module.write_text(module.read_text(encoding="utf-8") + BREACH, encoding="utf-8")
    broken = lint(tmp_path)
    assert broken.returncode == 1
    assert "kerascw.runs is not allowed to import kerascw.report" in broken.stdout
    assert "kerascw.runs.store -> kerascw.report.index" in broken.stdout
