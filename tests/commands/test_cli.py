"""The commands from the shell: one line for every error, and the library beside the command."""

import errno
import json
import math
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.errors import CallError
from kerascw.experiment.spec import DataSpec, DenseNet, Experiment, Holdout, TrainingSpec
from kerascw.lab.plan import planned
from kerascw.lab.study import Quick, Study
from kerascw.runs.store import MANIFEST, Store, find_fault
from kerascw.studies import study_named


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "fashoin"], "no study 'fashoin'; choose fashion"),
        (["run", "fashoin"], "(did you mean fashion?)"),
        (["run", "fashion", "--seeds", "0"], "'--seeds': 0 is not in the range x>=1"),
        (["run", "fashion", "--epochs", "0"], "training.epochs: Input should be greater than 0"),
        (["run", "fashion", "--epochs", "many"], "'many' is not a valid integer"),
        (["run", "fashion", "--batch-size", "-4"], "training.batch_size: Input should be"),
        (["run", "fashion", "--fraction", "2"], "'2': write a percentage up to 100%, or a"),
        (["run", "fashion", "--set", "training.epochs"], "write FIELD.PATH=VALUE"),
        (["run", "fashion", "--set", "model.depth=3"], "model.depth: no such field"),
        (["run", "fashion", "--set", "seed=3"], "seed: use --seed"),
        (["run", "fashion", "--folds", "1"], "--folds: 1; at least 2 are needed"),
        (["run", "fashion", "--data-dir", "/nope"], "--data-dir: /nope is not a folder"),
        (["run", "fashion", "--data", "folder:/nope"], "/nope"),
        (["run", "fashion", "--sample", "--set", "model.head=none"], "model.head: none, so the"),
        (["run", "fashion", "--sample", "--set", "data.holdout.count=6000"],
         "data.holdout.count: 6,000 of 6,000 training images leaves none"),
        (["run", "fashion", "--sample", "--set", "data.classes=1,77"], "77 is no class"),
        (["run", "fashion", "--runs", "/sys/x"], "--runs: /sys/x cannot be written"),
        (["run", "fashion", "--sample", "--models", "/sys/x"], "--models: /sys/x cannot be"),
        (["tune", "fashion", "--runs", "/sys/x"], "--runs: /sys/x cannot be written"),
        (["report", "--all", "--runs", "/sys/x"], "--runs: /sys/x cannot be written"),
        (["run"], "run: Missing argument 'STUDY|FILE.py'"),
        (["run", "fashion", "--sees", "3"], "run: No such option '--sees'"),
        (["run", "fashion", "--budget", "huge"], "'huge' is not one of 'quick', 'full'"),
        (["show", "nothing"], "no runs are kept in"),
        (["learn"], "No such command 'learn'"),
        (["--wrong"], "No such option '--wrong'"),
        (["train", "digits", "--minutes", "nan"], "'--minutes': nan is no finite number"),
        (["train", "digits", "--minutes", "1e300"], "'--minutes': 1e+300 is not in the range"),
        (["lr-find", "digits", "--highest", "inf"], "'--highest': inf is no finite number"),
        (["power", "digits", "--difference", "nan"], "'--difference': nan is no finite number"),
        (["run", "digits", "--seed", "3000000000"], "'--seed': 3000000000 is not in the range"),
        (["run", "digits", "--seed", "2147483647", "--seeds", "2"],
         "--seed: 2147483647; choose from 0 to 2147483646"),
        (["run", "digits", "--epochs", "99999999999999999999"], "training.epochs: Input should be"),
        (["run", "digits", "--set", "model.dense=9999999999"], "model.dense.0: Input should"),
        (["run", "digits", "--at-most", "5"], "--at-most: only with --until-decided"),
        (["run", "digits", "--augment", "shift:8"],
         "training.augmentation: shift:8; the images are 8 x 8, choose from 1 to 7"),
        (["run", "digits", "--fraction", "200%"], "'200%': write a percentage up to 100%"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_and_code_2(
    words: list[str], message: str, tmp_path: Path
) -> None:
    with CliRunner().isolated_filesystem(tmp_path) as folder:
        result = call(*words)
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stderr.startswith("kerascw: ")
        assert result.stderr.count("\n") == 1
        assert not [path for path in Path(folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "x"}, "budget: 'x'; choose quick or full"),
        ({"jobs": 0}, "jobs: 0; at least 1 is needed"),
        ({"seed": -1}, "seed: -1; choose from 0 to"),
        ({"seeds": 0}, "seeds: 0; choose from 1 to"),
        ({"at_most": 5}, "at_most: only with until_decided=True"),
        ({"difference": math.nan, "until_decided": True}, "difference: nan; more than 0"),
        ({"only": "mpl"}, "only: 'mpl' is no variant of digits"),
    ],
)
def test_python_refuses_what_the_command_does(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CallError, match=re.escape(message)):
        kerascw.run("digits", runs=tmp_path / "runs", **arguments)
    assert not (tmp_path / "runs").exists()


