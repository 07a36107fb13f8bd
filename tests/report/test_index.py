"""The index page over everything kept: what its rows say, and what it does with what is damaged."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import (
    Autoencoder,
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    TrainingSpec,
)
from kerascw.lab.table import spread_text
from kerascw.report.index import Entry, counts_text, entries_of, write_index
from kerascw.runs.store import MANIFEST, Store
from kerascw.runs.store import write_json as write
from kerascw.runs.summary import SUMMARY, Summary, read_summary
from tuning.records import FINALISTS, SEARCH, Finalist, SearchSpec, TrialRecord, write_record
from tuning.text import summary_of_search

MLP = Experiment(
    data=DataSpec(name="digits"),
    model=DenseNet(dense=(8,)),
    training=TrainingSpec(epochs=2, keep="last"),
)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def keep(store: Path, name: str, experiment: Experiment, accuracy: float, **metrics: Any) -> Path:
    """Keep what the index reads of a run: no weights, no predictions."""
    folder = store / name
    folder.mkdir(parents=True)
    scored = {"accuracy": accuracy, "loss": 1 - accuracy}
    if experiment.reconstructs:
        del scored["accuracy"]
    test = scored | {"accuracy_interval_95": [accuracy - 0.01, accuracy + 0.02]}
    files = {
        "experiment": {"experiment": experiment.model_dump(mode="json")},
        "metrics": {"status": "finished", "epochs_trained": 2, "validation": scored, "test": test}
        | metrics,
        "environment": {"data": {"title": "digits (scikit-learn)"}},
        "manifest": {},
    }
    for file, content in files.items():
        (folder / f"{file}.json").write_text(json.dumps(content))
    return folder


def at(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three runs of a study, an autoencoder and a search, one after another."""
    runs = tmp_path / "runs"
    for seed, accuracy in enumerate((0.9, 0.92, 0.94)):
        own = MLP.model_copy(update={"seed": seed})
        at(keep(runs, f"digits-mlp-{seed}", own, accuracy) / MANIFEST, 100 + seed)
    (runs / "digits-mlp-0" / "report.html").write_text("drawn")
    other = MLP.model_copy(update={"model": ConvNet(filters=(4,))})
    at(keep(runs, "digits-convnet-0", other, 0.5) / MANIFEST, 104)
    pictures = MLP.model_copy(update={"model": Autoencoder(filters=(4,), kernels=(3,))})
    at(keep(runs, "digits-autoencoder-0", pictures, 0.97) / MANIFEST, 105)
    study = runs / "studies" / "digits-quick"
    study.mkdir(parents=True)
    kept = {
        "study": "digits", "budget": "quick", "sample": False, "changed": {}, "command": "c",
        "runs": {"convnet": ["digits-convnet-0"],
                 "mlp": [f"digits-mlp-{seed}" for seed in range(3)]},
    }  # fmt: skip
    (study / "study.json").write_text(json.dumps(kept))
    (study / "report.html").write_text("drawn")
    at(study / "study.json", 200)
    search = runs / "searches" / "rates-random"
    spec = SearchSpec(
        space="rates", question=None, objective="validation_accuracy", direction="max",
        oracle="random", seed=0, budget="full", budget_epochs=None, sample=True,
        base=MLP.model_dump(mode="json"), hyperparameters=(), source_sha256="ab", trials=1,
        finalists=1,
    )  # fmt: skip
    search.mkdir(parents=True)
    write(search / SEARCH, asdict(spec))
    write_record(search, TrialRecord("0000", 1, {"rate": 0.1}, "completed", score=0.8))
    write(search / FINALISTS, [asdict(Finalist("0000", (1, 2), ("a", "b"), (0.7, 0.8)))])
    at(search / SEARCH, 300)
    return runs


def listed(store: Path) -> list[Entry]:
    return entries_of(Store(store), summary_of_search)


