"""A kept search in one line, for the index over everything kept."""

from pathlib import Path

from kerascw.lab.table import spread_text
from kerascw.runs.summary import Summary
from tuning.records import read_search
from tuning.text import data_text, spread_of, trials_text


def summary_of_search(folder: Path) -> Summary:
    """Summarise a search: the winner over fresh seeds, else the best trial."""
    result = read_search(folder)
    spec, winner, best = result.spec, result.winner, result.best
    spread = None if winner is None else spread_of(winner, spec.objective)
    text, value = spread_text(spread), None if spread is None else spread.mean
    if spread is None and best is not None and best.score is not None:
        value, text = best.score, f"{best.score:.4f} (best of the search)"
    fresh = f"{spread.n} fresh seeds, " if spread else ""
    return Summary(
        kind="search",
        name=folder.name,
        dataset=data_text(result),
        model=str(spec.base.get("model", {}).get("kind", "")),
        figure=spec.objective.replace("_", " "),
        value=value,
        text=text,
        seeds=f"{fresh}{trials_text(len(result.records))}",
        budget=spec.budget + (", sample" if spec.sample else ""),
        study=spec.space,
    )
