import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.data import Dataset
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment, WarmStart
from kerascw.lab.derive import with_seed
from kerascw.runs.run import run_experiment
from kerascw.runs.store import MANIFEST, Run, Store, find_fault
from kerascw.runs.verify import FAILED, SELF_REPORTED, _repeats, keep_verification, verify

PNG = b"\x89PNG\r\n\x1a\n"


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def experiment(seed: int) -> Experiment:
    return Experiment.model_validate(
        {
            "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.05,
                     "holdout": {"count": 200}},
            "model": {"kind": "mlp", "dense": [8]},
            "training": {"epochs": 2, "batch_size": 32},
            "seed": seed,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def seeds(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Four seeds of one experiment."""
    store = Store(tmp_path_factory.mktemp("seeds"))
    return [run_experiment(experiment(seed), sample, store) for seed in range(4)]


def copies(runs: list[Run], folder: Path) -> list[Run]:
    for run in runs:
        shutil.copytree(run.folder, folder / run.name)
    return [Run(folder / run.name) for run in runs]


def edited(run: Run, name: str, change: Callable[[Any], None]) -> Run:
    """Change a JSON file of the run, and its manifest, so that the run is whole as it is."""
    content = json.loads((run.folder / name).read_text())
    change(content)
    (run.folder / name).write_text(json.dumps(content))
    return sealed(run)


def sealed(run: Run) -> Run:
    names = json.loads((run.folder / MANIFEST).read_text())
    sums = {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in names}
    (run.folder / MANIFEST).write_text(json.dumps(sums))
    assert find_fault(run.folder) is None
    return Run(run.folder)


def with_results_of(run: Run, other: Run) -> Run:
    """Put another run's results under this run's name."""
    for name in ("history.csv", "metrics.json", "model.keras", "predictions.npz"):
        shutil.copy(other.folder / name, run.folder / name)
    return sealed(run)


def test_an_untouched_run_comes_out_identical(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    before = sorted(path.name for path in seeds[0].folder.parent.iterdir())
    verification = verify(seeds[0], sample, Store(seeds[0].folder.parent))
    assert verification.outcome == "identical"
    assert verification.environment == ()
    assert sorted(path.name for path in seeds[0].folder.parent.iterdir()) == before


def test_another_seeds_results_are_within_seed_noise(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    one, *_ = copies(seeds, tmp_path)
    verification = verify(with_results_of(one, seeds[3]), sample, Store(tmp_path))
    assert verification.outcome == "within seed noise"
    then, now = (run.metrics["test"]["accuracy"] for run in (seeds[3], seeds[0]))
    assert f"test accuracy {then:.4f} then, {now:.4f} now" in verification.reason
    assert "from 3 other seeds: " in verification.reason


def test_without_other_seeds_the_wilson_interval_judges(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    (run,) = copies(seeds[:1], tmp_path)
    history = (run.folder / "history.csv").read_text()
    (run.folder / "history.csv").write_text(history.replace("0.001", "0.002"))
    verification = verify(sealed(run), sample, Store(tmp_path))
    assert verification.outcome == "within seed noise"
    low, high = run.metrics["test"]["accuracy_interval_95"]
    judged = f"(fewer than 2 other seeds are kept): {low:.4f} to {high:.4f}"
    assert judged in verification.reason


@pytest.mark.parametrize("others", [0, 3])
def test_figures_that_no_seed_gives_are_different(
    others: int, seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    """However good they look: the run itself is no part of what it is judged by."""
    # the figures of a test set without a mistake, as no seed has them
    run = with_results_of(copies(seeds[: 1 + others], tmp_path)[0], seeds[1])

    def perfect(metrics: dict[str, Any]) -> None:
        metrics["test"] |= {"accuracy": 1.0, "accuracy_interval_95": [0.9962, 1.0]}

    verification = verify(edited(run, "metrics.json", perfect), sample, Store(tmp_path))
    assert verification.outcome == "different"
    assert "test accuracy 1.0000 then" in verification.reason


def test_without_a_test_figure_only_an_identical_run_confirms_it(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    (run,) = copies(seeds[:1], tmp_path)
    edited(run, "metrics.json", lambda m: m.pop("test"))
    assert verify(run, sample, Store(tmp_path)).outcome == "identical"
    with_results_of(run, seeds[1])
    run = edited(Run(run.folder), "metrics.json", lambda m: m.pop("test"))
    verification = verify(run, sample, Store(tmp_path))
    assert verification.outcome == "undecided"
    assert verification.reason.startswith("finished again, not identical, and there is no test")
    assert keep_verification(run, verification) == SELF_REPORTED
    run = edited(run, "metrics.json", lambda m: m.update(status="diverged"))
    verification = verify(run, sample, Store(tmp_path))
    assert (verification.outcome, verification.reason) == (
        "different", "diverged then, finished now",
    )  # fmt: skip
    assert keep_verification(run, verification) == FAILED


@pytest.mark.parametrize("split", [False, True])
def test_other_seeds_are_found_of_a_warm_started_run_too(split: bool, seeds: list[Run]) -> None:
    base = override(experiment(0), {"seeds.split": split})
    start = WarmStart(source=base, layers=("dense_1",))

    def made(number: int, **changes: object) -> Run:
        run = Run(seeds[number].folder)
        seeded = with_seed(base.model_copy(update={"start": start}), number)
        vars(run)["experiment"] = override(seeded, changes)
        return run

    assert _repeats(made(1), made(0))
    assert not _repeats(made(1, **{"data.holdout.seed": 5}), made(0)) or split
    assert not _repeats(made(1, **{"start.source.training.epochs": 3}), made(0))
    assert not _repeats(made(1, **{"seeds.dropout": 3}), made(0))


def test_a_run_on_other_data_is_different(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    (run,) = copies(seeds[:1], tmp_path)
    run = edited(run, "environment.json", lambda e: e["data"].update(fingerprint="0" * 64))
    verification = verify(run, sample, Store(tmp_path))
    assert (verification.outcome, verification.reason) == ("different", "the data is not the same")


def test_what_differs_in_the_environment_is_said(
    seeds: list[Run], sample: Dataset, tmp_path: Path
) -> None:
    (run,) = copies(seeds[:1], tmp_path)

    def older(environment: dict[str, Any]) -> None:
        environment["packages"]["keras"] = "3.0.5"
        environment["threads"] = 64
        environment["command"] = "another"  # which is no difference

    verification = verify(edited(run, "environment.json", older), sample, Store(tmp_path))
    assert verification.outcome == "identical"
    keras, threads = verification.environment
    assert keras.startswith("packages.keras: 3.0.5 then, 3.")
    assert threads.startswith("threads: 64 then, ")


def test_a_diverged_run_diverges_again(sample: Dataset, tmp_path: Path) -> None:
    wild = override(
        experiment(0),
        {"training.optimizer.kind": "sgd", "training.optimizer.learning_rate": 1e30,
         "model.activation": "linear"},
    )  # fmt: skip
    run = run_experiment(wild, sample, Store(tmp_path))
    assert run.metrics["status"] == "diverged"
    assert verify(run, sample, Store(tmp_path)).outcome == "identical"


# --- commands -------------------------------------------------------------------------------


def test_verify_from_the_command_line(seeds: list[Run], tmp_path: Path) -> None:
    (run,) = copies(seeds[:1], tmp_path)
    said = call("verify", run.name, "--runs", str(tmp_path))
    assert said.exit_code == 0, said.output
    assert "identical: history and weights are the same, bit for bit" in said.stdout
    assert "the environment is the same" in said.stdout
    edited(run, "environment.json", lambda e: e["data"].update(fingerprint="0" * 64))
    said = call("verify", run.name, "--runs", str(tmp_path))
    assert said.exit_code == 1
    assert "different: the data is not the same" in said.stdout
    assert said.stderr == f"kerascw: run {run.name} does not come out again\n"


def test_compare_puts_every_run_into_the_table_and_draws(seeds: list[Run], tmp_path: Path) -> None:
    keys = [run.name.rsplit("-", 1)[-1][:8] for run in seeds]
    store, output = str(seeds[0].folder.parent), tmp_path / "compared"
    said = call("compare", *keys, "--runs", store, "--output", str(output))
    assert said.exit_code == 0, said.output
    for run in seeds:
        (line,) = (line for line in said.stdout.splitlines() if run.name in line)
        assert f"{run.metrics['test']['accuracy']:.4f}" in line
        assert f"{run.metrics['validation']['loss']:.4f}" in line
    for name in ("loss", "accuracy"):
        assert (output / f"{name}.png").read_bytes().startswith(PNG)
        assert str(output / f"{name}.png") in said.stdout


def test_compare_says_what_it_cannot_find(seeds: list[Run]) -> None:
    store = str(seeds[0].folder.parent)
    said = call("compare", seeds[0].name, "nothing", "--runs", store)
    assert said.exit_code == 2
    assert said.stderr.startswith("kerascw: no run 'nothing' in")
    said = call("compare", "bag-cnn", "--runs", store)
    assert said.exit_code == 2
    assert "study bag-cnn was not run yet; next: python -m kerascw run bag-cnn" in said.stderr


def test_report_draws_a_run_that_was_never_drawn(seeds: list[Run], tmp_path: Path) -> None:
    (run,) = copies(seeds[:1], tmp_path)
    assert not (run.folder / "report.html").exists()
    for _ in range(2):
        said = call("report", run.name, "--runs", str(tmp_path))
        assert said.exit_code == 0, said.output
        assert str(run.folder / "report.html") in said.stdout
        assert (run.folder / "figures" / "curves.png").read_bytes().startswith(PNG)
        (run.folder / "figures" / "curves.png").unlink()
    assert find_fault(run.folder) is None
