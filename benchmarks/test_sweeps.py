"""What a sweep costs beside its runs, and what a second worker gains.

Two workers cannot gain more than two processes without any sweep: cores may share their units.
"""

import itertools
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context

import pytest
import torch

from stnlib.data.catalogue import load
from stnlib.study import runs
from stnlib.study.cluster import connect
from stnlib.study.jobs import Job
from stnlib.study.sweep import sweep
from stnlib.training.config import RunConfig

RUNS, ROUNDS = 8, 1  # of five seconds and more: a round takes as long as many of a shorter one


def jobs(n, tiny, seed=0):
    size = {"n_train": 128, "epochs": 1} if tiny else {"n_train": 2000, "epochs": 6}
    config = RunConfig(data="digits", model="baseline", **size)
    return [Job("bench", config.replace(seed=seed + i)) for i in range(n)]


@lru_cache(maxsize=1)
def digits(n_train):
    return load("digits", n_train=n_train)


def one_by_one(todo, folder):
    """Runs without a cluster, their data loaded once, on one thread."""
    torch.set_num_threads(1)
    for job in todo:
        data = digits(job.config.n_train)
        runs.run(job.config, job.study, folder, data=data, progress=False)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder without records each time: what is recorded would not be made again."""
    monkeypatch.setenv("STNLIB_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return (tmp_path / str(i) for i in itertools.count())


@pytest.mark.parametrize("processes", [1, 2])
def test_runs_without_a_sweep(measure, tiny, folders, processes):
    """Each process has its share of the runs; all have started and loaded the data before."""
    todo = jobs(2 if tiny else RUNS, tiny)
    shares = [todo[i::processes] for i in range(processes)]

    def run(folder):
        list(pool.map(one_by_one, shares, [folder] * processes))

    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        warm = [[job] for job in jobs(processes, tiny, seed=99)]
        list(pool.map(one_by_one, warm, [next(folders)] * processes))
        name = f"no sweep, {('one process', 'two processes')[processes - 1]}"
        measure(f"{RUNS} runs", name, lambda: run(next(folders)), ROUNDS, warm=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_of_a_sweep(measure, tiny, folders, workers):
    """With workers that have started and loaded the data before."""
    todo = jobs(2 if tiny else RUNS, tiny)
    with connect(workers=workers) as client:
        client.wait_for_workers(workers)
        warm = jobs(2 * workers, tiny, seed=99)
        assert sweep(warm, next(folders), client, progress=False) == {}
        name = ("one worker", "stnlib")[workers - 1]
        run = lambda: sweep(todo, next(folders), client, progress=False)  # noqa: E731
        measure(f"{RUNS} runs", name, run, ROUNDS, warm=False, runs=len(todo))
