import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # scikit-learn's, of each of the `-n` processes

from click.testing import CliRunner
from filelock import FileLock

from kerascw.commands.main import main
from kerascw.data import Dataset, load_data
from kerascw.experiment.spec import (
    Adam,
    ConvNet,
    DataSpec,
    Dropout,
    Experiment,
    Flip,
    Holdout,
    TrainingSpec,
)
from kerascw.export import proof
from kerascw.export.runtimes import Format
from kerascw.export.write import export
from kerascw.models import build_model
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import set_threads
from kerascw.runs.many import open_trainers, train_in_worker
from kerascw.runs.processes import Task, Trainers
from kerascw.runs.store import Run, Store
from kerascw.training.watcher import Watcher

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's background job ignores it, and so would the commands that tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = (
    "test_studies", "test_many", "test_search", "test_learn", "test_browser", "test_cluster",
    "test_readme", "test_adding", "test_wheel", "test_backbone", "test_crossval", "test_smallest",
    "test_notebook", "test_training", "test_cli", "test_heads", "test_autoencoder", "test_devices",
)  # fmt: skip
"""Files that begin, the longest first: none is left to one process at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _threads() -> Iterator[None]:
    """Train in one thread in every process here: what a worker trains is then equal, and `-n`
    processes leave one another their cores. Commands that a test starts have all cores."""
    import_tensorflow()
    gc.freeze()  # else each full collection takes a third of a second, a twentieth of the tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerascw.runs.many.cores", lambda: 1)
        set_threads(1)
        yield


class Shared(Trainers):
    """A worker process that the tests of a session share: it imports TensorFlow once."""

    def __exit__(self, *_: object) -> None:
        """Leave it to the next test; ``close`` ends it."""


@pytest.fixture(scope="session", autouse=True)
def _workers() -> Iterator[Shared]:
    """Train in one other process, whatever ``--jobs`` says; see :func:`own_workers`."""
    pool = Shared(train_in_worker, jobs=1, threads=1, runs_per_process=60)

    def opened(jobs: int, threads: int | None = None) -> Shared:
        environment, folder = dict(os.environ), str(Path.cwd())

        def train(task: Task) -> str:  # defined here: workers cannot import this file
            temporary = os.environ["TMPDIR"]
            os.environ.clear()
            os.environ.update(environment | {"TMPDIR": temporary})
            os.chdir(folder)
            return train_in_worker(task)

        pool._train = train
        return pool

    with pytest.MonkeyPatch.context() as patch:
        for place in ("kerascw.runs.many", "tuning.search"):
            patch.setattr(f"{place}.open_trainers", opened)
        yield pool
    pool.close()


@pytest.fixture(scope="session", autouse=True)
def _prover() -> Iterator[list[Any]]:
    """Prove all SavedModels in one other process; tests/export starts one for each, as users do."""
    alone = proof.replayed_elsewhere
    executor: list[Any] = []

    def shared(form: Format, path: Path) -> str | None:
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        if form != "saved_model":  # the process that proves another format must not have TensorFlow
            return alone(form, path)
        if not executor:
            executor.append(ProcessPoolExecutor(1))
        try:
            path = path.resolve()  # that process has a folder of its own
            executor[0].submit(proof.replay, form, path, path.parent).result()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerascw.export.proof.replayed_elsewhere", shared)
        yield executor
    for each in executor:
        each.shutdown(kill_workers=True)


@pytest.fixture(scope="module")
def own_workers(_workers: Shared, _prover: list[Any]) -> Iterator[None]:
    """Start workers as the command does: for tests of these processes themselves."""
    _workers.close()
    while _prover:
        _prover.pop().shutdown(kill_workers=True)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("kerascw.runs.many", "tuning.search"):
            patch.setattr(f"{place}.open_trainers", open_trainers)
        yield


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """``once(name, make)`` is a folder that ``make`` fills once for all processes of a session.

    Tests read what is in it, and change a copy.
    """
    place = tmp_path_factory.getbasetemp()
    place = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "once"
    place.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder, done = place / name, place / f"{name}.done"
        with FileLock(place / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def sample() -> Dataset:
    return load_data("fashion_mnist", sample=True)


class StopAfter(Watcher):
    """Stops a run after so many epochs, as Ctrl-C does."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def epoch(self, row: dict[str, float]) -> None:
        if row["epoch"] == self._epochs:
            raise KeyboardInterrupt


