"""The commands of the pages for users: all are understood, and the quick ones are run."""

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kerascw.commands.main import main
from kerascw.runs.store import Store

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:\S+=\S+ |cat \S+ \| )?(?:\.venv/bin/)?python -m kerascw (.+)")

QUICK = (
    "compare RUN STUDY", "data list", "data show flowers/", "list", "list bag-features",
    "predict RUN shoe.png", "predict models/flowers new.jpg", "predict saved_models/fashion -",
    "predict saved_models/fashion picture.png",
    "predict saved_models/fashion shoe.png photos/ --top 3 --format csv",
    "prune", "report --all", "report RUN", "show", "tune --list", "verify RUN",
)  # fmt: skip
"""What is run after ``train flowers/``, which makes RUN and STUDY, without --open."""


def commands(page: str) -> list[str]:
    """Return what stands after ``python -m kerascw`` in the blocks of a page, without comments."""
    lines = "\n".join(BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))).splitlines()
    found = [COMMAND.fullmatch(line.partition("#")[0].strip()) for line in lines]
    return [match[1] for match in found if match]


LEARN = (page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob("docs/learn/*.md")))
PAGES = ("README.md", "docs/index.md", "docs/guide.md", "docs/serving.md", *LEARN)
EVERY = list(dict.fromkeys(line for page in PAGES for line in commands(page)))


@pytest.mark.parametrize("line", EVERY)
def test_a_command_of_the_pages_is_understood(line: str, tmp_path: Path) -> None:
    """Its options exist and take such values, and it has a help."""
    context, words = click.Context(main), shlex.split(line)
    command: click.Command = main
    path = []
    while isinstance(command, click.Group):
        path.append(words.pop(0))
        found = command.get_command(context, path[-1])
        assert found is not None, path
        command = found
    command.make_context(path[-1], words, parent=context).close()
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0
    assert shown.output.startswith("Usage:")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages' commands name."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "saved_models").symlink_to(ROOT / "saved_models")
    random = np.random.default_rng(0)
    images = {"shoe.png": 0, "shoe.jpg": 0, "picture.png": 0, "new.jpg": 0, "photos/one.png": 0}
    images |= {f"flowers/{name}/{n}.png": 90 * at for at, name in enumerate(("rose", "tulip"))
               for n in range(30)}  # fmt: skip
    for name, brightness in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 99, (16, 16, 3), dtype=np.uint8) + np.uint8(brightness)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_the_quick_commands_of_the_pages_work(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    trains = "train flowers/"
    assert trains in EVERY
    trained = CliRunner().invoke(main, shlex.split(trains))
    assert trained.exit_code == 0, trained.output
    assert "SavedModel: models/flowers/1" in trained.output
    (run,) = Store("runs").all()
    (study,) = (folder.name for folder in Path("runs/studies").iterdir())
    lines = [line.removesuffix("--open").strip() for line in EVERY]
    for line in QUICK:
        assert line in lines, "the pages do not have it any more"
        words = [{"RUN": run.name, "STUDY": study}.get(w, w) for w in shlex.split(line)]
        given = Path("shoe.jpg").read_bytes() if "-" in words else None
        done = CliRunner().invoke(main, words, input=given)
        assert done.exit_code == 0, f"{line}\n{done.output}"
        assert done.stdout.strip(), line
