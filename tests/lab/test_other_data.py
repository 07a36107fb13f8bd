"""A study on another dataset, or on a folder of pictures, from the shell as a user would."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import data_named, load_data, load_for
from kerascw.errors import CallError
from kerascw.experiment.spec import Folder, Holdout
from kerascw.lab.derive import on_other_data, with_data
from kerascw.lab.plan import planned
from kerascw.runs.run import file_name, run_name
from kerascw.runs.store import Store
from kerascw.studies import bag, fashion, image_techniques, recall, study_named


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERASCW_CACHE_DIR", str(tmp_path / "cache"))


def picture(seed: int, bright: bool) -> Image.Image:
    """A picture that one look tells apart: bright above, or bright below."""
    pixels = np.random.default_rng(seed).integers(0, 90, (20, 24, 3), np.uint8)
    rows = slice(0, 10) if bright else slice(10, 20)
    pixels[rows] += 150
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 60 pictures, no test part."""
    root = tmp_path / "Sky & ground"
    for number, name in enumerate(("Erde", "Größer Himmel")):
        (root / name).mkdir(parents=True)
        for at in range(60):
            picture(100 * number + at, bright=number == 1).save(root / name / f"{at:03}.png")
    return root


def test_digits_need_no_files_and_have_the_report_s_values() -> None:
    from sklearn.datasets import load_digits

    data, theirs = load_data("digits"), load_digits()
    assert data.is_official
    np.testing.assert_array_equal(data.train.images[..., 0], theirs.images[:1350] * 15)
    np.testing.assert_array_equal(data.test.labels, theirs.target[1350:])
    from kerascw.data import split
    from kerascw.models import build_model
    from kerascw.training.fit import scaling_of

    experiment = study_named("digits").variants()["mlp"]
    splits = split(data, experiment.data)
    assert (len(splits.train), len(splits.validation or ()), len(splits.test)) == (1000, 350, 447)
    scaling = scaling_of(experiment.data, splits)
    model = build_model(experiment.model, splits.train.shape, scaling=scaling)
    seen = np.asarray(model.get_layer("scale_pixels")(splits.train.images))[..., 0]
    np.testing.assert_allclose(seen, theirs.images[:1000], atol=1e-5)


def test_what_is_held_out_of_another_dataset() -> None:
    recipe = fashion.recipe()
    digits = data_named("digits")
    moved = on_other_data(recipe, digits, load_for(digits))
    assert moved.data.holdout is not None
    assert (moved.data.holdout.how, moved.data.holdout.count) == ("stratified", 135)
    assert moved.training == recipe.training
    # a folder's images are in the order of their classes; a split that is drawn does not mind
    folder = digits.model_copy(update={"folder": Folder(path="x", height=8, width=8)})
    small = Holdout(how="first", count=100)
    for how, becomes in (("first", "stratified"), ("sklearn", "sklearn"), ("random", "random")):
        drawn = with_data(recipe, holdout=small.model_copy(update={"how": how}))
        moved = on_other_data(drawn, folder, load_for(digits))
        assert moved.data.holdout is not None
        assert (moved.data.holdout.how, moved.data.holdout.count) == (becomes, 100)
    # nor would training in that order, class by class, learn anything but the last class
    in_order = image_techniques.mlp()["first, as printed"]
    assert not on_other_data(in_order, digits, load_for(digits)).training.shuffle
    assert on_other_data(in_order, folder, load_for(digits)).training.shuffle
    classes = on_other_data(bag.cnn()["bag-cnn"], digits, load_for(digits))
    assert classes.data.classes is None
    assert classes.data.scaling == "raw"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "mnits"], "no dataset 'mnits'; choose fashion_mnist"),
        (["--data", "folder:nowhere"], "nowhere"),
        (["--data", "digits", "--sample"], "--sample: only the study's own dataset has one"),
        (["--data", "digits", "--set", "data.holdout.how=own"], "own, but digits (scikit-learn)"),
        (["--data", "digits", "--set", "model.filters=8,8,8,8", "--set",
          "model.pool_after=1,2,3,4"], "leaves no pixel of 1x1"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    result = call("run", "fashion", *words, "--runs", str(tmp_path / "runs"))
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("runs/*-*"))


