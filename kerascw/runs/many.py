"""Run many experiments: side by side in processes here, or on a cluster's workers.

The processes here are joblib's (loky), on a cluster they are a Dask scheduler's workers. Either way
a worker trains one run after the other and gives back its name; the run itself goes through the
store's folder, which all workers must see.
"""

import logging
import socket
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

from kerascw.data import Dataset, load_for, split
from kerascw.errors import DataError, KerascwError
from kerascw.experiment.spec import DataSpec, Experiment, ModelSpec
from kerascw.models import check_model
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import set_threads
from kerascw.runs.processes import Trainers
from kerascw.runs.run import history_so_far, run_experiment, run_name, train_until
from kerascw.runs.store import Run, Store
from kerascw.training.devices import cores
from kerascw.training.watcher import Watcher

RUNS_PER_PROCESS = 30
"""Processes are replaced after this many runs each: TensorFlow keeps what it traced, so a process
grows by some megabytes a run (README, Limits)."""

PATIENCE = 10
"""Seconds that a scheduler may take to answer, and then to have a worker."""


class StudyWatcher(Watcher, Protocol):
    """Whoever wants to see a study go on."""

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """``runs`` different runs are wanted; ``kept`` of them are there already."""

    def finished(self, run: Run) -> None:
        """A run was trained."""


@lru_cache(maxsize=4)
def _loaded(whole: DataSpec, data_dir: str | Path | None) -> Dataset:
    return load_for(whole, data_dir=data_dir)


def dataset_for(spec: DataSpec, data_dir: str | Path | None) -> Dataset:
    """Return the dataset of an experiment, loaded once a process."""
    return _loaded(DataSpec(name=spec.name, sample=spec.sample, folder=spec.folder), data_dir)


