import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kerascw.commands.main import main
from kerascw.evaluation.metrics import wilson_interval
from kerascw.export.load import load_model


@pytest.fixture(scope="session")
def folder(made):
    """The folder of all versions of a model that learned enough to know a trouser: as ONNX."""
    return made("tiny", "onnx").parent


@pytest.fixture(scope="module")
def trouser(sample):
    return sample.test.images[sample.test.labels == 1][0, ..., 0]


@pytest.fixture
def pictures(trouser, tmp_path):
    """Two pictures of the same trouser, one a large negative, and a file that is none."""
    Image.fromarray(trouser).save(tmp_path / "a.png")
    Image.fromarray(255 - trouser).resize((280, 280)).save(tmp_path / "b.jpg")
    (tmp_path / "bad.png").write_bytes(b"bad")
    return tmp_path


def run(*arguments, **options):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], **options)


def test_csv(folder, pictures):
    done = run(folder, pictures / "a.png", pictures / "b.jpg", "--format", "csv", "--top", 2)
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["file", "rank", "class_id", "label", "probability"]
    assert [row["file"] for row in rows] == [str(pictures / n) for n in ("a.png", "b.jpg")
                                             for _ in range(2)]  # fmt: skip
    assert [row["rank"] for row in rows] == ["1", "2", "1", "2"]
    for first, second in (rows[:2], rows[2:]):  # the negative was seen through
        assert (first["class_id"], first["label"]) == ("1", "Trouser")
        assert 1 > float(first["probability"]) > float(second["probability"]) > 0
    assert done.stderr == f"model: {load_model(folder).title}\n"


def test_json_has_the_models_figures(folder, trouser, pictures):
    done = run(folder, pictures / "a.png", "--format", "json")
    assert done.exit_code == 0
    expected = load_model(folder).predict(trouser)
    [answer] = json.loads(done.stdout)
    assert answer["file"] == str(pictures / "a.png")
    assert len(answer["predictions"]) == 3
    first = answer["predictions"][0]
    assert list(first) == ["class_id", "label", "probability"]
    assert first["class_id"] == expected.class_ids[0] == 1
    assert first["label"] == expected.labels[0] == "Trouser"
    assert first["probability"] == pytest.approx(expected.probabilities.max(), rel=1e-5)


def test_table_keeps_long_and_odd_names_whole(folder, trouser, tmp_path):
    names = [f"{'long' * 40}.png", "[bold]x[nope].png", "two\nlines.png", "café.png"]
    for name in names:
        Image.fromarray(trouser).save(tmp_path / name)
    done = run(folder, *(tmp_path / name for name in names), "--top", 1)
    assert done.exit_code == 0
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["file", "label", "probability"]
    shown = [line.split()[0] for line in lines]
    assert shown == [str(tmp_path / name).replace("\n", "\\n") for name in names]
    assert all(line.split()[1] == "Trouser" and line.endswith("%") for line in lines)


def test_table_folds_in_a_terminal(folder, trouser, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("COLUMNS", "60")
    path = tmp_path / f"{'long' * 40}.png"
    Image.fromarray(trouser).save(path)
    lines = run(folder, path, "--top", 1).stdout.splitlines()[1:]
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)
    assert "".join(line.split()[0] for line in lines if line.split()) == str(path)


def test_one_unreadable_file_does_not_cost_the_others(folder, pictures):
    missing = pictures / "missing.png"
    done = run(folder, pictures / "bad.png", pictures / "a.png", missing, "--format", "json")
    assert done.exit_code == 1
    assert [answer["file"] for answer in json.loads(done.stdout)] == [str(pictures / "a.png")]
    assert done.stderr.splitlines()[1:] == [
        f"kerascw: {pictures / 'bad.png'}: no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image",
        f"kerascw: {missing}: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("form", "shown"),
    [("table", ""), ("json", "[]\n"), ("csv", "file,rank,class_id,label,probability\n")],
)
def test_nothing_readable(folder, pictures, form, shown):
    done = run(folder, pictures / "bad.png", "--format", form)
    assert (done.exit_code, done.stdout) == (1, shown)


def test_folder_stack_and_standard_input(folder, sample, pictures):
    np.save(pictures / "c.npy", sample.test.images[:1500])
    (pictures / "bad.png").unlink()
    content = (pictures / "a.png").read_bytes()
    done = run(folder, pictures, "-", "--format", "csv", "--top", 1, input=content)
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    count = min(1500, len(sample.test))
    assert len(rows) == 2 + count + 1
    assert rows[2]["file"] == f"{pictures / 'c.npy'}[0]"
    assert rows[-1]["file"] == "-"
    expected = load_model(folder).predict(sample.test.images[:count])
    assert [row["label"] for row in rows[2:-1]] == list(expected.labels)


@pytest.mark.parametrize(("invert", "same"), [("auto", True), ("yes", True), ("no", False)])
def test_invert(folder, pictures, trouser, invert, same):
    Image.fromarray(255 - trouser).save(pictures / "negative.png")
    done = run(folder, pictures / "negative.png", "--invert", invert, "--format", "json")
    first = json.loads(done.stdout)[0]["predictions"][0]
    expected = float(load_model(folder).predict(trouser).probabilities[0, 1])
    assert (first["label"] == "Trouser" and np.isclose(first["probability"], expected)) == same