def test_a_training_that_diverges_is_a_failed_job(tmp_path: Path) -> None:
    words = ("train", "digits", "--epochs", "1", "--set", "training.optimizer.learning_rate=1e30")
    result = call(*words, "--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models"))
    assert result.exit_code == 1
    assert "and kept no weights: try a lower training.optimizer.learning_rate" in result.stderr
    assert "it was 1e+30" in result.stderr


def test_no_data_ends_with_what_was_tried(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = call("run", "fashion", "--data-dir", str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert "Fashion-MNIST not found in --data-dir" in result.stderr
    assert "train-images-idx3-ubyte" in result.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a/history.csv"),
         "runs/a/history.csv: No space left on device; free some space"),
        (OSError(errno.EROFS, "Read-only file system", "runs/b"),
         "runs/b: Read-only file system; choose a folder that can be written"),
        (PermissionError(errno.EACCES, "Permission denied", "index.html"),
         "index.html: Permission denied; choose a folder that you may write to"),
        (OSError("4096 requested and 0 written"), "4096 requested and 0 written"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_one_line_and_code_1(
    error: OSError, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("kerascw.report.index.replace_text", refuse)
    result = call("report", "--all", "--runs", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"kerascw: {message}")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_ends_a_run_with_one_line(tmp_path: Path) -> None:
    """What is trained until then stays, and the same command goes on."""
    words = ["run", "bag-cnn", "--sample", "--fraction", "0.02", "--epochs", "1", "--seeds", "1",
             "--set", "model.kind=mlp", "--runs", str(tmp_path / "runs")]  # fmt: skip
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # Python ignores the signal
    try:
        done = call(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("kerascw: ")
    assert done.stderr.count("\n") == 1
    assert not Store(tmp_path / "runs").all()
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert len(Store(tmp_path / "runs").all()) == 1


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that keeps bytecode: without it every start compiles the sources again."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode"))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["show"], ["run", "--help"], ["learning-curve", "--help"]]
)
def test_what_only_tells_is_quick_and_imports_little(
    words: list[str], compiled: dict[str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; from kerascw.commands.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import time; print(time.process_time(), file=sys.stderr)"
    )
    seconds = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=compiled, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds.append(float(done.stderr))
        if seconds[-1] < 1.2:
            break
    # 0.4 s is the promise, measured alone; here other tests share the caches
    assert min(seconds) < 1.2


def test_help_names_every_command_in_a_whole_line() -> None:
    told = call("--help").stdout.partition("Commands:")[2]
    for name in main.list_commands(click.Context(main)):
        (line,) = re.findall(rf"(?m)^  {name} +(.+)$", told)
        assert line.endswith(".")
        assert call(name, "--help").exit_code == 0


def test_list_tells_of_one_study() -> None:
    said = call("list", "bag-features").stdout
    assert "Do the channels of a trained convnet grow more class-selective with depth?" in said
    assert "pictures.channels=VALUE  none     only these channels, from 0, such as 0,3,5" in said
    assert "pictures." not in call("list", "fashion").stdout


def test_the_main_job_from_the_command_line(tmp_path: Path) -> None:
    words = ["run", "fashion", "--sample", "--epochs", "1", "--set", "model.filters=4,4,4,4,4",
             "--final", "--seeds", "2", "--runs", str(tmp_path / "runs"),
             "--models", str(tmp_path / "models")]  # fmt: skip
    with pytest.warns(UserWarning, match="fewer than 100 training steps in all: fashion"):
        result = call(*words)
    assert result.exit_code == 0, result.output
    assert "bundled sample, not the dataset" in result.stdout
    assert "4 runs" not in result.stdout  # the final runs depend on the first ones
    assert result.stdout.count("2 runs, 2 to train") == 2
    runs = Store(tmp_path / "runs").all()
    assert len(runs) == 4
    finals = [run for run in runs if run.experiment.data.holdout is None]
    assert len(finals) == 2
    for run in finals:
        assert run.metrics["train"]["examples"] == 6000
        assert "validation" not in run.metrics
    (page,) = (tmp_path / "runs").glob("*/report.html")  # of the run that is exported
    assert "This is the bundled sample of Fashion-MNIST, not the dataset" in page.read_text()
    assert 'src="http' not in page.read_text()
    (exported,) = (tmp_path / "models").iterdir()
    assert exported.name.startswith("fashion-sample-")  # and the changed settings
    assert [path.name for path in exported.glob("[0-9]*")] == ["1"]
    again = call(*words)
    assert again.exit_code == 0
    assert "Training" not in again.stdout
    assert [path.name for path in exported.glob("[0-9]*")] == ["1"]
    shown = call("show", runs[0].name, "--runs", str(tmp_path / "runs"))
    assert f"{runs[0].metrics['test']['accuracy']:.4f}" in shown.stdout
    listed = call("show", "--runs", str(tmp_path / "runs"))
    assert all(run.name in listed.stdout for run in runs)


# --- the library ----------------------------------------------------------------------------

TINY = Study(
    name="tiny",
    question="Does a study that no catalogue has run?",
    dataset="digits",
    variants=lambda: {
        "dense": Experiment(
            data=DataSpec(name="digits", holdout=Holdout(count=350)),
            model=DenseNet(dense=(4,)),
            training=TrainingSpec(epochs=1, batch_size=1200),
        )
    },
    expected={"quick": "seconds", "full": "seconds"},
    quick=Quick(epochs=1, seeds=1),
    exports="tiny",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("library")
    with pytest.warns(UserWarning, match=r"training.batch_size: 1,200 is more than the 1,000"):
        return kerascw.run(TINY, runs=folder / "runs", models=folder / "models")


def test_the_library_does_what_the_command_does(tiny: Any) -> None:
    assert tiny.run.metrics["test"]["examples"] == 447
    assert tiny.run.summary.budget == "1 epoch"
    assert (tiny.run.folder / "report.html").is_file()
    assert {path.name for path in (tiny.run.folder / "figures").iterdir()} == {
        f"{name}.{suffix}"
        for name in ("curves", "confusion", "calibration", "predictions", "mistakes")
        for suffix in ("png", "svg")
    }  # fmt: skip
    (tiny.run.folder / "report.html").unlink()
    assert tiny.report() == tiny.run.folder / "report.html"
    assert tiny.report().is_file()
    exported = tiny.run.folder.parent.parent / "models" / "tiny-quick" / "1"
    assert tiny.export() == exported
    assert kerascw.load_model(exported).predict(np.zeros((1, 8, 8, 1), np.uint8)).labels
    keras_file = tiny.export("keras")
    assert list(keras_file.glob("*.keras"))
    with pytest.raises(CallError, match=r"no such option; choose epochs.*did you mean epochs\?"):
        kerascw.run("fashion", epoch=1)
    with pytest.raises(CallError, match="--runs: /sys/x cannot be written"):
        kerascw.run("digits", runs="/sys/x")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"budget": "full"}, "fashion"),
        ({"budget": "quick"}, "fashion-quick"),
        ({"budget": "full", "sample": True}, "fashion-sample"),
        ({"recipe": "best", "budget": "full"}, "fashion-best"),
        ({"budget": "full", "settings": {"training.epochs": 2}}, "fashion-29d8bd"),
    ],
)
def test_an_export_s_name_says_what_was_changed(options: dict[str, Any], name: str) -> None:
    assert planned(study_named("fashion"), **options).export_name == name


