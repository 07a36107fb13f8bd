"""Run many experiments: side by side in processes here, or on a cluster's workers.

The processes here are joblib's (loky), on a cluster they are a Dask scheduler's workers. In both
cases a worker trains one run after the other and returns its name; the run itself goes through the
store's folder, which all workers must see.
"""

import logging
import socket
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from kerascw.data.layout import one_line, sides
from kerascw.data.load import dataset_for, splits_for
from kerascw.errors import CallError, DataError, KerascwError
from kerascw.experiment.spec import (
    Backbone,
    Custom,
    Experiment,
    ModelSpec,
    Shift,
    Takes,
    TrainingSpec,
)
from kerascw.models import build_model, check_model
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import set_threads
from kerascw.runs.processes import Task, Trainers
from kerascw.runs.run import history_so_far, run_name, train_until
from kerascw.runs.store import Run, Store
from kerascw.training.devices import cores
from kerascw.training.watcher import Watcher

RUNS_PER_PROCESS = 60
"""Processes are replaced after this many runs each: TensorFlow keeps what it traced, so a process
grows by 3 to 8 MB a run where models or learning rates differ, by 0.2 MB where only seeds do."""

PATIENCE = 10
"""Seconds that a scheduler may take to answer, and then to have a worker."""


class StudyWatcher(Watcher):
    """Sees the runs of a study begin and end."""

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """``runs`` different runs are wanted; ``kept`` of them are there already."""

    def finished(self, run: Run) -> None:
        """A run was trained."""


def run_many(
    experiments: Sequence[Experiment],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    watcher: StudyWatcher | None = None,
    trainers: Trainers | None = None,
    begin: Callable[[list[str]], None] | None = None,
) -> list[Run]:
    """Return the runs of all experiments, in their order, training those that are not kept yet.

    The runs that warm starts begin with are trained first, once.

    A single missing run is trained in this process, which shows its epochs; several in processes of
    their own, ``jobs`` at a time, or in ``trainers``, which stay open. The number of threads shows
    in the last bits, so it is the same in all cases. The workers of a ``cluster`` must see the
    store and the data under the same paths. ``begin`` is told the runs' names when the workers are
    there, before any trains.

    Raises CallError, DataError: anything wrong with any experiment, before the first is trained;
    KerascwError: a run's process died twice, or the cluster cannot be used; Interrupted,
    KeyboardInterrupt: the user stopped it; all runs that were finished are kept.
    """
    threads = trainers.threads if trainers else threads_each(jobs)
    if any(isinstance(experiment.model, Custom | Backbone) for experiment in experiments):
        set_threads(threads)  # to check such a model is to build it, with which TensorFlow begins
    tasks = [prepare(experiment, store, data_dir) for experiment in experiments]
    watcher = watcher or StudyWatcher()
    if sources := [experiment.start.source for experiment in experiments if experiment.start]:
        run_many(
            sources, store, data_dir=data_dir, jobs=jobs, cluster=cluster, watcher=watcher,
            trainers=trainers,
        )  # fmt: skip
    wanted = {task.name: task for task in tasks}
    kept = {name: run for name in wanted if (run := store.get(name)) is not None}
    missing = {n: replace(t, threads=threads) for n, t in wanted.items() if n not in kept}

    def planned(side_by_side: int) -> None:
        if begin is not None:
            begin([task.name for task in tasks])
        watcher.planned(len(wanted), len(kept), side_by_side)

    here = cluster is None and trainers is None and len(missing) == 1 and set_threads(threads)
    if here or not missing:
        planned(jobs)
        for name, task in missing.items():
            run = _train(task, store, data_dir, watcher)
            assert run is not None, "a task without a number of epochs does not pause"
            kept[name] = run
    else:
        with _trainers(cluster, jobs, trainers) as (side_by_side, train):
            planned(side_by_side)
            with closing(train(missing)) as finished:
                for name in finished:
                    run = store.get(name)
                    if run is None:
                        raise KerascwError(f"run {name} is not whole in {store.folder}")
                    kept[name] = run
                    watcher.finished(run)
    return [kept[task.name] for task in tasks]


def train_all_until(
    experiments: Sequence[tuple[Experiment, int]],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    trainers: Trainers | None = None,
) -> None:
    """Train each experiment's first epochs, as many as stand beside it, where they are missing.

    Below the experiment's full number the run stays unfinished: it goes on from there when more
    epochs are asked for, to the same end, bit for bit, as a run that never stopped.
    :func:`kerascw.runs.run.history_so_far` reads what was trained.

    Raises CallError, DataError, Died: as :func:`run_many`, which explains the parameters.
    """
    if sources := [experiment.start.source for experiment, _ in experiments if experiment.start]:
        run_many(sources, store, data_dir=data_dir, jobs=jobs, cluster=cluster, trainers=trainers)
    threads = trainers.threads if trainers else threads_each(jobs)
    missing: dict[str, Task] = {}
    for experiment, epochs in sorted(experiments, key=itemgetter(1)):  # of one run the most last
        task = replace(prepare(experiment, store, data_dir), threads=threads, epochs=epochs)
        if store.get(task.name) is None and len(history_so_far(task.name, store)) < epochs:
            missing[task.name] = task
    if missing:
        with _trainers(cluster, jobs, trainers) as (_, train), closing(train(missing)) as finished:
            for _ in finished:
                pass


