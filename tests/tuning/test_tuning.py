"""Search spaces, and searches in one process."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.errors import CallError, KerascwError
from kerascw.experiment.spec import Experiment
from kerascw.runs.many import open_trainers, run_many
from kerascw.runs.run import history_so_far
from kerascw.runs.store import Store
from tuning import journal, oracles, tuner
from tuning.progress import SearchProgress
from tuning.records import SearchResult, TrialRecord, read_search
from tuning.search import planned_search, run_search
from tuning.space import ORACLES, Oracle, SpaceError, load_space, named_spaces

BASE = """
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment

QUESTION = "Which rate and width suit digits?"
OBJECTIVE = "validation_loss"
TRIALS = 3

def base():
    return Experiment.model_validate({
        "data": {"name": "digits", "holdout": {"how": "stratified", "count": 200}},
        "model": {"kind": "mlp", "dense": [8]},
        "training": {"epochs": 3, "keep": "validation_loss", "batch_size": 128},
    })
"""

DIGITS = f"""{BASE}
def space(hp, base):
    rate = hp.Float("rate", 1e-3, 0.1, sampling="log")
    width = hp.Choice("width", [4, 8])
    return override(base, {{"training.optimizer.learning_rate": rate, "model.dense": [width]}})
"""

COUNTS: dict[Oracle, int] = {"random": 4, "grid": 4, "bayesian": 7, "hyperband": 6}
"""Trials of each search. The Bayesian one has five random points; Hyperband of at most three epochs
has a rung of three trials, of which one is promoted, and two that are trained all along."""


@pytest.fixture(scope="module")
def trainers() -> Iterator[Any]:
    with open_trainers(1) as made:
        yield made


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spaces") / "digits.py"
    path.write_text(DIGITS)
    return str(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all searches here: what several of them try is trained once."""
    return Store(tmp_path_factory.mktemp("runs"))


class Told(tuner.Unseen):
    """What a search told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended_here: list[str] = []
        self.recalled: list[str] = []

    def began(self, record: TrialRecord) -> None:
        self.begun.append(record.trial_id)

    def ended(self, record: TrialRecord, recalled: bool) -> None:
        (self.recalled if recalled else self.ended_here).append(record.trial_id)


def search(
    space: str, store: Store, trainers: Any, watcher: Told | None = None, **options: Any
) -> SearchResult:
    """Search without finalists; return what its folder has."""
    made = tuner.SpaceTuner(planned_search(space, **options), store, trainers, watcher=watcher)
    made.search()
    return read_search(made.folder)


def untimed(result: SearchResult) -> list[TrialRecord]:
    return [replace(record, seconds=0) for record in result.records]


@pytest.fixture(scope="module")
def searched(digits: str, store: Store, trainers: Any) -> Callable[[Oracle], SearchResult]:
    """Return an oracle's search that nothing interrupted."""
    kept: dict[str, SearchResult] = {}

    def of(oracle: Oracle) -> SearchResult:
        if oracle not in kept:
            trials = None if oracle == "hyperband" else COUNTS[oracle]
            kept[oracle] = search(
                digits, store, trainers, oracle=oracle, trials=trials, name=f"whole-{oracle}"
            )
        return kept[oracle]

    return of