def test_a_model_from_fields_and_a_misspelt_one() -> None:
    model = kerascw.build_model({"kind": "mlp", "dense": [4]}, (8, 8, 1))
    assert model.output_shape == (None, 10)
    with pytest.raises(CallError, match=r"^model\.filterz: no such field; .*did you mean filters"):
        kerascw.build_model({"kind": "convnet", "filters": [4], "filterz": [4]})
    with pytest.raises(CallError, match=r"^model\.filters: Field required$"):
        kerascw.build_model({"kind": "convnet"})


@pytest.mark.parametrize("content", ["[]", "null", "5", "{}", '{"a": 1}'])
def test_a_manifest_that_lists_nothing_is_a_fault(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert find_fault(tmp_path) is not None


def test_compare_leaves_out_what_is_damaged(tiny: Any, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny.run.folder.parent, tmp_path / "runs")
    other = tmp_path / "runs" / "digits-mlp-0123456789abcdef"
    shutil.copytree(tmp_path / "runs" / tiny.run.name, other)
    (other / "metrics.json").write_text("{")
    (tmp_path / "runs" / "studies" / "broken").mkdir()
    (tmp_path / "runs" / "studies" / "broken" / "study.json").write_text(json.dumps([1]))
    where = ("--runs", str(tmp_path / "runs"))
    output = ("--output", str(tmp_path / "out"))
    done = call("compare", tiny.run.name, other.name, *where, *output)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith(f"kerascw: {other.name} is left out: {other}/metrics.json: ")
    assert tiny.run.name in done.stdout
    done = call("compare", other.name, *where, *output)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1, "kerascw: nothing is left to compare",
    )  # fmt: skip
    done = call("report", tiny.run.name, *where)  # though a study beside it is damaged
    assert done.exit_code == 0, done.output
    done = call("report", "broken", *where)
    assert done.exit_code == 1
    assert done.stderr == (
        f"kerascw: {tmp_path / 'runs/studies/broken/study.json'}: damaged, not a JSON object\n"
    )
