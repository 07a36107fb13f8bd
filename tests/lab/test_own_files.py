"""Studies, models and datasets from Python files of one's own, through the command."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.data import load_data
from kerascw.errors import CallError
from kerascw.experiment.own_file import load_file
from kerascw.experiment.spec import DataSpec, DenseNet, Experiment, Holdout, TrainingSpec
from kerascw.runs.run import run_experiment, train_until
from kerascw.runs.store import Run, Store

MODEL = """
import keras
import numpy as np

import kerascw
from kerascw.experiment.spec import DataSpec, Experiment, Holdout, TrainingSpec


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2.0 * inputs


def make(input_shape, classes, units=8):
    images = keras.Input(input_shape)
    values = Doubled()(keras.layers.Flatten()(images))
    one = keras.layers.Dense(units, activation="relu")(values)
    both = keras.layers.Dropout(0.2)(keras.layers.concatenate([values, one]))
    return keras.Model(images, keras.layers.Dense(classes, activation="softmax")(both))


def arrays():
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = random.integers(0, 99, (120, 8, 8), dtype=np.uint8) + (100 * labels)[:, None, None]
    return {"x_train": images.astype(np.uint8), "y_train": labels,
            "class_names": np.array(["dark", "light"])}
"""

STUDY = """

def variants():
    data = kerascw.data_named("own_study:arrays")
    experiment = Experiment(
        data=data.model_copy(update={"holdout": Holdout(how="last", count=20)}),
        model=kerascw.Custom(builder="own_study:make"),
        training=TrainingSpec(epochs=2, batch_size=20),
    )
    return {"own": experiment}


def answers(runs):
    return [kerascw.Answer("How many runs?", f"{sum(map(len, runs.values()))} of them")]