# --- spaces ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef space(hp, base:\n    return base\n", "my.py, line 2: no Python: "),
        ("def spaces(hp, base): return base\n", "my.py: no function space(hp, base)"),
        ("import nothing_of_this_name\n", "my.py, line 1: ModuleNotFoundError: "),
        (f"{BASE}\nOBJECTIVE = 'test_accuracy'\ndef space(hp, base): return base\n",
         "my.py: OBJECTIVE is 'test_accuracy'; choose validation_accuracy or validation_loss"),
        (f"{BASE}\nORACLE = 'best'\ndef space(hp, base): return base\n",
         "my.py: ORACLE is 'best'; choose random, grid, bayesian or hyperband"),
        (f"{BASE}\nTRIALS = 0\ndef space(hp, base): return base\n",
         "my.py: 0 trials; a number from 1, or None for all"),
        (f"{BASE}\nBUDGETS = {{'quick': 3}}\ndef space(hp, base): return base\n",
         "my.py: BUDGETS is no dict of tuning.space.Budget"),
        (f"{BASE}\ndef space(hp, base):\n    return {{'rate': 1}}\n",
         "my.py: space returned dict, not an Experiment"),
        (f"{BASE}\ndef space(hp, base):\n    return None\n",
         "my.py: space returned NoneType, not an Experiment"),
        (f"{BASE}\ndef space(hp, base):\n    return base / hp.Int('n', 1, 3)\n",
         "my.py, line 17: space: TypeError: unsupported operand"),
        (f"{BASE}\ndef space(hp, base):\n    return override(base, {{'model.depth': 1}})\n",
         "my.py: space: model.depth: no such field"),
        (f"{BASE}\ndef base():\n    return 5\ndef space(hp, base): return base\n",
         "my.py: base returned int, not an Experiment"),
        (f"{BASE}\ndef space(hp, base):\n    return override(base, "
         "{'data.holdout': None, 'training.keep': 'last'})\n",
         "my.py: data.holdout is none, so there is no validation_loss"),
    ],
)  # fmt: skip
def test_a_bad_space_file_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(text)
    result = CliRunner().invoke(main, ["tune", str(path), "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"kerascw: {tmp_path}/{said}")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/searches/*/journal.jsonl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "no space 'nothing'; choose bag-transfer, "),
        (["missing.py"], "missing.py: cannot be read (No such file or directory)"),
        ([], "tune: which space? see tune --list, or name a file that ends in .py"),
        (["DIGITS", "--name", "a/b"], "--name 'a/b': it names a folder"),
        (["DIGITS", "--set", "model.width=3"], "model.width: no such field"),
        (["DIGITS", "--sample", "--data", "digits"], "--sample: only the space's own dataset"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    words: list[str], said: str, digits: str, tmp_path: Path
) -> None:
    words = [digits if word == "DIGITS" else word for word in words]
    result = CliRunner().invoke(main, ["tune", *words, "--runs", str(tmp_path / "runs")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"kerascw: {said}")


def test_spaces_are_listed() -> None:
    result = CliRunner().invoke(main, ["tune", "--list"])
    assert result.exit_code == 0
    for name in named_spaces():
        assert f" {name} " in result.stdout
    with pytest.raises(SpaceError, match="or a file that ends in"):
        load_space("digits")


# --- the order of trials --------------------------------------------------------------------


@pytest.mark.parametrize("oracle", ORACLES)
def test_trials_are_numbered_scored_and_kept(
    oracle: Oracle, searched: Callable[[Oracle], SearchResult], store: Store
) -> None:
    result = searched(oracle)
    assert [record.number for record in result.records] == list(range(1, COUNTS[oracle] + 1))
    for record in result.records:
        assert record.status == "completed"
        (run,) = record.runs
        history = history_so_far(run, store)[: record.epochs]
        assert len(history) == record.epochs
        assert record.score == min(row["validation_loss"] for row in history)
        assert record.values == (record.score,)
    assert result.best is not None
    assert result.best.score == min(record.score or 9 for record in result.records)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("oracle", ["random", "hyperband"])
def test_the_same_seed_gives_the_same_trials(
    oracle: Oracle,
    seed: int,
    digits: str,
    store: Store,
    trainers: Any,
    searched: Callable[[Oracle], SearchResult],
) -> None:
    """Seed 0 too, which KerasTuner takes for none."""
    trials = None if oracle == "hyperband" else COUNTS[oracle]
    options: dict[str, Any] = {"oracle": oracle, "trials": trials, "seed": seed}
    one, other = (
        search(digits, store, trainers, **options, name=f"{name}-{oracle}-{seed}")
        for name in ("one", "other")
    )
    assert untimed(one) == untimed(other)
    same_as_seed_0 = untimed(one) == untimed(searched(oracle))
    assert same_as_seed_0 == (seed == 0)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_search_that_is_killed_at_any_write_comes_to_the_same_end(
    oracle: Oracle,
    digits: str,
    store: Store,
    trainers: Any,
    searched: Callable[[Oracle], SearchResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends before or after the n-th thing that it writes, n = 1, 2, ... through all kinds."""
    whole = searched(oracle)
    left = 0

    def mortal(write: Callable[..., Any]) -> Callable[..., Any]:
        def writes(*arguments: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            write(*arguments)
            left -= 1
            if left == 0:
                raise Killed

        return writes

    monkeypatch.setattr(oracles, "write_record", mortal(oracles.write_record))
    monkeypatch.setattr(oracles, "write_atomically", mortal(oracles.write_atomically))
    monkeypatch.setattr(tuner, "write_record", mortal(tuner.write_record))
    monkeypatch.setattr(journal.Journal, "append", mortal(journal.Journal.append))
    trials = None if oracle == "hyperband" else COUNTS[oracle]
    sittings: list[Told] = []
    for number in [*range(1, 21), 10_000]:
        left = number
        sittings.append(Told())
        try:
            options: dict[str, Any] = {"oracle": oracle, "trials": trials}
            search(digits, store, trainers, sittings[-1], **options, name=f"killed-{oracle}")
        except Killed:
            continue
        break
    assert len(sittings) > 5
    again = read_search(whole.folder.parent / f"killed-{oracle}")
    assert untimed(again) == untimed(whole)
    events = [json.loads(line) for line in (again.folder / "journal.jsonl").open()]
    ids = [record.trial_id for record in again.records]
    for kind in ("begin", "end"):
        assert [event[kind] for event in events if kind in event] == ids
    told = [trial_id for told in sittings for trial_id in told.ended_here]
    assert set(told) <= set(ids)


def test_a_line_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    kept = journal.Journal(tmp_path / "journal.jsonl")
    kept.append({"begin": "0000"})
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"end": "00')
    assert kept.read() == [{"begin": "0000"}]
    kept.append({"end": "0000"})
    assert kept.read() == [{"begin": "0000"}, {"end": "0000"}]


def test_more_trials_go_on_from_a_finished_search(
    digits: str, store: Store, trainers: Any, searched: Callable[[Oracle], SearchResult]
) -> None:
    """Also past ten trials, where KerasTuner's ids would get another zero."""
    first = search(digits, store, trainers, trials=2, name="grows")
    told = Told()
    more = search(digits, store, trainers, told, trials=COUNTS["random"], name="grows")
    assert (told.recalled, told.ended_here) == (["0000", "0001"], ["0002", "0003"])
    assert more.records[:2] == first.records
    assert untimed(more) == untimed(searched("random"))


# --- Hyperband ------------------------------------------------------------------------------


def test_a_promoted_trial_goes_on_to_the_result_of_a_longer_run(
    digits: str, trainers: Any, tmp_path: Path
) -> None:
    kept = Store(tmp_path / "kept")  # where no other search has trained them to their end
    result = search(digits, kept, trainers, oracle="hyperband")
    (promoted,) = [record for record in result.records if record.promoted_from]
    first = result.record(str(promoted.promoted_from))
    assert (first.epochs, first.rung, promoted.epochs, promoted.rung) == (1, 0, 3, 1)
    assert promoted.runs == first.runs
    assert promoted.experiment == first.experiment
    assert promoted.duplicate_of is None
    rung = [r for r in result.records if r.bracket == first.bracket and r.rung == 0]
    assert first.score == min(record.score or 9 for record in rung)
    assert {record.epochs for record in rung} == {1}
    assert [kept.get(r.runs[0]) is None for r in rung] == [r is not first for r in rung]

    (whole,) = run_many(
        [Experiment.model_validate(promoted.experiment)],
        Store(tmp_path / "whole"),
        trainers=trainers,
    )
    run = kept.get(promoted.runs[0])
    assert run is not None
    assert run.history == whole.history
    assert run.metrics == whole.metrics
    for mine, theirs in zip(run.model().get_weights(), whole.model().get_weights(), strict=True):
        assert (mine == theirs).all()


# --- what a trial may come to ---------------------------------------------------------------


def space_file(folder: Path, body: str, name: str = "my") -> str:
    path = folder / f"{name}.py"
    path.write_text(f"{BASE}\ndef space(hp, base):\n    {body}\n")
    return str(path)


def test_a_duplicate_takes_the_kept_result(trainers: Any, tmp_path: Path) -> None:
    space = space_file(tmp_path, "hp.Choice('unused', ['a', 'b', 'c']); return base")
    store = Store(tmp_path / "runs")
    result = search(space, store, trainers, oracle="grid")
    assert [record.duplicate_of for record in result.records] == [None, "0000", "0000"]
    assert len(store.all()) == 1
    assert len({record.score for record in result.records}) == 1


def test_every_execution_is_kept(trainers: Any, store: Store, tmp_path: Path) -> None:
    space = space_file(tmp_path, "hp.Choice('unused', [1, 2]); return base")
    result = search(space, store, trainers, trials=1, executions=3, name="executions")
    (record,) = result.records
    assert record.seeds == (0, 1, 2)
    assert len(set(record.values)) == len(set(record.runs)) == 3
    values = [value for value in record.values if value is not None]
    assert record.score == pytest.approx(sum(values) / 3, rel=1e-12)


@pytest.mark.parametrize("oracle", ["bayesian", "hyperband"])
def test_diverged_and_failed_trials_are_results_with_a_reason(
    oracle: Oracle, trainers: Any, store: Store, tmp_path: Path
) -> None:
    """They do not stop the oracle, nor poison its model or the best."""
    space = space_file(
        tmp_path,
        "rate = hp.Choice('rate', [0.01, 1e30])\n"
        "    width = hp.Choice('width', [4, 5, 6, 7])\n"
        "    if width == 5: raise ValueError('no five')\n"
        "    return override(base, {'training.optimizer.kind': 'sgd', "
        "'training.optimizer.learning_rate': rate, 'model.dense': [width]})",
    )
    trials = 7 if oracle == "bayesian" else None
    result = search(space, store, trainers, oracle=oracle, trials=trials, name=f"nan-{oracle}")
    assert len(result.records) >= 6
    reasons = {"diverged": r"a figure of epoch \d is not finite", "failed": ".*ValueError: no five"}
    statuses = set()
    for record in result.records:
        bad = record.hyperparameters["width"] == 5
        expected = "diverged" if record.hyperparameters["rate"] == 1e30 else "completed"
        assert record.status == ("failed" if bad else expected)
        assert (record.score is None) == (record.status != "completed")
        if record.status != "completed":
            assert re.fullmatch(reasons[record.status], record.reason or "")
        statuses.add(record.status)
    assert len(statuses) > 1
    assert result.best is None or result.best.status == "completed"


def test_five_failures_for_one_cause_end_the_search(tmp_path: Path, store: Store) -> None:
    space = space_file(
        tmp_path,
        "n = hp.Int('n', 5, 30)\n    if n == 5: return base\n"
        "    return override(base, {'model.kind': 'convnet', 'model.filters': [n] * n})",
    )
    plan = planned_search(space, trials=20, name="fails")
    with pytest.raises(KerascwError) as raised:
        run_search(plan, store, watcher=progress())
    assert re.fullmatch(
        "search fails ended: 5 trials in a row failed, all for one cause: "
        r"model.kernels: conv layer \d \(3x3, padding valid\) leaves no pixel of \dx\d",
        str(raised.value),
    )
    records = read_search(plan.folder(store)).records
    assert len(records) < 8
    assert [record.status for record in records[-5:]] == ["failed"] * 5


def progress() -> SearchProgress:
    from io import StringIO

    from kerascw.console import console

    return SearchProgress(console(StringIO()))


# --- the same search, or another ------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "options", "said"),
    [
        (("1e-3, 0.1", "1e-3, 0.2"), {}, "hyperparameter rate: max_value was 0.1, is 0.2"),
        (("[4, 8]", "[4, 8, 16]"), {}, "hyperparameter width: values was [4, 8], is [4, 8, 16]"),
        (('"width"', '"units"'), {}, "hyperparameter width is gone"),
        (("    rate", "    hp.Boolean('more')\n    rate"), {}, "hyperparameter more is new"),
        (('"epochs": 3', '"epochs": 4'), {}, "base: training.epochs was 3, is 4"),
        (("[width]", "[width, width]"), {},
         "trial 0000 gave another experiment: model.dense was "),
        (('"validation_loss"\nTRIALS', '"validation_accuracy"\nTRIALS'), {},
         "objective was validation_loss, is validation_accuracy"),
        (("", ""), {"seed": 1}, "seed was 0, is 1"),
        (("", ""), {"oracle": "grid"}, "oracle was random, is grid"),
        (("", ""), {"executions": 2}, "executions was 1, is 2"),
        (("", ""), {"settings": {"training.batch_size": "64"}},
         "base: training.batch_size was 128, is 64"),
    ],
)  # fmt: skip
def test_another_search_under_a_kept_name_is_refused(
    edit: tuple[str, str],
    options: dict[str, Any],
    said: str,
    trainers: Any,
    store: Store,
    tmp_path: Path,
    digits: str,
) -> None:
    search(digits, store, trainers, trials=1, name="kept")
    path = tmp_path / "digits.py"
    path.write_text(DIGITS.replace(*edit) if edit[0] else DIGITS)
    with pytest.raises(CallError) as raised:
        search(str(path), store, trainers, trials=1, name="kept", **options)
    line = str(raised.value)
    assert line.startswith(f"search kept is kept, and another one now: {said}")
    assert line.endswith("; start the new one with --name NEW")
    assert "\n" not in line


def test_a_comment_is_no_change(trainers: Any, store: Store, tmp_path: Path, digits: str) -> None:
    search(digits, store, trainers, trials=1, name="commented")
    path = tmp_path / "digits.py"
    path.write_text(f"# of digits\n{DIGITS}")
    told = Told()
    search(str(path), store, trainers, told, trials=1, name="commented")
    assert (told.recalled, told.ended_here) == (["0000"], [])


# --- as those who know KerasTuner expect ----------------------------------------------------


def test_kerastuner_users_find_what_they_know(
    digits: str, store: Store, trainers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tuner.SpaceTuner(planned_search(digits, trials=2, name="known"), store, trainers)
    made.search()
    assert capsys.readouterr().out == ""
    made.results_summary()
    assert "Showing 10 best trials" in capsys.readouterr().out
    result = read_search(made.folder)
    assert result.best is not None
    (best,) = made.get_best_hyperparameters()
    assert best.values == result.best.hyperparameters
    experiment = made.hypermodel.build(best)
    assert experiment.model_dump(mode="json") == result.best.experiment
    (model,) = made.get_best_models()
    assert model.output_shape == (None, 10)
    for name in ("oracle.json", "tuner0.json", "trial_0000/trial.json", "trial_0001/trial.json"):
        json.loads((made.folder / name).read_text())
    trial = json.loads((made.folder / "trial_0000" / "trial.json").read_text())
    assert (trial["status"], trial["score"]) == ("COMPLETED", result.records[0].score)


def test_loops_and_conditions_of_kerastuner(trainers: Any, store: Store, tmp_path: Path) -> None:
    """Hyperparameters that only some trials have, found while the search goes on."""
    space = space_file(
        tmp_path,
        "widths = [hp.Int(f'units_{i}', 2, 9) for i in range(hp.Int('layers', 1, 3))]\n"
        "    kind = hp.Choice('optimizer', ['adam', 'sgd'])\n"
        "    changes = {'training.optimizer.kind': kind, 'model.dense': widths}\n"
        "    with hp.conditional_scope('optimizer', ['sgd']):\n"
        "        if kind == 'sgd':\n"
        "            changes['training.optimizer.momentum'] = hp.Float('momentum', 0, 0.9)\n"
        "    return override(base, changes)",
    )
    options: dict[str, Any] = {"oracle": "random", "name": "loops"}
    whole = search(space, store, trainers, trials=6, **options)
    for record in whole.records:
        values = record.hyperparameters
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        layers = values["layers"]
        widths = [values[f"units_{i}"] for i in range(layers)]
        assert record.experiment["model"]["dense"] == widths
    grown = search(space, store, trainers, trials=3, **options | {"name": "loops-grown"})
    assert len(grown.records) == 3
    grown = search(space, store, trainers, trials=6, **options | {"name": "loops-grown"})
    assert untimed(grown) == untimed(whole)


def test_a_condition_that_goes_to_another_process_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import keras_tuner  # what oracles imported, and mended

    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.9)
    assert "momentum" in str(hp.to_proto())
    assert capsys.readouterr().out == ""
