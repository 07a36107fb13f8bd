"""Write the pages of the site that are made from code and from docs/results.json.

``gallery/`` has a page a study, ``reference/settings.md`` every field of an experiment.
"""

import itertools
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

from kerascw.commands.fidelity import Setting, read_settings
from kerascw.data import CATALOG
from kerascw.errors import counted
from kerascw.experiment import spec
from kerascw.experiment.recipes import RECIPES
from kerascw.lab.study import BUDGETS, Study
from kerascw.report.page import plainly
from kerascw.report.results import markdown, read_results
from kerascw.studies import all_studies

Entry = dict[str, Any]


def write(docs: Path) -> None:
    """Write all generated pages below ``docs``, and remove those of an earlier build."""
    results = read_results(docs / "results.json")
    printed = read_settings(docs / "fidelity.toml")
    gallery = docs / "gallery"
    pages = {gallery / "index.md": _gallery_index(results)}
    for study in all_studies().values():
        entries = {label: e for label, e in results.items() if e["study"] == study.name}
        rows = [row for row in printed if row.study == study.name]
        pages[gallery / f"{study.name}.md"] = _study_page(study, rows, entries, gallery)
    pages[docs / "reference" / "settings.md"] = _settings()
    gallery.mkdir(exist_ok=True)
    for stale in set(gallery.glob("*.md")) - pages.keys():
        stale.unlink()
    for page, text in pages.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    draw(results, gallery / "published.svg")


# --- gallery --------------------------------------------------------------------------------


def _gallery_index(results: dict[str, Entry]) -> str:
    lines = [
        "# The studies\n",
        "Every study of `python -m kerascw list`. A page has the question, what the report did, "
        "what we do differently, and what was measured.\n",
        "```{image} published.svg\n:alt: each published test figure against ours, with its 95 % "
        "confidence interval\n:width: 100%\n```\n",
        "Each point is a row of [the table of results](../results.md) over three seeds or more: "
        "the published error rate (1 - accuracy) against our mean with its 95 % confidence "
        "interval. On the dotted line they are equal.\n",
        "| study | question | dataset | measured at full budget |",
        "| --- | --- | --- | --- |",
    ]
    for study in all_studies().values():
        own = [entry for entry in results.values() if entry["study"] == study.name]
        repeats = sorted({row["repeats"] for entry in own for row in entry["rows"]})
        lines.append(
            f"| [{study.name}]({study.name}.md) | {study.question} | {study.dataset} "
            f"| {', '.join(repeats) or 'not yet'} |"
        )
    names = "\n".join(all_studies())
    return "\n".join([*lines, f"\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"])


def _study_page(
    study: Study, printed: list[Setting], entries: dict[str, Entry], folder: Path
) -> str:
    blocks = [f"# {study.name}", f"**{study.question}**"]
    variants = study.experiments("full")
    facts = [f"- Dataset: {study.dataset}"]
    for budget in BUDGETS:
        default = ", the default" if budget == study.default_budget else ""
        facts.append(
            f"- Budget {budget}{default}: {counted(study.seeds(budget), 'seed')}, "
            f"{study.expected.get(budget, 'time not measured')} on two cores"
        )
    facts.append(f"- {counted(len(variants), 'variant')}: {_listed(list(variants))}")
    blocks += ["\n".join(facts), "## Commands", _commands(study)]
    if printed:
        blocks += ["## What the report did", _protocol(printed)]
    if study.deviations:
        listed = "\n".join(f"- {_sentence(text)}" for text in study.deviations)
        blocks += ["## Where this differs from the report", listed]
    blocks.append("## What was measured")
    blocks += [f"**{e['conclusion']}**" for e in entries.values() if e.get("conclusion")]
    if not entries:
        blocks.append(
            "Nothing yet at full budget: the command above fills this page after "
            f"`python -m kerascw results {study.name} --into docs/results.md`."
        )
    for label, entry in entries.items():
        blocks += [_measured(entry), *_answers(entry)]
        if _points(entry):
            figure = f"{label}.svg"
            draw({label: entry}, folder / figure)
            blocks.append(
                f"```{{image}} {figure}\n:alt: published figures against ours\n:width: 28rem\n```"
            )
    module = study.variants.__module__
    blocks.append(f"The study's file is `{module.replace('.', '/')}.py`.")
    return "\n\n".join(blocks) + "\n"


def _commands(study: Study) -> str:
    lines = [f"python -m kerascw run {study.name}"]
    if study.default_budget != "full":
        lines.append(f"python -m kerascw run {study.name} --budget full --jobs 2")
    lines.append(f"python -m kerascw list {study.name}")
    return "```sh\n" + "\n".join(lines) + "\n```"


def _protocol(rows: list[Setting]) -> str:
    where = " and ".join(dict.fromkeys(f"{row.report}, {row.section}" for row in rows))
    away = [row for row in rows if row.why]
    text = (
        f"Report {where}, prints {len(rows)} settings; {len(rows) - len(away)} are followed "
        "([all of them](../fidelity.md))."
    )
    if not away:
        return text
    listed = "\n".join(f"| {_plain(row.setting)} | {_plain(row.why)} |" for row in away)
    return f"{text}\n\n| not followed | why |\n| --- | --- |\n{listed}"


