"""Many runs: a study's configurations mapped over a Dask cluster.

Runs are independent, named by their keys, and resumable from their last epoch's checkpoint,
so a worker that dies costs an epoch and a sweep that is interrupted is simply started again.
Sweeps that share a folder of records share the work: a run that one is making, others put off.
"""

from __future__ import annotations

import collections
import functools
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from distributed import Client, Future, get_worker
from distributed.comm import get_address_host
from tqdm.auto import tqdm

from stnlib import records, study, studyfile
from stnlib.cluster import device_here, resources_of
from stnlib.config import ConfigError, RunConfig
from stnlib.data import DataError, DataSet, load
from stnlib.files import ClaimedError
from stnlib.memory import keep_freed_memory

__all__ = ["Job", "jobs_of", "sweep"]


@dataclass(frozen=True)
class Job:
    """One run to make: its study, its configuration, and what the study asks of it."""

    study: str
    config: RunConfig
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.study}/{self.config.key}"


def jobs_of(paths: Sequence[Path]) -> list[Job]:
    """The runs of study files, file after file, seeds slowest within each.

    Raises
    ------
    ConfigError
        One line, before any work, when any of the files is wrong, or asks for forks.
    """
    for path in paths:
        if studyfile.forks(path):
            raise ConfigError(f"{path} asks for forks: stn forks makes them")
    return [
        Job(path.stem, config, tuple(study.options(path).items()))
        for path in paths
        for config in study.configurations(path)
    ]


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
    client : see `stnlib.cluster.connect`.
    checkpoints : folder of unfinished runs; name one that all workers reach, and any of
        them can go on where another ended.
    progress : show a bar with the time left.

    Returns
    -------
    What failed: a line an unfinished run, by its name. The others have completed.

    Raises
    ------
    OSError
        When the scheduler is lost; a new sweep goes on.
    """
    jobs = list(dict.fromkeys(jobs))
    pending, failures = _without_record(jobs, folder)
    places = (str(folder.absolute()), str((checkpoints or study.checkpoint_folder()).absolute()))
    queue = _Queue(client, places)
    for job in pending:
        queue.append(job)
    with tqdm(
        total=len(jobs),
        initial=len(jobs) - len(pending),
        unit="run",
        smoothing=0,  # runs end in bursts, as many as there are workers
        miniters=0,
        mininterval=1 if sys.stderr.isatty() else 60,  # a log file gets a line a minute
        disable=not progress,
        dynamic_ncols=True,
    ) as bar:
        for job, reason in queue.ended(idle=lambda: bar.update(0)):
            if reason:
                failures[job.name] = f"{job.config.changed()}: {reason}"
            bar.set_postfix_str(f"{len(failures)} failed", refresh=False)
            bar.update()
        bar.refresh()
    return failures


def _without_record(jobs: list[Job], folder: Path) -> tuple[list[Job], dict[str, str]]:
    """The jobs that have no record, and a line for each whose record cannot be trusted."""
    pending, failures = [], {}
    for job in jobs:
        path = records.place(folder, job.study, job.config)
        if not path.exists():
            pending.append(job)
            continue
        try:
            records.read(path)
        except records.RecordError as error:
            failures[job.name] = str(error)
    return pending, failures


class _Queue:
    """Jobs on a cluster, begun in the order in which they came.

    The cluster gets no more of them than it has workers: it would deal out the rest at once,
    and a worker that is done early would take from another's whatever it likes.
    """

    def __init__(self, client: Client, places: tuple[str, str]) -> None:
        self._client, self._places, self._address = client, places, client.scheduler.address
        self._resources = resources_of(client)
        self._waiting: collections.deque[tuple[Job, list[str] | None]] = collections.deque()
        self._futures: dict[Future, Job] = {}
        self._news = threading.Event()
        self._lacking: dict[str, set[str]] = {}  # data set to the hosts that do not have it

    def append(self, job: Job, hosts: list[str] | None = None) -> None:
        """Put a job at the end; with `hosts`, for these alone."""
        self._waiting.append((job, hosts))

    def _submit(self) -> None:
        """Give the cluster its next jobs; a first one also where no worker is there yet."""
        if not self._waiting:
            return
        workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        while self._waiting and len(self._futures) < workers:
            job, hosts = self._waiting.popleft()
            key = f"{job.name}-{uuid.uuid4().hex[:8]}"  # a cluster answers a key that it knows
            order = {"priority": -len(self._futures), "workers": hosts}
            order |= {"key": key, "pure": False, "resources": self._resources}
            future = self._client.submit(_train, job, *self._places, **order)
            future.add_done_callback(lambda _: self._news.set())
            self._futures[future] = job

    def ended(self, idle: Callable[[], Any]) -> Iterator[tuple[Job, str | None]]:
        """Yield each job once it has ended, with None or the reason why it failed."""
        while self._waiting or self._futures:
            self._submit()
            done = [future for future in self._futures if future.done()]
            for future in done:
                job, outcome = self._futures.pop(future), self._outcome(future)
                if not self._put_off(job, outcome):
                    yield job, outcome.reason
            if not done:
                idle()
                self._news.wait(1)  # not in small naps: each would take time from the workers
            self._news.clear()

    def _outcome(self, future: Future) -> _Outcome:
        if future.status in ("cancelled", "lost"):
            raise OSError(f"lost the scheduler at {self._address}: the same command goes on")
        if future.status == "error":  # what a worker could not report, such as its own death
            return _Outcome("failed", _line(future.exception()))
        return future.result()

    def _put_off(self, job: Job, outcome: _Outcome) -> bool:
        """Submit a job again that another sweep holds, or that another host may manage."""
        if outcome.state == "claimed":
            self.append(job)
            return True
        if outcome.state != "lacks data":
            return False
        lacking = self._lacking.setdefault(job.config.data, set())
        lacking.add(outcome.host)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        others = {get_address_host(address) for address in workers} - lacking
        if others:
            self.append(job, sorted(others))
        return bool(others)


@dataclass(frozen=True)
class _Outcome:
    """What a worker says of a job: `recorded`, `claimed`, `lacks data` or `failed`, and why."""

    state: str
    reason: str | None = None
    host: str = ""


def _line(error: BaseException) -> str:
    """What went wrong, and where the traceback is, if it was kept."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "; ".join([first, *getattr(error, "__notes__", ())])


_alone = threading.Lock()  # torch draws from its process's generator, so runs take turns


_bars = threading.RLock()  # tqdm's own is a semaphore that a killed process leaves behind


def _train(job: Job, folder: str, checkpoints: str) -> _Outcome:
    """What a worker does: one run, on one thread or one GPU.

    Errors are told, not raised: Dask cannot pass all of them on, and would wait forever.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    tqdm.set_lock(_bars)
    places = {"folder": Path(folder), "checkpoints": Path(checkpoints), "device": device_here()}
    options = {"progress": False, **dict(job.options)}
    try:
        with _alone:
            data = _data(job.config.data, job.config.n_train, job.config.distortion)
            study.run(job.config, job.study, data=data, **places, **options)
    except ClaimedError as error:
        time.sleep(1)  # not to ask again at once, where nothing else is left to do
        return _Outcome("claimed", _line(error))
    except DataError as error:
        host = get_address_host(get_worker().address)
        return _Outcome("lacks data", f"{_line(error)} (on {host})", host)
    except Exception as error:
        return _Outcome("failed", _line(error))
    return _Outcome("recorded")


@functools.lru_cache(maxsize=4)
def _data(name: str, n_train: int | None, distortion: float | None) -> DataSet:
    """Loaded once a worker, not shipped with each task."""
    return load(name, n_train=n_train, distortion=distortion)
