"""No link of the documentation is dead; within the site `make docs` finds them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MADE = ("../gallery/", "gallery/", "settings.md", "../reference/settings.md")
"""Links to what `make docs` writes; it checks them."""


@pytest.fixture(scope="module")
def links() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        import links
    return links


def test_no_link_of_the_markdown_files_is_dead(links: Any) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    files = [ROOT / name for name in listed]
    assert ROOT / "README.md" in files
    assert ROOT / "docs" / "guide.md" in files
    dead = links.dead_in_markdown(ROOT, files)
    assert [line for line in dead if not line.partition(": ")[2].startswith(MADE)] == []


def test_dead_links_of_markdown_are_found(links: Any, tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# It's *here*: twice\n## Same\n## Same\n", encoding="utf-8")
    page.write_text(
        "[a](other.md) [b](other.md#its-here-twice) [c](other.md#same-1) [d](https://no.example/x)\n"
        "[e](nowhere.md) [f](other.md#gone) [g](#gone) `[h](code.md)`\n"
        "```sh\n[i](code.md)\n```\n",
        encoding="utf-8",
    )
    assert links.dead_in_markdown(tmp_path, [page, other]) == [
        "page.md: nowhere.md", "page.md: other.md#gone", "page.md: #gone",
    ]  # fmt: skip
