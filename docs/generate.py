"""Write the pages of the site that are made from code and from docs/results.json.

``gallery/`` has a page a study, ``reference/settings.md`` every field of an experiment, and
``reference/commands.md`` what ``--help`` prints of every command.
"""

import inspect
import itertools
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

from kerascw.commands.fidelity import Setting, read_settings, shown
from kerascw.commands.main import main
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
    pages[docs / "reference" / "commands.md"] = _commands_page()
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
        "![Each published error rate against ours, with its 95 % confidence interval]"
        "(published.svg)\n",
        "Each point is an accuracy or error of [the table of results](../results.md), on "
        "validation or test images: the published error rate (1 - accuracy) against our mean with "
        "its 95 % confidence interval, or against a single run (hollow). On the dotted line they "
        "are equal.\n",
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
        blocks.append(_measured(entry))
        drawn = draw_values(entry, folder / label)
        blocks.append(
            "\n".join(f"![{name} of every run]({file.name})" for name, file in drawn.items())
            + "\n\nA dot is a run, a bar the mean with its 95 % confidence interval, and a ring "
            "the published figure (corrected, where the report has a slip)."
        )
        blocks += _answers(entry)
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
    blocks = [
        f"Report {where}, prints {len(rows)} settings; {len(rows) - len(away)} are followed "
        "([which field of ours each is](../fidelity.md))."
    ]
    if away:
        listed = "\n".join(f"| {_plain(row.setting)} | {_plain(row.why)} |" for row in away)
        blocks.append(f"| not followed | why |\n| --- | --- |\n{listed}")
    listed = "\n".join(f"| {_plain(row.setting)} | {_plain(shown(row.printed))} |" for row in rows)
    blocks += [
        f"<details><summary>All {len(rows)} settings as printed</summary>",
        f"| setting | printed |\n| --- | --- |\n{listed}",
        "</details>",
    ]
    return "\n\n".join(blocks)


def _measured(entry: Entry) -> str:
    data = entry["data"]
    source = "" if data["source"] in data["title"] else f" ({data['source']})"
    text = (
        f"On {data['title']}{source}, {entry['budget']} budget; "
        f"{entry['seconds'] / 60:,.0f} minutes of training in all on {entry['processor']}"
    )
    commits = [commit for commit in entry["commits"] if commit != "None"]  # None: from no clone
    text += f", at commit {_listed(commits)}." if commits else "."
    changed = "".join(f" Changed: `{name}={value}`." for name, value in entry["changed"].items())
    judged: dict[str, list[str]] = {}
    for row in entry["rows"]:
        if row["verdict"] and row["reason"] and not row["figure"].endswith("loss"):
            of = f"{row['variant']}, {plainly(row['figure'])}"
            judged.setdefault(f"{row['verdict']} ({row['reason']})", []).append(of)
    verdicts = [f"- {'; '.join(of)}: {verdict}" for verdict, of in judged.items()]
    if len(judged) == 1:
        verdicts = [f"All of them: {verdict}." for verdict in judged]
    return f"{text}{changed}\n\n{markdown({'': entry})}\n" + "\n".join(verdicts)


def _answers(entry: Entry) -> Iterator[str]:
    for answer in entry.get("answers", []):
        yield f"**{answer['question']}** {answer['answer']}"


# --- figures --------------------------------------------------------------------------------


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


def draw(results: dict[str, Entry], file: Path) -> None:
    """Draw published error rates against ours, with 95 % intervals and the line of equals."""
    from matplotlib.figure import Figure

    from kerascw.report.charts import COLOURS

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    looks = zip(itertools.cycle("os^Dv"), itertools.cycle(COLOURS), strict=False)
    ends: list[float] = []
    for (marker, colour), (label, entry) in zip(looks, results.items(), strict=False):
        points = list(_points(entry))
        look: dict[str, Any] = {"fmt": marker, "color": colour, "capsize": 3}
        name = label.split("-full")[0]  # in the legend once
        for published, mean, interval in points:
            error = [[mean - interval[0]], [interval[1] - mean]] if interval else None
            fill = colour if interval else "none"
            axes.errorbar(published, mean, error, label=name, markerfacecolor=fill, **look)
            name = ""
            ends += [published, mean, *interval]
    span = [min(ends), max(ends)]
    axes.plot(span, span, color="#767676", linestyle=":", zorder=0)
    axes.set(xlabel="published error rate", ylabel="ours", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.1%}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)
    _save(figure, file)