def test_every_kind_has_a_row_with_its_figure_the_newest_first(store: Path) -> None:
    entries = listed(store)
    assert [(entry.summary.kind, entry.summary.name) for entry in entries] == [
        ("search", "rates-random"),
        ("study", "digits-quick"), ("run", "digits-autoencoder-0"), ("run", "digits-convnet-0"),
        ("run", "digits-mlp-2"), ("run", "digits-mlp-1"), ("run", "digits-mlp-0"),
    ]  # fmt: skip
    search, study, autoencoder, convnet, *_, mlp = (entry.summary for entry in entries)
    assert (search.figure, search.value, search.seeds) == (
        "validation accuracy", 0.75, "2 fresh seeds, 1 trial",
    )  # fmt: skip
    assert search.text == spread_text(over_seeds([0.7, 0.8]))
    assert (search.dataset, search.budget) == ("digits (bundled sample)", "full, sample")
    # validation chooses the mlp
    assert study.text == f"{spread_text(over_seeds([0.9, 0.92, 0.94]))} (mlp)"
    assert (study.value, study.seeds) == (pytest.approx(0.92), "3 seeds, 2 variants")
    assert (study.model, study.budget) == ("convnet, mlp", "quick")
    assert (autoencoder.figure, autoencoder.text) == ("test loss", "0.03000")
    assert (mlp.figure, mlp.text) == ("test accuracy", "0.9000 (0.8900 to 0.9200)")
    assert (mlp.seeds, mlp.budget) == ("seed 0", "2 epochs")
    assert (convnet.dataset, convnet.model) == ("digits (scikit-learn)", "convnet")
    assert entries[-1].study == "digits-quick"
    assert counts_text(entries) == "5 runs, 1 study, 1 search"


def test_what_an_earlier_version_kept_is_summarised_once(store: Path) -> None:
    assert not list(store.rglob(SUMMARY))
    before = listed(store)
    assert len(list(store.rglob(SUMMARY))) == 7
    (store / "digits-mlp-0" / "metrics.json").write_text("not read again")
    assert listed(store) == before
    assert read_summary(store / "digits-mlp-0") == before[-1].summary
    (store / "digits-mlp-1" / SUMMARY).write_text("{")  # made again, of the run's own files
    assert listed(store) == before


def test_show_lists_what_is_well_and_names_what_is_not(store: Path) -> None:
    (store / "digits-mlp-1" / "metrics.json").write_text("{")
    (store / "searches" / "rates-random" / SEARCH).write_text("[]")
    done = call("show", "--runs", str(store))
    assert done.exit_code == 0, done.output
    assert "0.9400 (0.9300 to 0.9600)" in done.stdout
    assert "digits-mlp-1 cannot be read: " in done.stdout
    assert "rates-random cannot be read: " in done.stdout
    one = call("show", "digits-mlp-1", "--runs", str(store))
    assert one.exit_code == 1
    assert "digits-mlp-1/metrics.json: damaged, not JSON" in one.stderr
    assert one.stderr.count("\n") == 1


def test_show_prints_a_study_as_its_run_did(kept_digits: Path) -> None:
    (label,) = (folder.name for folder in (kept_digits / "studies").iterdir())
    done = call("show", label, "--runs", str(kept_digits))
    assert done.exit_code == 0, done.output
    figures = [text for text in done.stdout.split() if text == "test.error"]
    assert len(figures) == 2, done.stdout
    assert "changed: training.epochs=3" in done.stdout
    assert f"next: python -m kerascw report {label} --open" in done.stdout + done.stderr


def test_the_command_writes_the_page_with_relative_links(store: Path) -> None:
    done = call("report", "--all", "--runs", str(store))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"index of 5 runs, 1 study, 1 search: {store / 'index.html'}",
        f"next: python -m kerascw report --all --open --runs {store}",
    ]
    html = (store / "index.html").read_text()
    assert re.findall('<a href="([^#].*?)">(.*?)</a>', html) == [
        ("studies/digits-quick/report.html", "digits-quick"),
        ("digits-mlp-0/report.html", "digits-mlp-0"),
    ]
    # what is not drawn says how
    assert f"python -m kerascw report digits-mlp-1 --runs {store}</code>" in html
    assert '<option value="run">run (5)</option>' in html
    assert html.count('<tr data-kind="') == 7
    assert "Cannot be read" not in html


def test_names_are_escaped_in_words_and_in_links(tmp_path: Path) -> None:
    folder = keep(tmp_path, "a <b> & 100%", MLP, 0.5)
    (folder / "report.html").write_text("drawn")
    html = write_index(Store(tmp_path), listed(tmp_path)).read_text()
    assert '<a href="a%20%3Cb%3E%20%26%20100%25/report.html">a &lt;b&gt; &amp; 100%</a>' in html


