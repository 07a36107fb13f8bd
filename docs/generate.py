"""Write the pages of the site that are made from code and from docs/results.json.

``gallery/`` has a page a study, ``reference/settings.md`` every field of an experiment; what they
say is in ``_templates/``.
"""

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

from kerascw.commands.fidelity import read_settings, shown
from kerascw.data import CATALOG
from kerascw.errors import counted
from kerascw.experiment import spec
from kerascw.experiment.recipes import RECIPES
from kerascw.lab.study import BUDGETS
from kerascw.report import charts
from kerascw.report.figure_files import render
from kerascw.report.page import plainly
from kerascw.report.results import markdown, read_results
from kerascw.studies import all_studies

Entry = dict[str, Any]


def write(docs: Path) -> None:
    """Write all generated pages below ``docs``, and remove those of an earlier build."""
    results, printed = read_results(docs / "results.json"), read_settings(docs / "fidelity.toml")
    studies, templates = list(all_studies().values()), _templates()
    gallery = docs / "gallery"
    of_study = {
        study.name: {label: e for label, e in results.items() if e["study"] == study.name}
        for study in studies
    }
    repeats = {
        name: sorted({row["repeats"] for entry in own.values() for row in entry["rows"]})
        for name, own in of_study.items()
    }
    files = {"published.svg": published_chart(results)}
    files |= {f"{label}.svg": values_chart(entry) for label, entry in results.items()}
    index = templates.get_template("index.md.jinja").render(studies=studies, repeats=repeats)
    pages = {gallery / "index.md": index}
    for study in studies:
        rows = [row for row in printed if row.study == study.name]
        pages[gallery / f"{study.name}.md"] = templates.get_template("study.md.jinja").render(
            study=study,
            variants=list(study.experiments("full")),
            budgets=BUDGETS,
            printed=rows,
            where=list(dict.fromkeys(f"{row.report}, {row.section}" for row in rows)),
            entries=of_study[study.name],
            module=study.variants.__module__.replace(".", "/"),
        )
    pages[docs / "reference" / "settings.md"] = templates.get_template("settings.md.jinja").render(
        datasets=sorted(CATALOG),
        parts=list(_parts(spec.Experiment, "")),
        recipes=RECIPES.values(),
    )
    gallery.mkdir(exist_ok=True)
    for stale in set(gallery.glob("*.md")) - pages.keys():
        stale.unlink()
    for page, text in pages.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    for name, chart in files.items():
        (gallery / name).write_bytes(render(chart)[".svg"])


def _templates() -> jinja2.Environment:
    said = ModuleAnalyzer.for_module(spec.__name__).find_attr_docs()

    def meaning(kind: type, name: str) -> str:
        found = (said.get((base.__name__, name)) for base in kind.__mro__)
        return " ".join(next(filter(None, found), [])).strip()

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "_templates")
    templates = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    templates.globals |= {"counted": counted, "markdown": markdown, "meaning": meaning}
    templates.filters |= {
        "listed": _listed, "plain": _plain, "plainly": plainly, "shown": shown, "type": _type,
        "default_of": _default,
        "without_kind": lambda fields: {n: f for n, f in fields.items() if n != "kind"},
    }  # fmt: skip
    return templates


# --- pictures -------------------------------------------------------------------------------


def _points(entry: Entry) -> Iterator[tuple[float, float, list[float]]]:
    """Yield published error rate, ours and its interval, or none of one run.

    Accuracies become error rates, which a logarithmic scale keeps apart near 1 too.
    """
    for row in entry["rows"]:
        name = row["figure"]
        if not row["published"] or "train" in name or not name.endswith(("accuracy", "error")):
            continue
        published, mean = float(row["published"].split()[-1]), row["mean"]
        interval = row["interval_95"] or []
        if name.endswith("accuracy"):
            published, mean, interval = 1 - published, 1 - mean, [1 - x for x in interval[::-1]]
        if min([published, mean, *interval]) > 0:
            yield published, mean, interval


