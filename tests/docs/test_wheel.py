"""The package as pip installs it: all files that it needs are in the wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, which is what installing a pure Python package does."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    # the version is that of the tag
    subprocess.run(["git", "-C", str(source), "tag", "v9.8.7"], check=True)
    words = ["-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source)]
    made = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if "No matching distribution found for setuptools" in made.stderr:
        pytest.skip("building needs setuptools, and no package index was reached")
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_a_study_runs_and_its_model_predicts(installed: Path, tmp_path: Path) -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kerascw", *words],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import kerascw; print(kerascw.__file__)"]
    place = subprocess.run(where, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)},
                           capture_output=True, text=True).stdout  # fmt: skip
    assert str(installed) in place
    assert call("--version").split() == ["python", "-m", "kerascw,", "version", "9.8.7"]
    assert "fashion" in call("list")
    assert "SavedModel: models/digits-" in call("run", "digits", "--seeds", "1", "--epochs", "2")
    (model,) = (tmp_path / "models").iterdir()
    Image.new("L", (8, 8)).save(tmp_path / "empty.png")
    assert "empty.png" in call("predict", str(model), "empty.png")