def draw_values(entry: Entry, stem: Path) -> dict[str, Path]:
    """Draw every run's value, the means with their intervals, and the published figures.

    Returns an SVG file for each figure, beside ``stem``, with a line for each variant: as wide as
    a phone, so that two stand side by side on a larger screen.
    """
    from matplotlib.figure import Figure

    from kerascw.report.charts import BLUE, ORANGE, SKY

    variants = list(dict.fromkeys(row["variant"] for row in entry["rows"]))
    drawn: dict[str, Path] = {}
    for name in dict.fromkeys(row["figure"] for row in entry["rows"]):
        figure = Figure(figsize=(3.6, 0.9 + 0.28 * len(variants)), layout="constrained")
        panel = figure.subplots()
        for row in (row for row in entry["rows"] if row["figure"] == name):
            at = variants.index(row["variant"])
            panel.plot(row["values"], [at] * len(row["values"]), "o", color=SKY, alpha=0.7)
            if row["interval_95"]:
                low, high = row["interval_95"]
                panel.plot([low, high], [at, at], color=BLUE, linewidth=2)
                panel.plot(row["mean"], at, "|", color=BLUE, markersize=14, markeredgewidth=2)
            if row["published"]:
                published = float(row["published"].split()[-1])
                panel.plot(published, at, "o", color=ORANGE, markerfacecolor="none",
                           markersize=9, markeredgewidth=2)  # fmt: skip
        panel.set_title(plainly(name), fontsize=10)
        panel.set_yticks(range(len(variants)), variants)
        panel.set_ylim(len(variants) - 0.5, -0.5)
        panel.locator_params(axis="x", nbins=4)
        panel.grid(alpha=0.25)
        drawn[plainly(name)] = stem.with_name(f"{stem.name}-{len(drawn) + 1}.svg")
        _save(figure, drawn[plainly(name)])
    return drawn


_GREY = "#7b7b7b"
"""Of text and lines: as clear on a white page as on a dark one."""


def _save(figure: Any, file: Path) -> None:
    import matplotlib

    file.parent.mkdir(exist_ok=True)
    for part in figure.findobj():
        if isinstance(part, matplotlib.text.Text):
            part.set_color(_GREY)
        elif isinstance(part, matplotlib.spines.Spine):
            part.set_edgecolor(_GREY)
    with matplotlib.rc_context({"svg.hashsalt": "kerascw"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})


# --- commands -------------------------------------------------------------------------------


def _commands_page() -> str:
    blocks = [
        "# Commands",
        "Every command with all its options, as `--help` prints them. A wrong call ends with one "
        "line and exit code 2, a failed job with one line and exit code 1; both name the field or "
        "file, its value and the choices.",
    ]
    context = click.Context(main, info_name="python -m kerascw", **main.context_settings)
    for each in _contexts(context):
        command = each.command
        blocks.append(f"## {each.command_path.removeprefix('python -m kerascw ')}")
        blocks.append(_in_code(_plain(inspect.cleandoc(command.help or ""))))
        usage = " ".join(each.get_usage().split()).removeprefix("Usage: ")
        example = (command.epilog or "").removeprefix("\b\n")
        blocks.append(f"```text\n{usage}\n```")
        if example:
            blocks.append(f"```sh\n{example}\n```")
        rows = [
            f"| `{_plain(name)}` | {_in_code(_plain(meaning))} |"
            for option in command.params
            if isinstance(option, click.Option)
            for name, meaning in [option.get_help_record(each) or ("", "")]
        ]
        if rows:
            blocks.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(blocks) + "\n"


def _in_code(text: str) -> str:
    """Set the options of a sentence as code.

    >>> _in_code("as for --seeds, or `run --seed`")
    'as for `--seeds`, or `run --seed`'
    """
    return re.sub(r"(`[^`]*`)|(--[a-z][\w-]*)", lambda m: m[1] or f"`{m[2]}`", text)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield every command: a group, then what is in it."""
    yield context
    if isinstance(group := context.command, click.Group):
        for name in group.list_commands(context):
            if command := group.get_command(context, name):
                yield from _contexts(click.Context(command, context, name))


# --- settings -------------------------------------------------------------------------------


def _settings() -> str:
    said = ModuleAnalyzer.for_module(spec.__name__).find_attr_docs()
    blocks = [
        "# Settings",
        "Every field of an experiment, as `--set FIELD=VALUE` changes it, `experiment.json` "
        "keeps it and `kerascw.run(..., settings={FIELD: VALUE})` takes it. A list is written "
        "with commas (`--set model.filters=16,32`), a group of another kind by its kind "
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
        shown = f"group of settings, {'kind ' + _listed(kinds) if len(kinds) > 1 else 'below'}"
        return f"list; each a {shown}" if origin is tuple else shown
    if origin is tuple:
        name = _type_name(inner[0])
        return f"list of {name}s" if name in _WORDS.values() else f"list of {name}"
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
        kind = value.model_dump(mode="json").get("kind")
        return f"`{kind}`" if kind else "its defaults"
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
