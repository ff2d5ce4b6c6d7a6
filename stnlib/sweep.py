"""Many runs: a study's configurations mapped over a Dask cluster.

Runs are independent, named by their keys, and resumable from their last epoch's checkpoint,
so a worker that dies costs an epoch and a sweep that is interrupted is simply started again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import torch
from distributed import Client, LocalCluster, as_completed
from tqdm.auto import tqdm

from stnlib import study
from stnlib.config import RunConfig
from stnlib.data import DataSet, load

__all__ = ["Job", "connect", "jobs_of", "sweep"]


@dataclass(frozen=True)
class Job:
    """One run to make: its study, its configuration, and what the study asks of it."""

    study: str
    config: RunConfig
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.study}/{self.config.key}"


def jobs_of(paths: Iterable[Path]) -> list[Job]:
    """The runs of study files, file after file, seeds slowest within each.

    Raises
    ------
    ConfigError
        One line, before any work, when any of the files is wrong.
    """
    return [
        Job(path.stem, config, tuple(study.options(path).items()))
        for path in paths
        for config in study.configurations(path)
    ]


@contextlib.contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of one on this machine that ends with it.

    Parameters
    ----------
    scheduler : address such as ``tcp://host:8786``; None starts workers here.
    workers : number of workers to start, one thread each; default: one a core.
    """
    if scheduler:
        with Client(scheduler, timeout="30s") as client:
            yield client
        return
    # A worker that dies takes all its tasks' good name with it; here each death is worth a retry.
    settings = {
        "distributed.scheduler.allowed-failures": 100,
        "distributed.worker.daemon": True,
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or os.cpu_count(),
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,  # failures are reported at the end, a line each
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def sweep(
    jobs: Iterable[Job],
    folder: Path,
    client: Client,
    checkpoints: Path | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Make the runs that have no record yet.

    Parameters
    ----------
    folder : of the records, reached by the workers under the same name.
    client : see `connect`.
    checkpoints : folder of unfinished runs; name one that all workers reach, and any of
        them can go on where another ended.
    progress : show a bar with the time left.

    Returns
    -------
    What failed: a line an unfinished run, by its name. The others have completed.
    """
    pending = [job for job in jobs if not _record(folder, job).exists()]
    places = (str(folder), str(checkpoints or study.checkpoint_folder()))
    own = uuid.uuid4().hex[:8]  # a cluster answers a key that it knows without running anything
    futures = {
        client.submit(_train, job, *places, key=f"{job.name}-{own}", priority=-i): job
        for i, job in enumerate(pending)
    }
    failures = {}
    with tqdm(total=len(futures), unit="run", disable=not progress, dynamic_ncols=True) as bar:
        for future in as_completed(futures):
            job = futures[future]
            if future.status != "finished":
                failures[job.name] = f"{job.config.changed()}: {_reason(future)}"
            bar.set_postfix_str(f"{job.name}, {len(failures)} failed")
            bar.update()
    return failures


def _record(folder: Path, job: Job) -> Path:
    return Path(folder) / job.study / f"{job.config.key}.json"


def _train(job: Job, folder: str, checkpoints: str) -> str:
    """What a worker does: one run on one thread."""
    torch.set_num_threads(1)
    if _record(Path(folder), job).exists():  # by another sweep, in the meantime
        return job.name
    data = _data(job.config.data, job.config.n_train)
    places = {"folder": Path(folder), "checkpoints": Path(checkpoints)}
    study.run(job.config, job.study, data=data, progress=False, **places, **dict(job.options))
    return job.name


@functools.lru_cache(maxsize=4)
def _data(name: str, n_train: int | None) -> DataSet:
    """Loaded once a worker, not shipped with each task."""
    return load(name, n_train=n_train)


def _reason(future: Any) -> str:
    error = future.exception() if future.status == "error" else future.status
    return str(error).splitlines()[0] if str(error) else type(error).__name__
