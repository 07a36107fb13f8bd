"""predict --explain, and the maps on a run's page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kerascw.commands.main import main
from kerascw.data.load import splits_for
from kerascw.report.explained import FILE
from kerascw.runs.store import Run, Store


def of_kind(kept: Path, kind: str) -> Run:
    return next(run for run in Store(kept).all() if run.experiment.model.kind == kind)


@pytest.fixture
def digit(kept_digits: Path, tmp_path: Path) -> Path:
    test = splits_for(of_kind(kept_digits, "convnet").experiment.data).test
    Image.fromarray(test.images[0][..., 0]).save(tmp_path / "a digit.png")
    return tmp_path / "a digit.png"


def predicted(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def test_a_run_explains_an_image(
    kept_digits: Path, digit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file goes to the current folder: the image's own may be a class of a dataset."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = of_kind(kept_digits, "convnet")
    done = predicted(run.name, digit, "--explain", "--layer", "conv_1", "--runs", kept_digits)
    assert done.exit_code == 0, done.output
    explained = tmp_path / "here" / "a digit-explained.png"
    assert f"explained: {explained.name}" in done.stderr.splitlines()
    with Image.open(explained) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    orange = (pixels[..., 0] > 120) & (pixels[..., 2] < 40) & (pixels[..., 1] < 140)
    assert orange.sum() > 100
    assert list(explained.parent.iterdir()) == [explained]
    assert sorted(path.name for path in digit.parent.iterdir()) == [digit.name, "here"]


def test_a_keras_export_explains_too(
    made: Any, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample.test.images[0][..., 0]).save(tmp_path / "shoe.png")
    done = predicted(made("tiny", "keras"), tmp_path / "shoe.png", "--explain")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "shoe-explained.png").is_file()


def test_images_of_one_name_overwrite_nothing(
    made: Any, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = ("a/1.png", "a/1.jpg", "a/x/1.png", "b/x/1.png", "x-1.png")
    for at, file in enumerate(files):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.test.images[at][..., 0]).save(file)
    done = predicted(made("tiny", "keras"), *files, "--explain")
    assert done.exit_code == 0, done.output
    said = [line for line in done.stderr.splitlines() if line.startswith("explained: ")]
    names = [f"{name}-explained.png" for name in ("a-1", "a-1-2", "x-1", "x-1-2", "x-1-3")]
    assert said == [f"explained: {name}" for name in names]
    assert len({Path(name).read_bytes() for name in names}) == len(files)


def test_what_cannot_be_explained_is_one_line(kept_digits: Path, digit: Path) -> None:
    (folder,) = (path for path in (kept_digits.parent / "models").iterdir() if path.is_dir())
    runs = ("--runs", kept_digits)
    dense, convnet = (of_kind(kept_digits, kind).name for kind in ("mlp", "convnet"))
    for words, said in (
        ((folder, digit, "--explain"), "only a Keras model can be looked into; name a kept run"),
        ((dense, digit, "--explain", *runs), "a model without a convolution has no maps"),
        ((convnet, digit, "--explain", "--layer", "conv9", *runs), "--layer conv9: choose conv_1"),
        ((convnet, digit.parent, "--explain", *runs), "is no image file; name image files"),
        ((convnet, digit, "--layer", "conv_1", *runs), "--layer: only with --explain"),
        ((convnet, digit, "--explain", "--evaluate", *runs), "--explain: not with --evaluate"),
    ):
        done = predicted(*words)
        assert done.exit_code == 2, done.output
        (line,) = done.stderr.splitlines()
        assert said in line
        assert done.stdout == ""
    assert [path.name for path in digit.parent.iterdir()] == [digit.name]


def test_a_runs_page_shows_where_its_mistakes_lie(kept_digits: Path) -> None:
    run = of_kind(kept_digits, "convnet")
    dense = of_kind(kept_digits, "mlp")
    assert "Where it saw the wrong class" in (run.folder / "report.html").read_text()
    assert (run.folder / "figures" / "explained.svg").is_file()
    with np.load(run.folder / FILE) as maps:
        shown = min(8, len(run.metrics["test"]["most_confident_mistakes"]))
        assert {name: own.shape for name, own in maps.items()} == dict.fromkeys(
            ("Grad-CAM", "HiResCAM", "occlusion"), (shown, 8, 8)
        )
    page = (dense.folder / "report.html").read_text()
    assert "The model has no convolution, so there is no Grad-CAM of these." in page
