"""Find links within the documentation that lead nowhere: in a built site, and in Markdown files.

Only what lies in the same folder can be checked: no address elsewhere is looked up.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(<?([^)<>\s]+)>?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


class _Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.names.add(value)


def dead_in_site(site: Path) -> list[str]:
    """Return ``page: link`` for every link of a built site whose file or place is not there."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    return list(_dead(site, {path: page.links for path, page in pages.items()},
                      {path: page.names for path, page in pages.items()}))  # fmt: skip


def dead_in_markdown(root: Path, files: list[Path]) -> list[str]:
    """Return the same of Markdown files below ``root``, whose headings are places as on GitHub."""
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
