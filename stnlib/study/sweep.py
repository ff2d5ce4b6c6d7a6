"""Many runs: a study's configurations mapped over a Dask cluster.

Runs are independent, named by their keys, and resumable from their last epoch's checkpoint,
so a worker that dies costs an epoch and a sweep that is interrupted is simply started again.
Sweeps that share a folder of records share the work: a run that one is making, others put off.
"""

from __future__ import annotations

import collections
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, Future, get_worker
from distributed.comm import get_address_host

from stnlib.paths import checkpoint_folder
from stnlib.progress import bar as progress_bar
from stnlib.study.cluster import device_here, resources_of, workers_of
from stnlib.study.crashes import in_a_line
from stnlib.study.jobs import Job, JobState

__all__ = ["sweep"]


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    client: Client,
    checkpoints: Path | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Make runs; those that have a record in the folder are left as they are.

    Parameters
    ----------
    jobs : Sequence[Job]
        In the order in which they begin.
    folder : Path
        Of the records, reached by the workers under the same name.
    client : Client
        See `stnlib.study.cluster.connect`.
    checkpoints : Path | None
        Folder of unfinished runs; name one that all workers reach, and any of them can go on where
        another ended.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    dict[str, str]
        What failed: a line an unfinished run, by its name. The others have completed.

    Raises
    ------
    OSError
        When the scheduler is lost; a new sweep goes on.
    """
    failures: dict[str, str] = {}
    places = folder.absolute(), (checkpoints or checkpoint_folder()).absolute()
    queue = _Queue(jobs, client, places)
    with progress_bar(
        total=len(jobs),
        unit="run",
        smoothing=0,  # runs end in bursts, as many as there are workers
        miniters=0,
        disable=not progress,
    ) as bar:
        for job, reason in queue.ended(idle=lambda: bar.update(0)):
            if reason:
                failures[job.name] = f"{job.config.changed()}: {reason}"
            bar.set_postfix_str(f"{len(failures)} failed", refresh=False)
            bar.update()
        bar.refresh()
    return failures


class _Queue:
    """Jobs on a cluster, begun in the order in which they came.

    The cluster gets no more of them than it has workers: it would deal out the rest at once,
    and a worker that is done early would take from another's whatever it likes.
    """

    def __init__(self, jobs: Sequence[Job], client: Client, places: tuple[Path, Path]) -> None:
        self._client, self._places, self._address = client, places, client.scheduler.address
        self._resources = resources_of(client)
        # With the hosts that alone may make it, or None.
        self._waiting = collections.deque[tuple[Job, list[str] | None]]((job, None) for job in jobs)
        self._futures: dict[Future, Job] = {}
        self._news = threading.Event()
        self._lacking: dict[str, set[str]] = {}  # data set to the hosts that do not have it

    def _submit(self) -> None:
        """Give the cluster its next jobs; a first one also where no worker is there yet."""
        if not self._waiting:
            return
        workers = max(1, len(workers_of(self._client)))
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

    def _outcome(self, future: Future) -> JobState:
        if future.status in ("cancelled", "lost"):
            raise OSError(f"lost the scheduler at {self._address}: the same command goes on")
        if future.status == "error":  # what a worker could not report, such as its own death
            return JobState("failed", in_a_line(future.exception()))
        return future.result()

    def _put_off(self, job: Job, outcome: JobState) -> bool:
        """Submit a job again that another sweep holds, or that another host may manage."""
        if outcome.state == "claimed":
            self._waiting.append((job, None))
            return True
        if outcome.state != "lacks data":
            return False
        lacking = self._lacking.setdefault(job.config.data, set())
        lacking.add(outcome.host)
        others = {get_address_host(address) for address in workers_of(self._client)} - lacking
        if others:
            self._waiting.append((job, sorted(others)))
        return bool(others)


def _train(job: Job, folder: Path, checkpoints: Path) -> JobState:
    """What a worker does."""
    from stnlib.study import work  # late, for the workers alone: torch takes seconds to import

    outcome = work.make(job, folder, checkpoints, device_here())
    if outcome.state != "lacks data":
        return outcome
    host = get_address_host(get_worker().address)
    return replace(outcome, reason=f"{outcome.reason} (on {host})", host=host)
