"""No link of the documentation's files is dead; within the site `make docs` finds them.

Only what lies in the repository can be checked: no address elsewhere is looked up.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
MADE = ("../gallery/", "gallery/", "settings.md", "../reference/settings.md")
"""Links to what `make docs` writes; it checks them."""

_FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(<?([^)<>\s]+)>?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def dead_in_markdown(root: Path, files: list[Path]) -> list[str]:
    """Return ``page: link`` for every link whose file or place is not there.

    The files are below ``root``; their headings are places as on GitHub.
    """
    texts = {path: _FENCE.sub("", path.read_text(encoding="utf-8")) for path in files}
    links = {path: _LINK.findall(_CODE.sub("", text)) for path, text in texts.items()}
    return list(_dead(root, links, {path: set(_anchors(text)) for path, text in texts.items()}))


def _dead(root: Path, links: dict[Path, list[str]], places: dict[Path, set[str]]) -> Iterator[str]:
    named = {path.resolve(): names for path, names in places.items()}
    for page, targets in sorted(links.items()):
        for link in dict.fromkeys(targets):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            file = (page.parent / unquote(parts.path) if parts.path else page).resolve()
            names = named.get(file)
            place = unquote(parts.fragment)
            if not file.exists() or (place and names is not None and place not in names):
                yield f"{page.relative_to(root).as_posix()}: {link}"


def _anchors(text: str) -> Iterator[str]:
    """Yield the place of each heading, as GitHub and MyST name it."""
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        seen[name] = seen.get(name, -1) + 1
        yield name if not seen[name] else f"{name}-{seen[name]}"


def test_no_link_of_the_markdown_files_is_dead() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    files = [ROOT / name for name in listed]
    assert ROOT / "README.md" in files
    assert ROOT / "docs" / "guide.md" in files
    dead = dead_in_markdown(ROOT, files)
    assert [line for line in dead if not line.partition(": ")[2].startswith(MADE)] == []


def test_dead_links_of_markdown_are_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# It's *here*: twice\n## Same\n## Same\n", encoding="utf-8")
    page.write_text(
        "[a](other.md) [b](other.md#its-here-twice) [c](other.md#same-1) [d](https://no.example/x)\n"
        "[e](nowhere.md) [f](other.md#gone) [g](#gone) `[h](code.md)`\n"
        "```sh\n[i](code.md)\n```\n",
        encoding="utf-8",
    )
    assert dead_in_markdown(tmp_path, [page, other]) == [
        "page.md: nowhere.md", "page.md: other.md#gone", "page.md: #gone",
    ]  # fmt: skip
