"""Where runs are made: workers on this machine, or a Dask cluster that is there already.

A worker makes one run at a time, on one thread or one GPU: a run's random numbers are its
process's, and cores are never oversubscribed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster, get_worker

from stnlib.errors import ConfigError
from stnlib.study.crashes import in_a_line
from stnlib.study.machine import count_gpus

if TYPE_CHECKING:
    import torch

__all__ = ["connect", "device_here", "resources_of", "workers_of"]

_GPU = {"GPU": 1}  # the name that dask-cuda and Dask's documentation use

# A terminal sends Ctrl-C to the workers as well: they end at once and print no traceback.
_END_AT_CTRL_C = "import os, signal\nsignal.signal(signal.SIGINT, lambda *_: os._exit(130))"


def connect(
    scheduler: str | None = None, workers: int | None = None, per_gpu: int = 1
) -> AbstractContextManager[Client]:
    """A client of the cluster at `scheduler`, or of one on this machine that ends with it.

    Parameters
    ----------
    scheduler : str | None
        Address such as ``tcp://host:8786``; None starts workers here.
    workers : int | None
        Number of workers to start, one thread each; None for one a core, or `per_gpu` for each GPU
        where there are any.
    per_gpu : int
        Workers that share a GPU; small runs leave it idle by themselves.

    Raises
    ------
    ConfigError
        When a worker has several threads, which runs cannot share.
    OSError
        When no scheduler answers there.
    """
    return _local(workers, per_gpu) if scheduler is None else _remote(scheduler)


@contextmanager
def _local(workers: int | None, per_gpu: int) -> Iterator[Client]:
    gpus = count_gpus()
    # A worker that dies takes all its tasks' good name with it; here each death is worth a retry.
    settings = {
        "distributed.scheduler.allowed-failures": 100,
        "distributed.worker.daemon": True,
        "distributed.worker.profile.enabled": False,  # it looks at the run a hundred times a second
        "distributed.worker.preload": [_END_AT_CTRL_C],
        # Dask's servers cannot do without HTTP: nothing is served, and to this machine alone
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or gpus * per_gpu or os.cpu_count(),
            threads_per_worker=1,
            memory_limit=0,  # Dask's own would pause a worker whose training takes its share
            resources=_GPU if gpus else {},
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # sweeps side by side: any port
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL,  # failures are reported at the end, a line each
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _remote(scheduler: str) -> Iterator[Client]:
    if not scheduler.strip():
        raise ConfigError("scheduler must be an address such as tcp://host:8786, not nothing")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is said in a line
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError, TypeError) as error:
        raise OSError(f"no scheduler answers at {scheduler}: {in_a_line(error)}") from None
    with client:
        for address, worker in workers_of(client).items():
            if worker["nthreads"] != 1:
                raise ConfigError(
                    f"worker {address} has {worker['nthreads']} threads, a run needs a worker "
                    "of one: start them with --nthreads 1, and more of them with --nworkers"
                )
        yield client


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each worker, by its address."""
    return client.scheduler_info(n_workers=-1)["workers"]


def resources_of(client: Client) -> dict[str, float]:
    """What a run asks of its worker: a GPU where any worker offers one, else nothing."""
    offers = any(worker["resources"].get("GPU") for worker in workers_of(client).values())
    return dict(_GPU) if offers else {}


def device_here() -> torch.device:
    """The device of the worker that asks: its GPU, or the CPU where it has none.

    Local workers take turns on the GPUs; others see those that CUDA_VISIBLE_DEVICES leaves them.
    """
    import torch  # late: only workers need it

    gpus = torch.cuda.device_count()
    if not gpus:
        return torch.device("cpu")
    name = get_worker().name  # a number for local workers, an address or a name for others
    return torch.device("cuda", name % gpus if isinstance(name, int) else 0)
