"""Keras files, ONNX and LiteRT: each answers as the live model does, in its own runtime alone."""

import csv
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import kerascw
import kerascw.export.proof as proving
from kerascw.commands.main import main
from kerascw.data import Dataset
from kerascw.errors import CallError, DataError, KerascwError
from kerascw.experiment.spec import (
    Autoencoder,
    ConvNet,
    DataSpec,
    Experiment,
    Holdout,
    TrainingSpec,
)
from kerascw.export.card import card_of
from kerascw.export.load import load_model
from kerascw.export.run import export_run, run_label
from kerascw.export.runtimes import FILES, FORMATS, TITLES, open_model, with_article
from kerascw.export.write import export
from kerascw.models import by_head
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store

ROOT = Path(kerascw.__file__).parent.parent
COLOURS = ("red", "grün", "blue")
LIGHT = ("onnx", "litert")
HEADS = ("aux1_probabilities", "aux2_probabilities", "probabilities")


CASES = [
    ("tiny", "onnx"),
    ("tiny", "litert"),
    ("heads", "keras"),
    ("heads", "onnx"),
    ("heads", "litert"),
    ("colour", "onnx"),
]


# --- what is written ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_output_is_the_live_models(made, live, images, name, form):
    version = made(name, form)
    assert version.name == "1"
    assert sorted(path.name for path in version.iterdir()) == sorted([FILES[form], "kerascw.json"])
    opened = open_model(version / FILES[form], form)
    for count in (0, 1, 3, 37):
        some = images[name][100 : 100 + count] if name != "colour" else images[name][:count]
        outputs = opened(some)
        heads = HEADS if name == "heads" else ("probabilities",)
        assert tuple(sorted(outputs)) == heads
        expected = by_head(live[name](some, training=False)) if count else {}
        for head, values in expected.items():
            got = outputs[head if head == "probabilities" else f"{head}_probabilities"]
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, values, atol=1e-6)
        if not count:
            assert {v.shape for v in outputs.values()} == {(0, 3 if name == "colour" else 10)}


@pytest.mark.parametrize(("name", "form"), CASES)
def test_what_travels_with_the_model(made, images, sample, card, name, form, tmp_path):
    version = made(name, form)
    names = COLOURS if name == "colour" else sample.entry.class_names
    document = json.loads((version / "kerascw.json").read_text())
    check = document["check"]
    assert check["pictures"] == 20
    assert check["tolerance"] == proving.TOLERANCE
    heads = HEADS if name == "heads" else ("probabilities",)
    assert sorted(check["images"]) == list(heads)
    for head in heads:
        assert 0 <= check["images"][head]["max_abs_difference"] <= 1e-5
    if form in LIGHT:
        assert check["versions"][{"onnx": "onnxruntime", "litert": "ai-edge-litert"}[form]]
    for path in version.iterdir():  # none names a place of this machine
        content = path.read_bytes()
        assert os.fsencode(version.parent.parent.parent) not in content
        assert os.fsencode(ROOT) not in content
    for path in (version, version.parent, version / FILES[form]):
        loaded = load_model(path)
        assert loaded.class_names == tuple(names)
        assert loaded.input_shape == images[name].shape[1:]
        assert loaded.card == card
        assert loaded.light_on_dark is True
        assert loaded.form == form
        assert loaded.path == version
    alone = shutil.copy(version / FILES[form], tmp_path / f"other{Path(FILES[form]).suffix}")
    with pytest.raises(CallError, match=r"no kerascw\.json beside it"):
        load_model(alone)


@pytest.mark.parametrize("form", LIGHT)
def test_load_model_gives_what_it_gives_of_a_saved_model(made, exported, images, form):
    some = images["tiny"][:1000]  # more than one batch below
    stack = np.concatenate([some, some])[:1300]
    expected = kerascw.load_model(exported).predict(stack)
    loaded = kerascw.load_model(made("tiny", form))
    got = loaded.predict(stack)
    np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-6)
    assert got.probabilities.dtype == np.float32
    assert got.class_ids.dtype == np.int64
    assert (got.class_ids == expected.class_ids).all()
    assert got.labels == expected.labels
    assert loaded.predict(stack[3, ..., 0]).labels == expected.labels[3:4]
    assert loaded.predict(stack[:0]).labels == ()
    with pytest.raises(CallError, match=r"images: float32 .* expected uint8 \[n, 28, 28, 1\]"):
        loaded.predict(stack.astype(np.float32))


