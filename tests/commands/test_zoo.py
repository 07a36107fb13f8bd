"""The models that are kept in git: each is reloaded by a clean process and checked by its card."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import kerascw
from kerascw.commands.main import main
from kerascw.commands.zoo import (
    CARD,
    ZOO,
    Check,
    ZooModel,
    card_text,
    make,
    measure,
)
from kerascw.data import load_data
from kerascw.export.load import EXTRA_FILE, load_model, read_document
from kerascw.runs.store import Store

ROOT = Path(kerascw.__file__).parent.parent
SAVED_MODELS = ROOT / "saved_models"

PROGRAM = """
import json, sys
from pathlib import Path
from kerascw.commands.zoo import ZOO, measure
from kerascw.export.load import load_model
found = {}
for name in sys.argv[1:]:
    model = load_model(Path("saved_models", name, "1"))
    found[name] = measure(ZOO[name].check, model)
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def versions():
    """The kept version of every model, whatever else somebody may have exported there."""
    return {name: SAVED_MODELS / name / "1" for name in ZOO}


@pytest.fixture(scope="module")
def documents(versions):
    return {name: read_document(version / EXTRA_FILE) for name, version in versions.items()}


@pytest.fixture(scope="module")
def measured():
    """What a process that trained nothing finds, for every model."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *ZOO], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- what is in git -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_stated_accuracy(documents, measured, name):
    stated = documents[name]["card"]["zoo"]["check"]
    found = measured[name]
    assert found["pictures"] == stated["pictures"]
    # another processor adds in another order, which can turn a picture on the edge of two classes
    assert abs(found["correct"] - stated["correct"]) <= 1
    assert stated["accuracy"] == stated["correct"] / stated["pictures"]
    assert stated["words"] == ZOO[name].check.words


@pytest.mark.parametrize("name", ZOO)
def test_the_card_is_what_lies_beside_the_model(documents, name):
    assert (SAVED_MODELS / name / CARD).read_text() == card_text(documents[name])


@pytest.mark.parametrize("name", ZOO)
def test_figures_agree_with_one_another(documents, name):
    card = documents[name]["card"]
    test, seeds = card["test"], card["zoo"]["seeds"]
    confusion = np.array(test["confusion"])
    assert confusion.shape == (10, 10)
    assert confusion.sum() == test["examples"]
    assert np.trace(confusion) / test["examples"] == pytest.approx(test["accuracy"], abs=1e-12)
    low, high = test["accuracy_interval_95"]
    assert low < test["accuracy"] < high
    assert len(seeds["runs"]) == ZOO[name].seeds
    chosen = next(run for run in seeds["runs"] if run["seed"] == seeds["chosen"])
    assert chosen["validation_accuracy"] == max(r["validation_accuracy"] for r in seeds["runs"])
    assert chosen["test_accuracy"] == test["accuracy"]
    assert card["experiment"]["seed"] == seeds["chosen"]
    assert card["experiment"]["data"]["holdout"] is not None  # which chose it
    assert chosen["epochs"] <= card["experiment"]["training"]["epochs"]
    accuracies = [run["test_accuracy"] for run in seeds["runs"]]
    assert seeds["mean"] == pytest.approx(np.mean(accuracies))
    assert seeds["interval_95"][0] < seeds["mean"] < seeds["interval_95"][1]
    assert card["command"] == ZOO[name].command


@pytest.mark.parametrize("name", ZOO)
def test_card_reads(documents, name):
    text = (SAVED_MODELS / name / CARD).read_text()
    card = documents[name]["card"]
    accuracy, check = card["test"]["accuracy"], card["zoo"]["check"]["accuracy"]
    for said in (
        f"# {name}\n",
        f"python -m kerascw predict saved_models/{name} IMAGE...",
        f"| test accuracy | {accuracy:.4f} | {card['test']['examples']:,} test images |",
        f"| check | {check:.4f} |",
        f"| expected calibration error, 15 bins | {card['test']['calibration_error']:.4f} |",
        f"| **{card['zoo']['seeds']['chosen']}** |",
        f"`{card['data']['fingerprint']}`. Licence of the data: {ZOO[name].licence}.",
        f'"epochs": {card["experiment"]["training"]["epochs"]},',
        f"\n{ZOO[name].command}\npython -m kerascw zoo {name}\n",
        "tensorflow 2.",
        ZOO[name].limits[0],
    ):
        assert said in text


def test_the_zoo_is_small_and_names_no_machine(versions):
    files = [p for version in versions.values() for p in version.rglob("*") if p.is_file()]
    files += [SAVED_MODELS / name / CARD for name in ZOO]
    assert sum(path.stat().st_size for path in files) < 8e6
    for path in files:
        for place in (b"/work/", b"/tmp/", b"/home/"):
            assert place not in path.read_bytes(), path
    index = (SAVED_MODELS / "README.md").read_text()
    for name in ZOO:
        assert f"[{name}]({name}/README.md)" in index
        assert ZOO[name].command in index


@pytest.mark.parametrize(
    ("name", "data", "sample", "margin"),
    [("fashion", "fashion_mnist", True, 0), ("mnist", "digits", False, 40),
     ("digits", "digits", False, 0)],
)  # fmt: skip
def test_predict_by_command_line(versions, name, data, sample, margin, tmp_path):
    """An image as a user has it: a file, large, dark on light; a digit with a margin."""
    dataset = load_data(data, sample=sample)
    label = dataset.entry.class_names[3]
    pixels = dataset.test.images[dataset.test.labels == 3][0, ..., 0]
    picture = Image.fromarray(255 - pixels).resize((280 - 2 * margin,) * 2)
    canvas = Image.new("L", (280, 280), 255)
    canvas.paste(picture, (margin, margin))
    canvas.save(tmp_path / "picture.jpg")
    done = CliRunner().invoke(
        main,
        ["predict", str(versions[name]), str(tmp_path / "picture.jpg"), "--format", "json"],
    )
    assert done.exit_code == 0, done.output
    [answer] = json.loads(done.stdout)
    assert answer["predictions"][0]["label"] == label
    assert answer["predictions"][0]["probability"] > 0.5


# --- making one -----------------------------------------------------------------------------

TINY = ZooModel(
    name="tiny",
    shows="digits",
    study="digits",
    variant="mlp",
    seeds=2,
    settings={"training.epochs": 3},
    licence="a licence",
    check=Check(data="digits", parts=("test",), words="the test set"),
    limits=("None to speak of.",),
)


@pytest.fixture(scope="module")
def store(kept_digits, tmp_path_factory):
    return Store(shutil.copytree(kept_digits, tmp_path_factory.mktemp("copy") / "runs"))


def test_make(store, tmp_path):
    version = make(TINY, store, tmp_path)
    assert version == tmp_path / "tiny" / "1"
    document = read_document(version / EXTRA_FILE)
    zoo, test = document["card"]["zoo"], document["card"]["test"]
    loaded = load_model(version)
    assert loaded.card["test"]["accuracy"] == test["accuracy"]
    assert measure(TINY.check, loaded) == zoo["check"]
    # the check of this one is the whole test part, which the run was scored on
    assert zoo["check"]["correct"] == round(test["accuracy"] * test["examples"])
    assert [run["seed"] for run in zoo["seeds"]["runs"]] == [0, 1]
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {"1", CARD}
    assert not list((version / EXTRA_FILE.parent).glob(".*"))
    text = (tmp_path / "tiny" / CARD).read_text()
    assert text == card_text(document)
    assert "--seeds 2 --set 'training.epochs=3'" in text
    before = {p: p.read_bytes() for p in (tmp_path / "tiny").rglob("*") if p.is_file()}
    assert make(TINY, store, tmp_path) == version  # nothing changes, nothing is exported again
    assert {p: p.read_bytes() for p in (tmp_path / "tiny").rglob("*") if p.is_file()} == before


def test_measure_fits_images_of_another_size(versions):
    model = load_model(versions["mnist"])
    part = measure(Check(data="digits", parts=("test",), words=""), model)
    every = measure(Check(data="digits", parts=("train", "test"), words=""), model)
    assert (part["pictures"], every["pictures"]) == (447, 1797)
    assert part["correct"] < every["correct"]


def test_what_was_not_run_is_said(store, tmp_path):
    done = CliRunner().invoke(
        main, ["zoo", "digits", "--runs", str(store.folder), "--saved-models", str(tmp_path)]
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"kerascw: zoo digits: {store.folder} does not have study digits as the zoo's model is "
        "made of it, 10 seeds; next: python -m kerascw run digits --budget full --seeds 10\n"
    )
    assert not list(tmp_path.iterdir())


def test_command_refuses():
    done = CliRunner().invoke(main, ["zoo", "cats"])
    assert done.exit_code == 2
    assert "'cats' is not one of 'fashion', 'mnist', 'digits'" in done.stderr