STUDY = kerascw.Study(name="own", question="Which is lighter?", variants=variants,
                      answers=answers, quick=kerascw.Quick(epochs=2, seeds=2))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("own_study.py").write_text(MODEL + STUDY)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def last_line(result: Result, code: int) -> str:
    """Return the one line that a command ended with."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output.splitlines()[-1]


def on_digits(builder: str) -> Experiment:
    return Experiment(
        data=DataSpec(name="digits", holdout=Holdout(how="last", count=350), fraction=0.2),
        model=kerascw.Custom(builder=builder),
        training=TrainingSpec(epochs=2, batch_size=32),
    )


# --- a study --------------------------------------------------------------------------------


def test_a_study_of_ones_own_is_run_by_workers_and_recalled(folder: Path) -> None:
    words = ("run", "own_study.py", "--jobs", "2")
    ran = call(*words)
    assert ran.exit_code == 0, ran.output
    assert "2 of them" in ran.output
    kept = Store("runs").all()
    assert [run.metrics["class_names"] for run in kept] == [["dark", "light"]] * 2
    assert {run.name.rpartition("-")[0] for run in kept} == {"own_study.py_arrays-custom"}

    again = call(*words)
    assert again.exit_code == 0, again.output
    assert len(Store("runs").all()) == 2, "what is kept is not trained again"
    for name in ("own", "own-quick", "own_study.py"):
        assert "runs/studies/own-quick/report.html" in call("report", name).output
    assert "has changed" not in call("show").output
    # with layers of that file, in the run's own Keras file
    image = Path("image.npy")
    np.save(image, load_data("own_study.py:arrays").test.images[:1])
    predicted = call("predict", str(kept[0].folder), str(image))
    assert predicted.exit_code == 0, predicted.output

    file = folder / "own_study.py"
    file.write_text(file.read_text().replace('f"{sum', 'f"{1 / 0}{sum'))
    line = file.read_text()[: file.read_text().index("1 / 0")].count("\n") + 1
    with pytest.warns(UserWarning, match="has changed since it was run; the runs are those"):
        failed = call("report", "own")
    changed = f"study own: its file {file} has changed since it was run"
    assert changed in call("show").output
    said = last_line(failed, 1)
    assert said == f"kerascw: {file}, line {line}: ZeroDivisionError: division by zero"
    file.unlink()
    assert last_line(call("report", "own"), 2) == (
        f"kerascw: study own: its file {file} is gone; put it back to draw the study's page"
    )
    shown = call("show")
    assert shown.exit_code == 0
    assert f"study own: its file {file} is gone" in shown.output


WRONG_STUDIES = {
    "STUDY = (": ("own_study.py, line 1: no Python: ", None),
    "import kerascw\n\nSTUDY = 1 / 0": ("own_study.py, line 3: ZeroDivisionError: ", None),
    "STUDY = 3": ("own_study.py: expected STUDY = kerascw.Study(...), but STUDY is int", None),
    "": ("own_study.py: expected STUDY = kerascw.Study(...), but STUDY has none", None),
    STUDY.replace('"own"', '"fashion"'): ("'fashion': list has a study of that name", None),
    STUDY.replace('"own"', '"../own"'): ("'../own'; write letters, digits and -_. only", None),
    STUDY.replace("epochs=2, batch", "epochs=0, batch"): ("line 35: epochs: ", 1),
}


@pytest.mark.parametrize("text", WRONG_STUDIES)
def test_a_wrong_file_ends_the_command_with_one_line(folder: Path, text: str) -> None:
    Path("own_study.py").write_text(MODEL + text if text.startswith("\n") else text)
    expected, code = WRONG_STUDIES[text]
    assert expected in last_line(call("run", "own_study.py"), code or 2)
    assert not Path("runs").exists() or not Store("runs").all()


def test_a_file_that_is_not_there(folder: Path) -> None:
    assert "nowhere.py: cannot be read (No such file" in last_line(call("run", "nowhere.py"), 2)


def test_a_study_is_made_and_run_in_python(folder: Path) -> None:
    own = on_digits("own_study:make").model_copy(update={"model": DenseNet(dense=(4,))})
    quick = kerascw.Quick(epochs=1, seeds=1)
    result = kerascw.run(kerascw.study("in-python", {"dense": own}, quick=quick), models=None)
    assert result.run.metrics["epochs_trained"] == 1
    assert "in-python was run from Python, in no file" in last_line(call("report", "in-python"), 2)


# --- a model --------------------------------------------------------------------------------


def test_the_key_covers_the_text_of_the_file_and_not_its_place(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "own_study.py").write_text(MODEL + STUDY)
    here = on_digits("own_study.py:make").key("data")
    assert on_digits("elsewhere/own_study.py:make").key("data") == here
    kept = on_digits("own_study.py:make")
    Path("own_study.py").write_text(MODEL + STUDY + "# another text\n")
    assert on_digits("own_study.py:make").key("data") != here
    read = Experiment.model_validate_json(kept.canonical_json())
    assert read.key("data") == here, "an experiment keeps the text that it was made of"
    with pytest.raises(CallError, match=r"own_study\.py: it has changed since"):
        kerascw.build_model(read.model, (8, 8, 1))


def test_a_paused_run_goes_on_bit_for_bit(folder: Path) -> None:
    experiment, digits = on_digits("own_study:make"), load_data("digits")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        whole = run_experiment(experiment, digits, Store("whole"))
    assert train_until(1, experiment, digits, Store("paused")) is None
    paused = run_experiment(experiment, digits, Store("paused"))
    for file in ("history.csv", "predictions.npz"):
        assert (paused.folder / file).read_bytes() == (whole.folder / file).read_bytes()
    assert names(paused) == names(whole)
    assert "Doubled" in [row["type"] for row in whole.metrics["layers"]]


def names(run: Run) -> list[str]:
    return [weight.path for weight in run.model().weights]


WRONG_MODELS = {
    'raise ValueError("no")': "own_study.py, line 15: ValueError: no",
    "return 3": "own_study:make: returned int, not a keras.Model",
    "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])": (
        "own_study:make: of 4 images its model gives [4, 3]; expected [4, 2], a number for each"
    ),
    "return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(classes)])": (
        "an image; end it with softmax, or set logits (model.logits=true)"
    ),
    "return keras.Sequential([keras.layers.Flatten(), keras.layers.Conv2D(4, 3)])": (
        "own_study:make: its model does not take float32 [4, 8, 8, 1]: "
    ),
    "return keras.Sequential([keras.layers.Lambda(lambda x: x[:, 0, :2, 0] * 0 + 0.5)])": (
        "own_study:make: Keras cannot save its model and read it again: "
    ),
}


@pytest.mark.parametrize("body", WRONG_MODELS)
def test_a_wrong_model_is_found_before_training(folder: Path, body: str) -> None:
    text = (MODEL + STUDY).replace("    images = keras.Input(input_shape)\n", f"    {body}\n")
    Path("own_study.py").write_text(text)
    assert WRONG_MODELS[body] in last_line(call("run", "own_study.py"), 2)
    assert not Store("runs").all()


def test_logits_become_probabilities(folder: Path) -> None:
    text = MODEL.replace('Dense(classes, activation="softmax")', "Dense(classes)")
    Path("own_logits.py").write_text(text)
    spec = kerascw.Custom(builder="own_logits:make", logits=True)
    model = kerascw.build_model(spec, (8, 8, 1), 2)
    images = load_data("own_logits.py:arrays").test.images[:4]
    assert model(images).numpy().sum(axis=1) == pytest.approx([1] * 4)
    with pytest.raises(CallError, match="gives probabilities already"):
        kerascw.build_model(kerascw.Custom(builder="own_study:make", logits=True), (8, 8, 1), 2)


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        ("make", "model.builder: 'make'; write FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("no_such_file:make", "no file no_such_file.py here, and no such module"),
        ("own_study:build", "no function build"),
    ],
)
def test_a_builder_that_is_not_there(folder: Path, builder: str, said: str) -> None:
    words = ("run", "digits", "--set", "model.kind=custom", "--set", f"model.builder={builder}")
    assert said in last_line(call(*words), 2)


# --- a dataset ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "own_data.py, line 4: ZeroDivisionError"),
        ("return 3", "own_data.py:load: returned int; expected (x_train, y_train), "),
        ("return np.ones((4, 8, 8)), np.arange(4)", "x_train: float64 [4, 8, 8]; expected uint8"),
    ],
)
def test_a_wrong_function_of_data(folder: Path, body: str, said: str) -> None:
    Path("own_data.py").write_text(f"import numpy as np\n\ndef load():\n    {body}\n")
    done = call("data", "show", "own_data.py:load")
    assert said in last_line(done, 2 if "1 / 0" in body else 1)


# --- importing ------------------------------------------------------------------------------


def test_a_file_hides_no_other_module_and_is_run_once(folder: Path) -> None:
    Path("json.py").write_text("VALUE = []\n")
    module = load_file("json.py")
    assert module is load_file(folder / "json.py")
    assert not hasattr(sys.modules["json"], "VALUE")
    Path("json.py").write_text("VALUE = [1]\n")
    assert load_file("json.py").VALUE == [1]


def test_the_package_offers_it_without_importing_it() -> None:
    code = (
        "import sys, kerascw; heavy = {'tensorflow', 'pydantic', 'keras'}; "
        "assert not heavy & set(sys.modules); "
        "kerascw.Study, kerascw.study, kerascw.Custom; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