def test_foreign_programs_find_their_way(made):
    model = onnx.load(made("heads", "onnx") / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == ["images"]
    assert sorted(o.name for o in model.graph.output) == sorted(HEADS)
    sizes = [d.dim_value or d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert isinstance(sizes[0], str)  # any number
    assert sizes[1:] == [28, 28, 1]
    reloaded = keras.saving.load_model(made("heads", "keras") / "model.keras")
    assert reloaded.count_params() == 333_970


# --- what is refused ------------------------------------------------------------------------


@keras.saving.register_keras_serializable("test_export_formats")
class Slip(keras.layers.Layer):
    """Gives another answer in graphs than eagerly, as a converter's mistake would."""

    def call(self, inputs):
        return inputs * (1.0 if tf.executing_eagerly() else 1.5)


@keras.saving.register_keras_serializable("test_export_formats")
class Local(keras.layers.Layer):
    """Calls back into Python, for which no other runtime has a place."""

    def call(self, inputs):
        values = tf.py_function(lambda x: x, [inputs], tf.float32)
        return tf.ensure_shape(values, inputs.shape)


@pytest.mark.parametrize(
    ("layer", "form", "said"),
    [
        (Slip, "onnx", r"export refused, its probabilities \(images\) differ"),
        (Local, "litert", "the model cannot be written as a LiteRT model: "),
        (Local, "keras", "another process cannot use it"),
    ],
)
def test_refused_export_leaves_nothing(images, layer, form, said, tmp_path, capfd):
    model = keras.Sequential(
        [
            keras.Input((10, 6, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            layer(),
            keras.layers.Softmax(),
        ]
    )
    with pytest.raises(KerascwError, match=said) as refused:
        export(
            model,
            tmp_path / "new" / form,
            class_names=COLOURS,
            check_images=images["colour"][:8],
            form=form,
        )
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 1
    assert not list((tmp_path / "new").glob("[!.]*"))


def test_an_unknown_format_names_the_choices(live, images, tmp_path):
    with pytest.raises(CallError, match="form: 'pmml'; choose saved_model, keras, onnx or litert"):
        export(
            live["colour"],
            tmp_path / "new",
            class_names=COLOURS,
            check_images=images["colour"],
            form="pmml",
        )
    assert not list(tmp_path.glob("[!.]*"))


@pytest.mark.parametrize(
    ("form", "module", "package"),
    [("onnx", "tf2onnx", "tf2onnx"), ("onnx", "onnxruntime", "onnxruntime"),
     ("litert", "ai_edge_litert", "ai-edge-litert")],
)  # fmt: skip
def test_what_is_not_installed_is_named(
    live, images, made, form, module, package, tmp_path, monkeypatch
):
    version = made("tiny", form)
    monkeypatch.setitem(sys.modules, module, None)  # an import finds nothing
    with pytest.raises(KerascwError) as error:
        export(
            live["colour"],
            tmp_path / "new",
            class_names=COLOURS,
            check_images=images["colour"],
            form=form,
        )
    title = with_article(form)
    assert error.value.exit_code == 1
    assert str(error.value) == (
        f"to export {title}, {package} is needed, which is not installed; "
        "next: pip install 'kerascw[export]'"
    )
    assert not list(tmp_path.glob("[!.]*"))
    if module != "tf2onnx":
        with pytest.raises(KerascwError) as error:
            load_model(version)
        assert str(error.value) == (
            f"to open {title}, {package} is needed, which is not installed; "
            "next: pip install 'kerascw[light]'"
        )


@pytest.mark.parametrize("form", LIGHT)
@pytest.mark.parametrize(
    "content",
    [b"", b"garbage" * 999, lambda whole: whole[:20], lambda whole: whole[: len(whole) // 3]],
    ids=["empty", "garbage", "20 bytes", "a third"],
)
def test_damage_is_one_line(made, form, content, tmp_path, capfd):
    shutil.copytree(made("tiny", form), tmp_path, dirs_exist_ok=True)
    document = json.loads((tmp_path / "kerascw.json").read_text())
    (tmp_path / "kerascw.json").write_text(json.dumps(document | {"files": {}}))
    path = tmp_path / FILES[form]
    path.write_bytes(content(path.read_bytes()) if callable(content) else content)
    capfd.readouterr()
    with pytest.raises(DataError) as error:
        load_model(path)
    assert str(error.value).startswith(f"{path}: a damaged {TITLES[form]}: ")
    assert "\n" not in str(error.value)


def test_a_folder_of_formats_names_them(made, tmp_path):
    folder = tmp_path
    for form in ("onnx", "litert"):
        shutil.copytree(made("tiny", form).parent, folder / form)
    with pytest.raises(CallError) as error:
        load_model(folder)
    assert str(error.value).startswith(f"{folder}: no model there, neither saved_model.pb, ")
    assert str(error.value).endswith(f"{folder / 'onnx'} or {folder / 'litert'}")


# --- the commands ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = Experiment(
        data=DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=300), fraction=0.1),
        model=ConvNet(filters=(4,), dense=(8,)),
        training=TrainingSpec(epochs=1),
    )
    return run_experiment(experiment, sample, Store(tmp_path_factory.mktemp("runs")))


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_export_and_predict(run, sample, tmp_path):
    """Each format from the command line; what predict then says does not depend on it."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(sample.test.images[0, ..., 0]).save(pictures / "a.png")
    Image.fromarray(255 - sample.test.images[1, ..., 0]).resize((90, 70)).save(pictures / "b.jpg")
    np.save(pictures / "c.npy", sample.test.images[:5])
    output = tmp_path / "models"
    said = []
    for form in FORMATS:
        for _ in range(2):  # exported once
            done = command("export", run.folder, "--format", form, "--output", output)
            assert done.exit_code == 0, done.output
            version = output / "1" if form == "saved_model" else output / form / "1"
            assert done.stdout.endswith(f": {version}\n")
            assert done.stderr == f"next: python -m kerascw predict {version} IMAGE...\n"
        answers = command("predict", version, pictures, "--format", "csv", "--top", 10)
        title = f"models, version 1, {TITLES[form]} ({version})"
        assert (answers.exit_code, answers.stderr) == (0, f"model: {title}\n"), answers.output
        said.append(list(csv.DictReader(io.StringIO(answers.stdout))))
    assert sorted(path.name for path in output.glob("[!.]*")) == ["1", "keras", "litert", "onnx"]
    first, *others = said
    assert len(first) == 70
    for other in others:
        for one, same in zip(first, other, strict=True):
            assert {**one, "probability": 0} == {**same, "probability": 0}
            assert float(same["probability"]) == pytest.approx(float(one["probability"]), abs=2e-6)
    card = load_model(output / "onnx").card
    assert card == card_of(run)
    assert card["run"] == run.name
    assert card["light_on_dark"] is True
    assert card["test"]["accuracy"] == run.metrics["test"]["accuracy"]


def test_export_says_what_is_wrong(run, sample, tmp_path):
    runs = ("--runs", run.folder.parent)
    done = command("export", "nope", *runs)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"kerascw: no run 'nope' in {run.folder.parent}; there are {run.name}\n"
    done = command("export", run.name, "--format", "pmml", *runs)
    assert done.exit_code == 2
    assert "'pmml' is not one of 'saved_model', 'keras', 'onnx', 'litert'" in done.stderr
    (tmp_path / "file").touch()
    done = command("export", run.name, "--format", "onnx", "--output", tmp_path / "file", *runs)
    assert done.exit_code == 2
    assert done.stderr == (
        f"kerascw: --output: {tmp_path / 'file'} cannot be written (Not a directory: "
        f"{tmp_path / 'file'}); choose another folder\n"
    )
    pictures = run_experiment(
        Experiment(
            data=DataSpec(name="fashion_mnist", sample=True, fraction=0.05),
            model=Autoencoder(filters=(2,)),
            training=TrainingSpec(epochs=1, keep="last"),
        ),
        sample,
        Store(tmp_path / "runs"),
    )
    done = command("export", pictures.folder, "--format", "litert", "--output", tmp_path / "x")
    assert done.exit_code == 2
    assert done.stderr == (
        f"kerascw: run {pictures.name}: an autoencoder gives images, not classes; a LiteRT "
        "model for predict needs a classifier\n"
    )
    assert not (tmp_path / "x").exists()


HEAVY = ("tensorflow", "keras", "jax", "torch", "scipy", "sklearn", "matplotlib", "pandas")


@pytest.mark.parametrize("form", LIGHT)
def test_predict_is_quick_and_light(made, sample, form, tmp_path):
    """One picture from a cold start: nothing heavy, nothing on standard error, under a second."""
    Image.fromarray(sample.test.images[0, ..., 0]).save(tmp_path / "a.png")
    code = f"""
import sys
from kerascw.commands.main import main
try:
    main(["predict", *sys.argv[1:], "--format", "csv", "--top", "1"])
finally:
    heavy = {{name.split(".")[0] for name in sys.modules}} & set({(*HEAVY, "pydantic")})
    assert not heavy, heavy
"""
    version = made("tiny", form)
    arguments = [sys.executable, "-c", code, version, tmp_path / "a.png"]
    label = load_model(version).predict(sample.test.images[0]).labels[0]
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines() == [f"model: {load_model(version).title}"]
        [answer] = csv.DictReader(io.StringIO(done.stdout))
        assert answer["label"] == label
        # of the processor's time: the clock's depends on who else is running
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1


def test_predict_names_the_model_and_for_people_the_next_step(exported, sample, tmp_path):
    Image.fromarray(sample.test.images[0, ..., 0]).save(tmp_path / "a.png")
    done = command("predict", exported.parent, tmp_path / "a.png")
    assert done.exit_code == 0
    model = f"model: tiny, version 1, SavedModel ({exported})"
    assert done.stderr.splitlines() == [
        model,
        f"next: python -m kerascw predict {exported.parent} FOLDER --format csv > answers.csv",
    ]
    for form in ("csv", "json"):
        shown = command("predict", exported.parent, tmp_path / "a.png", "--format", form).stderr
        assert shown.splitlines() == [model]


def test_predict_with_a_run(run, sample, tmp_path, monkeypatch):
    """By its folder, its model, its name and the beginning of its key; with its classes' names."""
    Image.fromarray(sample.test.images[0, ..., 0]).save(tmp_path / "a.png")
    runs = run.folder.parent
    key = run.name.rsplit("-", 1)[-1]
    answers = set()
    for model in (run.folder, run.folder / "model.keras", run.name, key[:6]):
        done = command("predict", model, tmp_path / "a.png", "--format", "csv", "--runs", runs)
        assert done.exit_code == 0, done.output
        assert done.stderr == f"model: run {run.name} ({run.folder})\n"
        answers.add(done.stdout)
    [answer] = answers
    labels = [row["label"] for row in csv.DictReader(io.StringIO(answer))]
    probabilities = run.model()(sample.test.images[:1])[0].numpy()
    best = np.argsort(-probabilities)[:3]
    assert labels == [sample.entry.class_names[number] for number in best]
    loaded = load_model(run.folder)
    assert loaded.light_on_dark is True
    assert loaded.card == card_of(run)
    done = command("predict", "nope", tmp_path / "a.png", "--runs", runs)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"kerascw: nope: no such file or folder, and no run 'nope' in {runs}; "
        f"there are {run.name}\n"
    )
    damaged = shutil.copytree(run.folder, tmp_path / run.name)
    content = bytearray((damaged / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "model.keras").write_bytes(content)
    done = command("predict", damaged, tmp_path / "a.png")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"kerascw: {damaged}: a damaged run: model.keras has changed\n"


def test_exports_of_one_run_at_once_make_one_version(run, tmp_path):
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(lambda _: export_run(run, tmp_path / "m", form="onnx"), range(4)))
    assert set(paths) == {tmp_path / "m" / "onnx" / "1"}
    assert list((tmp_path / "m" / "onnx").iterdir()) == [paths[0]]


@pytest.mark.parametrize(
    ("file", "content"),
    [("kerascw.json", b"[" * 10**5), ("model.onnx", b"damaged"), ("model.onnx", None)],
)
def test_a_damaged_version_is_not_taken_for_the_run(run, tmp_path, file, content):
    folder = tmp_path / "m"
    first = export_run(run, folder, form="onnx")
    (first / file).unlink()
    if content:
        (first / file).write_bytes(content)
    done = command("export", run.folder, "--format", "onnx", "--output", folder)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"ONNX model: {folder / 'onnx' / '2'}\n"


@pytest.mark.parametrize("kind", [PermissionError, NotADirectoryError])
def test_data_that_cannot_be_read_is_named_and_no_empty_folder_stays(
    run, tmp_path, monkeypatch, kind
):
    def unreadable(*_):
        raise kind(1, "refused", "data.npz")

    monkeypatch.setattr("kerascw.export.run.splits_for", unreadable)
    (tmp_path / "there").mkdir()
    for output, left in ((tmp_path / "new" / "m", ["there"]), (tmp_path / "there", ["there"])):
        done = command("export", run.folder, "--format", "onnx", "--output", output)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("kerascw: data.npz: refused")
        assert [path.name for path in tmp_path.iterdir()] == left
    assert not list((tmp_path / "there").iterdir())


def test_a_run_goes_to_models_under_a_name_that_says_it_is_of_the_sample(
    run, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    version = export_run(run, Path("models", run_label(run)), form="onnx")
    done = command("export", run.folder, "--format", "onnx")  # it is there: no second version
    assert done.stdout == f"ONNX model: {version}\n"
    assert version == Path("models", f"{run.name}-sample", "onnx", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize("form", LIGHT)
def test_a_flipped_bit_is_one_line(made, sample, form, tmp_path):
    Image.fromarray(sample.test.images[0, ..., 0]).save(tmp_path / "a.png")
    version = shutil.copytree(made("tiny", form), tmp_path / "1")
    content = bytearray((version / FILES[form]).read_bytes())
    content[len(content) // 3] ^= 16
    (version / FILES[form]).write_bytes(content)
    done = command("predict", version, tmp_path / "a.png")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"kerascw: {version / FILES[form]}: a damaged {TITLES[form]}: {FILES[form]} is not as it "
        "was exported (SHA-256 differs)\n"
    )


def test_crafted_names_reach_no_terminal(made, sample, tmp_path):
    """Class names that would colour a terminal, or be run by a spreadsheet."""
    Image.fromarray(sample.test.images[0, ..., 0]).save(tmp_path / "a.png")
    version = shutil.copytree(made("tiny", "onnx"), tmp_path / "1")
    document = json.loads((version / "kerascw.json").read_text())
    document["class_names"] = ["\x1b[31mred\x07\u2028"] * 5 + ["=1+1"] * 5
    (version / "kerascw.json").write_text(json.dumps(document))
    table = command("predict", version, tmp_path / "a.png", "--top", 10)
    assert table.exit_code == 0, table.output
    assert table.stdout.count("\\x1b[31mred\\x07\\u2028") == 5
    assert all(character.isprintable() or character == "\n" for character in table.output)
    shown = command("predict", version, tmp_path / "a.png", "--top", 10, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert {row["label"] for row in rows} == {"\\x1b[31mred\\x07\\u2028", "'=1+1"}


def test_help_is_quick():
    code = f"""
import sys
import kerascw.commands.predict
heavy = {{"numpy", "PIL", "rich"}} & set(sys.modules)
assert not heavy, heavy
import kerascw.commands.export, kerascw.export.write, kerascw.export.runtimes
heavy = {{"onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", *{HEAVY}}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    shown = command("export", "--help").output
    assert "[saved_model|keras|onnx|litert]" in shown
    assert "pip install 'kerascw[export]'" in shown
