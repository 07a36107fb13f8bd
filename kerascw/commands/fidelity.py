"""``python -m kerascw fidelity``: every setting that the reports print, and where ours differ."""

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, ValidationError

from kerascw.commands.options import file_option
from kerascw.errors import CallError
from kerascw.experiment.settings import one_line
from kerascw.experiment.spec import Experiment
from kerascw.runs.summary import replace_text
from kerascw.studies import study_named

FILE = Path("docs/fidelity.toml")

HEAD = """# How closely the reports are followed

Every setting that the five reports print, our value, and the field of the experiment (or the \
function) that it is in; `of 9 *` names the variants that it is for. Made by \
`python -m kerascw fidelity --into docs/fidelity.md` from the studies and `docs/fidelity.toml`; \
a test compares each row with the study's experiments.

Of {settings} settings, {followed} are followed and {deviating} deviate, each with the reason.
"""

SECTION = """
## {0.report}: {0.section}

Study `{0.study}`.

| setting | printed | ours | where | followed? |
| --- | --- | --- | --- | --- |
"""


class Setting(BaseModel):
    """One printed setting, as the file has it; see the file's first lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: str
    section: str
    study: str
    setting: str
    printed: Any
    ours: Any = None
    field: str = ""  # dotted path in the experiments; "": see place
    place: str = ""  # dotted name of the code
    variant: str = "*"  # which variants, as in a shell
    each: bool = False  # printed holds a value for every variant in turn
    note: str = ""
    why: str = ""  # of a deviation

    @property
    def expected(self) -> Any:
        """The value that our experiments have."""
        return self.printed if self.ours is None else self.ours


def read_settings(file: Path = FILE) -> list[Setting]:
    """Read the printed settings of all reports, in the order of the file.

    Raises CallError: a file that cannot be read, or a row with a field that is none.
    """
    try:
        parts = tomllib.loads(file.read_text(encoding="utf-8"))["part"]
        return [
            Setting(**row, **{name: part[name] for name in ("report", "section", "study")})
            for part in parts
            for row in part["rows"]
        ]
    except ValidationError as error:
        raise CallError(one_line(error, f"{file}: ")) from None
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise CallError(f"{file}: cannot be read as a table of settings ({error})") from None


def value_at(experiment: Experiment, field: str) -> Any:
    """Return the value at a dotted path of an experiment, as JSON has it; ``none`` for none.

    The activation of a convnet's dense layers, where it is none, is that of its conv layers.
    """
    value: Any = experiment.model_dump(mode="json")
    for name in field.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    if value is None and field == "model.dense_activation":
        return value_at(experiment, "model.activation")
    return "none" if value is None else value


def values(setting: Setting) -> Iterator[tuple[str, Any, Any]]:
    """Yield variant, value of its experiment and value that the table states, one by one."""
    variants = study_named(setting.study).variants()
    names = [name for name in variants if fnmatchcase(name, setting.variant)]
    if not names:
        raise CallError(f"{setting.study}: no variant matches {setting.variant!r}")
    stated = setting.expected if setting.each else [setting.expected] * len(names)
    for name, expected in zip(names, stated, strict=True):
        yield name, value_at(variants[name], setting.field), expected


def markdown(settings: list[Setting]) -> str:
    """Return the page: a table for each part of each report."""
    deviating = sum(bool(setting.why) for setting in settings)
    page = HEAD.format(
        settings=len(settings), followed=len(settings) - deviating, deviating=deviating
    )
    for _, rows in groupby(settings, key=lambda setting: (setting.report, setting.section)):
        section = list(rows)
        page += SECTION.format(section[0]) + "".join(map(_line, section))
    return page


def _line(setting: Setting) -> str:
    of = "" if setting.variant == "*" else f" of {setting.variant}"
    where = f"`{setting.field or setting.place}`{of}"
    status = f"deviates: {setting.why}" if setting.why else "followed"
    note = f" ({setting.note})" if setting.note else ""
    cells = [setting.setting, shown(setting.printed), shown(setting.expected), where, status + note]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def shown(value: Any) -> str:
    """Write a printed value as the tables have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"({shown(v)})" if isinstance(v, list) else shown(v) for v in value) or "-"
    return str(value)


@click.command()
@file_option("--into", None, "Write the page into this file instead of printing it.")
def command(into: Path | None) -> None:
    """Print every setting that the reports print, and whether our studies follow it, in Markdown.

    Fails if an experiment has another value than docs/fidelity.toml states.
    """
    settings = read_settings()
    for setting in settings:
        for name, value, stated in values(setting) if setting.field else ():
            if value != stated:
                raise CallError(
                    f"{FILE}: {setting.study}, {name}: {setting.field} is {shown(value)}, "
                    f"stated: {shown(stated)} ({setting.setting})"
                )
    page = markdown(settings)
    if into is None:
        click.echo(page, nl=False)
    else:
        replace_text(into, page)
        click.echo(f"{into}: {len(settings)} settings")