def run_many(
    experiments: Sequence[Experiment],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    watcher: StudyWatcher | None = None,
    trainers: "Trainers[Task] | None" = None,
) -> list[Run]:
    """Return the runs of all experiments, in their order, training those that are not kept yet.

    What warm starts begin with is trained first, once, where it is not kept.

    A single missing run is trained in this process, which shows its epochs; several are trained
    in processes of their own, ``jobs`` at a time with the cores divided among them. How many
    threads a run has shows in the last bits of its figures, so it is the same either way.

    Parameters
    ----------
    cluster : address of a Dask scheduler whose workers train instead; they must see the store's
        folder and the data under the same paths.
    trainers : processes to train in, which stay open; ``jobs`` is theirs then.

    Raises
    ------
    CallError, DataError
        Anything wrong with any experiment, before the first is trained.
    KerascwError
        A run's process died twice, or the cluster cannot be used.
    Interrupted, KeyboardInterrupt
        The user stopped it; what is whole is kept.
    """
    names = [checked_name(experiment, data_dir) for experiment in experiments]
    sources = {e.start.source.canonical_json(): e.start.source for e in experiments if e.start}
    if sources:
        run_many(
            list(sources.values()),
            store,
            data_dir=data_dir,
            jobs=jobs,
            cluster=cluster,
            watcher=watcher,
            trainers=trainers,
        )
    wanted = dict(zip(names, experiments, strict=True))
    kept = {name: run for name in wanted if (run := store.get(name)) is not None}
    missing = {name: experiment for name, experiment in wanted.items() if name not in kept}
    threads = max(1, cores() // jobs) if trainers is None else trainers.threads
    here = cluster is None and trainers is None and len(missing) == 1 and _has_threads(threads)
    if watcher is not None and (here or not missing):
        watcher.planned(len(wanted), len(kept), jobs)
    if here:
        ((name, experiment),) = missing.items()
        dataset = dataset_for(experiment.data, data_dir)
        source = source_run(experiment, store, data_dir)
        kept[name] = run_experiment(experiment, dataset, store, watcher, source=source, draw=False)
    elif missing:
        tasks = {
            name: _task(name, experiment, store, data_dir, threads)
            for name, experiment in missing.items()
        }
        with _trainers(cluster, jobs, trainers) as (side_by_side, train):
            if watcher is not None:
                watcher.planned(len(wanted), len(kept), side_by_side)
            with closing(train(tasks)) as finished:
                for name in finished:
                    run = store.get(name)
                    if run is None:
                        raise KerascwError(f"run {name} is not whole in {store.folder}")
                    kept[name] = run
                    if watcher is not None:
                        watcher.finished(run)
    return [kept[name] for name in names]


def train_all_until(
    experiments: Sequence[tuple[Experiment, int]],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    trainers: "Trainers[Task] | None" = None,
) -> None:
    """Train each experiment's first epochs, as many as stand beside it, where they are missing.

    Below the experiment's full number the run stays unfinished: it goes on from there when more
    epochs are asked for, to the same end, bit for bit, as a run that never stopped.
    :func:`kerascw.runs.run.history_so_far` reads what was trained.

    Raises
    ------
    CallError, DataError, Died
        As :func:`run_many`, which explains the parameters.
    """
    sources = [experiment.start.source for experiment, _ in experiments if experiment.start]
    if sources:
        run_many(sources, store, data_dir=data_dir, jobs=jobs, cluster=cluster, trainers=trainers)
    wanted: dict[str, tuple[Experiment, int]] = {}
    for experiment, epochs in experiments:
        name = checked_name(experiment, data_dir)
        most = max(epochs, wanted[name][1] if name in wanted else 0)
        if store.get(name) is None and len(history_so_far(name, store)) < most:
            wanted[name] = experiment, most
    if not wanted:
        return
    threads = max(1, cores() // jobs) if trainers is None else trainers.threads
    tasks = {
        name: replace(_task(name, experiment, store, data_dir, threads), epochs=epochs)
        for name, (experiment, epochs) in wanted.items()
    }
    with _trainers(cluster, jobs, trainers) as (_, train), closing(train(tasks)) as finished:
        for _ in finished:
            pass


def checked_name(experiment: Experiment, data_dir: str | Path | None) -> str:
    """Return the name of an experiment's run, once what is wrong with the experiment is said."""
    dataset = dataset_for(experiment.data, data_dir)
    check_model(experiment.model, dataset.entry.shape)
    data = experiment.data
    if data.holdout is not None or data.classes is not None or data.also:
        _check_split(data, data_dir)
    if experiment.start is None:
        return run_name(experiment, dataset)
    source = experiment.start.source
    name = checked_name(source, data_dir)
    _check_start(
        experiment.start.layers,
        *((e.model, *_input_and_classes(e.data, data_dir)) for e in (experiment, source)),
    )
    return run_name(experiment, dataset, name)


Architecture = tuple[ModelSpec, tuple[int, int, int], int]
"""A model's spec, the shape of its pictures and its number of classes."""


def _input_and_classes(
    spec: DataSpec, data_dir: str | Path | None
) -> tuple[tuple[int, int, int], int]:
    entry = dataset_for(spec, data_dir).entry
    return entry.shape, len(spec.classes or entry.class_names)


@lru_cache(maxsize=256)
def _check_start(layers: tuple[str, ...], model: Architecture, source: Architecture) -> None:
    import_tensorflow()
    from kerascw.models import build_model
    from kerascw.training.warm_start import check_transfer

    check_transfer(build_model(*model), build_model(*source), layers)


def name_of(experiment: Experiment, data_dir: str | Path | None) -> str:
    """Return the name of an experiment's run, whether it is kept or not."""
    dataset, start = dataset_for(experiment.data, data_dir), experiment.start
    return run_name(experiment, dataset, name_of(start.source, data_dir) if start else None)


def source_run(experiment: Experiment, store: Store, data_dir: str | Path | None) -> Run | None:
    """Return the kept run that a warm start begins with, None where it begins at random.

    Raises
    ------
    KerascwError
        It is not kept any more, or it diverged before it had weights.
    """
    if experiment.start is None:
        return None
    name = name_of(experiment.start.source, data_dir)
    run = store.get(name)
    if run is None:
        raise KerascwError(f"run {name}, which a warm start begins with, is not in {store.folder}")
    if run.metrics["kept_epoch"] is None:
        raise KerascwError(
            f"run {name}, which a warm start begins with, diverged: it has no weights"
        )
    return run


@lru_cache(maxsize=256)
def _check_split(spec: DataSpec, data_dir: str | Path | None) -> None:
    split(dataset_for(spec, data_dir), spec)


# --- where runs are trained -----------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One run for a worker: its name, the experiment as canonical JSON, and where things are."""

    name: str
    experiment: str
    runs: str
    data_dir: str | None
    threads: int
    epochs: int | None = None  # to pause after, where not all are to be trained


def _task(
    name: str, experiment: Experiment, store: Store, data_dir: str | Path | None, threads: int
) -> Task:
    return Task(
        name,
        experiment.canonical_json(),
        str(store.folder.resolve()),
        None if data_dir is None else str(Path(data_dir).resolve()),
        threads,
    )


def open_trainers(jobs: int, threads: int | None = None) -> "Trainers[Task]":
    """Return processes that train runs until they are closed; among them the cores are divided."""
    return Trainers(
        train_in_worker,
        jobs,
        threads=threads or max(1, cores() // jobs),
        runs_per_process=RUNS_PER_PROCESS,
    )


Train = Callable[[dict[str, Task]], Generator[str]]
"""Trains all tasks, and yields the name of each run as it is finished, in whatever order."""


@contextmanager
def _trainers(
    cluster: str | None, jobs: int, trainers: "Trainers[Task] | None"
) -> Iterator[tuple[int, Train]]:
    """Yield how many runs go on side by side, and what trains them."""
    if trainers is not None:
        yield trainers.jobs, trainers.train
        return
    if cluster is None:
        with open_trainers(jobs) as here:
            yield jobs, here.train
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise KerascwError("--cluster needs the extra: pip install 'kerascw[cluster]'") from None
    # it logs tracebacks of connections that fail; what they mean is said below, in a line
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(cluster, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise KerascwError(f"--cluster {cluster}: no Dask scheduler answers ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise KerascwError(
                f"--cluster {cluster}: the scheduler has no workers; start some, each with "
                f"'dask worker {cluster} --nthreads 1'"
            ) from None
        yield len(client.nthreads()), partial(_train_on_cluster, client)


def _train_on_cluster(client: Any, tasks: dict[str, Task]) -> Generator[str]:
    """Train on a Dask scheduler's workers, which gives the runs of one that died to another."""
    from dask import distributed
    from distributed.scheduler import KilledWorker

    names = {
        client.submit(train_in_cluster_worker, task, pure=False): name
        for name, task in tasks.items()
    }
    for future in distributed.as_completed(names):
        try:
            name = future.result()
        except KilledWorker as error:
            raise KerascwError(
                f"every worker that trained {names[future]} died (tries: "
                f"{error.allowed_failures + 1}): most likely memory ran out; the same command "
                "goes on from there"
            ) from None
        except CancelledError:
            raise KerascwError(
                "the Dask scheduler is gone; the same command goes on from there"
            ) from None
        yield name


# --- in a worker ----------------------------------------------------------------------------

_ONE_AT_A_TIME = threading.Lock()
"""Keras' seeds are the process's: a Dask worker with several threads trains in one of them."""


def train_in_worker(task: Task) -> str:
    """Train one run in a worker process; return its name."""
    warnings.simplefilter("ignore", UserWarning)  # of the data: the command has said it
    import_tensorflow()
    # every model is traced anew, as it must be; TensorFlow warns of that from the fifth on
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _ONE_AT_A_TIME:
        set_threads(task.threads)
        experiment = Experiment.model_validate_json(task.experiment)
        dataset = dataset_for(experiment.data, task.data_dir)
        store = Store(task.runs)
        source = source_run(experiment, store, task.data_dir)
        if run_name(experiment, dataset, source.name if source else None) != task.name:
            raise DataError(
                f"a worker on {socket.gethostname()} found other data ({dataset.source}, "
                f"{dataset.location}) than the command; give --data-dir with a folder that both see"
            )
        if task.epochs is not None:
            train_until(task.epochs, experiment, dataset, store, source=source)
            return task.name
        return run_experiment(experiment, dataset, store, source=source, draw=False).name


def train_in_cluster_worker(task: Task) -> str:
    """Train one run in a Dask worker, with the threads that it was started with."""
    from dask.distributed import get_worker

    return train_in_worker(replace(task, threads=get_worker().state.nthreads))


def _has_threads(threads: int) -> bool:
    """Give TensorFlow this many threads; return False where it has begun with another number."""
    import_tensorflow()
    return set_threads(threads)