def test_from_a_folder_of_pictures_to_a_prediction(folder: Path, tmp_path: Path) -> None:
    runs, saved = tmp_path / "runs", tmp_path / "saved"
    command = [
        *("run", "fashion", "--data", f"folder:{folder}", "--epochs", "6", "--batch-size", "16"),
        *("--set", "model.filters=8,8", "--set", "model.pool_after=1,2"),
        *("--set", "training.augmentation=[]", "--runs", str(runs), "--models", str(saved)),
    ]
    result = call(*command)
    assert result.exit_code == 0, result.output
    (run,) = Store(runs).all()
    assert run.name.startswith("Sky_ground-convnet-")
    assert run.metrics["class_names"] == ["Erde", "Größer Himmel"]
    data = run.experiment.data
    assert data.folder is not None
    assert (data.folder.height, data.folder.width, data.folder.colour) == (20, 24, True)
    assert [run.metrics[part]["examples"] for part in ("train", "validation", "test")] == [
        87, 9, 24,
    ]  # fmt: skip
    assert run.metrics["test"]["accuracy"] == 1
    for split in ("validation", "test"):
        frame = run.predictions(split)
        assert len(frame) == run.metrics[split]["examples"]
        assert all((folder / file).is_file() for file in frame.file)
        assert [Path(file).parts[-2] for file in frame.file] == frame.truth.tolist()
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Größer Himmel" in page
    assert "published" not in page
    again = call(*command)
    assert again.exit_code == 0
    assert len(Store(runs).all()) == 1
    # nor is it trained anew where the folder has moved
    moved = load_for(data_named(f"folder:{shutil.copytree(folder, tmp_path / 'b' / folder.name)}"))
    assert run_name(run.experiment, moved) == run.name

    (model,) = saved.iterdir()
    assert re.fullmatch(file_name(data) + "-[0-9a-f]{6}", model.name)  # settings were changed
    large = tmp_path / "new.jpg"
    picture(999, bright=True).resize((240, 200)).save(large)
    predicted = call("predict", str(model), str(large), "--format", "json")
    assert predicted.exit_code == 0, predicted.output
    assert json.loads(predicted.stdout)[0]["predictions"][0]["label"] == "Größer Himmel"

    result = recall("fashion", Store(runs))
    assert result.plan.changed["data"] == f"folder:{folder}"
    assert any("changed: data=folder:" in caution for caution in result.plan.cautions)


def test_bad_pictures_end_it_before_training_or_are_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "Erde" / "broken.png").write_bytes(b"no picture")
    words = ["run", "fashion", "--data", f"folder:{folder}", "--epochs", "1", "--batch-size", "64",
             "--set", "model.filters=4", "--set", "model.pool_after=1",
             "--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "s")]  # fmt: skip
    result = call(*words)
    assert result.exit_code == 1
    assert "Erde/broken.png" in result.stderr
    assert "--bad-files skip" in result.stderr
    assert not list(tmp_path.glob("runs/*-*"))
    with pytest.warns(UserWarning, match=r"broken\.png"):
        result = call(*words, "--bad-files", "skip")
    assert result.exit_code == 0, result.output
    (run,) = Store(tmp_path / "runs").all()
    assert sum(run.metrics[part]["examples"] for part in ("train", "validation", "test")) == 120


def test_a_folder_s_own_validation_part_is_used(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for part, count in (("train", 30), ("val", 7), ("test", 5)):
        for number, name in enumerate(("a", "b")):
            (root / part / name).mkdir(parents=True)
            for at in range(count):
                picture(at, bright=number == 1).save(root / part / name / f"{at}.png")
    data = data_named(f"folder:{root}", size=(16, 16))
    plan = planned(study_named("fashion"), data=data)
    (experiment,) = plan.experiments["fashion"]
    assert experiment.data.holdout is not None
    assert experiment.data.holdout.how == "own"
    from kerascw.data import split

    splits = split(load_for(data), experiment.data)
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (60, 14, 10)
    with pytest.raises(CallError, match="no sample of a folder"):
        load_for(data, sample=True)
