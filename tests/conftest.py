import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from click.testing import CliRunner

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
from kerascw.runs.environment import have_threads
from kerascw.runs.many import RUNS_PER_PROCESS, open_trainers, threads_each, train_in_worker
from kerascw.runs.processes import Task, Trainers
from kerascw.runs.store import Run, Store
from kerascw.training.watcher import Silent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell's background job ignores it, and so would the commands that tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """Before a test starts TensorFlow: what is trained here then equals what a worker trains."""
    import_tensorflow()
    have_threads()


class Shared(Trainers):
    """Worker processes that the tests of a session share: each imports TensorFlow once."""

    def __exit__(self, *_: object) -> None:
        """Leave them to the next test; ``close`` ends them."""


@pytest.fixture(scope="session", autouse=True)
def _workers() -> Iterator[dict[int, Shared]]:
    """Share worker processes between tests; see :func:`own_workers`."""
    pools: dict[int, Shared] = {}

    def opened(jobs: int) -> Shared:
        environment, folder = dict(os.environ), str(Path.cwd())

        def train(task: Task) -> str:  # defined here: workers cannot import this file
            temporary = os.environ["TMPDIR"]
            os.environ.clear()
            os.environ.update(environment | {"TMPDIR": temporary})
            os.chdir(folder)
            return train_in_worker(task)

        pool = pools.setdefault(jobs, Shared(train, jobs, threads_each(jobs), RUNS_PER_PROCESS))
        pool._train = train
        return pool

    with pytest.MonkeyPatch.context() as patch:
        for place in ("kerascw.runs.many", "tuning.search"):
            patch.setattr(f"{place}.open_trainers", opened)
        yield pools
    for pool in pools.values():
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
def own_workers(_workers: dict[int, Shared], _prover: list[Any]) -> Iterator[None]:
    """Start workers as the command does: for tests of these processes themselves."""
    for pool in _workers.values():
        pool.close()
    while _prover:
        _prover.pop().shutdown(kill_workers=True)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("kerascw.runs.many", "tuning.search"):
            patch.setattr(f"{place}.open_trainers", open_trainers)
        yield


@pytest.fixture(scope="session")
def sample() -> Dataset:
    return load_data("fashion_mnist", sample=True)


class StopAfter(Silent):
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
def tiny_model(sample: Dataset) -> Any:
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
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(sample.train.images, sample.train.labels, batch_size=32, epochs=2, verbose=0)
    return model


@pytest.fixture(scope="session")
def card() -> dict[str, Any]:
    return {"run": "tiny", "light_on_dark": True, "test": {"examples": 1000, "accuracy": 0.1}}


@pytest.fixture(scope="session")
def exported(
    tiny_model: Any,
    card: dict[str, Any],
    sample: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of version 1 of the tiny model, exported with that card."""
    return export(
        tiny_model,
        tmp_path_factory.mktemp("saved_models") / "tiny",
        class_names=sample.entry.class_names,
        card=card,
        check_images=sample.test.images[:256],
    )


@pytest.fixture(scope="session")
def kept_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a kept study: two models of scikit-learn's digits, two seeds each."""
    folder = tmp_path_factory.mktemp("kept") / "runs"
    words = ("run", "digits", "--epochs", "3", "--seeds", "2", "--runs", str(folder))
    done = CliRunner().invoke(main, [*words, "--models", str(folder.parent / "models")])
    assert done.exit_code == 0, done.output
    for run in Store(folder).all():
        drawn = CliRunner().invoke(main, ["report", run.name, "--runs", str(folder)])
        assert drawn.exit_code == 0, drawn.output
    return folder


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