# --- an experiment becomes a task -----------------------------------------------------------


def prepare(experiment: Experiment, store: Store, data_dir: str | Path | None) -> Task:
    """Check an experiment against its data, and return it as a task with its run's name.

    Raises CallError, DataError: the data cannot be had or split like this, the model cannot be
    built for its images, which a shift moves away, or the layers of a warm start do not fit.
    """
    dataset = dataset_for(experiment.data, data_dir)
    check_model(*_architecture(experiment, data_dir))
    _check_shifts(experiment.training, dataset.entry.shape)
    data, source = experiment.data, None
    if data.holdout or data.classes or data.also or data.exclude:
        splits_for(data, data_dir)
    if experiment.start is not None:
        start = experiment.start
        source = prepare(start.source, store, data_dir).name
        _check_start(
            start.layers,
            start.takes,
            _architecture(experiment, data_dir),
            _architecture(start.source, data_dir),
        )
    return Task(
        run_name(experiment, dataset, source),
        source,
        experiment.canonical_json(),
        str(store.folder.resolve()),
        None if data_dir is None else str(Path(data_dir).resolve()),
    )


def _check_shifts(training: TrainingSpec, shape: tuple[int, int, int]) -> None:
    """Raise a CallError if an image could be moved out of its frame altogether."""
    least = min(shape[:2])
    for change in training.augmentation:
        if isinstance(change, Shift) and change.pixels >= least:
            raise CallError(
                f"training.augmentation: shift:{change.pixels}; the images are {sides(shape[:2])}, "
                f"choose from 1 to {least - 1}"
            )


Architecture = tuple[ModelSpec, tuple[int, int, int], int]
"""A model's spec, the shape of its images and its number of classes."""


def _architecture(experiment: Experiment, data_dir: str | Path | None) -> Architecture:
    data, entry = experiment.data, dataset_for(experiment.data, data_dir).entry
    classes = data.classes if data.relabel else None
    return experiment.model, entry.shape, len(classes or entry.class_names)


@lru_cache(maxsize=256)
def _check_start(
    layers: tuple[str, ...], takes: Takes, model: Architecture, source: Architecture
) -> None:
    import_tensorflow()
    from kerascw.training.warm_start import check_transfer

    check_transfer(build_model(*model), build_model(*source), layers, takes)


# --- where runs are trained -----------------------------------------------------------------


def threads_each(jobs: int) -> int:
    """Divide the cores among so many processes."""
    return max(1, cores() // jobs)


def open_trainers(jobs: int, threads: int | None = None) -> Trainers:
    """Start processes that train runs until they are closed.

    Each has so many threads; None: the cores are divided among them.
    """
    return Trainers(train_in_worker, jobs, threads or threads_each(jobs), RUNS_PER_PROCESS)


Train = Callable[[dict[str, Task]], Generator[str]]
"""Trains all tasks, and yields the name of each run as it finishes, in any order."""


@contextmanager
def _trainers(
    cluster: str | None, jobs: int, trainers: Trainers | None
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
    # AssertionError: on a busy machine Dask's own thread had not begun in time
    except (OSError, ValueError, AssertionError) as error:
        reason = one_line(error)
        raise KerascwError(f"--cluster {cluster}: no Dask scheduler answers ({reason})") from None
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
    """Train one run in a worker process; return its name.

    Raises DataError: the worker finds other data than the process that made the task.
    """
    warnings.simplefilter("ignore", UserWarning)  # about the data: the command printed it
    import_tensorflow()
    # every model is traced anew, as it must be; TensorFlow warns of that from the fifth on
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _ONE_AT_A_TIME:
        set_threads(task.threads)
        _train(task, Store(task.runs), task.data_dir)
    return task.name


def _train(
    task: Task, store: Store, data_dir: str | Path | None, watcher: StudyWatcher | None = None
) -> Run | None:
    """Train a task's run in this process; return it, or None if it pauses before its end."""
    experiment = Experiment.model_validate_json(task.experiment)
    dataset = dataset_for(experiment.data, data_dir)
    if run_name(experiment, dataset, task.source) != task.name:
        raise DataError(
            f"a worker on {socket.gethostname()} found other data ({dataset.source}, "
            f"{dataset.location}) than the command; give --data-dir with a folder that both see"
        )
    return train_until(
        task.epochs or experiment.training.epochs,
        experiment,
        dataset,
        store,
        watcher,
        source=None if task.source is None else source_run(task.source, store),
        splits=splits_for(experiment.data, data_dir),
    )


def source_run(name: str, store: Store) -> Run:
    """Return the kept run that a warm start begins with, or raise a :class:`KerascwError`."""
    run = store.get(name)
    if run is None:
        raise KerascwError(f"run {name}, which a warm start begins with, is not in {store.folder}")
    if run.metrics["kept_epoch"] is None:
        raise KerascwError(
            f"run {name}, which a warm start begins with, diverged: it has no weights"
        )
    return run


def train_in_cluster_worker(task: Task) -> str:
    """Train one run in a Dask worker, with the threads that it was started with."""
    from dask.distributed import get_worker

    return train_in_worker(replace(task, threads=get_worker().state.nthreads))
