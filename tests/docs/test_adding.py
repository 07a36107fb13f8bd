"""docs/adding.md, done as it says, on a copy of the package."""

import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the blocks of each section, language and text."""
    _, *parts = SECTION.split((ROOT / "docs" / "adding.md").read_text(encoding="utf-8"))
    return {name: BLOCK.findall(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of KMNIST's layout, size and names, of drawn pixels."""
    folder = tmp_path_factory.mktemp("data") / "kmnist"
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        pictures = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for name, magic, array in (
            (f"{part}-images-idx3-ubyte", 0x803, pictures),
            (f"{part}-labels-idx1-ubyte", 0x801, labels),
        ):
            head = struct.pack(f">{1 + array.ndim}i", magic, *array.shape)
            with gzip.open(folder / f"{name}.gz", "wb", compresslevel=0) as file:
                file.write(head + array.tobytes())
    return folder.parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("kerascw", "tuning"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def do(blocks: list[tuple[str, str]], copy: Path, data: Path) -> str:
    """Write the files, apply the patches, run the commands; return what these print."""
    printed = []
    for language, text in blocks:
        if language == "python":
            first, _, rest = text.partition("\n")
            (copy / first.removeprefix("# ")).write_text(rest)
        elif language == "diff":
            subprocess.run(
                ["git", "apply", "-"], input=text, text=True, cwd=copy, check=True,
                env=os.environ | {"GIT_CEILING_DIRECTORIES": str(copy.parent)},
            )  # fmt: skip
        else:
            for line in text.splitlines():
                words = line.replace("DATA", str(data)).split()
                assert words[0] == "python"
                done = subprocess.run(
                    [sys.executable, *words[1:]], cwd=copy, text=True, capture_output=True,
                    timeout=300, env=os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"},
                )  # fmt: skip
                assert done.returncode == 0, done.stderr[-2000:]
                printed.append(done.stdout)
    return "\n".join(printed)


def test_every_example_is_short() -> None:
    for name, blocks in sections().items():
        lines = [t.count("\n") for language, t in blocks if language == "python"]
        patch = [
            line
            for language, t in blocks
            if language == "diff"
            for line in t.splitlines()
            if line[:1] in "+-" and line[:3] not in ("+++", "---")
        ]
        assert max([*lines, len(patch)]) < 40, name


@pytest.mark.skipif(shutil.which("git") is None, reason="git applies the patches; there is none")
def test_the_examples_work_one_after_the_other(copy: Path, data: Path) -> None:
    every = sections()
    shown = do(every.pop("A dataset"), copy, data)
    assert "60,000" in shown
    assert "おきすつなはまやれを"[9] in shown
    do(every.pop("A model"), copy, data)
    runs = [f.name for f in (copy / "runs").iterdir()]
    assert any(name.startswith("fashion_mnist-separable-") for name in runs)
    studied = do(every.pop("A study"), copy, data)
    assert "Do depthwise separable convolutions do as well on digits as full ones?" in studied
    assert (copy / "runs/studies/separable-quick/report.html").is_file()
    searched = do(every.pop("A search space"), copy, data)
    assert "rate_and_width" in searched
    assert not every
