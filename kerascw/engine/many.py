"""Run many experiments: side by side in processes here, or on a cluster's workers.

joblib does both: its loky processes on this machine, a Dask scheduler's workers elsewhere. Either
way a worker trains one run after the other and gives back its name; the run itself goes through
the store's folder, which all workers must see.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from kerascw.data import Dataset, load_data, split
from kerascw.engine.environment import cores, set_threads
from kerascw.engine.run import run_experiment, run_name
from kerascw.engine.store import Run, Store
from kerascw.errors import KerascwError
from kerascw.models import check_model
from kerascw.spec import DataSpec, Experiment
from kerascw.training.watcher import Watcher

RUNS_PER_PROCESS = 20
"""Processes are replaced after this many runs each: TensorFlow keeps what it traced, so a process
grows by some megabytes a run (README, Limits)."""


class StudyWatcher(Watcher, Protocol):
    """Whoever wants to see a study go on."""

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """``runs`` different runs are wanted; ``kept`` of them are there already."""

    def finished(self, run: Run) -> None:
        """A run was trained."""


@lru_cache(maxsize=4)
def dataset_of(name: str, sample: bool, data_dir: str | Path | None) -> Dataset:
    """Load a dataset once a process."""
    return load_data(name, data_dir=data_dir, sample=sample)


def dataset_for(spec: DataSpec, data_dir: str | Path | None) -> Dataset:
    """Return the dataset of an experiment."""
    return dataset_of(spec.name, spec.sample, data_dir)


def run_many(
    experiments: Sequence[Experiment],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    watcher: StudyWatcher | None = None,
) -> list[Run]:
    """Return the runs of all experiments, in their order, training those that are not kept yet.

    A single missing run is trained in this process, which shows its epochs; several are trained
    in processes of their own, ``jobs`` at a time with the cores divided among them.

    Parameters
    ----------
    cluster : address of a Dask scheduler whose workers train instead; they must see the store's
        folder and the data under the same paths.

    Raises
    ------
    CallError, DataError
        Anything wrong with any experiment, before the first is trained.
    Interrupted, KeyboardInterrupt
        The user stopped it; what is whole is kept.
    """
    names = [_checked_name(experiment, data_dir) for experiment in experiments]
    wanted = dict(zip(names, experiments, strict=True))
    kept = {name: run for name in wanted if (run := store.get(name)) is not None}
    missing = [experiment for name, experiment in wanted.items() if name not in kept]
    if watcher is not None:
        watcher.planned(len(wanted), len(kept), jobs)
    if len(missing) == 1 and cluster is None:
        dataset = dataset_for(missing[0].data, data_dir)
        run = run_experiment(missing[0], dataset, store, watcher, draw=False)
        kept[run.name] = run
    elif missing:
        for name in _trained_elsewhere(missing, store, data_dir, jobs, cluster):
            run = store.get(name)
            if run is None:
                raise KerascwError(f"run {name} was trained, but is not whole in {store.folder}")
            kept[name] = run
            if watcher is not None:
                watcher.finished(run)
    return [kept[name] for name in names]


def _checked_name(experiment: Experiment, data_dir: str | Path | None) -> str:
    dataset = dataset_for(experiment.data, data_dir)
    check_model(experiment.model, dataset.entry.shape)
    if experiment.data.holdout is not None or experiment.data.classes is not None:
        _check_split(experiment.data, data_dir)
    return run_name(experiment, dataset)


@lru_cache(maxsize=256)
def _check_split(spec: DataSpec, data_dir: str | Path | None) -> None:
    split(dataset_for(spec, data_dir), spec)


def _trained_elsewhere(
    experiments: list[Experiment],
    store: Store,
    data_dir: str | Path | None,
    jobs: int,
    cluster: str | None,
) -> Iterator[str]:
    """Yield the name of each run as it is finished, in whatever order that is."""
    from joblib import Parallel, delayed

    folder = str(store.folder.resolve())
    where = None if data_dir is None else str(Path(data_dir).resolve())
    threads = max(1, cores() // jobs)
    # the longest first would pack better; the order given lets a reader follow
    with _backend(cluster, jobs) as (workers, chunk):
        for start in range(0, len(experiments), chunk):
            part = experiments[start : start + chunk]
            tasks = (
                delayed(train_in_worker)(experiment.canonical_json(), folder, where, threads)
                for experiment in part
            )
            yield from Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(
                tasks
            )
            if cluster is None:
                _replace_processes()


@contextmanager
def _backend(cluster: str | None, jobs: int) -> Iterator[tuple[int, int]]:
    """Give joblib its backend; yield how many workers, and runs before these are replaced."""
    from joblib import parallel_config

    if cluster is None:
        with parallel_config(backend="loky"):
            try:
                yield jobs, jobs * RUNS_PER_PROCESS
            finally:
                _replace_processes()
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise KerascwError("--cluster needs the extra: pip install 'kerascw[cluster]'") from None
    try:
        client = Client(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise KerascwError(f"--cluster {cluster}: no Dask scheduler answers ({error})") from None
    with client, parallel_config(backend="dask"):
        yield -1, 10**9


def _replace_processes() -> None:
    """End the worker processes; joblib starts fresh ones when it needs them."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def train_in_worker(experiment: str, folder: str, data_dir: str | None, threads: int) -> str:
    """Train one experiment, given as canonical JSON, in a worker process; return the run's name."""
    from kerascw.quiet import import_tensorflow

    import_tensorflow()
    set_threads(threads)
    spec = Experiment.model_validate_json(experiment)
    dataset = dataset_for(spec.data, data_dir)
    return run_experiment(spec, dataset, Store(folder), draw=False).name
