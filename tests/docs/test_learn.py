"""The pages of docs/learn: their code runs from top to bottom, as a reader types it."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import kerascw
from kerascw.commands.main import main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *```(python|sh)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")
NEEDS_IMAGES = (
    "predict models/pictures",
    "predict saved_models/digits images/",
    "predict saved_models/digits labelled/",
    "run digits --until-decided",
)
"""Commands on a reader's own images, and one that trains for minutes."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learn")
    (folder / "saved_models").symlink_to(ROOT / "saved_models")
    return folder


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs/learn").glob("*.md")))
def test_its_code_runs(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs/learn" / page).read_text(encoding="utf-8"))
    assert blocks
    for language, text in blocks:
        if language == "python" and (file := FILE.match(text)):
            Path(file[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            lines = [line.removeprefix("   ") if text.startswith("   ") else line
                     for line in text.splitlines()]  # fmt: skip
            exec(compile("\n".join(lines), page, "exec"), names)
        else:
            for line in text.splitlines():
                words = line.partition("#")[0].strip().removeprefix("python -m kerascw ")
                if words.startswith(NEEDS_IMAGES):
                    continue
                done = CliRunner().invoke(main, shlex.split(words))
                assert done.exit_code == 0, f"{words}: {done.output}"
    if page == "difference.md":
        errors = names["errors"]
        assert errors.shape == (4, 2)
        assert names["low"] < names["difference"].mean() < names["high"]
    if page == "deploy.md":
        assert names["answer"].labels == ("0", "1", "2", "3", "4")


def test_the_reference_of_files_names_all_that_a_run_writes(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    page = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    run = kerascw.run("digits", seeds=1, epochs=15, models=None).run
    named = [f"`{path.name}{'/' if path.is_dir() else ''}`" for path in run.folder.iterdir()]
    named += [f"`{name}`" for name in (*run.metrics, *run.metrics["test"], *run.environment)]
    with np.load(run.folder / "predictions.npz") as arrays:
        named += [f"`{name}`" for name in arrays]
    columns = (run.folder / "history.csv").read_text().partition("\n")[0]
    named += [f"`{column}`" for column in columns.split(",")]
    assert [name for name in named if name not in page] == []
