"""index.html of a folder of runs: everything kept, with a search box; read from JSON alone."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kerascw.console import runs_words
from kerascw.errors import KerascwError
from kerascw.evaluation.statistics import over_seeds
from kerascw.lab.table import spread_text
from kerascw.report.page import page, replace_text
from kerascw.runs.store import MANIFEST, Store

INDEX = "index.html"
KINDS = ("run", "study", "search")


@dataclass(frozen=True)
class Entry:
    """One row: a run, a study or a search, as far as its files say."""

    kind: str
    name: str
    folder: Path
    written: float  # seconds since 1970
    dataset: str = ""
    model: str = ""
    figure: str = ""  # which, such as test accuracy
    value: float | None = None
    text: str = "-"  # the value with its uncertainty
    seeds: str = ""
    budget: str = ""
    study: str = ""
    fault: str = ""  # why it cannot be read

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.written).strftime("%Y-%m-%d %H:%M")

    @property
    def is_drawn(self) -> bool:
        return (self.folder / "report.html").is_file()

    def link(self, index: Path) -> str:
        """Return where its page is, as the index says it: relative, so that both can be moved."""
        return quote((self.folder / "report.html").relative_to(index).as_posix())


def entries_of(store: Store) -> list[Entry]:
    """Return everything that is kept, the newest first; what is damaged has a fault."""
    runs: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {}
    studies: dict[str, list[str]] = {}
    found: list[Entry] = []
    for folder in _folders(store.folder, MANIFEST):
        try:
            experiment, metrics, environment = (
                _tree(folder / f"{name}.json") for name in ("experiment", "metrics", "environment")
            )
            runs[folder.name] = experiment["experiment"], metrics, environment
        except (OSError, ValueError, KeyError, TypeError) as error:
            found.append(_faulty("run", folder, MANIFEST, error))
    for kind, place, file, read in (
        ("study", store.study_folder(""), "study.json",
         lambda folder: _study(folder, runs, studies)),
        ("search", store.folder / "searches", "search.json", _search),
    ):  # fmt: skip
        found += _each(kind, place, file, read)
    for name, (experiment, metrics, environment) in runs.items():
        folder = store.folder / name
        try:
            own = studies.get(name, [])
            found.append(_run(folder, experiment, metrics, environment, own))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            found.append(_faulty("run", folder, MANIFEST, error))
    return sorted(found, key=lambda entry: (-entry.written, entry.name))


def write_index(store: Store, entries: Sequence[Entry] | None = None) -> Path:
    """Write index.html over everything that the store's folder keeps; return it.

    ``entries`` are those of :func:`entries_of`, where they are read already.
    """
    entries = entries_of(store) if entries is None else entries
    whole = [entry for entry in entries if not entry.fault]
    text = page(
        "index.html",
        folder=store.folder.resolve().name,
        index=store.folder,
        entries=whole,
        damaged=[entry for entry in entries if entry.fault],
        kinds=[(kind, number) for kind in KINDS
               if (number := sum(entry.kind == kind for entry in whole))],
        option=runs_words(store.folder),
    )  # fmt: skip
    store.folder.mkdir(parents=True, exist_ok=True)
    return replace_text(store.folder / INDEX, text)


def counts_text(entries: Sequence[Entry]) -> str:
    """Return how many of each kind there are.

    >>> counts_text([Entry("run", "a", Path("a"), 0.0), Entry("study", "b", Path("b"), 0.0)])
    '1 run, 1 study'
    """
    plural = {"study": "studies", "search": "searches"}
    return ", ".join(
        f"{number} {plural.get(kind, f'{kind}s') if number > 1 else kind}"
        for kind in KINDS
        if (number := sum(entry.kind == kind and not entry.fault for entry in entries))
    )


# --- the kinds ------------------------------------------------------------------------------


def _run(
    folder: Path,
    experiment: Mapping[str, Any],
    metrics: Mapping[str, Any],
    environment: Mapping[str, Any],
    studies: Sequence[str],
) -> Entry:
    part = next((p for p in ("test", "validation", "train") if p in metrics), None)
    name = "-"
    value, text = None, str(metrics["status"])
    if part is not None and metrics["status"] != "diverged":
        figure = "accuracy" if "accuracy" in metrics[part] else "loss"
        name, value = f"{part} {figure}", metrics[part][figure]
        text = f"{value:.4f}"
        if figure == "accuracy" and (interval := metrics[part].get("accuracy_interval_95")):
            text += " ({:.4f} to {:.4f})".format(*interval)
    data = experiment["data"]
    return Entry(
        "run", folder.name, folder, (folder / MANIFEST).stat().st_mtime,
        dataset=environment["data"].get("title") or data["name"],
        model=experiment["model"]["kind"],
        figure=name, value=value, text=text, seeds=f"seed {experiment['seed']}",
        budget=f"{metrics['epochs_trained']} epochs", study=", ".join(studies),
    )  # fmt: skip


def _study(
    folder: Path,
    runs: Mapping[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]],
    studies: dict[str, list[str]],
) -> Entry:
    """Return a study with the figure of the variant that validation chooses, over its runs."""
    file = folder / "study.json"
    kept = _tree(file)
    variants: dict[str, list[Any]] = {}
    for variant, names in kept["runs"].items():
        for name in names:
            studies.setdefault(name, []).append(folder.name)
        there = [runs[name] for name in names if name in runs]
        if there:
            variants[variant] = there
    every = [run for several in variants.values() for run in several]
    classifiers = {v: s for v, s in variants.items() if s[0][0]["model"]["kind"] != "autoencoder"}
    chosen, figure, values = "", "", []
    of = "accuracy" if classifiers else "loss"
    for part in ("test", "validation"):
        scored = {
            variant: [m[part][of] for _, m, _ in several if part in m and of in m[part]]
            for variant, several in (classifiers or variants).items()
        }
        if any(scored.values()):
            chosen = _chosen(classifiers or variants, of, scored)
            figure, values = f"{part} {of}", scored[chosen]
            break
    spread = over_seeds(values) if values else None
    kinds = dict.fromkeys(experiment["model"]["kind"] for experiment, *_ in every)
    titles = dict.fromkeys(e["data"].get("title") or x["data"]["name"] for x, _, e in every)
    seeds = {experiment["seed"] for experiment, *_ in every}
    more = f", {len(variants)} variants" if len(variants) > 1 else ""
    text = spread_text(spread)
    return Entry(
        "study", folder.name, folder, file.stat().st_mtime, dataset=", ".join(titles),
        model=", ".join(kinds), figure=figure,
        value=None if spread is None else spread.mean,
        text=f"{text} ({chosen})" if len(variants) > 1 and spread else text,
        seeds=f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}{more}",
        budget=kept["budget"] + (", sample" if kept["sample"] else ""), study=kept["study"],
    )  # fmt: skip


def _chosen(variants: Mapping[str, Any], of: str, scored: Mapping[str, Sequence[float]]) -> str:
    """Return the variant that validation chooses; the test set would flatter what it chooses."""
    means = {}
    for variant, several in variants.items():
        values = [m["validation"][of] for _, m, _ in several if of in m.get("validation", {})]
        if values and scored[variant]:
            means[variant] = sum(values) / len(values)
    if not means:
        return next(variant for variant, values in scored.items() if values)
    pick = max if of == "accuracy" else min
    return pick(means, key=lambda variant: means[variant])


def _search(folder: Path) -> Entry:
    from tuning.records import FINALISTS, SEARCH, read_search
    from tuning.text import data_text, spread_of, trials_text

    result = read_search(folder)
    spec, winner, best = result.spec, result.winner, result.best
    spread = None if winner is None else spread_of(winner)
    text = spread_text(spread)
    value = None if spread is None else spread.mean
    if spread is None and best is not None and best.score is not None:
        value, text = best.score, f"{best.score:.4f} (best of the search)"
    last = folder / (FINALISTS if result.finalists else SEARCH)
    fresh = f"{spread.n} fresh seeds, " if spread else ""
    return Entry(
        "search", folder.name, folder, last.stat().st_mtime, dataset=data_text(result),
        model=str(spec.base.get("model", {}).get("kind", "")),
        figure=spec.objective.replace("_", " "), value=value, text=text,
        seeds=f"{fresh}{trials_text(len(result.records))}",
        budget=spec.budget + (", sample" if spec.sample else ""), study=spec.space,
    )  # fmt: skip


# --- files ----------------------------------------------------------------------------------


def _folders(place: Path, file: str) -> list[Path]:
    return sorted(path.parent for path in place.glob(f"*/{file}"))


def _each(kind: str, place: Path, file: str, read: Callable[[Path], Entry]) -> Iterator[Entry]:
    for folder in _folders(place, file):
        try:
            yield read(folder)
        except (KerascwError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            yield _faulty(kind, folder, file, error)


def _faulty(kind: str, folder: Path, file: str, error: Exception) -> Entry:
    said = str(error)
    if isinstance(error, KeyError):
        said = f"{error} is missing"
    elif isinstance(error, OSError) and error.filename:
        said = f"{Path(error.filename).name}: {error.strerror}"
    try:
        written = (folder / file).stat().st_mtime
    except OSError:
        written = 0.0
    return Entry(kind, folder.name, folder, written, fault=said or type(error).__name__)


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path.name}: no JSON object")
    return tree