def test_top_is_clipped_to_the_classes(folder, pictures, sample):
    done = run(folder, pictures / "a.png", "--top", 1000, "--format", "json")
    guesses = json.loads(done.stdout)[0]["predictions"]
    assert sorted(guess["class_id"] for guess in guesses) == list(range(10))
    assert sum(guess["probability"] for guess in guesses) == pytest.approx(1, abs=1e-4)
    assert {guess["label"] for guess in guesses} == set(sample.entry.class_names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--top", "0"], "--top: 0 is less than 1"),
        (["--format", "xml"], "Invalid value for '--format'"),
        (["--invert", "maybe"], "Invalid value for '--invert'"),
    ],
)
def test_wrong_options(folder, pictures, arguments, said):
    done = run(folder, pictures / "a.png", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_no_files(folder):
    assert run(folder).exit_code == 2


def test_bad_model_is_one_line(pictures, tmp_path):
    done = run(tmp_path / "missing", pictures / "a.png")
    assert done.exit_code == 2
    assert done.stdout == ""
    said = "no such folder; expected the folder of an exported model"
    assert done.stderr.startswith(f"kerascw: {tmp_path / 'missing'}: {said}")
    assert len(done.stderr.splitlines()) == 1


def test_as_a_program(exported, pictures):
    """With a real process, and TensorFlow, nothing but our lines may reach standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "kerascw", "predict", exported, "-", pictures / "bad.png",
         "--top", "1", "--format", "csv"],
        stdin=(pictures / "b.jpg").open("rb"), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert [line.split(",")[:4] for line in done.stdout.splitlines()] == [
        ["file", "rank", "class_id", "label"],
        ["-", "1", "1", "Trouser"],
    ]
    assert done.stderr.splitlines() == [
        f"model: {load_model(exported).title}",
        f"kerascw: {pictures / 'bad.png'}: no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image",
    ]


def test_help():
    assert "FILE is an image (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF)" in run("--help").output


def test_a_folder_of_mixed_files_leaves_nothing_out_in_silence(exported, sample, tmp_path):
    """A WebP image is read, a HEIC image is an error, and a text file is named."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    pixels = sample.test.images[0, ..., 0]
    for suffix in ("png", "webp", "tif", "avif"):
        Image.fromarray(pixels).save(folder / f"shoe.{suffix}")
    (folder / "notes.txt").touch()
    words = ["predict", str(exported), str(folder), "--format", "csv", "--top", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 5
    said = f"kerascw: 1 file is no image by its name, left out: {folder / 'notes.txt'}\n"
    assert said in done.stderr
    (folder / "shoe.heic").write_bytes(b"ftypheic")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert f"kerascw: {folder / 'shoe.heic'}: .heic is no format that is read" in done.stderr
    assert done.stdout.count("\n") == 5


def test_a_version_is_chosen_by_its_number(folder, pictures, tmp_path):
    copy = tmp_path / "models" / "tiny"
    for number in ("1", "2"):
        shutil.copytree(folder / "1", copy / number)
    for words, version in ((copy, 2), (f"{copy}@1", 1), (f"{copy}@2", 2)):
        done = run(words, pictures / "a.png")
        assert done.exit_code == 0, done.output
        assert f", version {version}, " in done.stderr
    done = run(f"{copy}@7", pictures / "a.png")
    assert done.exit_code == 2
    assert f"{copy} has no version 7; choose 1 or 2" in done.stderr


def test_a_labelled_folder_is_scored(folder, sample, tmp_path):
    model, part = load_model(folder), sample.test.take(range(60))
    for at, (image, label) in enumerate(zip(part.images[..., 0], part.labels, strict=True)):
        # as folders can be named
        place = tmp_path / "photos" / sample.entry.class_names[label].replace("/", "_").lower()
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{at}.png")
    runs = tmp_path / "runs"
    done = run(folder, tmp_path / "photos", "--evaluate", "--top", 2, "--runs", runs)
    assert done.exit_code == 0, done.output
    probabilities = model.predict(part.images).probabilities
    right = int((probabilities.argmax(axis=1) == part.labels).sum())
    low, high = wilson_interval(right, 60)
    assert (
        f"accuracy {right / 60:.4f} (95 % CI {low:.4f} to {high:.4f}): {right} of 60" in done.stdout
    )
    among = np.mean(
        [k in np.argsort(-p)[:2] for p, k in zip(probabilities, part.labels, strict=True)]
    )
    assert f"among the 2 most probable: {among:.4f}" in done.stdout
    [page] = runs.glob("evaluations/*/report.html")
    assert f"{right} of 60" in page.read_text(encoding="utf-8")
    assert (page.parent / "figures" / "mistakes.png").is_file()
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["correct"] == right
    worst = metrics["most_confident_mistakes"][0]
    assert Path(worst["file"]).is_relative_to(tmp_path / "photos")
    done = run(folder, tmp_path / "photos", "--evaluate", "--format", "json", "--runs", runs)
    assert json.loads(done.stdout)["correct"] == right


def test_a_folder_that_is_no_class_is_one_line(folder, pictures, tmp_path):
    done = run(folder, pictures / "a.png", "--evaluate", "--runs", tmp_path / "runs")
    assert done.exit_code == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("kerascw")]
    assert "is no class of the model; each image must lie in" in line
    assert not (tmp_path / "runs" / "evaluations").exists()
