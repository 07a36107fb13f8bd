"""docs/adding.md, done as it says: its files in an empty folder, then its commands."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerascw.commands.main import main

PAGE = Path(__file__).parents[2] / "docs" / "adding.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PYTHON = "python -m kerascw "

PRINTS = {
    "data show my_data.py:stripes": ["across", "down", "16"],
    "run fashion": ["my_data.py:stripes", "Conv2D", "SavedModel: models/my_data.py_stripes"],
    "list my_study.py": ["Is a residual network worth it on digits?", "dense, residual"],
    "run my_study.py": ["with a mean test accuracy of", "runs/studies/residual-quick/report.html"],
    "report residual": ["study report: runs/studies/residual-quick/report.html"],
    "show": ["digits-custom-", "digits-mlp-", "residual-quick"],
    "tune my_space.py": ["my_space: random search", "digits-custom-", "search report"],
}
"""What each command of the page prints, by what it begins with."""


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the blocks of each section, language and text."""
    _, *parts = SECTION.split(PAGE.read_text(encoding="utf-8"))
    return {name: BLOCK.findall(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_example_is_one_short_file() -> None:
    for name, blocks in sections().items():
        files = [text for language, text in blocks if language == "python"]
        assert len(files) == (name != "From an installed package"), name
        assert all(text.count("\n") < 40 for text in files), name
        assert "diff" not in dict(blocks), name


def test_the_examples_work_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    left = dict(PRINTS)
    for blocks in sections().values():
        for language, text in blocks:
            if language == "python":
                first, _, rest = text.partition("\n")
                Path(first.removeprefix("# ")).write_text(rest, encoding="utf-8")
            for line in text.splitlines() if language == "sh" else ():
                assert line.startswith(PYTHON)
                words = line.removeprefix(PYTHON)
                done = CliRunner().invoke(main, shlex.split(words))
                assert done.exit_code == 0, f"{line}\n{done.output}"
                begins = next(begin for begin in left if words.startswith(begin))
                for said in left.pop(begins):
                    assert said in done.output, f"{line}\n{done.output}"
    assert not left, "commands that the page does not have any more"
