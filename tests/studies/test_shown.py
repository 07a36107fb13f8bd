"""What the reports show: layers, colour channels, one image by itself, random predictions."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.io import savemat

from kerascw.commands.main import main
from kerascw.data import CATALOG, Part, Splits, load_data
from kerascw.experiment.settings import override
from kerascw.experiment.spec import ConvNet
from kerascw.models import build_model
from kerascw.models.summary import layer_table
from kerascw.report import features
from kerascw.report.run import draw_run, some_of
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Store
from kerascw.studies import digits_svhn


def test_the_layer_table_is_the_published_one() -> None:
    """The convnet lab prints it of its first model."""
    model = build_model(ConvNet(filters=(32, 64, 64), pool_after=(1, 2), dense=(64,)))
    rows = {row["name"]: (row["output"], row["parameters"]) for row in layer_table(model)}
    assert rows["conv_1"] == ([26, 26, 32], 320)
    assert rows["pool_2"] == ([5, 5, 64], 0)
    assert rows["conv_3"] == ([3, 3, 64], 36928)
    assert rows["flatten"] == ([576], 0)
    assert rows["probabilities"] == ([10], 650)
    assert sum(parameters for _, parameters in rows.values()) == 93322
    twice = build_model(ConvNet(filters=(4,), mirror_average=True))
    assert {row["name"]: row["output"] for row in layer_table(twice)}["conv_1"] == [26, 26, 4]


def test_a_run_shows_its_layers_and_epoch_0(tmp_path: Path) -> None:
    experiment = override(digits_svhn.digits()["convnet"], {"training.epochs": 1})
    digits = load_data("digits")
    run = run_experiment(experiment, digits, Store(tmp_path))
    shown = CliRunner().invoke(main, ["show", run.name, "--runs", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "conv_1" in shown.output
    assert "8 x 8 x 16" in shown.output
    from kerascw.data import split

    page = draw_run(run, split(digits, experiment.data)).read_text()
    assert "<h2>Layers</h2>" in page
    epochs = (run.folder / "tables" / "epochs.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in epochs] == ["epoch", "0", "1"]


def test_channels_keep_the_pixels_of_their_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[..., 1] = 200
    part = Part(image, np.array([0]))
    monkeypatch.setattr(features, "splits_of", lambda *_: Splits(part, None, part, ("7",)))
    diverged = SimpleNamespace(metrics={"kept_epoch": None})
    figure, said = features.channel_pictures([diverged], None)["channels"]
    drawn = [np.asarray(shown.get_array()) for shown in figure.axes[0].images]
    assert [int(channel.max()) for channel in drawn] == [200, 0, 200, 0]
    assert said.endswith("its label is 7")


def test_svhn_shows_a_training_image_in_its_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On generated files of the official layout: the real ones are not to be had everywhere."""
    random = np.random.default_rng(0)
    for part, count in (("train", 80), ("test", 20)):
        held = {
            "X": random.integers(0, 256, (32, 32, 3, count), np.uint8),
            "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None],
        }
        savemat(tmp_path / f"{part}_32x32.mat", held)
    md5 = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in tmp_path.iterdir()}
    monkeypatch.setitem(CATALOG, "svhn", replace(CATALOG["svhn"], md5=md5))
    runs = tmp_path / "runs"
    words = ["run", "svhn", "--data-dir", str(tmp_path), "--epochs", "1", "--runs", str(runs)]
    small = ["--set", "data.holdout.count=20", "--models", str(tmp_path / "models")]
    done = CliRunner().invoke(main, [*words, *small, "--set", "pictures.image=3"])
    assert done.exit_code == 0, done.output
    (folder,) = (runs / "studies").iterdir()
    assert (folder / "figures" / "channels.png").is_file()
    said = "training image 3 as its red, green and blue channels; its label is "
    assert said in (folder / "report.html").read_text(encoding="utf-8")


def test_one_image_with_a_colour_bar(tmp_path: Path) -> None:
    words = ["data", "show", "fashion_mnist", "--sample", "--output", str(tmp_path / "all.png")]
    result = CliRunner().invoke(main, [*words, "--image", "17"])
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "all-17.png") as image:
        assert image.width > 300
    result = CliRunner().invoke(main, [*words, "--image", "6000"])
    assert result.exit_code == 2
    assert "--image: 6000; choose from 0 to 5999" in result.stderr


def test_the_images_at_random_are_always_the_same() -> None:
    chosen = some_of(10_000)
    assert len(set(chosen)) == 15
    assert chosen == some_of(10_000)
    assert chosen != list(range(15))


@pytest.mark.parametrize("image", [-1, 1437])
def test_an_image_that_is_not_there_is_refused(image: int) -> None:
    from kerascw.errors import CallError
    from kerascw.report.figures import image_with_bar

    with pytest.raises(CallError, match=f"--image: {image}"):
        image_with_bar(load_data("digits"), image)
