"""TensorBoard itself reads what runs write, as variants of a study, through its HTTP API."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.commands.tensorboard import chosen
from kerascw.data import Dataset
from kerascw.errors import Interrupted
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment, WarmStart
from kerascw.lab.plan import Plan, StudyResult
from kerascw.lab.run import LINKS as NAMED
from kerascw.lab.run import link_events, run_study
from kerascw.lab.study import Quick, Study
from kerascw.runs.run import run_experiment, run_name
from kerascw.runs.store import Run, Store
from kerascw.training.events import PATTERN, RunEvents, flat_hyperparameters, tag_of
from kerascw.training.watcher import Watcher

PATIENCE = 120  # seconds


def tiny(kind: str, seed: int = 0, epochs: int = 3) -> Experiment:
    models = {
        "mlp": {"kind": "mlp", "dense": [8]},
        "convnet": {"kind": "convnet", "filters": [4], "pool_after": [1], "auxiliary": [1]},
    }
    data = {"name": "fashion_mnist", "sample": True, "fraction": 0.01, "holdout": {"count": 100}}
    training = {"epochs": epochs, "batch_size": 16, "schedule": {"kind": "halving", "every": 2}}
    return Experiment.model_validate(
        {"data": data, "model": models[kind], "training": training, "seed": seed}
    )


def variants() -> dict[str, Experiment]:
    return {"dense only": tiny("mlp"), "1/2 convnet": tiny("convnet")}


STUDY = Study(
    name="tiny",
    question="?",
    dataset="fashion_mnist",
    variants=variants,
    expected={"quick": "", "full": ""},
    quick=Quick(epochs=3),
)
LINKS = ["1-2 convnet/seed 0", "dense only/seed 0", "dense only/seed 1"]


@pytest.fixture(scope="module")
def result(
    sample: Dataset, tmp_path_factory: pytest.TempPathFactory, stop_after: Callable[[int], Watcher]
) -> tuple[StudyResult, Store, list[str]]:
    """A study of two variants, one of which was stopped twice and resumed."""
    store = Store(tmp_path_factory.mktemp("runs"))
    stopped = tiny("convnet")
    files = []
    for epoch in (1, 2):
        with pytest.raises(Interrupted):
            run_experiment(stopped, sample, store, stop_after(epoch))
        (file,) = store.events_folder(run_name(stopped, sample)).glob(PATTERN)
        files.append(file.name)
        # killed while it wrote: a torn record at the end, and an epoch that no checkpoint knows
        with file.open("ab") as half:
            half.write(file.read_bytes()[-40:] + b"\x07\x00\x00")
    plan = Plan(
        STUDY,
        "quick",
        {"dense only": [tiny("mlp"), tiny("mlp", 1)], "1/2 convnet": [stopped]},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # events that could not be written
        return run_study(plan, store), store, files


class Board:
    """A TensorBoard that our command serves, and its API."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kerascw", "tensorboard", *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "http://" in line:
                self.url = line[line.index("http://") :].strip()
                break
        else:
            raise AssertionError(self.process.communicate()[1])

    def get(self, path: str, body: Any = None, **query: str) -> Any:
        """Return what a route answers: JSON as its value, else bytes."""
        url = f"{self.url}data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    def wait_for(self, tag: str, runs: int) -> dict[str, Any]:
        """Return the scalar tags of every run once as many runs have this one."""
        end = time.monotonic() + PATIENCE
        while True:
            tags: dict[str, Any] = self.get("plugin/scalars/tags")
            if sum(tag in of_run for of_run in tags.values()) == runs:
                return tags
            assert time.monotonic() < end, tags
            time.sleep(0.1)

    def scalars(self, run: str, tag: str) -> list[tuple[int, float]]:
        rows = self.get("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in rows]

    def end(self) -> tuple[int, str]:
        """Press Ctrl-C; return exit code and standard error."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@pytest.fixture(scope="module")
def board(result: tuple[StudyResult, Store, list[str]]) -> Iterator[Board]:
    served, store, _ = result
    board = Board(served.plan.label, "--runs", str(store.folder))
    board.wait_for("final/test_loss", runs=3)
    yield board
    if board.process.poll() is None:
        board.end()


def run_of(result: tuple[StudyResult, Store, list[str]], link: str) -> Run:
    runs = {name.replace("/", "-"): runs for name, runs in result[0].runs.items()}
    variant, seed = link.split("/seed ")
    return runs[variant][int(seed)]


def test_scalars_are_the_history_of_every_variant_each_epoch_once(
    board: Board, result: tuple[StudyResult, Store, list[str]]
) -> None:
    assert "study tiny-quick: http://localhost:" in board.said
    tags = board.get("plugin/scalars/tags")
    assert sorted(tags) == LINKS
    assert sorted(board.get("runs")) == LINKS
    for link in LINKS:
        run = run_of(result, link)
        curves = {tag_of(name): name for name in run.history[0] if name != "epoch"}
        assert {tag for tag in tags[link] if "final/" not in tag} == set(curves)
        for tag, column in curves.items():
            assert board.scalars(link, tag) == [
                (number, float(np.float32(row[column])))
                for number, row in enumerate(run.history, 1)
            ]
    heads = {f"{head}{figure}/{part}" for head in ("", "aux1_") for figure in ("loss", "accuracy")
             for part in ("train", "validation")}  # fmt: skip
    assert heads < set(tags["1-2 convnet/seed 0"])
    assert "aux1_loss/train" not in tags["dense only/seed 0"]


def test_final_figures_are_those_of_the_kept_weights(
    board: Board, result: tuple[StudyResult, Store, list[str]]
) -> None:
    for link in LINKS:
        metrics = run_of(result, link).metrics
        parts = {"": metrics} | {f"{h}_": own for h, own in metrics.get("heads", {}).items()}
        assert len(parts) == (2 if "convnet" in link else 1)
        for head, own in parts.items():
            for part in ("train", "validation", "test"):
                for figure in ("loss", "accuracy"):
                    assert board.scalars(link, f"{head}final/{part}_{figure}") == [
                        (metrics["kept_epoch"], float(np.float32(own[part][figure])))
                    ]


def test_hyperparameters_group_the_seeds_of_a_variant(
    board: Board, result: tuple[StudyResult, Store, list[str]]
) -> None:
    experiment = board.get("plugin/hparams/experiment", {"experimentName": ""})
    differing = {info["name"] for info in experiment["hparamInfos"] if info["differs"]}
    assert {"model.kind", "model.dense"} <= differing
    assert not differing & {"seed", "training.epochs", "training.optimizer.learning_rate"}
    metrics = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert {"final/validation_accuracy", "final/test_accuracy", "final/test_loss"} <= metrics
    query = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 10,
        "aggregationType": "AGGREGATION_AVG",
    }
    groups = board.get("plugin/hparams/session_groups", query)["sessionGroups"]
    by_kind = {group["hparams"]["model.kind"]: group for group in groups}
    assert set(by_kind) == {"mlp", "convnet"}
    sessions = {
        kind: sorted(session["name"] for session in group["sessions"])
        for kind, group in by_kind.items()
    }
    assert sessions == {"convnet": LINKS[:1], "mlp": LINKS[1:]}
    assert by_kind["convnet"]["hparams"]["training.schedule.kind"] == "halving"
    assert by_kind["convnet"]["hparams"]["training.schedule.every"] == 2.0
    average = {m["name"]["tag"]: m["value"] for m in by_kind["mlp"]["metricValues"]}
    accuracies = [run_of(result, link).metrics["test"]["accuracy"] for link in LINKS[1:]]
    assert average["final/test_accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)


def test_it_follows_a_run_live_and_a_run_that_goes_on_in_another_process(
    board: Board,
    result: tuple[StudyResult, Store, list[str]],
    sample: Dataset,
    stop_after: Callable[[int], Watcher],
) -> None:
    """The served folder gains a run, which is stopped, goes on and ends, while it is looked at."""
    served, store, _ = result
    experiment = tiny("mlp", seed=2, epochs=4)
    name = run_name(experiment, sample)
    folder = store.study_folder(served.plan.label)
    link_events(folder, store, {"late": [experiment]}, [name], more=True)
    with pytest.raises(Interrupted):
        run_experiment(experiment, sample, store, stop_after(2))
    board.wait_for("loss/train", runs=4)
    assert [step for step, _ in board.scalars("late/seed 2", "loss/train")] == [1, 2]
    run = run_experiment(experiment, sample, store)
    board.wait_for("final/test_loss", runs=4)
    assert board.scalars("late/seed 2", "loss/train") == [
        (number, float(np.float32(row["train_loss"]))) for number, row in enumerate(run.history, 1)
    ]


def test_ctrl_c_ends_it_with_exit_code_0_and_no_word(board: Board) -> None:
    assert board.end() == (0, "")


# --- without a server -----------------------------------------------------------------------


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of a folder's event files, in the order in which they were written."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    read: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob(PATTERN)):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    figure = float(make_ndarray(value.tensor))
                    read.setdefault(value.tag, []).append((event.step, figure))
    return read


def test_a_run_that_goes_on_has_one_file_with_every_epoch_once(
    result: tuple[StudyResult, Store, list[str]],
) -> None:
    served, store, before = result
    (run,) = served.runs["1/2 convnet"]
    folder = store.events_folder(run.name)
    trained = [file.name for file in folder.iterdir()]
    assert len(trained) == 1
    assert not {*before} & {*trained}
    assert [step for step, _ in read(folder)["loss/train"]] == [1, 2, 3]


def test_events_are_no_part_of_the_run(result: tuple[StudyResult, Store, list[str]]) -> None:
    served, store, _ = result
    for run in served.every_run:
        manifest = json.loads((run.folder / "manifest.json").read_text())
        assert not [name for name in manifest if "event" in name or "tensorboard" in name]
        assert store.get(run.name) == run
    assert "tensorboard" not in {run.name for run in store.all()}


def test_a_study_is_shown_by_links_to_its_runs(
    result: tuple[StudyResult, Store, list[str]],
) -> None:
    served, store, _ = result
    _, folder = chosen(served.plan.label, store)
    made = sorted(str(link.relative_to(folder)) for link in folder.glob("*/*"))
    assert [link for link in made if not link.startswith("late")] == LINKS
    for link in LINKS:
        events = store.events_folder(run_of(result, link).name)
        assert (folder / link).is_symlink()
        assert (folder / link).resolve() == events.resolve()


def test_links_are_those_of_the_runs_that_are_trained_now(tmp_path: Path) -> None:
    store, one, folder = Store(tmp_path), tiny("mlp"), tmp_path / "studies" / "s"
    folded = override(one, {"data.holdout": {"how": "fold", "folds": 3, "fold": 2, "seed": 0}})

    def links() -> dict[str, str]:
        found = (folder / NAMED).glob("*/*")
        return {str(link.relative_to(folder / NAMED)): link.resolve().name for link in found}

    link_events(folder, store, {"v": [one]}, ["a"])
    link_events(folder, store, {"..": [folded]}, ["c"], more=True)
    assert links() == {"v/seed 0": "a", "variant/fold 2, seed 0": "c"}
    link_events(folder, store, {"w": [one]}, ["b"])
    assert links() == {"w/seed 0": "b"}


def test_hyperparameters_leave_out_seed_and_fold_alone() -> None:
    one = flat_hyperparameters(tiny("mlp"))
    assert flat_hyperparameters(tiny("mlp", seed=5)) == one
    assert one["data.name"] == "fashion_mnist"
    assert one["model.dense"] == "[8]"
    assert one["start"] == "null"
    folds = [
        override(tiny("mlp"), {"data.holdout": {"how": "fold", "folds": 3, "fold": n, "seed": 0}})
        for n in (0, 1)
    ]
    assert flat_hyperparameters(folds[0]) == flat_hyperparameters(folds[1])
    augmented = override(tiny("mlp"), {"training.augmentation": [{"kind": "flip"}]})
    assert '"kind": "flip"' in flat_hyperparameters(augmented)["training.augmentation"]
    start = WarmStart(source=tiny("mlp"), layers=("dense_1",))
    warm = tiny("mlp").model_copy(update={"start": start})
    assert flat_hyperparameters(warm)["start"] == "fashion_mnist mlp"


def test_what_cannot_be_written_warns_once_and_ends_no_training(
    sample: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="TensorBoard") as said:
        run = run_experiment(tiny("mlp"), sample, store)
    (warning,) = [str(w.message) for w in said if "TensorBoard" in str(w.message)]
    assert warning.startswith(f"no TensorBoard events of {run.name}: ")
    assert run.metrics["epochs_trained"] == 3


def test_what_fails_in_between_leaves_no_events_behind(tmp_path: Path) -> None:
    events = RunEvents(tmp_path / "run", tiny("mlp"))
    events.begin()
    events.epoch({"epoch": 1, "train_loss": 0.5})
    assert read(tmp_path / "run") == {"loss/train": [(1, 0.5)]}
    with pytest.warns(UserWarning, match="no TensorBoard events of run: KeyError: 'kept_epoch'"):
        events.end({})
    events.epoch({"epoch": 2, "train_loss": 0.5})  # as if nothing were
    assert list((tmp_path / "run").iterdir()) == []


def test_a_diverged_run_has_its_epochs_and_no_final_figures(
    sample: Dataset, tmp_path: Path
) -> None:
    experiment = override(
        tiny("mlp"), {"training.optimizer": {"kind": "sgd", "learning_rate": 1e30}}
    )
    store = Store(tmp_path)
    run = run_experiment(experiment, sample, store)
    assert run.metrics["status"] == "diverged"
    scalars = read(store.events_folder(run.name))
    assert not [tag for tag in scalars if tag.startswith("final/")]
    assert [step for step, _ in scalars["loss/train"]] == [row["epoch"] for row in run.history]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "no study and no run 'nonsense' in {runs}; there are tiny-quick"),
        (["fashion"], 2, "study fashion was not run yet; next: python -m kerascw run fashion"),
        (["tiny-quick", "--port", "{taken}"], 1, "--port {taken}: is taken; choose another"),
        (["tiny-quick", "--host", "256.1.1.1", "--port", "0"], 1, "--host 256.1.1.1, --port 0: "),
    ],
)
def test_bad_calls_end_with_one_line(
    arguments: list[str],
    code: int,
    said: str,
    result: tuple[StudyResult, Store, list[str]],
) -> None:
    with socket.create_server(("localhost", 0)) as server:
        words = {"runs": str(result[1].folder), "taken": str(server.getsockname()[1])}
        filled = [argument.format(**words) for argument in arguments]
        called = CliRunner().invoke(main, ["tensorboard", *filled, "--runs", words["runs"]])
    assert called.exit_code == code, called.output
    assert called.stderr.startswith(f"kerascw: {said.format(**words)}")
    assert called.stderr.count("\n") == 1


def test_no_runs_is_one_line(tmp_path: Path) -> None:
    called = CliRunner().invoke(main, ["tensorboard", "--runs", str(tmp_path)])
    assert called.exit_code == 2
    assert called.stderr == (
        f"kerascw: no runs in {tmp_path}; next: python -m kerascw run digits\n"
    )
