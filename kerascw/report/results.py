"""Measured beside published for many studies: kept as one small JSON file, shown as one table.

The runs themselves are too large to be kept with the code; what a table needs of them is not. Each
entry is made from kept runs, by :func:`entry_of`, and never by hand.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kerascw.data import FOLDER
from kerascw.errors import CallError, KerascwError
from kerascw.evaluation.statistics import over_seeds
from kerascw.lab.certainty import certainty_answers
from kerascw.lab.conclusion import conclusion
from kerascw.lab.plan import ONLY, StudyResult
from kerascw.lab.table import any_published, published_text, rows_of, spread_text
from kerascw.lab.verdict import bounds_of
from kerascw.report.page import plainly
from kerascw.runs.store import Run, write_json
from kerascw.runs.verify import ELSEWHERE, FAILED, HERE, SELF_REPORTED, badge_of

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
"""Between these lines a page has the table."""

FORMAT = 1

LEAST_FIRST = (FAILED, SELF_REPORTED, ELSEWHERE, HERE)
"""Badges by how well they confirm a run."""


def entry_of(result: StudyResult) -> dict[str, Any]:
    """Return what the table says of a study, from its kept runs.

    That is every figure that was published; of a study with none, each variant's own figures.
    """
    plan, runs, table = result.plan, result.every_run, rows_of(result)
    published = any_published(table)
    changed = {name: _without_path(value) for name, value in plan.changed.items()}
    rows = []
    for row in table:
        for cell in row.cells:
            if cell.spread is None or (published and cell.published is None):
                continue
            reason = cell.verdict.reason if cell.verdict else ""
            for name, value in plan.changed.items():
                reason = reason.replace(str(value), str(changed[name]))
            rows.append(
                {
                    "variant": row.variant,
                    "parameters": row.parameters,
                    "figure": cell.name,
                    "repeats": str(row.repeats),
                    "values": cell.values,
                    "mean": cell.spread.mean,
                    "interval_95": cell.spread.interval,
                    "published": published_text(cell.published),
                    "verdict": cell.verdict.word if cell.verdict else "",
                    "reason": reason,
                    "badge": min(map(badge_of, result.runs[row.variant]), key=LEAST_FIRST.index),
                }
            )
    answers = [*result.study.answers(result.runs), *certainty_answers(result)]
    environment = runs[0].environment
    data = environment["data"]
    return {
        "study": result.study.name,
        "budget": plan.budget,
        "sample": plan.sample,
        "changed": changed,
        "data": {name: data[name] for name in ("title", "source", "official_bytes", "fingerprint")},
        "commits": sorted({str(run.environment["commit"])[:12] for run in runs}),
        "processor": environment["processor"],
        "seconds": round(sum(run.environment["training_seconds"] for run in runs)),
        "runs": {variant: [_run(run) for run in own] for variant, own in result.runs.items()},
        "conclusion": conclusion(result, answers),
        "answers": [asdict(answer) for answer in answers],
        "rows": rows,
    }


def _run(run: Run) -> dict[str, Any]:
    """Return what is kept of one run beside its figures, which are in the rows in its order."""
    environment, metrics = run.environment, run.metrics
    return {
        "name": run.name,  # its last part is the key
        "seed": run.experiment.seed,
        "fold": run.experiment.fold,
        "epochs": metrics["epochs_trained"],
        "seconds": round(environment["training_seconds"], 1),
        "threads": environment.get("threads"),  # older runs do not say
        "commit": str(environment["commit"])[:12],
        "processor": environment["processor"],
    }


def _without_path(value: Any) -> Any:
    """Return a setting without the place of a folder: that says nothing elsewhere."""
    if isinstance(value, str) and value.startswith(FOLDER):
        return FOLDER + Path(value.removeprefix(FOLDER)).name
    return value


def read_results(file: Path) -> dict[str, dict[str, Any]]:
    """Return the kept entries by the label of their study; none where there is no file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise CallError(f"{file}: format {content['format']}; this version reads {FORMAT}")
        entries: dict[str, dict[str, Any]] = content["studies"]
        return entries
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CallError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CallError(f"{file}: no file of results ({error!r})") from None


def add_results(results: Sequence[StudyResult], file: Path) -> None:
    """Put the studies into the file; one that is there already is replaced."""
    entries = read_results(file)
    for result in results:
        entry = entry_of(result)
        if not entry["rows"]:
            raise KerascwError(f"study {result.plan.label}: no run has a figure to keep")
        entries[result.plan.label] = entry
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"format": FORMAT, "studies": dict(sorted(entries.items()))})


def markdown(entries: dict[str, dict[str, Any]], test_only: bool = False) -> str:
    """Return the table in Markdown, a line for every variant and figure.

    Losses are left out where the variant has an accuracy or an error: they stand in the file, and
    on the study's own page. ``test_only`` leaves published figures of the test set over three
    seeds or more.
    """
    lines = [
        "| study | variant | figure | measured | over | published | verdict |",
        "| --- | --- | --- | ---: | --- | --- | --- |",
    ]
    for entry in entries.values():
        study, variant = f"`{entry['study']}`{_marks(entry)}", None
        rows = entry["rows"]
        if test_only:
            rows = [
                r
                for r in rows
                if r["figure"].startswith("test.") and r["interval_95"] and r["published"]
            ]
        scored = {row["variant"] for row in rows if not row["figure"].endswith("loss")}
        for row in rows:
            if row["variant"] in scored and row["figure"].endswith("loss"):
                continue
            name = row["variant"] if row["variant"] != variant else ""
            measured = spread_text(over_seeds(row["values"], bounds_of(row["figure"])))
            cells = [study, name, plainly(row["figure"]), measured, row["repeats"],
                     row["published"], row["verdict"]]  # fmt: skip
            escaped = (cell.replace("|", "\\|") for cell in cells)
            lines.append("".join(f"| {cell} " if cell else "| " for cell in escaped) + "|")
            study, variant = "", row["variant"]
    return "\n".join(lines) + "\n"


def _marks(entry: dict[str, Any]) -> str:
    """Return how the entry departs from the published protocol, in brackets."""
    said = [
        *([] if entry["budget"] == "full" else [f"{entry['budget']} budget"]),
        *(["bundled sample"] if entry["sample"] else []),
        *(f"{name}={value}" for name, value in entry["changed"].items() if name != ONLY),
    ]
    return f" ({', '.join(said)})" if said else ""


def replaced(page: str, table: str, name: str) -> str:
    """Return the page with the table between its two marks.

    A :class:`CallError` says that the page ``name`` has not exactly one pair of marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in before:
        raise CallError(f"{name}: needs the lines {BEGIN} and {END}, once each, around the table")
    return f"{before}{BEGIN}\n{table}{END}{after}"
