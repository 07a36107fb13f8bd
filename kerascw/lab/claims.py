"""Rows of kept results that can be run again: what was claimed, and what comes out here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascw.data.load import dataset_for
from kerascw.errors import KerascwError
from kerascw.evaluation.statistics import difference_reach
from kerascw.experiment.spec import Experiment
from kerascw.lab.plan import ONLY, planned
from kerascw.lab.study import Study
from kerascw.lab.verdict import figure_of
from kerascw.runs import many
from kerascw.runs.store import Store
from kerascw.runs.verify import Verification


@dataclass(frozen=True)
class Claim:
    """A row of the table that can be run again here: its first seed."""

    name: str
    figure: str
    experiment: Experiment
    values: tuple[float, ...]
    threads: int | None  # that it was trained with; None where that was not kept

    def judged(self, store: Store, data_dir: str | Path | None) -> Verification:
        """Train the row's first seed anew in ``store``, and compare as ``verify`` does.

        Another number of threads than it was trained with would give other last digits.
        """
        with many.open_trainers(1, self.threads) as trainers:
            (run,) = many.run_many([self.experiment], store, data_dir=data_dir, trainers=trainers)
        then, *others = self.values
        now, reach = figure_of(run, self.figure), difference_reach(others)
        if now is None:
            return Verification("different", run.metrics["status"], ())
        outcome = "within seed noise" if abs(now - then) <= reach else "different"
        if now == then:
            outcome = "identical"
        reason = f"{then:.5f} then, {now:.5f} now; seeds differ by up to {reach:.5f}"
        return Verification(outcome, reason, ())


def claims_of(
    entries: Mapping[str, dict[str, Any]],
    study_named: Callable[[str], Study],
    data_dir: str | Path | None,
) -> tuple[list[Claim], dict[str, str]]:
    """Return the rows of test figures that can be run again here, and why others cannot.

    A row needs three seeds or more, a study that this version knows, and its very data.
    """
    claims: list[Claim] = []
    reasons: dict[str, str] = {}
    for label, entry in entries.items():
        changed = dict(entry["changed"])
        rows = [r for r in entry["rows"] if r["figure"].startswith("test.")]
        rows = [r for r in rows if len(r["values"]) >= 3]
        if not rows or {"data", "exclude"} & set(changed):
            reasons[label] = "on other data" if rows else "no test figure of three seeds or more"
            continue
        recipe, folds = changed.pop("recipe", None), changed.pop("folds", None)
        try:
            plan = planned(
                study_named(entry["study"]), budget=entry["budget"], sample=entry["sample"],
                seeds=1, folds=folds, only=changed.pop(ONLY, ()), recipe=recipe,
                data_dir=data_dir, settings=changed,
            )  # fmt: skip
            for row in rows:
                own = entry.get("runs", {}).get(row["variant"]) or [{}]
                if row["variant"] not in plan.experiments:
                    reasons[f"{label}, {row['variant']}"] = (
                        "trained in a second round, or no variant any more"
                    )
                    continue
                if len(own) != len(row["values"]):  # then the first value may be of another run
                    reasons[f"{label}, {row['variant']}"] = (
                        "a run diverged, or a value is a mean over seeds"
                    )
                    continue
                (first, *_) = plan.experiments[row["variant"]]
                there = dataset_for(first.data, data_dir).fingerprint
                if there != entry["data"]["fingerprint"]:
                    raise KerascwError("the data here is not the same")
                name = f"{label}, {row['variant']}, {row['figure'].replace('.', ' ')}"
                claims.append(
                    Claim(name, row["figure"], first, tuple(row["values"]), own[0].get("threads"))
                )
        except KerascwError as error:
            reasons[label] = str(error)
    return claims, reasons