def published_chart(results: dict[str, Entry]) -> charts.Chart:
    """Draw published error rates against ours, with 95 % intervals and the line of equals."""
    rows = []
    for label, entry in results.items():
        for published, mean, interval in _points(entry):
            low, high = interval or (mean, mean)
            rows.append({"line": label.split("-full")[0], "published": published, "ours": mean,
                         "low": low, "high": high})  # fmt: skip
    keys = charts.series(dict.fromkeys(row["line"] for row in rows))
    ends = [row[name] for row in rows for name in ("published", "low", "high")]
    scale = alt.Scale(type="log", domain=[min(ends), max(ends)], nice=False, padding=8)
    axis = alt.Axis(format="~%")
    x = alt.X("published:Q", scale=scale, axis=axis,
              title="published error rate (corrected, where the report has a slip)")  # fmt: skip
    y = alt.Y("ours:Q", scale=scale, axis=axis, title="ours")
    base = alt.Chart(charts.data_of(rows)).encode(x=x, color=charts.colour_of(keys, "circle"))
    equal = charts.data_of([{"published": end, "ours": end} for end in (min(ends), max(ends))])
    layers = (
        alt.Chart(equal).mark_line(color=charts.GREY, strokeDash=[2, 3]).encode(x=x, y=y),
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="ours"), y2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=y),
    )
    return charts.Chart((alt.layer(*layers).properties(height=420),), keys, file_width=460)


def values_chart(entry: Entry) -> charts.Chart:
    """Draw every run's value, means with intervals and published figures; a panel a figure."""
    panels, keys = [], {}
    for name in dict.fromkeys(row["figure"] for row in entry["rows"]):
        dots = []
        for row in (row for row in entry["rows"] if row["figure"] == name):
            low, high = row["interval_95"] or (None, None)
            published = float(row["published"].split()[-1]) if row["published"] else None
            dots.append(charts.Dot(row["variant"], row["mean"] if row["interval_95"] else None,
                                   low, high, tuple(row["values"]), published))  # fmt: skip
        chart = charts.dots(dots, x=plainly(name), each="each run")
        panels += chart.panels
        keys |= {key.name: key for key in chart.series}
    return charts.Chart(tuple(panels), tuple(keys.values()), file_width=240)


# --- settings -------------------------------------------------------------------------------


def _parts(kind: type[spec.Spec], place: str) -> Iterator[tuple[str, list[type[spec.Spec]]]]:
    """Yield every part of an experiment once: its path, and the specs that it may be."""
    yield place, [kind]
    for name, field in kind.model_fields.items():
        inner = _specs(field.annotation)
        path = f"{place}.{name}" if place else name
        if not inner or spec.Experiment in inner:
            continue
        if len(inner) == 1:
            yield from _parts(inner[0], path)
        else:
            yield path, inner
            for each in inner:
                for more, deeper in each.model_fields.items():
                    found = _specs(deeper.annotation)
                    if found:
                        yield f"{path}.{more}", found


def _specs(annotation: Any) -> list[type[spec.Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, spec.Spec):
        return [annotation]
    return [found for inner in typing.get_args(annotation) for found in _specs(inner)]


_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_WORDS = {int: "integer", float: "number", str: "text", bool: "yes or no", types.NoneType: "none"}


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{word} {getattr(limit, name)}"
        for limit in field.metadata
        for name, word in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is typing.Annotated:
        return _type_name(inner[0])
    if specs := _specs(annotation):
        kinds = [each.model_fields["kind"].default for each in specs if "kind" in each.model_fields]
        shown = f"a part, of kind {_listed(kinds)}" if len(kinds) > 1 else "a part"
        return f"list of parts: {shown}" if origin is tuple else shown
    if origin is tuple:
        return f"list of {_type_name(inner[0])}s"
    if origin is dict:
        return "by name"
    if inner:
        return " or ".join(_type_name(each) for each in inner)
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined and field.default_factory is None:
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, spec.Spec):
        return f"`{value.model_dump(mode='json').get('kind', '')}`"
    shown = json.dumps(value) if not isinstance(value, str) else value
    return f"`{shown}`" if shown else "empty"


# --- words ----------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Return a docstring as Markdown in one paragraph a blank line."""
    lines = "\n".join(line.strip() for line in text.strip().splitlines())
    for role in (":class:", ":func:", ":mod:", ":data:"):
        lines = lines.replace(role, "")
    return lines.replace("``", "`").replace("|", "\\|").replace("`~", "`")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