def test_with_nothing_kept_it_says_what_to_do(tmp_path: Path) -> None:
    done = call("report", "--all", "--runs", str(tmp_path / "none"))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"index of nothing yet: {tmp_path / 'none' / 'index.html'}",
        f"next: python -m kerascw run fashion --runs {tmp_path / 'none'}",
    ]
    html = (tmp_path / "none" / "index.html").read_text()
    assert "Nothing yet. Next: <code>python -m kerascw run fashion" in html


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "digits-mlp-1/metrics.json",
            "{",
            "metrics.json: damaged, not JSON (Expecting prop",
        ),
        ("digits-mlp-1/metrics.json", "[]", "metrics.json: damaged, not a JSON object"),
        ("digits-mlp-1/metrics.json", "{}", "&#39;status&#39; is missing"),
        (
            "digits-mlp-1/experiment.json",
            None,
            "experiment.json: cannot be read (No such",
        ),
        ("studies/digits-quick/study.json", "{}", "&#39;runs&#39; is missing"),
        ("searches/rates-random/search.json", "{", "search.json: damaged"),
        ("searches/rates-random/finalists.json", "[1]", "finalists.json: damaged"),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_listed(
    store: Path, file: str, content: str | None, said: str
) -> None:
    if content is None:
        (store / file).unlink()
    else:
        (store / file).write_text(content)
    html = write_index(Store(store), listed(store)).read_text()
    damaged = html[html.index("Cannot be read") :]
    assert said in damaged
    rows = html.count('<tr data-kind="')
    assert rows == 6
    assert (store / file).parent.is_dir()  # nothing is set aside


def test_a_diverged_run_and_a_run_without_test_have_what_there_is(tmp_path: Path) -> None:
    keep(tmp_path, "lost", MLP, 0.5, status="diverged")
    whole = keep(tmp_path, "begun", MLP, 0.5)
    metrics = json.loads((whole / "metrics.json").read_text())
    del metrics["test"]
    (whole / "metrics.json").write_text(json.dumps(metrics))
    found = {entry.summary.name: entry.summary for entry in listed(tmp_path)}
    assert (found["lost"].text, found["lost"].value) == ("diverged", None)
    assert (found["begun"].figure, found["begun"].text) == ("validation accuracy", "0.5000")


def test_hundreds_of_runs_are_quick(tmp_path: Path) -> None:
    for number in range(500):
        keep(tmp_path, f"digits-mlp-{number:04}", MLP, 0.5)
    begun = time.process_time()
    html = write_index(Store(tmp_path), listed(tmp_path)).read_text()
    assert time.process_time() - begun < 3  # 0.3 s; of this process, whatever else runs
    assert html.count('<tr data-kind="') == 500
    assert len(html) < 1_000_000


def test_a_wrong_call_is_one_line(tmp_path: Path) -> None:
    for words, said in (
        (("report",), "report: name a run, a study or a search"),
        (("report", "x", "--all"), "report: name a run, a study or a search"),
        (("report", "--all", "--set", "pictures.layer=2"), "--set pictures.layer: not with --all"),
    ):
        done = call(*words, "--runs", str(tmp_path))
        assert done.exit_code == 2
        assert done.stderr.startswith(f"kerascw: {said}")
        assert len(done.stderr.splitlines()) == 1


def test_the_index_needs_no_tensorflow_and_no_charts() -> None:
    code = (
        "import sys, kerascw.report.index;"
        "heavy = {'tensorflow', 'keras', 'keras_tuner', 'matplotlib', 'altair', 'scipy'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_entry_has_a_date(tmp_path: Path) -> None:
    entry = Entry(Summary(kind="run", name="a"), tmp_path / "a", 0.0)
    assert re.fullmatch(r"(1969|1970)-\d\d-\d\d \d\d:\d\d", entry.date)
    assert not entry.is_drawn


def test_very_many_are_on_pages(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerascw.report.index.A_PAGE", 2)
    kept = entries_of(Store(store), summary_of_search)
    (store / "index-99.html").write_text("of an earlier time, when there were more")
    first = write_index(Store(store), kept)
    pages = [first, *sorted(store.glob("index-*.html"))]
    assert [page.name for page in pages] == [
        "index.html", *(f"index-{n}.html" for n in range(2, -(-len(kept) // 2) + 1))
    ]  # fmt: skip
    named = [
        re.findall(r'<th scope="row">(?:<a[^>]*>)?([^<]+)', page.read_text()) for page in pages
    ]
    assert [name for names in named for name in names] == [entry.summary.name for entry in kept]
    for page in pages:
        links = re.findall(r'<a href="(index[^"]*)"', page.read_text())
        assert links == [other.name for other in pages if other != page]
    monkeypatch.undo()
    write_index(Store(store), kept)
    assert not list(store.glob("index-*.html"))
