"""What is known at a glance of everything kept: a small typed file beside it, and a plain table.

Every run, study and search writes ``summary.json`` when it ends. The index and
``show`` read these files alone, so they need to know nothing about the rooms that wrote them.
"""

import base64
import html
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kerascw.errors import KerascwError

SUMMARY = "summary.json"

Kind = Literal["run", "study", "search"]


class Summary(BaseModel):
    """One line about a run, a study or a search."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    kind: Kind
    name: str
    dataset: str = ""
    model: str = ""
    figure: str = ""  # which figure, such as test accuracy
    value: float | None = None
    text: str = "-"  # the value with its uncertainty
    seeds: str = ""
    budget: str = ""
    study: str = ""  # the study or the space of hyperparameters
    runs: tuple[str, ...] = ()  # names of the runs that a study consists of


def replace_text(path: Path, text: str) -> Path:
    """Write ``path`` so that it is always the old text or the new, and return it.

    Two processes, or threads, may write the same file at once: the last one's text stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def write_summary(folder: Path, summary: Summary) -> None:
    """Write ``summary.json`` into a folder."""
    replace_text(folder / SUMMARY, summary.model_dump_json(indent=2) + "\n")


def read_summary(folder: Path) -> Summary | None:
    """Read ``summary.json`` of a folder; None if it is missing or damaged: it can be made again."""
    try:
        return Summary.model_validate_json((folder / SUMMARY).read_bytes())
    except (OSError, ValidationError):
        return None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises KerascwError: the file is missing or damaged; the message names it and the reason.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KerascwError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise KerascwError(f"{path}: damaged, not JSON ({error})") from None
    if not isinstance(content, dict):
        raise KerascwError(f"{path}: damaged, not a JSON object")
    return content


def fragment(title: str, rows: Iterable[tuple[str, Any]], figures: Iterable[Path] = ()) -> str:
    """Return HTML for a notebook: a plain table, and those of the figures (PNG) that are there.

    Without a script or a style sheet: a notebook is read where neither works.
    """
    lines = "\n".join(
        f'<tr><td style="text-align: left">{html.escape(name)}</td>'
        f'<td style="text-align: left">{html.escape(str(value))}</td></tr>'
        for name, value in rows
    )
    images = "".join(
        f'<p><img src="data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" '
        f'alt="{html.escape(file.stem)}" style="max-width: min(100%, 760px); background: #fff">'
        "</p>\n"
        for file in figures
        if file.is_file()
    )
    return (
        f'<div class="kerascw">\n<p><strong>{html.escape(title)}</strong></p>\n'
        f"<table><tbody>\n{lines}\n</tbody></table>\n{images}</div>"
    )