def _measured(entry: Entry) -> str:
    data = entry["data"]
    source = "" if data["source"] in data["title"] else f" ({data['source']})"
    text = (
        f"On {data['title']}{source}, {entry['budget']} budget; "
        f"{entry['seconds'] / 60:,.0f} minutes of training in all on {entry['processor']}, at "
        f"commit {_listed(entry['commits'])}."
    )
    changed = "".join(f" Changed: `{name}={value}`." for name, value in entry["changed"].items())
    verdicts = [
        f"- {row['variant']}, {plainly(row['figure'])}: {row['verdict']} ({row['reason']})"
        for row in entry["rows"]
        if row["verdict"] and row["reason"] and not row["figure"].endswith("loss")
    ]
    return f"{text}{changed}\n\n{markdown({'': entry})}\n" + "\n".join(verdicts)


def _answers(entry: Entry) -> Iterator[str]:
    for answer in entry.get("answers", []):
        yield f"**{answer['question']}** {answer['answer']}"


# --- the picture ----------------------------------------------------------------------------


def _points(entry: Entry) -> list[tuple[float, float, list[float]]]:
    """Return published error rate, ours and its interval, of rows with an interval.

    Accuracies become error rates, which a logarithmic scale keeps apart near 1 too.
    """
    points = []
    for row in entry["rows"]:
        name = row["figure"]
        if not row["interval_95"] or not row["published"] or name.startswith("train."):
            continue
        published, mean = float(row["published"].split()[-1]), row["mean"]
        interval = row["interval_95"]
        if name.endswith("accuracy"):
            published, mean, interval = 1 - published, 1 - mean, [1 - x for x in interval[::-1]]
        elif not name.endswith("error"):
            continue
        if min(published, interval[0]) > 0:
            points.append((published, mean, interval))
    return points


def draw(results: dict[str, Entry], file: Path) -> None:
    """Draw published error rates against ours, with 95 % intervals and the line of equals."""
    import matplotlib
    from matplotlib.figure import Figure

    from kerascw.report.chart_parts import COLOURS

    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    looks = itertools.product("os^D", COLOURS)
    ends: list[float] = []
    for (marker, colour), (label, entry) in zip(looks, results.items(), strict=False):
        if not (points := _points(entry)):
            continue
        published, means, intervals = zip(*points, strict=True)
        low = [mean - each[0] for mean, each in zip(means, intervals, strict=True)]
        high = [each[1] - mean for mean, each in zip(means, intervals, strict=True)]
        axes.errorbar(published, means, [low, high], fmt=marker, color=colour, capsize=3,
                      label=label.split("-full")[0])  # fmt: skip
        ends += [*published, *itertools.chain(*intervals)]
    if ends:
        span = [min(ends), max(ends)]
        axes.plot(span, span, color="#767676", linestyle=":", zorder=0)
    axes.set(xlabel="published (corrected, where the report has a slip)", ylabel="ours",
             xscale="log", yscale="log", title="error rate, validation and test")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.1%}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.25, which="both")
    if len(results) > 1:
        axes.legend(frameon=False)
    file.parent.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "kerascw"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


# --- settings -------------------------------------------------------------------------------


def _settings() -> str:
    said = ModuleAnalyzer.for_module(spec.__name__).find_attr_docs()
    blocks = [
        "# Settings",
        "Every field of an experiment, as `--set FIELD=VALUE` changes it, `experiment.json` "
        "keeps it and `kerascw.run(..., settings={FIELD: VALUE})` takes it. A list is written "
        "with commas (`--set model.filters=16,32`), a part of another kind by its kind "
        "(`--set training.optimizer.kind=sgd`).",
        f"`data.name` is one of {_listed(sorted(CATALOG))}, or what `--data` stands for.",
    ]
    for place, kinds in _parts(spec.Experiment, ""):
        for kind in kinds:
            title = f"`{place}`" if place else "The experiment"
            if len(kinds) > 1:
                title += f", kind `{kind.model_fields['kind'].default}`"
            blocks.append(f"## {title}")
            blocks.append(_plain(kind.__doc__ or ""))
            rows = [
                f"| `{name}` | {_type(field)} | {_default(field)} | {_meaning(kind, name, said)} |"
                for name, field in kind.model_fields.items()
                if name != "kind" or len(kinds) == 1
            ]
            if rows:
                head = ["| field | type and range | default | meaning |", "| --- " * 4 + "|"]
                blocks.append("\n".join([*head, *rows]))
    recipes = "\n".join(f"| `{r.name}` | {r.purpose} | {r.measured} |" for r in RECIPES.values())
    blocks += ["## Recipes", "Named sets of settings, for `--recipe`.",
               f"| recipe | for | measured |\n| --- | --- | --- |\n{recipes}"]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


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


def _meaning(kind: type, name: str, said: dict[tuple[str, str], list[str]]) -> str:
    for base in kind.__mro__:
        if lines := said.get((base.__name__, name)):
            return _plain(" ".join(lines).strip())
    return ""


# --- words ----------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Return a docstring as Markdown in one paragraph a blank line."""
    lines = "\n".join(line.strip() for line in text.strip().splitlines())
    for role in (":class:", ":func:", ":mod:", ":data:"):
        lines = lines.replace(role, "")
    return lines.replace("``", "`").replace("|", "\\|").replace("`~", "`")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
