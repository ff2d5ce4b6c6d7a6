"""One job, made in this process: what a sweep's workers do, and a sweep of one run itself."""

from __future__ import annotations

import functools
import threading
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from stnlib.atomic import ClaimedError
from stnlib.data.catalogue import load
from stnlib.data.sets import DataError, DataSet
from stnlib.study import runs
from stnlib.study.crashes import in_a_line
from stnlib.study.jobs import Job, JobState
from stnlib.training.device import pick_device
from stnlib.training.malloc import keep_freed_memory

__all__ = ["make", "make_patiently"]

_alone = threading.Lock()  # torch draws from its process's generator, so runs take turns
_bars = threading.RLock()  # tqdm's own is a semaphore that a killed process leaves behind


def make(
    job: Job,
    folder: Path,
    checkpoints: Path,
    device: torch.device | str,
    progress: bool = False,
) -> JobState:
    """Make one run, on one thread or one GPU, and say what became of it.

    Errors are told, not raised: Dask cannot pass all of them on, and would wait forever.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    tqdm.set_lock(_bars)
    options = {"checkpoints": checkpoints, "device": device, "progress": progress}
    options |= job.options
    try:
        with _alone:
            data = _data(job.config.data, job.config.n_train, job.config.distortion)
            runs.run(job.config, job.study, folder, data=data, **options)
    except ClaimedError as error:
        time.sleep(1)  # not to ask again at once, where nothing else is left to do
        return JobState("claimed", in_a_line(error))
    except DataError as error:
        return JobState("lacks data", in_a_line(error))
    except Exception as error:
        return JobState("failed", in_a_line(error))
    return JobState("recorded")


def make_patiently(job: Job, folder: Path, checkpoints: Path) -> dict[str, str]:
    """Make one run on this machine; where another process is making it, wait how that ends.

    Returns what failed, as `stnlib.study.sweep.sweep` does.
    """
    device, outcome = pick_device("auto"), JobState("claimed")
    while outcome.state == "claimed":
        outcome = make(job, folder, checkpoints, device, progress=True)
    return {job.name: f"{job.config.changed()}: {outcome.reason}"} if outcome.reason else {}


@functools.lru_cache(maxsize=4)
def _data(name: str, n_train: int | None, distortion: float | None) -> DataSet:
    """Loaded once a worker, not shipped with each task."""
    return load(name, n_train=n_train, distortion=distortion)