@pytest.fixture(scope="session")
def stop_after() -> type[StopAfter]:
    """``stop_after(2)`` is a watcher that stops a run after its second epoch."""
    return StopAfter


def _assert_same_run(one: Run, other: Run) -> None:
    assert one.name == other.name
    assert (one.folder / "history.csv").read_bytes() == (other.folder / "history.csv").read_bytes()
    assert one.metrics == other.metrics
    pairs = zip(one.model().get_weights(), other.model().get_weights(), strict=True)
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Run, Run], None]:
    """Compare two runs of one experiment: they are the same, bit for bit."""
    return _assert_same_run


@pytest.fixture(scope="session")
def small() -> Experiment:
    """A quick experiment that uses everything with a state: batch norm, dropout, Adam, flips."""
    return Experiment(
        data=DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=300), fraction=0.15),
        model=ConvNet(
            filters=(6, 8),
            pool_after=(1, 2),
            batch_norm=True,
            batch_norm_momentum=0.9,
            dropout=(Dropout(after="flatten", rate=0.3),),
            dense=(16,),
        ),
        training=TrainingSpec(
            epochs=4, batch_size=32, optimizer=Adam(learning_rate=3e-3), augmentation=(Flip(),)
        ),
    )


@pytest.fixture(scope="session")
def tiny_model(sample: Dataset, once: Callable[..., Path]) -> Any:
    """A live model with all that differs between training and use, trained a little."""
    spec = ConvNet(
        filters=(4, 6),
        pool_after=(1, 2),
        batch_norm=True,
        batch_norm_momentum=0.9,
        dropout=(Dropout(after="flatten", rate=0.5),),
        dense=(16,),
    )
    model = build_model(spec, seed=3)

    def train(folder: Path) -> None:
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(sample.train.images, sample.train.labels, batch_size=32, epochs=2, verbose=0)
        model.save_weights(folder / "tiny.weights.h5")

    model.load_weights(once("tiny", train) / "tiny.weights.h5")
    return model


@pytest.fixture(scope="session")
def card() -> dict[str, Any]:
    return {"run": "tiny", "light_on_dark": True, "test": {"examples": 1000, "accuracy": 0.1}}


@pytest.fixture(scope="session")
def exported(
    tiny_model: Any, card: dict[str, Any], sample: Dataset, once: Callable[..., Path]
) -> Path:
    """The folder of version 1 of the tiny model, exported with that card."""

    def make(folder: Path) -> None:
        export(
            tiny_model,
            folder / "tiny",
            class_names=sample.entry.class_names,
            card=card,
            check_images=sample.test.images[:256],
        )

    return once("exported", make) / "tiny" / "1"


@pytest.fixture(scope="session")
def kept_digits(once: Callable[..., Path]) -> Path:
    """A folder of runs with a kept study: two models of scikit-learn's digits, two seeds each.

    The first run of each model has a page; the exported one is in ``models`` beside it.
    """

    def make(folder: Path) -> None:
        words = ("run", "digits", "--epochs", "3", "--seeds", "2", "--runs", str(folder / "runs"))
        done = CliRunner().invoke(main, [*words, "--models", str(folder / "models")])
        assert done.exit_code == 0, done.output
        runs = {run.experiment.model.kind: run for run in reversed(Store(folder / "runs").all())}
        for run in runs.values():
            drawn = CliRunner().invoke(main, ["report", run.name, "--runs", str(folder / "runs")])
            assert drawn.exit_code == 0, drawn.output

    return once("digits", make) / "runs"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium by Selenium, where there is one."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip(
            "no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
        )
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(driver)
    started = webdriver.Chrome(options=options, service=service)
    yield started
    started.quit()
