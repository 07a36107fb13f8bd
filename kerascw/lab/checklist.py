"""What a paper's checklist asks of a study, from what its runs keep: written as checklist.json."""

from collections.abc import Mapping
from typing import Any

from kerascw.data.listing import PARTS
from kerascw.errors import counted
from kerascw.lab.plan import StudyResult
from kerascw.runs.store import Run

UNREAD = "not readable here"


def checklist(result: StudyResult) -> dict[str, Any]:
    """Answer data, parameters, search, runs, exclusions, hardware, time and energy.

    After the reproducibility checklist of Pineau et al. (JMLR 22, 2021).
    """
    every = result.every_run
    energies = [run.environment.get("processor_joules") for run in every]
    known = [joules for joules in energies if joules is not None]
    datasets: dict[str, dict[str, Any]] = {}
    for run in every:
        data = run.environment["data"]
        kept = {name: data[name] for name in ("title", "source", "official_bytes", "fingerprint")}
        sizes = {s: run.metrics[s]["examples"] for s in PARTS if s in run.metrics}
        entry = datasets.setdefault(data["fingerprint"], kept | {"images": []})
        if sizes not in entry["images"]:
            entry["images"].append(sizes)
    excluded = (run.experiment.data.exclude for run in every)
    return {
        "study": result.study.name,
        "question": result.study.question,
        "data": list(datasets.values()),
        "parameters": {
            name: own[0].experiment.model_dump(mode="json", exclude_defaults=True)
            for name, own in result.runs.items()
        },
        "search": "none: the study states its parameters; changed: "
        + (", ".join(f"{k}={v}" for k, v in result.plan.changed.items()) or "none"),
        "runs": len(every),
        "seeds": sorted({run.experiment.seed for run in every}),
        "diverged": [run.name for run in every if run.metrics["status"] == "diverged"],
        "excluded_images": sorted({str(each) for each in excluded if each is not None}),
        "hardware": _different(every, "processor", "cores", "threads", "devices"),
        "software": _different(every, "python", "platform", "packages", "commit"),
        "training_seconds": round(sum(run.environment["training_seconds"] for run in every), 1),
        "processor_joules": round(sum(known), 1) if len(known) == len(every) else UNREAD,
    }


def _different(runs: list[Run], *names: str) -> dict[str, list[Any]]:
    """Return the different values that each fact has over the runs."""
    values: dict[str, list[Any]] = {name: [] for name in names}
    for name, several in values.items():
        for run in runs:
            if (value := run.environment.get(name)) not in several:
                several.append(value)
    return values


def in_words(kept: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the checklist in pairs of a point and its text; the parameters stand in the file."""
    count, joules = len(kept["parameters"]), kept["processor_joules"]
    shown = {**kept, "parameters": f"of {counted(count, 'variant')}, in checklist.json"}
    if joules != UNREAD:
        shown["processor_joules"] = f"{joules:,}, all of the machine's work"
    return [(point.replace("_", " "), _text(value)) for point, value in shown.items()]


def _text(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,}"
        case Mapping():
            return ", ".join(f"{point.replace('_', ' ')} {_text(value[point])}" for point in value)
        case list():
            return "; ".join(map(_text, value)) or "none"
    return str(value)
